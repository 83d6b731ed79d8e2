//! Flags a process that leaves its container's cgroup and stays in its namespaces: nothing counts or limits it any more.
//!
//! T1611, T1564. Needs the cgroup file system, writable. Quiet: groups that a container makes within its own. Not here:
//! processes of the host that step in (`namespace_entry.rs`).

use model::event::{Attach, Body};
use model::finding::{Aspect, Finding};
use model::identity::Container;
use state::Early;

use crate::Case;
use crate::provenance::{ALONE_BITS, claim, early};

pub(crate) const ID: &str = "cgroup_escape";

/// It moved itself.
const SELF_BITS: f64 = ALONE_BITS;
/// Something of the host moved it: tools that sort processes into groups do so.
const MOVED_BITS: f64 = 5.0;

/// Judges every process that is moved, and those that were before it was known whose the container is.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    if let (Body::CgroupAttached(attach), Some(container)) =
        (&case.seen.event.body, &case.seen.identity.within)
        && !container.facts.is_pending()
    {
        out.push(left(case, container, attach));
    }
    out.extend(early(case).filter_map(|(container, early)| match early {
        Early::Left(attach) => Some(left(case, container, attach)),
        Early::Ran(_) | Early::Entered { .. } => None,
    }));
}

fn left(case: &Case, container: &Container, attach: &Attach) -> Finding {
    let by_itself = attach.by_cgroup == container.key.cgroup || attach.by_pid == attach.process.pid;
    let (bits, who) =
        if by_itself { (SELF_BITS, "it moved itself") } else { (MOVED_BITS, "the host moved it") };
    claim(case, container, ID, bits, Aspect::Conduct)
        .claiming(format!(
            "its process {} left its cgroup for {}: {who}, and nothing there counts or limits it as part of the container",
            attach.process.pid, attach.path
        ))
        .with("moved_pid", u64::from(attach.process.pid))
        .with("to_cgroup", &attach.path)
        .with("by_pid", u64::from(attach.by_pid))
}
