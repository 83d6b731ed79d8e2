//! What is not plain cargo: `cargo xtask tidy` holds the source to the house style, `cargo xtask layers` the crates to
//! their arrows.
//!
//! Not here: what rustfmt and clippy already check.

mod layers;

mod problem;

mod source;

mod tidy;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::problem::Problem;

fn main() -> Result<ExitCode> {
    let root = root()?;
    let (checked, problems) = match std::env::args().nth(1).as_deref() {
        Some("tidy") => tidy::check(&root)?,
        Some("layers") => layers::check(&root)?,
        _ => bail!("usage: cargo xtask tidy | layers"),
    };
    report(&checked, &problems)
}

/// The root of the workspace: this package lies one level below.
fn root() -> Result<PathBuf> {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    Ok(here.parent().context("xtask lies below the workspace")?.to_owned())
}

fn report(checked: &str, problems: &[Problem]) -> Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    for problem in problems {
        writeln!(out, "{problem}")?;
    }
    match problems.len() {
        0 => writeln!(out, "{checked}: no problem")?,
        count => writeln!(out, "{checked}: {count} problems")?,
    }
    Ok(ExitCode::from(u8::from(!problems.is_empty())))
}
