//! What yields events: each source runs at the rim, stamps what it saw and pushes it into one bounded queue.
//!
//! Not here: any judgement. A source that cannot keep up loses its own events, counts them, and stalls nobody.

pub mod queue;

pub mod clock;

pub mod outlet;

pub mod kernel;

pub mod birth;

pub mod sampler;

pub mod scan;

pub mod containers;

pub mod engines;

mod crowded;

pub mod podman;

pub mod units;
