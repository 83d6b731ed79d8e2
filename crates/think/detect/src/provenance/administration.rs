//! Flags programs that somebody outside has run in a container, and who connects to its streams: `docker exec`, `attach`,
//! `docker cp`.
//!
//! T1609, T1059.004. What descends from such a program is still run from outside, forks included: a launcher hides no shell.
//! Quiet: health checks that the container declares, commands that people approved, what descends from those, and what was run
//! there often before (probes of the kubelet). Not here: entry past the engine (`namespace_entry.rs`).

use std::time::Duration;

use model::event::{Body, Exec};
use model::finding::{Aspect, Finding};
use model::identity::{Container, Entered};
use model::runtime::Administered;
use model::untrusted::Untrusted;
use state::{Command, Early, command};

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

/// Judges what the kernel shows of programs that enter, and what engines tell where the kernel cannot be seen.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    if let Some((container, exec, entered)) = case.seen.entered()
        && !container.facts.is_pending()
    {
        out.extend(came_in(case, container, (exec, entered), case.novelty.commanded_before));
    }
    out.extend(early(case).filter_map(|(container, early)| match early {
        Early::Entered { exec, entered, commanded_before, .. } => {
            came_in(case, container, (exec, *entered), *commanded_before)
        }
        Early::Ran(_) | Early::Left(_) => None,
    }));
    if let (Body::EngineExec { command, what, .. }, Some(container)) =
        (&case.seen.event.body, &case.seen.identity.container)
    {
        out.extend(told(case, container, (command, *what)));
    }
}

fn came_in(
    case: &Case,
    container: &Container,
    (exec, entered): (&Exec, Entered),
    commanded_before: u32,
) -> Option<Finding> {
    let asked = match entered {
        Entered::Itself => Some(&exec.args),
        Entered::Descends(entry) => case.state.entry(entry),
    };
    let is_habit = commanded_before >= HABIT_RUNS;
    if asked.is_some_and(|asked| is_expected(case, container, asked))
        || is_check_script(container, exec)
        || is_habit
    {
        return None;
    }
    let has_terminal = exec.lineage.is_some_and(|lineage| lineage.has_terminal);
    let bits = match entered {
        Entered::Itself => weight(command(exec), has_terminal),
        Entered::Descends(_) => descendant_weight(exec)?,
    };
    let from = match asked.filter(|asked| **asked != exec.args) {
        Some(asked) => format!(", by way of {asked}"),
        None => String::new(),
    };
    let at_terminal = if has_terminal { ", at a terminal" } else { "" };
    let finding = claim(case, container, ID, bits, Aspect::Conduct)
        .claiming(format!("somebody outside runs {} in it{from}{at_terminal}", exec.args))
        .with("command", &exec.args)
        .with("program_pid", u64::from(exec.process.pid));
    let finding = asked_by(case, container, ASKED_WITHIN, finding);
    Some(match asked.filter(|_| entered != Entered::Itself) {
        Some(asked) => finding.with("by_way_of", asked),
        None => finding,
    })
}

fn told(case: &Case, container: &Container, (command, what): (&Untrusted, Administered)) -> Option<Finding> {
    let (bits, how) = match what {
        // The kernel tells the same with more; a command without a terminal is all that an engine tells.
        Administered::Exec if command.is_empty() || is_expected(case, container, command) => return None,
        Administered::Exec => (PROGRAM_BITS, format!("has its engine run {command} in it")),
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

/// Whether it is a declared check that is a script: the kernel names the interpreter before it.
fn is_check_script(container: &Container, exec: &Exec) -> bool {
    let check =
        container.facts.known().map(|facts| facts.health_check.raw()).filter(|check| !check.is_empty());
    check.is_some_and(|check| {
        let is_asked_for = check.split(' ').next() == Some(exec.path.raw());
        !exec.script.is_empty() && is_asked_for && exec.args.raw().ends_with(&format!(" {check}"))
    })
}

fn weight(command: Command, has_terminal: bool) -> f64 {
    match command {
        Command::Shell | Command::ShellFile | Command::Interpreter => SHELL_BITS,
        Command::ShellText if has_terminal => SHELL_BITS,
        Command::ShellText | Command::Text => SCRIPT_BITS,
        Command::Program if has_terminal => SCRIPT_BITS,
        Command::Program => PROGRAM_BITS,
    }
}

/// Of what a launcher runs (`find -exec`, `xargs`, `env`): a shell that is typed into is one whoever starts it, and a text is one.
/// Programs are the launcher's own affair, and so are scripts: each is judged by its file, when that was found.
fn descendant_weight(exec: &Exec) -> Option<f64> {
    match command(exec) {
        Command::Shell | Command::Interpreter => Some(SHELL_BITS),
        Command::ShellText | Command::Text => Some(SCRIPT_BITS),
        Command::ShellFile if exec.script.is_empty() => Some(SCRIPT_BITS),
        Command::ShellFile | Command::Program => None,
    }
}

#[cfg(test)]
mod tests {
    use testkit::scene::Scene;

    use super::*;

    #[test]
    fn a_shell_weighs_by_whether_somebody_types_into_it() {
        let exec = |args: &str| Scene::new(1).next_actor().exec(args);
        let bits = |args: &str, has_terminal| weight(command(&exec(args)), has_terminal);
        assert!(bits("sh", false) >= 12.5);
        assert!(bits("/bin/bash -l", true) >= 12.5);
        assert!(bits("busybox sh", true) >= 12.5);
        assert!(bits("-bash", true) >= 12.5);
        assert!(bits("sh -c true", true) >= 12.5);
        assert!(bits("sh -c true", false) < 8.5);
        assert!(bits("pg_dump -c shop", false) < 4.0);
        for typed in ["python3 -v", "python3 -i /x.py", "xonsh", "node --title x", "osh /x.sh"] {
            assert!(bits(typed, false) >= 12.5, "{typed}");
        }
        assert!(bits("node --max-old-space-size=64 x.js", false) < 4.0);
    }

    #[test]
    fn what_a_launcher_runs_weighs_by_whether_it_is_typed_into() {
        let bits = |args: &str| descendant_weight(&Scene::new(1).next_actor().exec(args));
        assert!(bits("sh").is_some_and(|bits| bits >= 12.5));
        assert!(bits("busybox sh").is_some_and(|bits| bits >= 12.5));
        assert!(bits("python3 -").is_some_and(|bits| bits >= 12.5));
        assert!(bits("sh -c true").is_some_and(|bits| bits < 8.5));
        assert!(bits("sh /tmp/gone").is_some_and(|bits| bits < 8.5), "a file that was not found");
        for typed in ["python3 -v", "node --title x", "yash", "pwsh", "sh -c", "/opt/nu --login"] {
            assert!(bits(typed).is_some_and(|bits| bits >= 12.5), "{typed}");
        }
        assert_eq!(bits("node --inspect /x.js"), None);
        let script = Exec { script: "/x.sh".into(), ..Scene::new(1).next_actor().exec("/bin/sh /x.sh") };
        assert_eq!(descendant_weight(&script), None);
        assert_eq!(bits("pg_dump -c shop"), None);
    }
}
