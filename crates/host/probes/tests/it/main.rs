//! The probes on this kernel: every test needs root and BPF, and fails where there is none.
//!
//! Not here: reading records from bytes, which the unit tests of `layout.rs` do everywhere.

#![expect(clippy::unwrap_used, reason = "a test may panic, and its helpers with it")]

mod cgroups;
mod confines;
mod costs;
mod creators;
mod flows;
mod origins;
mod processes;
mod sockets;
mod tally;

mod host;
