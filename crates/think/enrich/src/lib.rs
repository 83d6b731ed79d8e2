//! Who did it: joins what the kernel sees with what runtimes claim, and gives every event its container.
//!
//! Not here: what is usual or allowed (`state`), and any judgement. A pure function of the events so far.

mod cgroup_path;

mod cgroups;

mod authorities;

mod shares;

mod made_by;

mod views;

mod claims;

mod kind;

mod tally;

mod texts;

mod inventory;

mod traffic;

use std::sync::Arc;
use std::time::Duration;

use model::event::{Body, Event, Exec};
use model::identity::{Container, Identity, News, Observation};
use model::ids::CgroupId;
use model::view::{EngineState, View};
use serde::{Deserialize, Serialize};

use crate::inventory::Inventory;
use crate::traffic::Traffic;
use crate::views::Views;

/// How long a container may wait for a runtime to claim it before it is judged without.
/// Measured: Docker 20.10 answers an inspect 0.1 to 0.6 s after the first process, also while it copies logs.
pub const CLAIM_WAIT: Duration = Duration::from_secs(2);

/// The same for a container that was seen to be made by no engine's shim: there is nobody who could claim it.
pub const UNMADE_WAIT: Duration = Duration::from_secs(1);

/// How long a container may wait, from its start, for a silent engine whose helper made it; then it is judged as one that
/// nobody claims. An engine that is overloaded answers late; one that is stopped makes nothing.
/// prior: Docker 20.10 under full load of disk and CPU answers inspections within 20 s.
pub const ANSWER_WAIT: Duration = Duration::from_secs(60);

/// How long before an engine was noticed to be silent it may have been so.
pub const SILENCE_DOUBT: Duration = Duration::from_secs(5);

/// How long an ended container is remembered, so that late facts and findings still find it.
pub const ENDED_KEPT: Duration = Duration::from_secs(60);

/// The stage `identify`: all it knows, bounded, serialisable so that a recording can carry it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Enrich {
    inventory: Inventory,
    views: Views,
    traffic: Traffic,
}

impl Enrich {
    /// Gives the event its process and container, and takes in what it tells about them.
    pub fn identify(&mut self, event: Event) -> Observation {
        self.take_in(without_given(event))
    }

    fn take_in(&mut self, event: Event) -> Observation {
        let counted = counted_cgroup(&event.body).and_then(|cgroup| self.inventory.container_of(cgroup));
        let mut identity = Identity { container: counted.cloned(), ..Identity::default() };
        let news = &mut identity.news;
        match &event.body {
            Body::Exec(exec) | Body::Process(exec) => {
                identity.process = Some(exec.process);
                self.runs(exec, &event, news);
                identity.container = self.inventory.container_of_process(exec).cloned();
                identity.within = self.within(exec.namespaces.mnt, exec.cgroup);
            }
            Body::Exit(exit) => {
                identity.process = Some(exit.process);
                identity.container = self.inventory.container_of(exit.cgroup).cloned();
                self.inventory.process_ended(exit, event.time, news);
            }
            Body::Vanished(process) => {
                identity.process = Some(*process);
                self.inventory.end_homeless_of(*process, event.time, news);
            }
            Body::CgroupCreated(at) => self.inventory.cgroup_made(at.cgroup, &at.path, news),
            Body::CgroupAttached(attach) => {
                identity.process = Some(attach.process);
                self.inventory.cgroup_made(attach.cgroup, &attach.path, news);
                identity.within =
                    attach.namespaces.and_then(|namespaces| self.within(namespaces.mnt, attach.cgroup));
            }
            Body::Setup(setup) => {
                identity.process = Some(setup.process);
                self.inventory.set_up(setup, &event, news);
            }
            Body::Own(cgroup) => self.inventory.own_is(*cgroup),
            Body::CgroupRemoved(at) => {
                identity.container = self.inventory.container_of(at.cgroup).cloned();
                self.inventory.cgroup_removed(at.cgroup, event.time, news);
            }
            Body::Log(log) => {
                identity.container = self.inventory.claimed(&View::default(), &log.container_id);
            }
            Body::EngineExec { id, view, .. } => identity.container = self.inventory.claimed(view, id),
            Body::EngineWork(work) => {
                identity.container = self.inventory.claimed(&View::default(), &work.container);
            }
            Body::Container(facts) => {
                self.inventory.claim(facts, event.time, news);
                identity.container = self.inventory.claimed(&facts.view, &facts.id);
            }
            Body::ContainerGone { id, view } => {
                identity.container = self.inventory.claimed(view, id);
                self.inventory.claim_gone(&(view.clone(), id.clone()), event.time, news);
            }
            Body::ContainerList { ids, view } => {
                self.views.listed(view, event.time);
                self.inventory.claims_listed(view, ids, event.time, news);
            }
            Body::Engine(seen) => {
                self.views.engine(seen, event.time);
                self.inventory.engine_is(seen, event.time);
                if seen.state == EngineState::Gone {
                    self.inventory.engine_gone(&seen.view, event.time);
                }
            }
            Body::Units(change) => self.views.units(change),
            Body::Report(report) => self.views.reports(report, event.time),
            _ => {}
        }
        // By the latest time seen: what a scan finds began long ago.
        self.inventory.settle(event.time, &self.views, news);
        self.traffic.watch(&identity.news);
        identity.talks = self.traffic.identify(&event, &self.inventory);
        Observation { event, identity }
    }

    /// All containers known, ended ones of the last minute included, ordered by cgroup.
    pub fn containers(&self) -> impl Iterator<Item = &Arc<Container>> {
        self.inventory.containers()
    }

    /// How many things were not taken in because a limit of the inventory was reached.
    pub fn dropped(&self) -> u64 {
        self.inventory.dropped() + self.traffic.dropped()
    }

    /// The container that has these mounts, unless the cgroup is its own.
    fn within(&self, mnt_ns: u32, cgroup: CgroupId) -> Option<Arc<Container>> {
        let container = self.inventory.within(mnt_ns)?;
        (!self.inventory.is_inside(container, cgroup) && container.key.cgroup.is_real())
            .then(|| Arc::clone(container))
    }

    fn runs(&mut self, exec: &Exec, event: &Event, news: &mut Vec<News>) {
        if exec.process.pid == 1 {
            self.inventory.host_is(exec);
            self.traffic.host_is(exec.namespaces.net);
        }
        self.inventory.runs(exec, event, news);
    }
}

/// A package manager that is given files, commands or settings of its own is none: what it starts is not a package's work,
/// and is judged as if the package manager were not there.
fn without_given(mut event: Event) -> Event {
    if let Body::Exec(exec) = &mut event.body
        && exec.descent.installer == Some(exec.process)
        && !exec.installs_by_name()
    {
        exec.descent.installer = None;
    }
    event
}

/// The control group that a measurement or a message is about.
fn counted_cgroup(body: &Body) -> Option<CgroupId> {
    match body {
        Body::Usage(usage) => Some(usage.cgroup),
        Body::Deep(deep) => Some(deep.cgroup),
        Body::Counts(counts) => Some(counts.cgroup),
        Body::Socket(socket) => Some(socket.cgroup),
        Body::Flows(flows) => Some(flows.cgroup),
        Body::Dns(message) => Some(message.cgroup),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
