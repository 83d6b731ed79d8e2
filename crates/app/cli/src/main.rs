//! `tidewatch`, the one binary: one file per subcommand.
//!
//! Not here: anything that decides; commands parse, ask, and print. Exit codes: 0 fine, 1 the answer is bad news,
//! 2 misuse or failure.

mod args;

mod output;

mod outflow;

mod settings;

mod bundles;

mod run;

mod view;

mod incidents;

mod inventory;

mod approve;

mod expect;

mod graph;

mod policy;

mod ads;

mod record;

mod replay;

mod signals;

mod status;

mod stored;

mod top;

mod doctor;

mod config;

mod completions;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Args, Command};

/// What a command found, as an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Fine,
    BadNews,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let outcome = match args.command {
        Command::Run(args) => run::run(&args),
        Command::Incidents(args) => incidents::run(&args),
        Command::Inventory(args) => inventory::run(&args),
        Command::Approve(args) => approve::run(&args),
        Command::Expect(args) => expect::run(&args),
        Command::Graph(args) => graph::run(&args),
        Command::Policy(args) => policy::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Top(args) => top::run(&args),
        Command::Ads(args) => ads::run(&args),
        Command::Record(args) => record::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Config(args) => config::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::ReadStore(args) => stored::apart::run(&args),
    };
    match outcome {
        Ok(Outcome::Fine) => ExitCode::SUCCESS,
        Ok(Outcome::BadNews) => ExitCode::from(1),
        Err(error) => {
            output::complain(&format!("tidewatch: {error:#}"));
            ExitCode::from(2)
        }
    }
}
