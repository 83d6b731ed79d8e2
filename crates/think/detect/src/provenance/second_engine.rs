//! Flags a container engine that came to a place of its own after we looked, every container that it alone claims, a process
//! that is called or placed like an engine and is not one, and a known engine that another executable serves.
//!
//! T1610, T1036, T1554. Quiet: engines that were there when nothing was approved yet, those that people approved, and parts of
//! others (Docker's containerd). Not here: another's engine that is used beside the host's own (`unmanaged.rs`).

use model::authority::Authority;
use model::finding::{Aspect, Family, Finding};
use model::view::EngineSeen;
use state::{EngineStanding, ReplacedBy, Replacement};

use crate::Case;
use crate::provenance::{ALONE_BITS, claim, tallied};

pub(crate) const ID: &str = "second_engine";

/// A container that nobody but the new engine knows.
const CONTAINER_BITS: f64 = ALONE_BITS;
/// The engine itself, before it runs anything: where it has no business; where its package puts it.
const ENGINE_BITS: f64 = 9.0;
const STANDARD_BITS: f64 = 3.0;
/// What serves an engine that was known: a process that cannot have made the host's containers; another program of the
/// host's; another file at the same path, as every upgrade leaves it.
const IMITATION_BITS: f64 = ALONE_BITS;
const PROGRAM_BITS: f64 = 9.0;
const VERSION_BITS: f64 = 3.0;

/// Judges an engine when it is told of for the first time, and containers when their views were compared.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    if let Some(engine) = case.state.fresh_engine()
        && case.state.engine_standing(&engine.view) != EngineStanding::Home
    {
        out.push(appeared(case, engine));
    }
    if let Some(replacement) = case.state.replaced_engine() {
        out.push(replaced(case, replacement));
    }
    for container in tallied(case) {
        if case.state.standing(container) != Some(EngineStanding::New) {
            continue;
        }
        let Some(facts) = container.facts.known() else { continue };
        let engine = case.state.engine(&facts.view);
        let mut finding = claim(case, container, ID, CONTAINER_BITS, Aspect::Standing)
            .claiming(format!("only {} claims it, an engine that this host did not have", facts.view));
        if let Some(engine) = engine {
            finding = about(finding, engine);
        }
        out.push(finding);
    }
}

fn appeared(case: &Case, engine: &EngineSeen) -> Finding {
    let (bits, claim) = match &engine.authority {
        Authority::Refused { why } => {
            let program = &engine.program;
            let claim = format!(
                "{program} looks like an engine of kind {} and is not one: {why}",
                engine.view.engine
            );
            (ENGINE_BITS, claim)
        }
        _ => {
            let bits = if engine.is_standard { STANDARD_BITS } else { ENGINE_BITS };
            (bits, format!("a container engine runs that this host did not have: {}", engine.view))
        }
    };
    let node = &case.seen.event.node;
    let finding = Finding::about_node(node, ID, Family::Provenance, case.at(), bits)
        .of_aspect(Aspect::Standing)
        .claiming(claim)
        .with("engine", engine.view.to_string().as_str());
    about(finding, engine)
}

fn replaced(case: &Case, replacement: &Replacement) -> Finding {
    let (engine, before) = (&replacement.now, &replacement.before);
    let (bits, how) = match replacement.by {
        ReplacedBy::Imitation => (IMITATION_BITS, "a process that cannot be this host's engine"),
        ReplacedBy::Program => (PROGRAM_BITS, "another program"),
        ReplacedBy::Version => (VERSION_BITS, "another version of its file"),
    };
    let finding = Finding::about_node(&case.seen.event.node, ID, Family::Provenance, case.at(), bits)
        .of_aspect(Aspect::Standing)
        .claiming(format!("{how} serves the container engine {}", engine.view))
        .with("engine", engine.view.to_string().as_str())
        .with("engine_program_before", &before.path);
    about(finding, engine)
}

fn about(finding: Finding, engine: &EngineSeen) -> Finding {
    let finding = finding.with("engine_program", &engine.program).with("engine_cgroup", &engine.cgroup);
    match engine.process {
        Some(process) => finding.with("engine_pid", u64::from(process.pid)),
        None => finding,
    }
}
