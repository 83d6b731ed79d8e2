//! Measures what Tidewatch costs: the fold, its state, the sampler, the whole program; and how well excess and hidden
//! communication are found.
//!
//! Not here: any limit that fails a run. Times belong to the machine; the table says which it was and how busy.

mod figure;

mod machine;

mod process;

mod table;

mod bundles;

mod crowd;

mod streams;

mod fold;

mod flows;

mod connections;

mod state;

mod groups;

mod bare;

mod sampler;

mod containers;

mod memory;

mod series;

mod excess;

mod communication;

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use clap::{Parser, ValueEnum};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use sources::outlet::Stop;

use crate::figure::Figure;
use crate::machine::{Machine, load};
use crate::table::{Report, Section};

/// Measures what Tidewatch costs on this machine.
#[derive(Debug, Parser)]
struct Args {
    /// What to measure.
    #[arg(value_enum, default_value = "all")]
    what: What,
    /// The folder of the public data, for `detect`.
    #[arg(long, default_value = "../shared/data")]
    data: PathBuf,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// Bytes that the fold keeps for a container.
    State,
    /// Bytes that the fold keeps for containers of many labels, and the time that their inventory takes.
    Labels,
    /// Events a second on one core.
    Fold,
    /// Time for what the kernel tells of traffic, and bytes for an edge.
    Flows,
    /// CPU of a connection with probes over that without (needs root and BPF).
    Connections,
    /// CPU of reading control groups, beside that of the reads alone (needs root).
    Sampler,
    /// Memory and CPU of the running program (needs root and target/release/tidewatch).
    Memory,
    /// Bytes and time of a record bank (beside a plain mean and variance) and of a whole series.
    Series,
    /// Everything above, in this order.
    All,
    /// How well excess is found in public data and simulations (needs the data), and hidden communication in simulations.
    Detect,
    /// How well hidden communication is found in simulations.
    Communication,
}

type Measure = fn(&Stop) -> Result<Vec<Figure>>;

/// `state` first: it needs a heap that nothing has used.
const SECTIONS: [(What, &str, Measure); 7] = [
    (What::State, "state", state::measure),
    (What::Fold, "fold", fold::measure),
    (What::Flows, "flows", flows::measure),
    (What::Connections, "connections", connections::measure),
    (What::Sampler, "sampler", sampler::measure),
    (What::Memory, "memory", memory::measure),
    (What::Series, "series", series::measure),
];

fn main() -> Result<()> {
    let args = Args::parse();
    ensure!(!cfg!(debug_assertions), "figures of a debug build mean nothing: run with --release");
    let stop = stop_on_signals()?;
    let mut sections = Vec::new();
    for (what, name, measure) in SECTIONS {
        if args.what == what || args.what == What::All {
            sections.push(Section { name, load: load()?, figures: measure(&stop)? });
        }
    }
    if args.what == What::Labels {
        sections.push(Section { name: "labels", load: load()?, figures: state::measure_labels(&stop)? });
    }
    if args.what == What::Detect {
        let began = load()?;
        let parts = excess::measure(&args.data, &stop)?;
        sections.extend(parts.into_iter().map(|(name, figures)| Section { name, load: began, figures }));
        sections.push(Section { name: "series", load: load()?, figures: series::measure(&stop)? });
        going_on(&stop)?;
        let figures = communication::public::measure(&args.data)?;
        sections.push(Section { name: "public flows", load: load()?, figures });
    }
    if matches!(args.what, What::Detect | What::Communication) {
        let began = load()?;
        let parts = communication::measure(&stop)?;
        sections.extend(parts.into_iter().map(|(name, figures)| Section { name, load: began, figures }));
    }
    let report = Report { command: command(), machine: Machine::here()?, sections };
    show(&if args.json { format!("{:#}\n", report.json()) } else { report.text() });
    Ok(())
}

/// Fails once somebody asked us to stop, so that every guard still cleans up.
fn going_on(stop: &Stop) -> Result<()> {
    if stop.is_set() {
        bail!("interrupted");
    }
    Ok(())
}

fn stop_on_signals() -> Result<Stop> {
    let (stopper, stop) = Stop::new();
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            drop(stopper);
        }
    });
    Ok(stop)
}

fn command() -> String {
    let arguments = std::env::args().skip(1);
    std::iter::once("cargo run --release -p bench --".to_owned())
        .chain(arguments)
        .collect::<Vec<_>>()
        .join(" ")
}

#[allow(clippy::print_stdout, reason = "the table is what this program is for")]
fn show(text: &str) {
    print!("{text}");
}
