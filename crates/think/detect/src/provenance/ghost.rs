//! Flags a container that no engine claims: made by `runc` directly, or by hand.
//!
//! T1610, T1564. Benign twins are no ghosts to begin with (`enrich`): units that systemd confirms, sandboxes that keep the
//! host's files. Not here: one that an engine claims and another denies (`masquerade.rs`).

use model::fact::Fact;
use model::finding::{Aspect, Finding};
use model::identity::{Container, Kind};

use crate::Case;
use crate::provenance::{ALONE_BITS, claim, settled};

pub(crate) const ID: &str = "ghost";

/// Files of its own, or files that could not be looked at; the host's files, as what some tools of the host start shows
/// as well; and either while an engine that could claim it does not answer.
const OWN_FILES_BITS: f64 = ALONE_BITS;
const HOSTS_FILES_BITS: f64 = 6.0;
const UNANSWERED_BITS: f64 = 5.0;
/// On a host that was never looked at before, by its age: nobody has had the chance to say what it is.
const BEFORE_BITS: f64 = 6.0;

/// Judges a container when its kind is settled.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    for container in settled(case) {
        let Fact::Failed { reason } = &container.facts else { continue };
        let Some(bits) = bits(case, container) else { continue };
        let root = container.setup.known().map(|setup| setup.root.clone()).unwrap_or_default();
        if case.state.is_approved_unclaimed(&container.workload(), &root) {
            continue;
        }
        let place = match container.key.cgroup.is_real() {
            true => "namespaces and a cgroup of its own",
            false => "namespaces of its own, in a cgroup of others",
        };
        let runs = if container.ended.is_some() { "ran" } else { "runs" };
        let mut finding = claim(case, container, ID, bits, Aspect::Standing)
            .claiming(format!("{reason}: {} {runs} in {place}", container.program))
            .with("program", &container.program)
            .with("pid_namespace", u64::from(container.namespaces.pid))
            .with("mount_namespace", u64::from(container.namespaces.mnt))
            .with("network_namespace", u64::from(container.namespaces.net));
        if let Some(root) = container.root.filter(|_| container.setup.known().is_none()) {
            finding = finding.with("root_device", u64::from(root.device)).with("root_inode", root.inode);
        }
        finding.unresolved = container.kind == Kind::Unanswered;
        out.push(finding);
    }
}

fn bits(case: &Case, container: &Container) -> Option<f64> {
    // What the kernel told when it executed stands, also where nothing could be looked at any more.
    let has_own_files = container.has_own_files == Some(true);
    let has_hosts_files = !has_own_files && container.setup.known().is_none_or(|setup| !setup.has_own_root);
    match container.kind {
        // Over, and seen to do nothing that a tool of the host does not do as well.
        Kind::Ghost | Kind::Unanswered if has_hosts_files && container.ended.is_some() => None,
        // With an engine out of sight it is judged after the same wait, for less, and marked.
        Kind::Unanswered => Some(UNANSWERED_BITS),
        Kind::Ghost if case.state.is_from_before(container) => Some(BEFORE_BITS),
        Kind::Ghost if has_hosts_files => Some(HOSTS_FILES_BITS),
        Kind::Ghost => Some(OWN_FILES_BITS),
        Kind::Managed | Kind::Service | Kind::Unwatched | Kind::Unsettled | Kind::Sandbox | Kind::Own => None,
    }
}
