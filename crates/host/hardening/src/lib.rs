//! What this process gives up so that a fault in it is worth little: capabilities, system calls, memory that others read.
//!
//! Two steps: [`restrict`] before any other thread exists, [`seal`] once the kernel probes are loaded. A step that the
//! kernel refuses is reported and never fatal. Not here: noticing interference, see `tampering.rs`.

mod allocator;

mod capabilities;

mod in_force;

mod limits;

mod syscalls;

mod tampering;

mod text;

pub use crate::in_force::Hardening;
pub use crate::tampering::{Tampering, Watch};

/// First step, before other threads are started: they inherit what is set here. Gives one sentence for each refusal.
pub fn restrict() -> Vec<String> {
    allocator::hold_to_one_arena();
    // The limits first: some of them need capabilities that are dropped after them.
    let limits = limits::restrict();
    limits.into_iter().chain(capabilities::restrict()).collect()
}

/// Second step, for all threads at once: the system calls that are of use to an attacker alone are refused from now on.
pub fn seal() -> Result<(), String> {
    syscalls::seal()
}

/// Gives back pages of our own code that were run once: what is run again comes back from the file. Gives how many bytes
/// of code there are.
pub fn release_code() -> std::io::Result<usize> {
    text::release()
}
