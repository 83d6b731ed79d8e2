//! What is spent, by whom: judges of the host's books.

pub(crate) mod out_of_band_log;

pub(crate) mod out_of_band_calls;

pub(crate) mod out_of_band_syslog;

pub(crate) mod out_of_band_sync;

pub(crate) mod out_of_band_crash;

pub(crate) mod out_of_band_packets;

pub(crate) mod unbooked_engine;

pub(crate) mod excess;

pub(crate) mod record;

pub(crate) mod ramp;

pub(crate) mod hijack;

pub(crate) mod hidden_burn;

pub(crate) mod herd;

pub(crate) mod fork_storm;

pub(crate) mod crash_loop;

pub(crate) mod memory_growth;

pub(crate) mod object_exhaustion;

pub(crate) mod disk_fill;

pub(crate) mod log_fill;

pub(crate) mod service_flood;

pub(crate) mod connection_flood;

pub(crate) mod saturation;

mod out_of_band;
