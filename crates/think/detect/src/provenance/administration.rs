//! Flags programs that somebody outside has run in a container, and who connects to its streams: `docker exec`, `attach`,
//! `docker cp`.
//!
//! T1609, T1059.004. Quiet: health checks that the container declares, commands that people approved, and those that were
//! run there often before (probes of the kubelet). Not here: entry past the engine (`namespace_entry.rs`).

use std::time::Duration;

use model::event::{Body, Exec};
use model::finding::{Aspect, Finding};
use model::identity::Container;
use model::runtime::Administered;
use model::untrusted::Untrusted;
use state::Early;

use crate::Case;
use crate::provenance::{ALONE_BITS, asked_by, claim, early};

pub(crate) const ID: &str = "administration";

/// Somebody types into it.
const SHELL_BITS: f64 = ALONE_BITS;
/// Somebody runs a script in it, or writes files into it, or reads what its first process reads.
const SCRIPT_BITS: f64 = 6.0;
/// Somebody runs one program.
const PROGRAM_BITS: f64 = 3.0;
/// A command that was run so often before, and raised nothing that lasted, is how this workload is kept.
const HABIT_RUNS: u32 = 3;
/// How long before its program runs somebody asked for it, at most.
const ASKED_WITHIN: Duration = Duration::from_secs(10);

const SHELLS: [&str; 9] = ["sh", "bash", "ash", "dash", "zsh", "ksh", "fish", "csh", "tcsh"];

/// Judges what the kernel shows of programs that enter, and what engines tell where the kernel cannot be seen.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    if let Some((container, exec)) = case.seen.entered()
        && !container.facts.is_pending()
    {
        out.extend(entered(case, container, exec, case.novelty.commanded_before));
    }
    out.extend(early(case).filter_map(|(container, early)| match early {
        Early::Entered { exec, commanded_before, .. } => entered(case, container, exec, *commanded_before),
        Early::Ran(_) | Early::Left(_) => None,
    }));
    if let (Body::EngineExec { command, what, .. }, Some(container)) =
        (&case.seen.event.body, &case.seen.identity.container)
    {
        out.extend(told(case, container, (command, *what)));
    }
}

fn entered(case: &Case, container: &Container, exec: &Exec, commanded_before: u32) -> Option<Finding> {
    if is_expected(case, container, &exec.args) || commanded_before >= HABIT_RUNS {
        return None;
    }
    let has_terminal = exec.lineage.is_some_and(|lineage| lineage.has_terminal);
    let bits = weight(&exec.args, has_terminal);
    let finding = claim(case, container, ID, bits, Aspect::Conduct)
        .claiming(format!(
            "somebody outside runs {} in it{}",
            exec.args,
            if has_terminal { ", at a terminal" } else { "" }
        ))
        .with("command", &exec.args)
        .with("program_pid", u64::from(exec.process.pid));
    Some(asked_by(case, container, ASKED_WITHIN, finding))
}

fn told(case: &Case, container: &Container, (command, what): (&Untrusted, Administered)) -> Option<Finding> {
    let (bits, how) = match what {
        // The kernel tells the same with more; a command without a terminal is all that an engine tells.
        Administered::Exec if command.is_empty() || is_expected(case, container, command) => return None,
        Administered::Exec => {
            (weight(command, false).min(PROGRAM_BITS), format!("has its engine run {command} in it"))
        }
        Administered::Attach => (SCRIPT_BITS, "connects to the streams of its first process".to_owned()),
        Administered::Copy => (SCRIPT_BITS, "copies files into it or out of it".to_owned()),
    };
    // Whoever starts a container in the foreground is attached to it from its first moment on.
    if what == Administered::Attach && case.novelty.age < ASKED_WITHIN {
        return None;
    }
    let finding = claim(case, container, ID, bits, Aspect::Conduct)
        .claiming(format!("somebody {how}"))
        .with("command", command);
    Some(asked_by(case, container, ASKED_WITHIN, finding))
}

/// Whether its engine runs it to see whether it works, or people approved it.
fn is_expected(case: &Case, container: &Container, command: &Untrusted) -> bool {
    let check = container.facts.known().map(|facts| &facts.health_check).filter(|check| !check.is_empty());
    // What the kernel tells is cut where it is long.
    let is_check = check.is_some_and(|check| {
        let told = command.raw().trim_end_matches('…');
        check.raw() == told || (told.len() >= 200 && check.raw().starts_with(told))
    });
    is_check || case.state.is_approved_command(&container.workload(), command)
}

fn weight(command: &Untrusted, has_terminal: bool) -> f64 {
    let mut words = command.raw().split(' ').map(|word| word.rsplit('/').next().unwrap_or_default());
    let first = words.next().unwrap_or_default().trim_start_matches('-');
    let program = if first == "busybox" { words.next().unwrap_or_default() } else { first };
    let has_script = words.any(|word| word == "-c");
    match SHELLS.contains(&program) {
        true if has_terminal || !has_script => SHELL_BITS,
        true => SCRIPT_BITS,
        false if has_terminal => SCRIPT_BITS,
        false => PROGRAM_BITS,
    }
}

#[cfg(test)]
mod tests {
    use super::weight;

    #[test]
    fn a_shell_weighs_by_whether_somebody_types_into_it() {
        let bits = |command: &str, has_terminal| weight(&command.into(), has_terminal);
        assert!(bits("sh", false) >= 12.5);
        assert!(bits("/bin/bash -l", true) >= 12.5);
        assert!(bits("busybox sh", true) >= 12.5);
        assert!(bits("-bash", true) >= 12.5);
        assert!(bits("sh -c true", true) >= 12.5);
        assert!(bits("sh -c true", false) < 8.5);
        assert!(bits("pg_dump -c shop", false) < 4.0);
    }
}
