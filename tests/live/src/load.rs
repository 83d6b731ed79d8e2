//! The load generator `tests/load`, built once per run as a static program that runs in any image.
//!
//! Not here: what it does; see its own sources.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};

use crate::host;

/// Building takes seconds, and a minute beside others.
const BUILT_WITHIN: Duration = Duration::from_secs(300);

static PROGRAM: OnceLock<Result<PathBuf, String>> = OnceLock::new();

/// Where the program is.
pub(crate) fn program() -> Result<&'static Path> {
    let built = PROGRAM.get_or_init(|| build().map_err(|error| format!("{error:#}")));
    built.as_deref().map_err(|error| anyhow!("cannot build the load generator: {error}"))
}

/// Builds it beside this program, into `target/release`.
fn build() -> Result<PathBuf> {
    let here = std::env::current_exe().context("this program has no path")?;
    let target = here.ancestors().nth(2).context("this program is not in target/release")?;
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["rustc", "--quiet", "--locked", "--release", "--package", "load", "--manifest-path"]);
    cargo.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../load/Cargo.toml")).arg("--target-dir").arg(target);
    cargo.args(["--", "-C", "target-feature=+crt-static", "-C", "strip=symbols"]);
    host::succeed(&mut cargo, BUILT_WITHIN)?;
    Ok(target.join("release/load"))
}
