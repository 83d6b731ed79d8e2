//! What is spent, by whom: judges of the host's books.

pub(crate) mod excess;

pub(crate) mod out_of_band_log;

pub(crate) mod saturation;
