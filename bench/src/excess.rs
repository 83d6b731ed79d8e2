//! How well the record bank and its two companions find what people marked in public data, and in simulated slow ramps.
//!
//! One default configuration for everything. No figure is adjusted to points: a marked stretch is found or it is not.
//! Not here: what it costs (`series.rs`).

mod files;

mod drive;

pub(crate) mod curve;

mod golden;

mod nab;

mod servers;

mod nezha;

pub(crate) mod noise;

mod slow_burn;

use std::path::Path;

use anyhow::{Result, ensure};
use sources::outlet::Stop;

use crate::figure::Figure;
use crate::going_on;

/// What is marked so in a figure's name: its threshold was chosen with the marks known, so nobody could have had it before.
const ORACLE: &str = "oracle threshold";

type Measure = fn(&Path) -> Result<Vec<Figure>>;

/// The parts in order, each with the folder it reads.
const PARTS: [(&str, &str, Measure); 4] = [
    ("nab", "nab", nab::measure),
    ("asd", "asd", servers::measure_asd),
    ("smd", "smd", servers::measure_smd),
    ("nezha", "nezha", nezha::measure),
];

/// The figures of every part.
pub(crate) fn measure(data: &Path, stop: &Stop) -> Result<Vec<(&'static str, Vec<Figure>)>> {
    for (_, folder, _) in PARTS {
        let folder = data.join(folder);
        ensure!(
            folder.is_dir(),
            "{} is not there: give the folder of the public data with DATA=…",
            folder.display()
        );
    }
    let mut parts = Vec::new();
    for (name, folder, measure) in PARTS {
        going_on(stop)?;
        parts.push((name, measure(&data.join(folder))?));
    }
    going_on(stop)?;
    parts.push(("slow burn", slow_burn::measure()));
    Ok(parts)
}
