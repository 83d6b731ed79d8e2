//! What the fold keeps for one container, in bytes: as a recording carries it, and in memory.
//!
//! Events are made one at a time and dropped, so what grows is the fold. Run it before anything else has used the heap:
//! free room left there would hide growth. Not here: kernel maps, open files, the store.

use std::io::{self, Write};
use std::time::Instant;

use anyhow::{Result, ensure};
use engine::fold::{Fold, FoldConfig};
use model::coverage::Source;
use model::event::Body;
use model::ids::NodeId;
use report::inventory_json::inventory_json;
use sources::outlet::Stop;

use crate::bundles::strategies;
use crate::crowd::{CALM, Crowd, LABELLED};
use crate::figure::Figure;
use crate::going_on;
use crate::process::status_bytes;

const SIZES: [u64; 2] = [1_000, 10_000];
/// Longer than any history the fold keeps of a container.
const SECONDS: u64 = 12;

/// Measures with 1,000 and with 10,000 containers, the most the fold takes.
pub(crate) fn measure(stop: &Stop) -> Result<Vec<Figure>> {
    let mut crowd = Crowd::new(CALM);
    let mut fold = Fold::new(&strategies()?, FoldConfig::default());
    for event in crowd.begin() {
        fold.step(event);
    }
    let empty = (serialised_bytes(&fold)?, resident_bytes()?);
    let mut figures = Vec::new();
    let mut known = 0;
    for size in SIZES {
        going_on(stop)?;
        fill(&mut fold, &mut crowd, known..size);
        known = size;
        let resident = resident_bytes()? - empty.1;
        let serialised = serialised_bytes(&fold)? - empty.0;
        let there = fold.enrich().containers().count() as u64;
        ensure!(
            there == size && fold.enrich().dropped() == 0,
            "{size} containers became {there} in the fold"
        );
        let per_container = |bytes: u64| bytes as f64 / size as f64;
        figures.push(Figure::once(
            format!("resident, {size} containers"),
            "bytes each",
            per_container(resident),
        ));
        figures.push(Figure::once(
            format!("serialised, {size} containers"),
            "bytes each",
            per_container(serialised),
        ));
    }
    Ok(figures)
}

/// Measures with 1,000 containers of 64 labels each: what the fold keeps of them, and how the inventory is told of them. Alone in
/// a process, as above.
pub(crate) fn measure_labels(stop: &Stop) -> Result<Vec<Figure>> {
    let mut crowd = Crowd::new(LABELLED);
    let mut fold = Fold::new(&strategies()?, FoldConfig::default());
    for event in crowd.begin() {
        fold.step(event);
    }
    let empty = resident_bytes()?;
    fill(&mut fold, &mut crowd, 0..SIZES[0]);
    going_on(stop)?;
    let resident = resident_bytes()? - empty;
    let begun = Instant::now();
    let view = fold.inventory(&NodeId::new("bench"));
    let document = serde_json::to_vec(&inventory_json(&view))?;
    let took = begun.elapsed();
    Ok(vec![
        Figure::once(
            "resident, 1,000 containers of 64 labels".to_owned(),
            "MB in all",
            resident as f64 / 1e6,
        ),
        Figure::once(
            "`inventory --json` of them, without the socket".to_owned(),
            "ms",
            took.as_secs_f64() * 1e3,
        ),
        Figure::once("its document".to_owned(), "MB", document.len() as f64 / 1e6),
    ])
}

fn fill(fold: &mut Fold, crowd: &mut Crowd, new: std::ops::Range<u64>) {
    let containers = new.end;
    for container in new {
        for event in crowd.start(container) {
            fold.step(event);
        }
    }
    for _ in 0..SECONDS {
        crowd.pass_a_second();
        for container in 0..containers {
            fold.step(crowd.usage(container));
            fold.step(crowd.log(container));
        }
        fold.step(crowd.host(containers));
        fold.step(crowd.event(Source::Engine, Body::Tick));
    }
}

fn resident_bytes() -> Result<u64> {
    status_bytes("self", "VmRSS")
}

fn serialised_bytes(fold: &Fold) -> Result<u64> {
    let mut counter = Counter(0);
    serde_json::to_writer(&mut counter, fold)?;
    Ok(counter.0)
}

/// Counts what is written and keeps nothing: a buffer of that size would be resident as well.
struct Counter(u64);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
