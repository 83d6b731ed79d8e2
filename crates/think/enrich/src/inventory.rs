//! The containers of this host, as all views together know them.
//!
//! The kernel's view makes a container; an engine's claim only names it. Everything is bounded: what does not
//! fit is counted. Not here: which process is contained (`lib.rs`), approval (`state`).

mod joins;

mod unanswered;

mod within;

mod ending;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::FixedState;
use model::confines::RootId;
use model::event::{Event, Exec, Exit};
use model::fact::Fact;
use model::identity::{Container, Kind, News};
use model::ids::{CgroupId, ContainerKey, Namespaces, ProcessKey};
use model::setup::Setup;
use model::time::Time;
use model::untrusted::Untrusted;
use model::view::View;
use serde::{Deserialize, Serialize};

use crate::authorities::Authorities;
use crate::cgroup_path::{Suggests, read};
use crate::cgroups::{Cgroups, Made};
use crate::claims::Claims;
use crate::kind;
use crate::tally::tally;
use crate::views::{UnitWord, Views};
use crate::{CLAIM_WAIT, ENDED_KEPT, UNMADE_WAIT};

/// Most containers known at once.
const CONTAINERS_MAX: usize = 10_000;
/// Most engines that one container is claimed by beside the first.
const OTHERS_MAX: usize = 4;

/// How far a runtime's time of a start and the kernel's may lie apart.
const START_DOUBT: Duration = Duration::from_millis(500);

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Inventory {
    host: Option<Host>,
    /// The cgroup that Tidewatch itself runs in.
    own: Option<CgroupId>,
    containers: BTreeMap<CgroupId, Arc<Container>>,
    cgroups: Cgroups,
    claims: Claims,
    #[serde(default)]
    authorities: Authorities,
    /// Containers that run, by their mount namespace, when that is not the host's.
    by_mounts: HashMap<u32, CgroupId, FixedState>,
    /// Containers without a cgroup of their own: by the pid or mount namespace that only they have, and by first process.
    homeless: HashMap<u32, CgroupId, FixedState>,
    #[serde(with = "model::pairs")]
    homeless_inits: BTreeMap<ProcessKey, CgroupId>,
    /// When which container is to be looked at again.
    due: BTreeSet<(Time, CgroupId)>,
    /// Ended containers in the order they ended.
    ended: BTreeSet<(Time, CgroupId)>,
    /// Ended containers whose cgroup another one has, and when they are judged.
    #[serde(default)]
    leaving: VecDeque<(Time, Arc<Container>)>,
    dropped: u64,
}

/// What of the host a container differs from: its init process.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Host {
    namespaces: Namespaces,
    cgroup: CgroupId,
    #[serde(default)]
    root: Option<RootId>,
}

impl Inventory {
    pub(crate) fn containers(&self) -> impl Iterator<Item = &Arc<Container>> {
        self.containers.values()
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    pub(crate) fn container_of(&self, cgroup: CgroupId) -> Option<&Arc<Container>> {
        let own = self.containers.get(&cgroup);
        own.or_else(|| self.containers.get(&self.cgroups.around(cgroup)?))
    }

    /// The container of a process: by its namespaces when that container has no cgroup of its own, else by its cgroup.
    pub(crate) fn container_of_process(&self, exec: &Exec) -> Option<&Arc<Container>> {
        let within = self.known_within(exec).and_then(|cgroup| self.containers.get(&cgroup));
        within.or_else(|| self.container_of(exec.cgroup))
    }

    /// The running container that has this mount namespace.
    pub(crate) fn within(&self, mnt_ns: u32) -> Option<&Arc<Container>> {
        self.containers.get(self.by_mounts.get(&mnt_ns)?)
    }

    /// The container that an engine means by an id.
    pub(crate) fn claimed(&self, view: &View, id: &Untrusted) -> Option<Arc<Container>> {
        let joined = self.claims.joined(view, id)?;
        self.containers.get(&joined).cloned()
    }

    /// Whether a cgroup is the container's own or lies in it.
    pub(crate) fn is_inside(&self, container: &Container, cgroup: CgroupId) -> bool {
        cgroup == container.key.cgroup || self.cgroups.around(cgroup) == Some(container.key.cgroup)
    }

    pub(crate) fn host_is(&mut self, init: &Exec) {
        let root = init.confines.map(|confines| confines.root);
        self.host = Some(Host { namespaces: init.namespaces, cgroup: init.cgroup, root });
    }

    pub(crate) fn own_is(&mut self, cgroup: CgroupId) {
        self.own = Some(cgroup);
    }

    pub(crate) fn cgroup_made(&mut self, cgroup: CgroupId, path: &Untrusted, news: &mut Vec<News>) {
        match self.cgroups.made(cgroup, path) {
            Made::Known => return,
            Made::NoRoom => {
                self.dropped += 1;
                return;
            }
            Made::Named => {}
        }
        if let Some(above) = self.cgroups.above(path, |at| self.containers.contains_key(&at)) {
            self.cgroups.nest(cgroup, above);
        }
        // Its first process can be seen before its path, when the two come from different sources.
        if let Some(container) = self.containers.get_mut(&cgroup)
            && container.cgroup_path.is_empty()
        {
            Arc::make_mut(container).cgroup_path = path.clone();
            self.join_by_path(cgroup, news);
        }
    }

    pub(crate) fn cgroup_removed(&mut self, cgroup: CgroupId, at: Time, news: &mut Vec<News>) {
        self.end_within(cgroup, at, news);
        self.cgroups.removed(cgroup);
        self.end(cgroup, at, news);
    }

    /// A process runs. It is in a container when its cgroup and at least one namespace differ from init's, or its files
    /// do, whatever made it.
    pub(crate) fn runs(&mut self, exec: &Exec, event: &Event, news: &mut Vec<News>) {
        let Some(host) = self.host else { return };
        self.end_before(exec.process, event.time.max(event.seen), news);
        if let Some(known) = self.known_within(exec) {
            self.changes(known, exec, event);
            return;
        }
        // Of what was cloned and executes nothing yet the namespaces alone say little: a runtime's helper has them, too. Whose
        // files it runs is not known either, since its own was executed outside.
        let executes = !within::is_told_alone(event, exec);
        if executes && self.is_made_beside(exec, host) {
            self.outgrows(exec, event, news);
            self.appear_within(exec.namespaces.pid, exec, event, news);
            return;
        }
        let is_own = self.containers.get(&exec.cgroup).is_some_and(|it| it.ended.is_none());
        let around = if is_own { Some(exec.cgroup) } else { self.nested_in(exec) };
        if let Some(around) = around {
            self.runs_within(around, exec, event, news);
            return;
        }
        let has_own_files = exec.confines.is_some_and(|it| it.has_own_files(exec.uid, None));
        let differs = (executes && exec.namespaces != host.namespaces)
            || (has_own_files && !self.is_units(exec.cgroup));
        if exec.cgroup == host.cgroup || !differs || !self.has_room_at(exec.cgroup, exec.process, event.time)
        {
            return;
        }
        self.appear(self.new_container(exec, event), event, news);
        self.join_by_path(exec.cgroup, news);
        self.join_by_pid(exec.cgroup, news);
    }

    /// How a process is set up. It can be the first of a container that has no cgroup of its own.
    pub(crate) fn set_up(&mut self, setup: &Setup, event: &Event, news: &mut Vec<News>) {
        let within = self.homeless_inits.get(&setup.process).copied();
        let has_own_files = setup.has_own_root && !setup.runs_hosts_file;
        let lives_apart = has_own_files && self.differs(setup, |namespaces| namespaces.pid);
        if within.is_none() && lives_apart && self.shares_its_cgroup(setup) {
            self.found_within(setup, event, news);
            return;
        }
        let cgroup = within.unwrap_or(setup.cgroup);
        if has_own_files {
            self.found_alone(setup, event, news);
        }
        let Some(container) = self.containers.get_mut(&cgroup) else { return };
        let is_its = container.init == Some(setup.process) || container.setup.known().is_none();
        if container.ended.is_some()
            || !is_its
            || container.setup.known().is_some_and(|known| **known == *setup)
        {
            return;
        }
        // It executed with the host's root and changed it: the file that it runs then says nothing about what it does there.
        let hosts_root = self.host.and_then(|host| host.root);
        let executed_outside = hosts_root.is_some() && container.root == hosts_root;
        let is_unclaimed = container.facts.known().is_none();
        let has_left =
            lives_apart && executed_outside && is_unclaimed && container.has_own_files != Some(true);
        let changed = Arc::make_mut(container);
        changed.setup = Fact::Known(Arc::new(setup.clone()));
        if has_left {
            changed.has_own_files = Some(true);
        }
        if changed.cgroup_path.is_empty() {
            changed.cgroup_path.clone_from(&setup.cgroup_path);
        }
        if changed.facts.is_pending() {
            self.schedule(cgroup);
        } else if has_left {
            self.judge_again(cgroup, event);
        } else {
            news.push(News::Settled(Arc::clone(container)));
        }
        self.claim_again(cgroup, news);
    }

    pub(crate) fn process_ended(&mut self, exit: &Exit, at: Time, news: &mut Vec<News>) {
        let is_init =
            self.containers.get(&exit.cgroup).is_some_and(|container| container.init == Some(exit.process));
        if is_init {
            self.end(exit.cgroup, at, news);
        } else {
            self.end_homeless_of(exit.process, at, news);
        }
    }

    /// Looks at what has waited long enough, and forgets what ended long ago.
    pub(crate) fn settle(&mut self, now: Time, views: &Views, news: &mut Vec<News>) {
        self.judge_leaving(now, views, news);
        while let Some(&(at, cgroup)) = self.due.first()
            && at <= now
        {
            self.due.pop_first();
            self.review(cgroup, now, views, news);
        }
        while let Some(&(at, cgroup)) = self.ended.first()
            && now.since(at) >= ENDED_KEPT
        {
            self.ended.pop_first();
            self.forget(cgroup);
        }
    }

    fn host_namespaces(&self) -> Option<Namespaces> {
        self.host.map(|host| host.namespaces)
    }

    fn differs(&self, setup: &Setup, pick: fn(Namespaces) -> u32) -> bool {
        self.host_namespaces().is_some_and(|host| pick(setup.namespaces) != pick(host))
    }

    /// Whether processes of the host live in the same cgroup: the host's own, a session's, a service's.
    fn shares_its_cgroup(&self, setup: &Setup) -> bool {
        let is_hosts = self.host.is_some_and(|host| host.cgroup == setup.cgroup);
        let is_units = matches!(read(setup.cgroup_path.raw()), Suggests::Unit(_))
            && self.containers.get(&setup.cgroup).is_none_or(|known| {
                known.init != Some(setup.process) && known.namespaces.pid != setup.namespaces.pid
            });
        is_hosts || is_units
    }

    fn appear(&mut self, container: Container, event: &Event, news: &mut Vec<News>) {
        let (cgroup, mounts) = (container.key.cgroup, container.namespaces.mnt);
        let container = Arc::new(container);
        self.containers.insert(cgroup, Arc::clone(&container));
        self.note_mounts(cgroup, mounts);
        self.schedule_in(cgroup, event.time.max(event.seen).plus(CLAIM_WAIT));
        self.schedule(cgroup);
        news.push(News::Appeared(container));
    }

    fn note_mounts(&mut self, cgroup: CgroupId, mnt_ns: u32) {
        if self.host_namespaces().is_some_and(|host| host.mnt != mnt_ns) {
            self.by_mounts.insert(mnt_ns, cgroup);
        }
    }

    fn new_container(&self, exec: &Exec, event: &Event) -> Container {
        let begun = self.begun(exec.cgroup, exec.process, exec.namespaces, event);
        let around = self.root_around(exec.cgroup, false);
        let has_own_files = exec.confines.map(|confines| confines.has_own_files(exec.uid, around));
        let root = exec.confines.map(|confines| confines.root);
        Container { program: within::program(exec), root, has_own_files, ..begun }
    }

    fn begun(&self, cgroup: CgroupId, init: ProcessKey, namespaces: Namespaces, event: &Event) -> Container {
        // A scan finds processes that started long ago; a runtime is given its time from now on.
        let since = event.time.max(event.seen);
        Container {
            key: ContainerKey { node: event.node.clone(), cgroup, started: event.time },
            kind: Kind::Unsettled,
            cgroup_path: self.cgroups.path(cgroup).cloned().unwrap_or_default(),
            namespaces,
            init: Some(init),
            program: Untrusted::default(),
            facts: Fact::Pending { since },
            setup: Fact::Pending { since },
            tally: Arc::default(),
            others: Vec::new(),
            root: None,
            has_own_files: None,
            ended: None,
        }
    }

    /// Looks at it as soon as that may change something.
    fn schedule(&mut self, cgroup: CgroupId) {
        let Some(container) = self.containers.get(&cgroup) else { return };
        let Fact::Pending { since } = container.facts else { return };
        let at = since.plus(wait(container));
        // A unit is one as soon as systemd says so, or nobody can be asked.
        let is_unit = matches!(read(container.cgroup_path.raw()), Suggests::Unit(_));
        self.schedule_in(cgroup, if is_unit { since } else { at });
    }

    fn schedule_in(&mut self, cgroup: CgroupId, at: Time) {
        self.due.insert((at, cgroup));
    }

    /// Every view had its time: settles it when nobody claims it, and compares what they say.
    fn review(&mut self, cgroup: CgroupId, now: Time, views: &Views, news: &mut Vec<News>) {
        let Some(container) = self.containers.get(&cgroup) else { return };
        if container.ended.is_some() && !container.facts.is_pending() {
            return;
        }
        if let Fact::Pending { since } = container.facts {
            let (kind, reason) = self.kind_unclaimed(container, views, now);
            let at_once = kind == Kind::Service && !is_doubted(container, views);
            let at = kind::settles(container, views, since, wait(container), now);
            if at > now && !at_once {
                self.schedule_in(cgroup, at);
                return;
            }
            let Some(container) = self.containers.get_mut(&cgroup) else { return };
            let changed = Arc::make_mut(container);
            let (kind, facts) = match changed.others.is_empty() {
                true => (kind, Fact::Failed { reason: Untrusted::new(&reason) }),
                false => (Kind::Managed, Fact::Known(changed.others.remove(0))),
            };
            changed.kind = kind_of(self.own, cgroup, kind);
            changed.facts = facts;
            if changed.setup.is_pending() {
                changed.setup = Fact::Failed { reason: Untrusted::new("it could not be looked at in time") };
            }
            news.push(News::Settled(Arc::clone(container)));
        } else {
            self.give_up_waiting(cgroup, now, views, news);
        }
        if views.is_any_silent() || self.is_unanswered(cgroup) {
            self.schedule_answer(cgroup, now);
        }
        self.compare(cgroup, now, views, news);
    }

    fn compare(&mut self, cgroup: CgroupId, now: Time, views: &Views, news: &mut Vec<News>) {
        let host = self.host_namespaces();
        let Some(container) = self.containers.get_mut(&cgroup) else { return };
        // A claim by one engine may come before that of another; the tally is taken when all had their time.
        let at = container.key.started.plus(CLAIM_WAIT);
        if at > now && container.kind == Kind::Managed {
            self.schedule_in(cgroup, at);
            return;
        }
        let fresh = tally(container, views, host, now);
        if *container.tally != fresh {
            Arc::make_mut(container).tally = Arc::new(fresh);
            news.push(News::Tallied(Arc::clone(container)));
        }
    }

    fn forget(&mut self, cgroup: CgroupId) {
        let Some(container) = self.containers.remove(&cgroup) else { return };
        self.claims.part(&container);
        self.cgroups.empty(cgroup);
    }

    /// The container in whose cgroup the process runs further down: one that this container made (systemd in a container
    /// does).
    fn nested_in(&mut self, exec: &Exec) -> Option<CgroupId> {
        if let Some(around) = self.cgroups.around(exec.cgroup) {
            return Some(around);
        }
        let path = self.cgroups.path(exec.cgroup).filter(|_| !self.containers.contains_key(&exec.cgroup));
        let above = path.and_then(|path| self.cgroups.above(path, |at| self.containers.contains_key(&at)))?;
        let container = self.containers.get(&above)?;
        (container.namespaces.pid == exec.namespaces.pid).then(|| self.cgroups.nest(exec.cgroup, above))?;
        Some(above)
    }
}

/// What is ours is called so, whoever else claims it.
fn kind_of(own: Option<CgroupId>, cgroup: CgroupId, kind: Kind) -> Kind {
    if own == Some(cgroup) { Kind::Own } else { kind }
}

/// How long the views may take. What no engine's helper has made is claimed by none, however slow they are.
fn wait(container: &Container) -> Duration {
    // Called so is enough to wait: a second more.
    let is_shim = |name: &str| name.starts_with("containerd-shim") || name.starts_with("conmon");
    match &container.setup {
        Fact::Known(setup) if !setup.makers.iter().any(|maker| is_shim(maker.name.raw())) => UNMADE_WAIT,
        _ => CLAIM_WAIT,
    }
}

/// Whether its cgroup names a unit that systemd has not told of: it may still do so.
fn is_doubted(container: &Container, views: &Views) -> bool {
    match read(container.cgroup_path.raw()) {
        Suggests::Unit(unit) => views.unit(unit) != UnitWord::Runs,
        _ => false,
    }
}
