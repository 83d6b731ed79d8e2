//! An incident as text for people and as JSON for machines: pure functions.
//!
//! Not here: writing to a terminal, asking whether it has colours or how wide it is.

pub mod units;

pub mod style;

pub mod text;

pub mod table;

pub mod json;
