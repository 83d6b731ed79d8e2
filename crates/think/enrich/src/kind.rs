//! What kind of process tree a container is that no engine claims: a ghost, or one of its benign twins.
//!
//! The twins: units of systemd with private namespaces, which systemd itself confirms; sandboxes (browsers, package
//! managers, `sudo`, `unshare`, `ip netns`), which keep the host's files. Not here: waiting (`inventory.rs`).

use model::fact::Fact;
use model::identity::{Container, Kind};
use model::ids::Namespaces;

use crate::cgroup_path::{Suggests, read};
use crate::views::{RuntimeView, UnitWord, Views};

/// Whether it lives as a container does: files of its own, or processes and mounts of its own. A browser's sandbox and a
/// service with a private `/tmp` have neither.
pub(crate) fn lives_apart(container: &Container, host: Option<Namespaces>) -> bool {
    if let Fact::Known(setup) = &container.setup
        && setup.has_own_root
    {
        return true;
    }
    host.is_none_or(|host| container.namespaces.pid != host.pid && container.namespaces.mnt != host.mnt)
}

/// The kind of a container that nobody claims though all had their time to, and why, for people.
pub(crate) fn unclaimed(container: &Container, views: &Views, host: Option<Namespaces>) -> (Kind, String) {
    let apart = lives_apart(container, host);
    match read(container.cgroup_path.raw()) {
        // One in a unit that has no cgroup of its own was looked at more closely before it became a container here.
        Suggests::Unit(unit) if container.key.cgroup.is_real() && (!apart || is_believed(views, unit)) => {
            return (Kind::Service, "a systemd unit; no runtime is asked".to_owned());
        }
        Suggests::Unwatched(runtime) => {
            let why = format!("its cgroup is named as {runtime} names them, whose view is not watched");
            return (Kind::Unwatched, why);
        }
        _ => {}
    }
    if !apart {
        return (Kind::Sandbox, "it has namespaces of its own and the files of the host".to_owned());
    }
    match views.unreliable() {
        Some((_, RuntimeView::Doubtful)) => {
            (Kind::Unanswered, "the container runtime could not be asked about every container".to_owned())
        }
        Some((view, _)) if view.is_default() => {
            (Kind::Unanswered, "the container runtime did not answer".to_owned())
        }
        Some((view, _)) => (Kind::Unanswered, format!("the container runtime did not answer: {view}")),
        None if views.engines().next().is_none() => {
            (Kind::Ghost, "no container runtime runs on this host".to_owned())
        }
        None => (Kind::Ghost, "no container runtime claims it".to_owned()),
    }
}

/// Whether systemd says that the unit runs, or nobody could ask.
fn is_believed(views: &Views, unit: &str) -> bool {
    matches!(views.unit(unit), UnitWord::Runs | UnitWord::NotAsked)
}
