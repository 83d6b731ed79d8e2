//! Flags a process of the host that steps into a container's mounts past its engine: `nsenter`, or a tool that does the same.
//!
//! T1611, T1055. Quiet: what only joins a network namespace, as network plug-ins and `ip netns` do. Not here: entry through
//! the engine (`administration.rs`), processes of the container that leave its cgroup (`cgroup_escape.rs`).

use std::time::Duration;

use model::event::Body;
use model::finding::{Aspect, Finding};

use crate::Case;
use crate::provenance::{ALONE_BITS, claim};

pub(crate) const ID: &str = "namespace_entry";

/// The engine's own way in moves whoever enters into the container's cgroup.
const BITS: f64 = ALONE_BITS;
const ASKED_WITHIN: Duration = Duration::from_secs(10);

/// Judges every program that lives in a container's mounts and in another cgroup.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    let (Body::Exec(exec), Some(container)) = (&case.seen.event.body, &case.seen.identity.within) else {
        return;
    };
    let Some(lineage) = exec.lineage else { return };
    // Of a runtime, before the container is one: it joins its cgroup first, or in the next moment.
    let is_start = container.init == Some(exec.process) || container.facts.is_pending();
    // Whoever steps in and then forks, as `nsenter` does, has the container's mounts already, and the host's processes.
    let parent = lineage.parent_namespaces;
    let came_from_there = parent.mnt == container.namespaces.mnt && parent.pid == container.namespaces.pid;
    if came_from_there || is_start {
        return;
    }
    let mut finding = claim(case, container, ID, BITS, Aspect::Conduct)
        .claiming(format!("a process of the host stepped into it past its engine: {}", exec.args))
        .with("program", &exec.args)
        .with("program_pid", u64::from(exec.process.pid))
        .with("by_uid", u64::from(exec.uid));
    if let Some(client) = case.state.client(&["-t", "--target"], ASKED_WITHIN) {
        finding = finding.with("by_command", &client.args);
    }
    out.push(finding);
}
