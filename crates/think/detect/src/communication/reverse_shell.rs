//! Flags a program in a container whose standard input and output are a network connection: a shell that somebody
//! elsewhere types into.
//!
//! T1059.004, T1571. Not here: shells behind pipes or a terminal of their own, which talk to a program that has the
//! connection.

use model::event::{Body, Exec};
use model::finding::Finding;

use crate::Case;
use crate::communication::channel;

pub(crate) const ID: &str = "reverse_shell";

/// Programs that read commands.
const SHELLS: [&str; 12] =
    ["sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "fish", "csh", "tcsh", "busybox", "pwsh"];

/// A shell that waits for commands; one that runs a script, as servers of the inetd kind start them; anything else.
const SHELL_BITS: f64 = 13.0;
const SCRIPT_BITS: f64 = 6.0;
const OTHER_BITS: f64 = 5.0;

/// Judges every program that a container starts.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    let (Body::Exec(exec), Some(container)) = (&case.seen.event.body, &case.seen.identity.container) else {
        return;
    };
    if !exec.streams.is_remote() {
        return;
    }
    let (bits, what) = match (is_shell(exec), has_script(exec)) {
        (true, false) => (SHELL_BITS, "a shell"),
        (true, true) => (SCRIPT_BITS, "a script"),
        (false, _) => (OTHER_BITS, "a program"),
    };
    let whom = exec.streams.remote.map_or_else(|| "somebody".to_owned(), |remote| remote.to_string());
    out.push(
        channel(case, container, ID, bits)
            .claiming(format!("it runs {what} ({}) that reads from and answers to {whom}", exec.name))
            .with("program", &exec.name)
            .with("arguments", &exec.args)
            .with("pid", u64::from(exec.process.pid))
            .with("remote", whom.as_str()),
    );
}

fn is_shell(exec: &Exec) -> bool {
    let called = exec.args.raw().split(' ').next().unwrap_or_default();
    let called = called.rsplit('/').next().unwrap_or_default().trim_start_matches('-');
    SHELLS.contains(&exec.name.raw()) || SHELLS.contains(&called)
}

/// Whether it was given a file or a command to run and takes none from its input.
fn has_script(exec: &Exec) -> bool {
    let mut words = exec.args.raw().split(' ').skip(1);
    words.any(|word| word == "-c" || !(word.is_empty() || word.starts_with('-')))
}
