//! Containers that have no cgroup of their own: in that of another container, of a unit, of the host. They are known by
//! their namespaces, and told apart by what the kernel shows of who cloned them and of whose files they run.
//!
//! Not here: those that are the first in their cgroup (`inventory.rs`).

use std::sync::Arc;

use model::confines::{Confines, RootId};
use model::event::{Body, Event, Exec, Lineage};
use model::fact::Fact;
use model::identity::{Container, Kind, News};
use model::ids::{CgroupId, Namespaces, ProcessKey};
use model::setup::Setup;
use model::time::Time;
use model::untrusted::Untrusted;

use super::{CONTAINERS_MAX, Host, Inventory};
use crate::cgroup_path::{Suggests, read};

impl Inventory {
    /// A process in a cgroup in which a container runs: that one's first, one of its others, or one of a container within.
    pub(super) fn runs_within(&mut self, around: CgroupId, exec: &Exec, event: &Event, news: &mut Vec<News>) {
        if let Some(known) = self.known_within(exec) {
            self.changes(known, exec, event);
            return;
        }
        let Some(container) = self.containers.get(&around) else { return };
        if container.init == Some(exec.process) {
            self.changes(around, exec, event);
            return;
        }
        let is_anothers = self.by_mounts.get(&exec.namespaces.mnt).is_some_and(|of| *of != around);
        match namespace_of_its_own(container, exec, self.host).filter(|_| !is_anothers) {
            Some(namespace) => self.appear_within(namespace, exec, event, news),
            None => self.changes(around, exec, event),
        }
    }

    /// Whether a process in a cgroup of the host or of a unit belongs to a container that was made by hand there: it has
    /// processes and files of its own, and was cloned there. A unit's own first process comes from the manager's cgroup.
    pub(super) fn is_made_beside(&self, exec: &Exec, host: Host) -> bool {
        let was_cloned_there = exec.lineage.is_some_and(|it| it.parent_cgroup == exec.cgroup);
        let is_hosts = exec.cgroup == host.cgroup;
        exec.namespaces.pid != host.namespaces.pid
            && (is_hosts || (was_cloned_there && self.is_units(exec.cgroup)))
            && exec.confines.is_some_and(|it| it.has_own_files(exec.uid, None))
            && !self.by_mounts.get(&exec.namespaces.mnt).is_some_and(|of| self.is_claimed(*of))
    }

    /// A process that was taken for the first of its whole cgroup, and turns out to be one of a container within: as the
    /// former it is over.
    pub(super) fn outgrows(&mut self, exec: &Exec, event: &Event, news: &mut Vec<News>) {
        let around = self.containers.get(&exec.cgroup);
        if around.is_some_and(|it| it.init == Some(exec.process) && it.facts.known().is_none()) {
            self.end(exec.cgroup, event.time, news);
        }
    }

    /// A container without a cgroup of its own, by a namespace that only it has.
    pub(super) fn appear_within(&mut self, namespace: u32, exec: &Exec, event: &Event, news: &mut Vec<News>) {
        let cgroup = CgroupId::of_namespace(namespace);
        if self.containers.get(&cgroup).is_some_and(|known| known.ended.is_none()) {
            self.changes(cgroup, exec, event);
            return;
        }
        if !self.has_room_at(cgroup, exec.process, event.time) {
            return;
        }
        let mut container = self.new_container(exec, event);
        container.key.cgroup = cgroup;
        let around = self.root_around(exec.cgroup, true);
        container.has_own_files = exec.confines.map(|confines| confines.has_own_files(exec.uid, around));
        container.cgroup_path = self.cgroups.path(exec.cgroup).cloned().unwrap_or_default();
        self.keep_within(namespace, container, event, news);
    }

    /// The same, of one that was found by a look at how it is set up.
    pub(super) fn found_within(&mut self, setup: &Setup, event: &Event, news: &mut Vec<News>) {
        // With a container's mounts it is one of its processes that left, or one of the host that stepped in.
        let is_anothers = self.by_mounts.contains_key(&setup.namespaces.mnt);
        if is_anothers || self.homeless.contains_key(&setup.namespaces.pid) {
            return;
        }
        let cgroup = CgroupId::of_namespace(setup.namespaces.pid);
        if !self.has_room_at(cgroup, setup.process, event.time) {
            return;
        }
        let mut container = self.begun(cgroup, setup.process, setup.namespaces, event);
        container.cgroup_path.clone_from(&setup.cgroup_path);
        container.program = setup.program.clone();
        container.setup = Fact::Known(Arc::new(setup.clone()));
        self.keep_within(setup.namespaces.pid, container, event, news);
    }

    /// One that executed nothing, in a cgroup of its own, and made itself a root.
    pub(super) fn found_alone(&mut self, setup: &Setup, event: &Event, news: &mut Vec<News>) {
        let cgroup = setup.cgroup;
        let is_known = self.containers.contains_key(&cgroup) || self.cgroups.around(cgroup).is_some();
        let is_hosts = self.host.is_none_or(|host| host.cgroup == cgroup);
        let is_units = matches!(read(setup.cgroup_path.raw()), Suggests::Unit(_));
        let is_anothers = self.by_mounts.contains_key(&setup.namespaces.mnt);
        if is_known
            || is_hosts
            || is_units
            || is_anothers
            || !self.has_room_at(cgroup, setup.process, event.time)
        {
            return;
        }
        let mut container = self.begun(cgroup, setup.process, setup.namespaces, event);
        container.cgroup_path.clone_from(&setup.cgroup_path);
        container.program = setup.program.clone();
        self.appear(container, event, news);
        self.join_by_path(cgroup, news);
        self.join_by_pid(cgroup, news);
    }

    fn keep_within(&mut self, namespace: u32, container: Container, event: &Event, news: &mut Vec<News>) {
        let cgroup = container.key.cgroup;
        if let Some(init) = container.init {
            self.end_homeless_of(init, event.time, news);
        }
        self.homeless.insert(namespace, cgroup);
        if let Some(init) = container.init {
            self.homeless_inits.insert(init, cgroup);
        }
        self.appear(container, event, news);
        self.join_by_pid(cgroup, news);
    }

    /// The container without a cgroup of its own that has these processes or these mounts.
    pub(super) fn known_within(&self, exec: &Exec) -> Option<CgroupId> {
        let Namespaces { pid, mnt, .. } = exec.namespaces;
        self.homeless.get(&pid).or_else(|| self.homeless.get(&mnt)).copied()
    }

    /// A process of a container: what the kernel shows of it may say more than what was known.
    pub(super) fn changes(&mut self, cgroup: CgroupId, exec: &Exec, event: &Event) {
        let host = self.host_namespaces().unwrap_or_default();
        let around = self.root_around(exec.cgroup, !cgroup.is_real());
        let Some(container) = self.containers.get_mut(&cgroup).filter(|it| it.ended.is_none()) else {
            return;
        };
        let told = if is_told_alone(event, exec) { told_alone(container, exec) } else { exec.confines };
        let Some(next) = changed(container, exec, told, (around, host)) else { return };
        let has_more =
            next.is_deeper || (next.has_own_files == Some(true) && container.has_own_files != Some(true));
        let is_unclaimed = container.facts.known().is_none();
        let (mounts, mounts_before) = (next.namespaces.mnt, container.namespaces.mnt);
        let changed = Arc::make_mut(container);
        if next.is_deeper {
            changed.init = Some(exec.process);
            changed.setup = Fact::Pending { since: event.time.max(event.seen) };
        }
        if has_more && is_unclaimed {
            changed.program = program(exec);
        }
        (changed.namespaces, changed.root, changed.has_own_files) =
            (next.namespaces, next.root, next.has_own_files);
        if mounts_before != mounts {
            // The kernel gives the number to others once the namespace is gone.
            if self.by_mounts.get(&mounts_before) == Some(&cgroup) {
                self.by_mounts.remove(&mounts_before);
            }
            self.note_mounts(cgroup, mounts);
        }
        if has_more && is_unclaimed {
            self.judge_again(cgroup, event);
        }
    }

    /// The root of the container that a cgroup lies in; with `itself`, the one whose cgroup it is.
    pub(super) fn root_around(&self, cgroup: CgroupId, itself: bool) -> Option<RootId> {
        let own = self.containers.get(&cgroup).filter(|_| itself);
        let above = || {
            let path = self.cgroups.path(cgroup)?;
            self.containers.get(&self.cgroups.above(path, |at| self.containers.contains_key(&at))?)
        };
        own.or_else(above)?.root
    }

    /// What was settled without a claim is settled anew: there is more to it.
    pub(super) fn judge_again(&mut self, cgroup: CgroupId, event: &Event) {
        let Some(container) = self.containers.get_mut(&cgroup) else { return };
        if container.facts.is_pending() {
            return;
        }
        let changed = Arc::make_mut(container);
        changed.kind = Kind::Unsettled;
        changed.facts = Fact::Pending { since: event.time.max(event.seen) };
        self.schedule(cgroup);
    }

    fn is_claimed(&self, cgroup: CgroupId) -> bool {
        self.containers.get(&cgroup).is_some_and(|container| container.facts.known().is_some())
    }

    /// Whether systemd's units, or what is called so, run there.
    pub(super) fn is_units(&self, cgroup: CgroupId) -> bool {
        self.cgroups.path(cgroup).is_some_and(|path| matches!(read(path.raw()), Suggests::Unit(_)))
    }

    /// Makes room for a container that a process begins; whether there is any. One that ended there and waits to be judged
    /// goes on waiting; its own first process begins no other.
    pub(super) fn has_room_at(&mut self, cgroup: CgroupId, init: ProcessKey, at: Time) -> bool {
        if let Some(known) = self.containers.get(&cgroup) {
            let (ended, is_over) = (known.ended.unwrap_or(at), known.init == Some(init));
            if !is_over {
                self.ended.remove(&(ended, cgroup));
                self.leave(cgroup, at);
            }
            return !is_over;
        }
        let has_room = self.containers.len() < CONTAINERS_MAX;
        self.dropped += u64::from(!has_room);
        has_room
    }
}

/// The namespace by which a process makes a container of its own within another one, if it does: it runs files that are
/// not that one's, with processes of its own, or with mounts of its own and from outside.
fn namespace_of_its_own(around: &Container, exec: &Exec, host: Option<Host>) -> Option<u32> {
    let confines = exec.confines?;
    let host = host?;
    let (its, theirs) = (exec.namespaces, around.namespaces);
    if matches!(read(around.cgroup_path.raw()), Suggests::Unit(_)) && around.facts.known().is_none() {
        let was_cloned_there = exec.lineage.is_some_and(|it| it.parent_cgroup == exec.cgroup);
        let is_own = its.pid != host.namespaces.pid && its.pid != theirs.pid && was_cloned_there;
        return (is_own && confines.has_own_files(exec.uid, None)).then_some(its.pid);
    }
    let is_unclaimed = around.facts.known().is_none();
    let came_from_outside = exec.lineage.is_some_and(|it| is_outside(around, it));
    // Until its root is known, only what was cloned outside can be told from its own processes.
    if !confines.has_own_files(exec.uid, around.root) || (around.root.is_none() && !came_from_outside) {
        return None;
    }
    match (its.pid != theirs.pid, its.mnt != theirs.mnt) {
        // The same container, further in: it is nobody else's.
        (true, false) if is_unclaimed => None,
        (true, _) if its.pid != host.namespaces.pid => Some(its.pid),
        (_, true) if its.mnt != host.namespaces.mnt && came_from_outside => Some(its.mnt),
        _ => None,
    }
}

fn is_outside(container: &Container, lineage: Lineage) -> bool {
    let parent = lineage.parent_namespaces;
    parent.pid != container.namespaces.pid && parent.mnt != container.namespaces.mnt
}

fn shares(container: &Container, exec: &Exec) -> bool {
    let (its, theirs) = (exec.namespaces, container.namespaces);
    its.mnt == theirs.mnt || its.pid == theirs.pid
}

/// Whether a process is the better first one: in the same mounts, and first in a pid namespace which the known one is
/// outside of. A scan meets `unshare` before what it made.
fn is_deeper(container: &Container, exec: &Exec, host: Namespaces) -> bool {
    let (its, theirs) = (exec.namespaces, container.namespaces);
    theirs.pid == host.pid && its.pid != host.pid && its.mnt == theirs.mnt
}

/// What a process changes of what is known about its container.
struct Change {
    is_deeper: bool,
    namespaces: Namespaces,
    root: Option<RootId>,
    has_own_files: Option<bool>,
}

/// What changes; of nearly all processes nothing does. Once files of its own are seen they stay seen.
fn changed(
    container: &Container,
    exec: &Exec,
    told: Option<Confines>,
    (around, host): (Option<RootId>, Namespaces),
) -> Option<Change> {
    let is_first = container.init == Some(exec.process);
    let is_deeper = container.facts.known().is_none() && is_deeper(container, exec, host);
    if !(is_first || is_deeper || shares(container, exec)) {
        return None;
    }
    let leads = is_first || is_deeper;
    let lives_there =
        exec.namespaces.mnt == container.namespaces.mnt && exec.namespaces.pid == container.namespaces.pid;
    let root = told.filter(|it| leads || (container.root.is_none() && lives_there && it.has_own_root));
    let own_files = told.map(|confines| confines.has_own_files(exec.uid, around));
    let next = Change {
        is_deeper,
        namespaces: if leads { exec.namespaces } else { container.namespaces },
        root: root.map(|confines| confines.root).or(container.root),
        has_own_files: if container.has_own_files == Some(true) {
            Some(true)
        } else {
            own_files.or(container.has_own_files)
        },
    };
    let is_same = next.namespaces == container.namespaces
        && next.root == container.root
        && next.has_own_files == container.has_own_files;
    (is_deeper || !is_same).then_some(next)
}

/// Whether the kernel told of a process that executes nothing.
pub(super) fn is_told_alone(event: &Event, exec: &Exec) -> bool {
    matches!(event.body, Body::Process(_)) && exec.lineage.is_some()
}

/// What counts of that: a root that it has made its own since it last executed. Its file was told then, and some kernels
/// let it go before they tell of the end.
fn told_alone(container: &Container, exec: &Exec) -> Option<Confines> {
    exec.confines.filter(|confines| confines.has_own_root && container.root != Some(confines.root))
}

/// What a process is called by.
pub(super) fn program(exec: &Exec) -> Untrusted {
    let words = [&exec.args, &exec.path, &exec.name];
    words.into_iter().find(|text| !text.is_empty()).cloned().unwrap_or_default()
}
