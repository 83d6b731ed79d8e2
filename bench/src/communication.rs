//! How well the algorithms of communication find what is hidden in simulated traffic, and how often they err on honest traffic.
//!
//! The generators are those of the prototypes, with fixed seeds; beside them, recorded traffic through the whole fold
//! (`public.rs`). Not here: excess (`excess.rs`).

mod beacons;

mod scans;

mod edges;

mod names;

pub(crate) mod public;

use anyhow::Result;
use sources::outlet::Stop;

use crate::figure::Figure;
use crate::going_on;

type Measure = fn() -> Vec<Figure>;

/// The parts in order.
const PARTS: [(&str, Measure); 4] = [
    ("beacons", beacons::measure),
    ("scans", scans::measure),
    ("edges", edges::measure),
    ("names", names::measure),
];

/// The figures of every part.
pub(crate) fn measure(stop: &Stop) -> Result<Vec<(&'static str, Vec<Figure>)>> {
    let parts = PARTS.into_iter().map(|(name, measure)| {
        going_on(stop)?;
        Ok((name, measure()))
    });
    parts.collect()
}
