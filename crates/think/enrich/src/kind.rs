//! What kind of process tree a container is that no engine claims: a ghost, or one of its benign twins.
//!
//! The twins: units of systemd with private namespaces, which systemd itself confirms; sandboxes (browsers, package
//! managers, `sudo`, `unshare`, `ip netns`), which keep the host's files. Not here: waiting (`inventory.rs`).

use std::time::Duration;

use model::identity::{Container, Kind};
use model::ids::Namespaces;
use model::time::Time;
use model::view::View;

use crate::ANSWER_WAIT;
use crate::cgroup_path::{Suggests, read};
use crate::made_by::{MadeBy, made_by};
use crate::views::{RuntimeView, UnitWord, Views};

/// How long systemd may take to tell its units for the first time, and how often to look whether it has.
const UNITS_WAIT: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Whether it lives as a container does: files of its own, or processes and mounts of its own. A browser's sandbox and a
/// service with a private `/tmp` have neither.
pub(crate) fn lives_apart(container: &Container, host: Option<Namespaces>) -> bool {
    let own_root = container.setup.known().filter(|setup| setup.has_own_root);
    match (container.has_own_files, own_root) {
        (Some(true), _) => return true,
        // A sandbox: its root is its own, and what runs there is what is around it.
        (Some(false), Some(_)) => return false,
        (None, Some(setup)) => return !setup.runs_hosts_file,
        (_, None) => {}
    }
    host.is_none_or(|host| container.namespaces.pid != host.pid && container.namespaces.mnt != host.mnt)
}

/// The kind of a container that nobody claims though all had their time to, and why, for people.
pub(crate) fn unclaimed(
    container: &Container,
    views: &Views,
    host: Option<Namespaces>,
    now: Time,
) -> (Kind, String) {
    let apart = lives_apart(container, host);
    if let Suggests::Unit(unit) = read(container.cgroup_path.raw())
        // One in a unit that has no cgroup of its own was looked at more closely before it became a container here.
        && container.key.cgroup.is_real()
        && (!apart || is_confirmed(container, views, unit))
    {
        return (Kind::Service, "a systemd unit; no runtime is asked".to_owned());
    }
    if !apart {
        return (Kind::Sandbox, "it has namespaces of its own and the files of the host".to_owned());
    }
    if let Some(MadeBy::Monitor(name)) = made_by(container) {
        return (Kind::Unwatched, format!("{name} runs it, which keeps no list that could be asked for"));
    }
    let reason = match views.awaited(container, now) {
        Some((view, state)) => return (Kind::Unanswered, unanswered(&view, state)),
        None if views.engines().next().is_none() => "no container runtime runs on this host".to_owned(),
        None => "no container runtime claims it".to_owned(),
    };
    (Kind::Ghost, reason)
}

/// When the views had their time to claim a container that waits since `since`: one whose engine tells its list late, from
/// then on; one in a unit's cgroup, as soon as systemd has told its list.
pub(crate) fn settles(container: &Container, views: &Views, since: Time, wait: Duration, now: Time) -> Time {
    let synced = made_by(container).and_then(|made| views.synced(made)).unwrap_or(since);
    let from = synced.min(since.plus(ANSWER_WAIT)).max(since);
    let is_unasked = matches!(
        read(container.cgroup_path.raw()),
        Suggests::Unit(unit) if views.unit(unit) == UnitWord::NotAsked
    );
    if is_unasked && now < since.plus(UNITS_WAIT) { now.plus(LOOK_AGAIN) } else { from.plus(wait) }
}

fn unanswered(view: &View, state: RuntimeView) -> String {
    match state {
        RuntimeView::Doubtful(_) => {
            "the container runtime could not be asked about every container".to_owned()
        }
        _ if view.is_default() => "the container runtime did not answer".to_owned(),
        _ => format!("the container runtime did not answer: {view}"),
    }
}

/// Whether systemd says that the unit runs, and the container is in the cgroup that systemd made for it, or in one that it
/// leaves to others to divide: that of a user's own manager.
fn is_confirmed(container: &Container, views: &Views, unit: &str) -> bool {
    let path = container.cgroup_path.raw();
    let is_its_own = path.rsplit('/').next() == Some(unit);
    views.unit(unit) == UnitWord::Runs && (is_its_own || unit.starts_with("user@"))
}
