//! `tidewatch completions`: made from the same definition as the command line.

use clap::CommandFactory;

use crate::Outcome;
use crate::args::{Args, CompletionsArgs};

#[expect(clippy::unnecessary_wraps, reason = "every command has the same shape")]
pub(crate) fn run(args: &CompletionsArgs) -> anyhow::Result<Outcome> {
    let mut command = Args::command();
    clap_complete::generate(args.shell, &mut command, "tidewatch", &mut std::io::stdout());
    Ok(Outcome::Fine)
}
