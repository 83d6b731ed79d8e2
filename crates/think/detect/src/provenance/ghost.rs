//! Flags a container that no runtime admits to: namespaces and a cgroup of its own, claimed by nobody.
//!
//! Surveyed sensors call such a process *host*. Not here: other views than Docker's, masquerade, and systemd units
//! (which are told by their cgroup path, a claim that is not checked yet).

use model::fact::Fact;
use model::finding::{Family, Finding};
use model::identity::{Kind, News};

use crate::Case;

pub(crate) const ID: &str = "ghost";

/// Rare on a host, but sandboxes and build tools make such process trees too: never enough alone.
const BITS: f64 = 6.0;

/// The same while the runtime that could claim it does not answer.
const UNANSWERED_BITS: f64 = 5.0;

/// Judges a container when its kind is settled.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    for news in &case.seen.identity.news {
        let News::Settled(container) = news else { continue };
        if container.ended.is_some() {
            continue;
        }
        let Fact::Failed { reason } = &container.facts else { continue };
        let bits = match container.kind {
            Kind::Ghost => BITS,
            // With the runtime out of sight it is judged after the same wait, for less, and marked.
            Kind::Unanswered => UNANSWERED_BITS,
            Kind::Managed | Kind::Service | Kind::Sandbox | Kind::Own | Kind::Unwatched | Kind::Unsettled => {
                continue;
            }
        };
        let mut finding = Finding::about(container, ID, Family::Provenance, case.seen.event.time, bits)
            .claiming(format!("{reason}: {} runs in namespaces and a cgroup of its own", container.program))
            .with("program", &container.program)
            .with("cgroup", &container.cgroup_path)
            .with("pid_namespace", u64::from(container.namespaces.pid))
            .with("mount_namespace", u64::from(container.namespaces.mnt))
            .with("network_namespace", u64::from(container.namespaces.net));
        finding.unresolved = container.kind == Kind::Unanswered;
        if let Some(init) = container.init {
            finding = finding.with("pid", u64::from(init.pid));
        }
        out.push(finding);
    }
}
