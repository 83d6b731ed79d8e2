//! One store of Podman's: what was told of it, and what differs from that now.
//!
//! Not here: which stores there are (`podman.rs`).

use std::collections::BTreeMap;
use std::time::Duration;

use hostfs::daemons::is_alive;
use hostfs::podman::{STORED_MAX, Store, StoreRoots, Stored};
use hostfs::root::HostRoot;
use model::authority::Authority;
use model::coverage::Source;
use model::event::Body;
use model::ids::ProcessKey;
use model::runtime::ContainerFacts;
use model::time::Time;
use model::untrusted::Untrusted;
use model::view::{EngineKind, EngineSeen, EngineState, View};

use crate::crowded;
use crate::outlet::Outlet;
use crate::podman::PodmanServer;
use crate::podman::asking::Asking;
use crate::podman::facts::{complete, facts};

/// Looks at a store that is not there (yet) before it is forgotten; one that is standard is found again.
const MISSES_MAX: u32 = 240;
/// Most processes that serve one store: a user's Podman is two, of which one listens.
const SERVERS_MAX: usize = 8;

/// A store, whether it is there or not.
#[derive(Debug)]
pub(crate) struct Followed {
    store: Store,
    view: View,
    is_standard: bool,
    servers: Vec<PodmanServer>,
    asking: Asking,
    kept: Vec<Stored>,
    containers: BTreeMap<Untrusted, Told>,
    seen: Option<EngineSeen>,
    misses: u32,
}

#[derive(Debug)]
struct Told {
    stored: Stored,
    running: Option<(ProcessKey, Time)>,
    has_spec: bool,
    /// Whether what its files do not tell was answered.
    is_complete: bool,
    facts: ContainerFacts,
}

impl Followed {
    pub(crate) fn new(store: Store, is_standard: bool) -> Self {
        let view = View::new(EngineKind::Podman, &store.roots().graphroot.to_string_lossy());
        Self {
            store,
            view,
            is_standard,
            servers: Vec::new(),
            asking: Asking::new(),
            kept: Vec::new(),
            containers: BTreeMap::new(),
            seen: None,
            misses: 0,
        }
    }

    pub(crate) fn is_at(&self, roots: &StoreRoots) -> bool {
        self.store.roots().graphroot == roots.graphroot
    }

    /// Somebody says so; whether it is true is for the looks to tell.
    pub(crate) fn is_served_by(&mut self, server: PodmanServer) {
        if self.servers.len() < SERVERS_MAX && !self.servers.contains(&server) {
            self.servers.push(server);
            self.asking.begin_anew();
        }
    }

    /// What was told of it as an engine; `None` while it is not there.
    pub(crate) fn told(&self) -> Option<&EngineSeen> {
        self.seen.as_ref()
    }

    pub(crate) fn is_worth_following(&self) -> bool {
        self.seen.is_some() || self.misses < MISSES_MAX
    }

    /// Tells what has changed since the look before.
    pub(crate) fn look(&mut self, root: &HostRoot, outlet: &Outlet) {
        if !self.store.is_there() {
            self.misses += 1;
            return self.gone(outlet);
        }
        self.misses = 0;
        let store = &self.store;
        self.servers.retain(|it| is_alive(root, it.process) && store.is_served_by(it.process, it.uid));
        let was_whole = self.seen.as_ref().is_some_and(|seen| seen.state == EngineState::Answers);
        let mut problem = self.seen.as_ref().map(|seen| seen.reason.clone()).unwrap_or_default();
        if self.store.has_changed() || !was_whole {
            problem = match self.store.list() {
                Ok(list) => {
                    self.kept = list.containers;
                    let left_out =
                        format!("{} containers are not told: more than {STORED_MAX}", list.left_out);
                    Untrusted::new(if list.left_out > 0 { &left_out } else { "" })
                }
                Err(error) => Untrusted::new(&error.to_string()),
            };
        }
        self.asking.look(root, &self.servers, self.kept.iter().map(|stored| &stored.id));
        self.tell_containers(outlet);
        let state = if problem.is_empty() { EngineState::Answers } else { EngineState::Doubtful };
        if state == EngineState::Answers && !was_whole {
            let ids = self.containers.keys().cloned().collect();
            outlet.send_now(Source::Podman, Body::ContainerList { ids, view: self.view.clone() });
        }
        self.tell_engine(state, problem, outlet);
    }

    fn tell_containers(&mut self, outlet: &Outlet) {
        let mut before = std::mem::take(&mut self.containers);
        for stored in &self.kept {
            let told = before.remove(&stored.id);
            let now = self.now(stored, told.as_ref(), outlet);
            if told.is_none_or(|told| told.facts != now.facts) {
                outlet.send_now(Source::Podman, Body::Container(Box::new(now.facts.clone())));
                let crowded = crowded::labels(&now.facts);
                crowded.into_iter().for_each(|body| outlet.send_now(Source::Podman, body));
            }
            self.containers.insert(stored.id.clone(), now);
        }
        for id in before.into_keys() {
            self.asking.forget(&id);
            outlet.send_now(Source::Podman, Body::ContainerGone { id, view: self.view.clone() });
        }
    }

    /// The container as it is now; its files are read only when something about it has changed.
    fn now(&self, stored: &Stored, told: Option<&Told>, outlet: &Outlet) -> Told {
        let process = self.store.process(stored);
        let known = told.and_then(|told| told.running).filter(|(known, _)| Some(*known) == process);
        let running = known.or_else(|| process.map(|process| (process, started(process, outlet))));
        let answer = self.asking.answer(&stored.id);
        let is_complete = answer.is_some();
        let is_as_told = |told: &&Told| {
            let same = told.stored == *stored && told.running == running;
            same && told.has_spec && told.is_complete == is_complete
        };
        let (facts, has_spec) = match told.filter(is_as_told) {
            Some(told) => (told.facts.clone(), true),
            None => {
                let (mut facts, has_spec) = facts(&self.store, &self.view, stored, running);
                complete(&mut facts, answer);
                (facts, has_spec)
            }
        };
        Told { stored: stored.clone(), running, has_spec, is_complete, facts }
    }

    fn tell_engine(&mut self, state: EngineState, reason: Untrusted, outlet: &Outlet) {
        let server = self.servers.last();
        let seen = EngineSeen {
            view: self.view.clone(),
            state,
            reason,
            process: server.map(|server| server.process),
            program: server.map(|server| server.program.clone()).unwrap_or_default(),
            cgroup: server.map(|server| server.cgroup.clone()).unwrap_or_default(),
            is_standard: self.is_standard,
            part_of: None,
            authority: self.store.owner().map_or(Authority::Unknown, |uid| match uid {
                0 => Authority::Host,
                uid => Authority::User { uid },
            }),
            executable: None,
        };
        if self.seen.as_ref() != Some(&seen) {
            outlet.send_now(Source::Podman, Body::Engine(Box::new(seen.clone())));
            self.seen = Some(seen);
        }
    }

    fn gone(&mut self, outlet: &Outlet) {
        let Some(seen) = self.seen.take() else { return };
        self.kept.clear();
        self.tell_containers(outlet);
        let (state, reason) = (EngineState::Gone, Untrusted::default());
        let gone = EngineSeen { state, reason, process: None, ..seen };
        outlet.send_now(Source::Podman, Body::Engine(Box::new(gone)));
    }
}

/// When a process started.
fn started(process: ProcessKey, outlet: &Outlet) -> Time {
    outlet.clock().boot().plus(Duration::from_nanos(process.start_ns))
}
