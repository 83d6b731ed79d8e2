//! The live tests: Tidewatch from the outside, on this kernel and this Docker engine, and on another kernel in qemu.
//!
//! Not here: anything that needs to see Tidewatch's inside. Its binary, its command line and the host are all these
//! tests use.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a test runner talks on its standard output")]

mod bundle;
mod by_hand;
mod cases;
mod cgroups;
mod chaos;
mod containerd;
mod cri;
mod demo;
mod docker;
mod host;
mod images;
mod incident;
mod initramfs;
mod journal;
mod kernels;
mod load;
mod measure;
mod outside;
mod podman;
mod private_engine;
mod runner;
mod scene;
mod stage;
mod swarm;
mod sysctl;
mod tidewatch;
mod wait;

use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

use crate::tidewatch::Room;

/// Runs Tidewatch's live tests. Needs root.
#[derive(Parser)]
struct Cli {
    /// The binary under test.
    #[arg(long, value_name = "PATH", default_value = "target/release/tidewatch")]
    bin: PathBuf,
    /// How often to run each test.
    #[arg(long, default_value_t = 1, global = true)]
    repeat: u32,
    /// Only tests whose names hold one of these; repeat the option or separate by commas.
    #[arg(long, value_name = "NAME", value_delimiter = ',', global = true)]
    only: Vec<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the tests on this host.
    Run {
        /// Those that take a quarter of an hour each, instead of the others.
        #[arg(long)]
        long: bool,
    },
    /// Boots another kernel in qemu, with cgroup v2 only, and watches a container made by hand there.
    Kernels,
    /// Breaks one thing at random every ten seconds, and looks for two attacks in each round.
    Chaos {
        /// How long.
        #[arg(long, default_value_t = 30)]
        minutes: u64,
        /// What the order follows from; the process id when it is not given.
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Shows one catch to people.
    Demo,
    /// Lists the tests.
    List,
}

fn main() -> ExitCode {
    match start(&Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("live: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(cli: &Cli) -> Result<bool> {
    wait::watch_signals()?;
    let _alone = match cli.command {
        Command::List => None,
        _ => Some(alone()?),
    };
    match cli.command {
        Command::Run { long: true } => runner::run(&cli.bin, cases::LONG.iter(), cli.repeat, &cli.only),
        Command::Run { long: false } => runner::run(&cli.bin, cases::all(), cli.repeat, &cli.only),
        Command::Kernels => runner::run(&cli.bin, [&kernels::CASE].into_iter(), cli.repeat, &[]),
        Command::Chaos { minutes, seed } => {
            let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
            chaos::run(&Room::new(&cli.bin)?, Duration::from_secs(60 * minutes), seed).context("chaos")
        }
        Command::Demo => demo::run(&Room::new(&cli.bin)?).context("demo").map(|()| true),
        Command::List => {
            for case in cases::all().chain(&cases::LONG).chain([&kernels::CASE]) {
                println!("{}", case.name);
            }
            Ok(true)
        }
    }
}

/// Tests of two runs would meet in names, in networks and in each other's incidents: one run at a time on a host. Holds
/// until it is dropped.
fn alone() -> Result<File> {
    let path = std::env::temp_dir().join("tw-live.lock");
    let lock = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    lock.try_lock().with_context(|| format!("another run of the live tests holds {}", path.display()))?;
    Ok(lock)
}
