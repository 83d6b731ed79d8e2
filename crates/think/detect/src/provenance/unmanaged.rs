//! Flags a container that an engine of this host claims which is not the one that the host's containers are run by: another
//! namespace of its containerd, Podman beside Docker. Or one whose pod the API server did not order: a static pod.
//!
//! T1610, T1053.007. Quiet: workloads that people approved, and what ran when nothing was approved yet. Not here: an engine
//! that came later (`second_engine.rs`), labels of a pod that no runtime of a kubelet knows (`masquerade.rs`).

use model::finding::{Aspect, Finding};
use model::identity::Container;
use model::novelty::Provenance;
use model::runtime::OrderedBy;
use state::EngineStanding;

use crate::Case;
use crate::provenance::{ALONE_BITS, claim, tallied};

pub(crate) const ID: &str = "unmanaged";

/// Outside the engine that owns the host, whose people and tools do not see it; on a host that has none, nothing is.
const BITS: f64 = ALONE_BITS;
const NO_OWNER_BITS: f64 = 3.0;
/// Control planes are kept so, and so are whoever may write on this host and wants to stay; the image says who.
const STATIC_BITS: f64 = 9.0;
/// Label that the containers of a pod have.
const CONTAINER_NAME: &str = "io.kubernetes.container.name";

/// Judges containers when their views were compared.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    for container in tallied(case) {
        if case.state.provenance(container) == Provenance::Approved || case.state.is_from_before(container) {
            continue;
        }
        let outside = outside(case, container).or_else(|| past_the_orchestrator(container));
        let Some((bits, sentence)) = outside else { continue };
        out.push(claim(case, container, ID, bits, Aspect::Standing).claiming(sentence));
    }
}

fn outside(case: &Case, container: &Container) -> Option<(f64, String)> {
    let facts = container.facts.known()?;
    if case.state.standing(container) != Some(EngineStanding::Installed) {
        return None;
    }
    let bits = if case.state.has_home_engine() { BITS } else { NO_OWNER_BITS };
    let why = "and nobody whose containers this host runs: neither they nor their tools see it";
    Some((bits, format!("{} claims it, {why}", facts.view)))
}

fn past_the_orchestrator(container: &Container) -> Option<(f64, String)> {
    let told = container.orchestrated()?;
    // The sandbox of a pod, which has no such name, runs nothing of the pod's.
    container.claims().find_map(|facts| facts.label(CONTAINER_NAME))?;
    let by = match told.ordered_by {
        OrderedBy::HostFile => "a file on this host",
        OrderedBy::Address => "an address that its kubelet asks",
        OrderedBy::Orchestrator | OrderedBy::Untold => return None,
    };
    let sentence = format!("{by} ordered it as a static pod, not the API server of {}", told.name);
    Some((STATIC_BITS, sentence))
}
