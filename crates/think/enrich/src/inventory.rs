//! The containers of this host, as all views together know them.
//!
//! The kernel's view makes a container; a runtime's claim only names it. Everything is bounded: what does not
//! fit is counted. Not here: which process is contained (`lib.rs`), approval (`state`).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::FixedState;
use model::event::{Event, Exec, Exit};
use model::fact::Fact;
use model::identity::{Container, Kind, News};
use model::ids::{CgroupId, ContainerKey};
use model::runtime::{ContainerFacts, RunState};
use model::time::Time;
use model::untrusted::Untrusted;
use serde::{Deserialize, Serialize};

use crate::cgroup_path::{Suggests, read};
use crate::{CLAIM_WAIT, ENDED_KEPT, RuntimeView};

/// Most containers known at once.
const CONTAINERS_MAX: usize = 10_000;
/// Most cgroups whose path is known.
const CGROUPS_MAX: usize = 20_000;
/// Most claims of runtimes, those of containers that do not run included.
const CLAIMS_MAX: usize = 10_000;

/// How far a runtime's time of a start and the kernel's may lie apart.
const START_DOUBT: Duration = Duration::from_millis(500);

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Inventory {
    containers: BTreeMap<CgroupId, Arc<Container>>,
    /// Cgroups below a container's own: their events are the container's.
    nested: HashMap<CgroupId, CgroupId, FixedState>,
    paths: HashMap<CgroupId, Untrusted, FixedState>,
    // Keys that an attacker can choose are kept in trees: they cannot be made to collide.
    by_path: BTreeMap<Untrusted, CgroupId>,
    claims: BTreeMap<Untrusted, ContainerFacts>,
    /// Which container a runtime's id was joined with.
    joined: BTreeMap<Untrusted, CgroupId>,
    /// Containers whose kind may still change.
    unsettled: BTreeSet<CgroupId>,
    /// Ended containers in the order they ended.
    ended: BTreeSet<(Time, CgroupId)>,
    dropped: u64,
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
        own.or_else(|| self.containers.get(self.nested.get(&cgroup)?))
    }

    pub(crate) fn claimed(&self, id: &Untrusted) -> Option<Arc<Container>> {
        self.containers.get(self.joined.get(id)?).cloned()
    }

    pub(crate) fn cgroup_made(&mut self, cgroup: CgroupId, path: &Untrusted, news: &mut Vec<News>) {
        match self.paths.get(&cgroup) {
            Some(known) if known == path => return,
            // Renamed: its earlier name must not stay behind.
            Some(_) => self.forget_path(cgroup),
            None if self.paths.len() >= CGROUPS_MAX => {
                self.dropped += 1;
                return;
            }
            None => {}
        }
        self.paths.insert(cgroup, path.clone());
        self.by_path.insert(path.clone(), cgroup);
        if let Some(above) = self.container_above(path) {
            self.nested.insert(cgroup, above);
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
        self.forget_path(cgroup);
        self.nested.remove(&cgroup);
        self.end(cgroup, at, news);
    }

    /// A process runs in namespaces and a cgroup of its own.
    pub(crate) fn runs_in_container(&mut self, exec: &Exec, event: &Event, news: &mut Vec<News>) {
        if self.is_nested(exec) {
            return;
        }
        if let Some(container) = self.containers.get_mut(&exec.cgroup) {
            if container.ended.is_none() {
                // A runtime's first program joins another's namespaces before it becomes the container's.
                if container.init == Some(exec.process) && container.namespaces != exec.namespaces {
                    Arc::make_mut(container).namespaces = exec.namespaces;
                }
                return;
            }
            // The same cgroup is used again after everything in it had ended: a new container.
            let ended = container.ended.unwrap_or(event.time);
            self.ended.remove(&(ended, exec.cgroup));
        } else if self.containers.len() >= CONTAINERS_MAX {
            self.dropped += 1;
            return;
        }
        let container = self.new_container(exec, event);
        self.containers.insert(exec.cgroup, Arc::clone(&container));
        self.unsettled.insert(exec.cgroup);
        news.push(News::Appeared(container));
        self.join_by_path(exec.cgroup, news);
        self.join_by_pid(exec, news);
    }

    pub(crate) fn process_ended(&mut self, exit: &Exit, at: Time, news: &mut Vec<News>) {
        let is_init =
            self.containers.get(&exit.cgroup).is_some_and(|container| container.init == Some(exit.process));
        if is_init {
            self.end(exit.cgroup, at, news);
        }
    }

    /// A runtime claims a container, or tells something new about it.
    pub(crate) fn claim(&mut self, facts: &ContainerFacts, at: Time, news: &mut Vec<News>) {
        if self.claims.len() >= CLAIMS_MAX && !self.claims.contains_key(&facts.id) {
            self.dropped += 1;
            return;
        }
        self.claims.insert(facts.id.clone(), facts.clone());
        let Some(cgroup) = self.find_claimed(facts) else { return };
        if self.is_about_an_earlier_run(cgroup, facts) {
            return;
        }
        self.join(cgroup, facts.clone(), news);
        if facts.state == RunState::Exited {
            self.end(cgroup, at, news);
        }
    }

    pub(crate) fn claim_gone(&mut self, id: &Untrusted, at: Time, news: &mut Vec<News>) {
        self.claims.remove(id);
        if let Some(cgroup) = self.joined.get(id).copied() {
            self.end(cgroup, at, news);
        }
    }

    /// A runtime's whole list: what it claimed before and does not list is gone.
    pub(crate) fn claims_listed(&mut self, ids: &[Untrusted], at: Time, news: &mut Vec<News>) {
        let listed: BTreeSet<&Untrusted> = ids.iter().collect();
        let gone: Vec<Untrusted> = self.claims.keys().filter(|id| !listed.contains(id)).cloned().collect();
        for id in gone {
            self.claim_gone(&id, at, news);
        }
        self.wait_again(at);
    }

    /// Settles what has waited long enough, and forgets what ended long ago.
    pub(crate) fn settle(&mut self, now: Time, docker: &RuntimeView, news: &mut Vec<News>) {
        let waiting: Vec<CgroupId> = self.unsettled.iter().copied().collect();
        for cgroup in waiting {
            self.settle_one(cgroup, now, docker, news);
        }
        while let Some(&(at, cgroup)) = self.ended.first()
            && now.since(at) >= ENDED_KEPT
        {
            self.ended.pop_first();
            self.forget(cgroup);
        }
    }

    /// A runtime that answers again is given its time to claim what was settled without it.
    fn wait_again(&mut self, at: Time) {
        for (cgroup, container) in &mut self.containers {
            if container.kind == Kind::Unanswered && container.ended.is_none() {
                let waits = Arc::make_mut(container);
                waits.kind = Kind::Unsettled;
                waits.facts = Fact::Pending { since: at };
                self.unsettled.insert(*cgroup);
            }
        }
    }

    /// A stopped container may be started again before its end is told; that end is not the new run's.
    fn is_about_an_earlier_run(&self, cgroup: CgroupId, facts: &ContainerFacts) -> bool {
        let Some(container) = self.containers.get(&cgroup) else { return false };
        let ran_before =
            facts.started.is_some_and(|started| started.plus(START_DOUBT) < container.key.started);
        facts.state == RunState::Exited && ran_before
    }

    fn new_container(&self, exec: &Exec, event: &Event) -> Arc<Container> {
        let program = if exec.args.is_empty() { exec.path.clone() } else { exec.args.clone() };
        Arc::new(Container {
            key: ContainerKey { node: event.node.clone(), cgroup: exec.cgroup, started: event.time },
            kind: Kind::Unsettled,
            cgroup_path: self.paths.get(&exec.cgroup).cloned().unwrap_or_default(),
            namespaces: exec.namespaces,
            init: Some(exec.process),
            program,
            // A scan finds processes that started long ago; a runtime is given its time from now on.
            facts: Fact::Pending { since: event.time.max(event.seen) },
            setup: Fact::Pending { since: event.time.max(event.seen) },
            tally: Arc::default(),
            others: Vec::new(),
            ended: None,
        })
    }

    fn settle_one(&mut self, cgroup: CgroupId, now: Time, docker: &RuntimeView, news: &mut Vec<News>) {
        let Some(container) = self.containers.get_mut(&cgroup) else {
            self.unsettled.remove(&cgroup);
            return;
        };
        let Fact::Pending { since } = container.facts else { return };
        let (kind, reason) = match (read(container.cgroup_path.raw()), docker) {
            (Suggests::Unit, _) => (Kind::Service, "a systemd unit; no runtime is asked".to_owned()),
            (Suggests::Unwatched(runtime), _) => (
                Kind::Unwatched,
                format!("its cgroup is named as {runtime} names them, whose view is not watched"),
            ),
            (_, RuntimeView::Lost | RuntimeView::Unknown) if now.since(since) >= CLAIM_WAIT => {
                (Kind::Unanswered, "the container runtime did not answer".to_owned())
            }
            (_, RuntimeView::Doubtful) if now.since(since) >= CLAIM_WAIT => (
                Kind::Unanswered,
                "the container runtime could not be asked about every container".to_owned(),
            ),
            (_, RuntimeView::Absent) if now.since(since) >= CLAIM_WAIT => {
                (Kind::Ghost, "no container runtime runs on this host".to_owned())
            }
            (_, RuntimeView::Synced(at)) if now.since(since.max(*at)) >= CLAIM_WAIT => {
                (Kind::Ghost, "no container runtime claims it".to_owned())
            }
            _ => return,
        };
        let changed = Arc::make_mut(container);
        changed.kind = kind;
        changed.facts = Fact::Failed { reason: Untrusted::new(&reason) };
        news.push(News::Settled(Arc::clone(container)));
        self.unsettled.remove(&cgroup);
    }

    /// Takes a claim that came before the kernel's view of the container.
    fn join_by_path(&mut self, cgroup: CgroupId, news: &mut Vec<News>) {
        let Some(container) = self.containers.get(&cgroup) else { return };
        let Suggests::Docker(id) = read(container.cgroup_path.raw()) else { return };
        if let Some(facts) = self.claims.get(&Untrusted::new(id)).cloned() {
            self.join(cgroup, facts, news);
        }
    }

    /// Takes a claim that came before, of a container whose cgroup path names no runtime.
    fn join_by_pid(&mut self, exec: &Exec, news: &mut Vec<News>) {
        let is_claimed = self.containers.get(&exec.cgroup).is_some_and(|c| c.facts.known().is_some());
        if is_claimed {
            return;
        }
        let claims = self.claims.values().filter(|facts| facts.state == RunState::Running);
        let mut unjoined = claims.filter(|facts| !self.joined.contains_key(&facts.id));
        if let Some(facts) = unjoined.find(|facts| facts.pid == Some(exec.process.pid)).cloned() {
            self.join(exec.cgroup, facts, news);
        }
    }

    fn find_claimed(&self, facts: &ContainerFacts) -> Option<CgroupId> {
        let joined = self.joined.get(&facts.id).copied();
        let still_runs = |cgroup: &CgroupId| self.containers.get(cgroup).is_some_and(|c| c.ended.is_none());
        joined.filter(still_runs).or_else(|| {
            let claims = |container: &&Arc<Container>| {
                let same_pid = facts.pid.is_some() && container.init.map(|init| init.pid) == facts.pid;
                let same_id = read(container.cgroup_path.raw()) == Suggests::Docker(facts.id.raw());
                container.ended.is_none() && (same_pid || same_id)
            };
            self.unclaimed().find(claims).map(|container| container.key.cgroup)
        })
    }

    /// Containers without known facts: the only ones a new claim can be about.
    fn unclaimed(&self) -> impl Iterator<Item = &Arc<Container>> {
        self.containers.values().filter(|container| container.facts.known().is_none())
    }

    fn join(&mut self, cgroup: CgroupId, facts: ContainerFacts, news: &mut Vec<News>) {
        let Some(container) = self.containers.get_mut(&cgroup) else { return };
        if container.facts.known() == Some(&facts) {
            return;
        }
        self.joined.insert(facts.id.clone(), cgroup);
        let changed = Arc::make_mut(container);
        changed.kind = Kind::Managed;
        changed.facts = Fact::Known(facts);
        news.push(News::Settled(Arc::clone(container)));
        self.unsettled.remove(&cgroup);
    }

    fn end(&mut self, cgroup: CgroupId, at: Time, news: &mut Vec<News>) {
        let Some(container) = self.containers.get_mut(&cgroup) else { return };
        if container.ended.is_some() || at < container.key.started {
            return;
        }
        let changed = Arc::make_mut(container);
        changed.ended = Some(at);
        if changed.facts.is_pending() {
            changed.facts =
                Fact::Failed { reason: Untrusted::new("it ended before a runtime could be asked") };
            self.unsettled.remove(&cgroup);
        }
        news.push(News::Ended(Arc::clone(container)));
        self.ended.insert((at, cgroup));
    }

    fn forget(&mut self, cgroup: CgroupId) {
        let Some(container) = self.containers.remove(&cgroup) else { return };
        if let Some(facts) = container.facts.known()
            && self.joined.get(&facts.id) == Some(&cgroup)
        {
            self.joined.remove(&facts.id);
        }
        self.nested.retain(|_, above| *above != cgroup);
    }

    /// Whether the process runs in a cgroup that a container made below its own (systemd in a container does).
    fn is_nested(&mut self, exec: &Exec) -> bool {
        if self.nested.contains_key(&exec.cgroup) {
            return true;
        }
        let path = self.paths.get(&exec.cgroup);
        let above = path
            .filter(|_| !self.containers.contains_key(&exec.cgroup))
            .and_then(|path| self.container_above(path));
        let shares = |above: &CgroupId| {
            self.containers
                .get(above)
                .is_some_and(|container| container.namespaces.pid == exec.namespaces.pid)
        };
        let Some(above) = above.filter(shares) else { return false };
        self.nested.insert(exec.cgroup, above);
        true
    }

    fn forget_path(&mut self, cgroup: CgroupId) {
        if let Some(path) = self.paths.remove(&cgroup)
            && self.by_path.get(&path) == Some(&cgroup)
        {
            self.by_path.remove(&path);
        }
    }

    fn container_above(&self, path: &Untrusted) -> Option<CgroupId> {
        let mut rest = path.raw();
        while let Some(slash) = rest.rfind('/') {
            rest = &rest[..slash];
            if rest.is_empty() {
                return None;
            }
            let above = self.by_path.get(&Untrusted::new(rest));
            if let Some(cgroup) = above.filter(|cgroup| self.containers.contains_key(cgroup)) {
                return Some(*cgroup);
            }
        }
        None
    }
}
