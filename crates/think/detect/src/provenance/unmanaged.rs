//! Flags a container that an engine of this host claims which is not the one that the host's containers are run by: another
//! namespace of its containerd, Podman beside Docker.
//!
//! T1610. Quiet: workloads that people approved, and views that ran containers when nothing was approved yet. Not here: an
//! engine that came later (`second_engine.rs`).

use model::finding::{Aspect, Finding};
use model::novelty::Provenance;
use state::EngineStanding;

use crate::Case;
use crate::provenance::{ALONE_BITS, claim, tallied};

pub(crate) const ID: &str = "unmanaged";

/// Outside the engine that owns the host, whose people and tools do not see it; on a host that has none, nothing is.
const BITS: f64 = ALONE_BITS;
const NO_OWNER_BITS: f64 = 3.0;

/// Judges containers when their views were compared.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    for container in tallied(case) {
        let is_outside = case.state.standing(container) == Some(EngineStanding::Installed);
        if !is_outside
            || case.state.provenance(container) == Provenance::Approved
            || case.state.is_from_before(container)
        {
            continue;
        }
        let Some(facts) = container.facts.known() else { continue };
        let bits = if case.state.has_home_engine() { BITS } else { NO_OWNER_BITS };
        out.push(claim(case, container, ID, bits, Aspect::Standing).claiming(format!(
            "{} claims it, and nobody whose containers this host runs: neither they nor their tools see it",
            facts.view
        )));
    }
}
