//! What engines claim, whether it was joined with a container or not.
//!
//! Not here: joining (`inventory.rs`).

use std::collections::{BTreeMap, BTreeSet};

use model::identity::Container;
use model::ids::CgroupId;
use model::runtime::{ContainerFacts, RunState};
use model::untrusted::Untrusted;
use model::view::{EngineKind, View};
use serde::{Deserialize, Serialize};

/// Most claims, those of containers that do not run included.
const CLAIMS_MAX: usize = 20_000;

/// A container by the name that one engine has for it.
pub(crate) type ClaimKey = (View, Untrusted);

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Claims {
    #[serde(with = "model::pairs")]
    claims: BTreeMap<ClaimKey, ContainerFacts>,
    /// Which container a claim was joined with; each reading of a log asks.
    #[serde(with = "model::pairs")]
    joined: BTreeMap<View, BTreeMap<Untrusted, CgroupId>>,
    /// Running ones by the pid they claim.
    #[serde(with = "model::pairs")]
    by_pid: BTreeMap<(u32, ClaimKey), ()>,
    /// By id alone.
    #[serde(with = "model::pairs")]
    by_id: BTreeMap<(Untrusted, View), ()>,
}

impl Claims {
    /// Takes in a claim; whether there was room.
    pub(crate) fn put(&mut self, facts: &ContainerFacts) -> bool {
        let key = key_of(facts);
        if self.claims.len() >= CLAIMS_MAX && !self.claims.contains_key(&key) {
            return false;
        }
        self.unlist(&key);
        if let Some(pid) = facts.pid.filter(|_| facts.state != RunState::Exited) {
            self.by_pid.insert((pid, key.clone()), ());
        }
        self.by_id.insert((facts.id.clone(), facts.view.clone()), ());
        self.claims.insert(key, facts.clone());
        true
    }

    pub(crate) fn remove(&mut self, key: &ClaimKey) {
        self.unlist(key);
        self.claims.remove(key);
    }

    pub(crate) fn get(&self, key: &ClaimKey) -> Option<&ContainerFacts> {
        self.claims.get(key)
    }

    /// Claims that a process of this pid is their first.
    pub(crate) fn of_pid(&self, pid: u32) -> impl Iterator<Item = &ContainerFacts> {
        let from = (pid, (View::default(), Untrusted::default()));
        self.by_pid
            .range(from..)
            .take_while(move |((of, _), ())| *of == pid)
            .filter_map(|((_, key), ())| self.get(key))
    }

    /// Claims of a container by this id, from whichever engine.
    pub(crate) fn of_id(&self, id: &Untrusted) -> impl Iterator<Item = &ContainerFacts> {
        let from = (id.clone(), View::default());
        let id = id.clone();
        self.by_id
            .range(from..)
            .take_while(move |((of, _), ())| *of == id)
            .filter_map(|((id, view), ())| self.claims.get(&(view.clone(), id.clone())))
    }

    /// What a view claimed before and does not list.
    pub(crate) fn not_listed(&self, view: &View, ids: &[Untrusted]) -> Vec<ClaimKey> {
        let listed: BTreeSet<&Untrusted> = ids.iter().collect();
        let of_view = self.claims.keys().filter(|(of, id)| of == view && !listed.contains(id));
        of_view.cloned().collect()
    }

    /// What an engine that is gone claimed.
    pub(crate) fn of_engine(&self, engine: &View) -> Vec<ClaimKey> {
        self.claims.keys().filter(|(view, _)| view.is_of(engine)).cloned().collect()
    }

    pub(crate) fn joined(&self, view: &View, id: &Untrusted) -> Option<CgroupId> {
        self.joined.get(view)?.get(id).copied()
    }

    pub(crate) fn join(&mut self, (view, id): ClaimKey, cgroup: CgroupId) {
        self.joined.entry(view).or_default().insert(id, cgroup);
    }

    /// A claim no longer counts.
    pub(crate) fn disjoin(&mut self, view: &View, id: &Untrusted) {
        if let Some(joined) = self.joined.get_mut(view) {
            joined.remove(id);
        }
    }

    /// The container is forgotten.
    pub(crate) fn part(&mut self, container: &Container) {
        for facts in container.claims() {
            let Some(joined) = self.joined.get_mut(&facts.view) else { continue };
            if joined.get(&facts.id) == Some(&container.key.cgroup) {
                joined.remove(&facts.id);
            }
            if joined.is_empty() {
                self.joined.remove(&facts.view);
            }
        }
    }

    fn unlist(&mut self, key: &ClaimKey) {
        let Some(known) = self.claims.get(key) else { return };
        if let Some(pid) = known.pid {
            self.by_pid.remove(&(pid, key.clone()));
        }
        self.by_id.remove(&(key.1.clone(), key.0.clone()));
    }
}

pub(crate) fn key_of(facts: &ContainerFacts) -> ClaimKey {
    (facts.view.clone(), facts.id.clone())
}

/// Which engine's words a container goes by when several claim it, the first ones first: Docker and the kubelet's runtime
/// know names and labels that the containerd below them does not.
pub(crate) fn rank(view: &View) -> (u8, View) {
    let kind = match view.engine {
        EngineKind::Docker => 0,
        EngineKind::Cri => 1,
        EngineKind::Podman => 2,
        EngineKind::Containerd => 3,
    };
    (kind, view.clone())
}
