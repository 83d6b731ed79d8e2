//! Who did it: joins what the kernel sees with what runtimes claim, and gives every event its container.
//!
//! Not here: what is usual or allowed (`state`), and any judgement. A pure function of the events so far.

mod cgroup_path;

mod inventory;

mod traffic;

use std::sync::Arc;
use std::time::Duration;

use model::coverage::{Health, Source, SourceReport};
use model::event::{Body, Event, Exec};
use model::identity::{Container, Identity, News, Observation};
use model::ids::{CgroupId, Namespaces};
use model::time::Time;
use serde::{Deserialize, Serialize};

use crate::inventory::Inventory;
use crate::traffic::Traffic;

/// How long a container may wait for a runtime to claim it before it is judged without.
/// Measured: Docker 20.10 answers an inspect 0.1 to 0.6 s after the first process, also while it copies logs.
pub const CLAIM_WAIT: Duration = Duration::from_secs(2);

/// How long an ended container is remembered, so that late facts and findings still find it.
pub const ENDED_KEPT: Duration = Duration::from_secs(60);

/// The stage `identify`: all it knows, bounded, serialisable so that a recording can carry it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Enrich {
    host: Option<Host>,
    inventory: Inventory,
    docker: RuntimeView,
    traffic: Traffic,
}

/// What of the host a container differs from: its init process.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Host {
    namespaces: Namespaces,
    cgroup: CgroupId,
}

/// Whether a runtime's silence about a container means anything.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) enum RuntimeView {
    /// Not asked yet.
    #[default]
    Unknown,
    /// There is no such runtime here: nothing it could claim.
    Absent,
    /// It told its whole list at this time and is followed since.
    Synced(Time),
    /// It answers, but not about every container: its silence about one says nothing.
    Doubtful,
    /// It does not answer: its silence says nothing.
    Lost,
}

impl Enrich {
    /// Gives the event its process and container, and takes in what it tells about them.
    pub fn identify(&mut self, event: Event) -> Observation {
        let mut identity = Identity::default();
        let news = &mut identity.news;
        match &event.body {
            Body::Exec(exec) | Body::Process(exec) => {
                identity.process = Some(exec.process);
                self.runs(exec, &event, news);
                identity.container = self.inventory.container_of(exec.cgroup).cloned();
            }
            Body::Exit(exit) => {
                identity.process = Some(exit.process);
                identity.container = self.inventory.container_of(exit.cgroup).cloned();
                self.inventory.process_ended(exit, event.time, news);
            }
            Body::CgroupCreated(at) => self.inventory.cgroup_made(at.cgroup, &at.path, news),
            Body::CgroupAttached(attach) => self.inventory.cgroup_made(attach.cgroup, &attach.path, news),
            Body::CgroupRemoved(at) => {
                identity.container = self.inventory.container_of(at.cgroup).cloned();
                self.inventory.cgroup_removed(at.cgroup, event.time, news);
            }
            Body::Usage(usage) => identity.container = self.inventory.container_of(usage.cgroup).cloned(),
            Body::Deep(deep) => identity.container = self.inventory.container_of(deep.cgroup).cloned(),
            Body::Counts(counts) => identity.container = self.inventory.container_of(counts.cgroup).cloned(),
            Body::Socket(socket) => identity.container = self.inventory.container_of(socket.cgroup).cloned(),
            Body::Flows(flows) => identity.container = self.inventory.container_of(flows.cgroup).cloned(),
            Body::Dns(message) => identity.container = self.inventory.container_of(message.cgroup).cloned(),
            Body::Log(log) => identity.container = self.inventory.claimed(&log.container_id),
            Body::EngineExec { id, .. } => identity.container = self.inventory.claimed(id),
            Body::Container(facts) => {
                self.inventory.claim(facts, event.time, news);
                identity.container = self.inventory.claimed(&facts.id);
            }
            Body::ContainerGone { id, .. } => {
                identity.container = self.inventory.claimed(id);
                self.inventory.claim_gone(id, event.time, news);
            }
            Body::ContainerList { ids, .. } => {
                self.docker = RuntimeView::Synced(event.time);
                self.inventory.claims_listed(ids, event.time, news);
            }
            Body::Report(report) => self.docker_reports(report, event.time),
            Body::Tick | Body::Host(_) => self.inventory.settle(event.time, &self.docker, news),
            _ => {}
        }
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

    fn runs(&mut self, exec: &Exec, event: &Event, news: &mut Vec<News>) {
        if exec.process.pid == 1 {
            self.host = Some(Host { namespaces: exec.namespaces, cgroup: exec.cgroup });
            self.traffic.host_is(exec.namespaces.net);
        }
        if self.is_contained(exec) {
            self.inventory.runs_in_container(exec, event, news);
        }
    }

    /// A container is a process whose cgroup and at least one namespace differ from init's, whatever made it.
    fn is_contained(&self, exec: &Exec) -> bool {
        self.host.is_some_and(|host| exec.cgroup != host.cgroup && exec.namespaces != host.namespaces)
    }

    fn docker_reports(&mut self, report: &SourceReport, at: Time) {
        if report.source != Source::Docker {
            return;
        }
        self.docker = match (report.health, &self.docker) {
            (Health::Absent, _) => RuntimeView::Absent,
            (Health::Down, _) => RuntimeView::Lost,
            (Health::Degraded, RuntimeView::Synced(_)) => RuntimeView::Doubtful,
            (Health::Up, RuntimeView::Doubtful) => RuntimeView::Synced(at),
            // After a loss, what it claims is known again only with its list.
            (Health::Up | Health::Degraded, view) => view.clone(),
        };
    }
}

#[cfg(test)]
mod tests;
