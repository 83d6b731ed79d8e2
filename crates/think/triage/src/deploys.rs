//! Changes that are under way: services that are rolled out or scaled out, seen through the runtime, and a workload
//! whose image is a new one.
//!
//! Labels are chosen by whoever starts a container, and so is the time of a rollout: it explains only what runs an
//! approved image, and only that workload. Not here: what people declared, and work on images (`engine_work.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::event::Body;
use model::expectation::ExplanationKind;
use model::finding::Finding;
use model::identity::{Container, News, Observation};
use model::ids::{CgroupId, WorkloadKey};
use model::runtime::{Deploy, ServiceChange};
use model::time::Time;
use model::untrusted::Untrusted;
use serde::{Deserialize, Serialize};

use crate::reason::Reason;

/// How long a change explains that its workload is busy (ALGORITHMS §1.5).
const CONTEXT: Duration = Duration::from_secs(15 * 60);

/// Share of its weight that a finding keeps meanwhile: half the log-odds, so half the bits.
const KEPT_SHARE: f64 = 0.5;

/// Age up to which a container counts as started by the change: one that is found running changed nothing.
const FRESH: Duration = Duration::from_secs(60);

/// Time after an end within which a start replaces what ended and is no replica more.
const REPLACED_WITHIN: Duration = Duration::from_secs(60);

/// Most workloads and services remembered; the one that changed longest ago makes room.
const WORKLOADS_MAX: usize = 4_096;
/// Most containers of one workload that are told apart.
const REPLICAS_MAX: usize = 1_024;

/// What changes, by workload and by announced service.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Deploys {
    workloads: BTreeMap<WorkloadKey, Workload>,
    announced: BTreeMap<Untrusted, (Deploy, Time)>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Workload {
    /// Image by configuration digest, and what Compose knows the configuration by.
    version: (Untrusted, Untrusted),
    running: BTreeSet<CgroupId>,
    /// Replicas that it is known to have had before the last ones ended.
    replicas: usize,
    ended: Time,
    deploy: Option<(Deploy, Time)>,
    changed: Time,
}

impl Deploys {
    /// Takes in what appeared and ended, and what an orchestrator announces.
    pub(crate) fn watch(&mut self, seen: &Observation) {
        let now = seen.event.time;
        if let Body::Service(change) = &seen.event.body {
            self.announce(change, now);
        }
        for news in &seen.identity.news {
            match news {
                News::Settled(container) => self.settled(container, now),
                News::Ended(container) => self.ended(container, now),
                News::Appeared(_) | News::Tallied(_) => {}
            }
        }
    }

    /// The change that explains a finding about its workload.
    pub(crate) fn reason(&self, finding: &Finding) -> Option<Reason> {
        // A rollout makes a workload busy and brings new edges; it sets no policy aside.
        let is_approved = finding.provenance.is_approved() && finding.level.is_some();
        let workload = finding.subject.workload().filter(|_| is_approved)?;
        let own = self.workloads.get(workload).and_then(|workload| workload.deploy);
        let (deploy, since) = [own, self.announced_for(workload)]
            .into_iter()
            .flatten()
            .filter(|(_, since)| *since <= finding.at && finding.at.since(*since) < CONTEXT)
            .max_by_key(|(_, since)| *since)?;
        let (kind, what) = match deploy {
            Deploy::Rollout => (ExplanationKind::Rollout, "it is being rolled out"),
            Deploy::ScaleOut => (ExplanationKind::ScaleOut, "it was given more replicas"),
        };
        let sentence = format!("{workload}: {what}, since {since}");
        Some(Reason::built_in(kind, sentence, finding.bits * KEPT_SHARE))
    }

    fn announce(&mut self, change: &ServiceChange, now: Time) {
        if self.announced.len() >= WORKLOADS_MAX && !self.announced.contains_key(&change.service) {
            let oldest = self.announced.iter().min_by_key(|(_, (_, at))| *at).map(|(name, _)| name.clone());
            oldest.map(|name| self.announced.remove(&name));
        }
        self.announced.insert(change.service.clone(), (change.deploy, now));
    }

    fn announced_for(&self, workload: &WorkloadKey) -> Option<(Deploy, Time)> {
        let (service, _image) = workload.raw().strip_prefix("swarm:")?.split_once(' ')?;
        self.announced.get(&Untrusted::new(service)).copied()
    }

    fn settled(&mut self, container: &Container, now: Time) {
        let Some(facts) = container.facts.known() else { return };
        let config = facts.label("com.docker.compose.config-hash").cloned().unwrap_or_default();
        let version = (facts.digest.clone(), config);
        let key = container.workload();
        let is_service = key.raw().starts_with("swarm:") || key.raw().starts_with("compose:");
        let is_known = self.workloads.contains_key(&key);
        if !is_known {
            self.make_room();
        }
        let workload = self.workloads.entry(key).or_default();
        let is_replaced = is_known && workload.version != version;
        let before = workload.replicas_before(now);
        let is_new = workload.running.len() < REPLICAS_MAX && workload.running.insert(container.key.cgroup);
        workload.replicas = before.max(workload.running.len());
        workload.version = version;
        if !is_new || now.since(container.key.started) >= FRESH {
            return;
        }
        workload.changed = now;
        if is_replaced {
            workload.deploy = Some((Deploy::Rollout, now));
        } else if is_service && is_known && workload.running.len() > before {
            workload.deploy = Some((Deploy::ScaleOut, now));
        }
    }

    fn ended(&mut self, container: &Container, now: Time) {
        if container.facts.known().is_none() {
            return;
        }
        if let Some(workload) = self.workloads.get_mut(&container.workload())
            && workload.running.remove(&container.key.cgroup)
        {
            workload.ended = now;
        }
    }

    fn make_room(&mut self) {
        if self.workloads.len() < WORKLOADS_MAX {
            return;
        }
        let oldest = self.workloads.iter().min_by_key(|(_, workload)| workload.changed);
        if let Some(key) = oldest.map(|(key, _)| key.clone()) {
            self.workloads.remove(&key);
        }
    }
}

impl Workload {
    /// Replicas that a start at `now` is compared with: those that run, and those that ended just before.
    fn replicas_before(&self, now: Time) -> usize {
        if now.since(self.ended) < REPLACED_WITHIN { self.replicas } else { self.running.len() }
    }
}
