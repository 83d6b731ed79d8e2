//! What engines claim, whether it was joined with a container or not.
//!
//! Not here: joining (`inventory.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::identity::Container;
use model::ids::CgroupId;
use model::labels::Relevance;
use model::runtime::{ContainerFacts, RunState};
use model::untrusted::Untrusted;
use model::view::{EngineKind, View};
use serde::{Deserialize, Serialize};

use crate::texts::Texts;

/// Most claims, those of containers that do not run included.
const CLAIMS_MAX: usize = 20_000;

/// Bytes of all labels from which only relevant ones are kept of what comes, and from which only those that decide whose a
/// container is: 10,000 containers with what an orchestrator sets are within the first.
const LABEL_BYTES_MAX: usize = 8 << 20;
const RELEVANT_BYTES_MAX: usize = 16 << 20;

/// A container by the name that one engine has for it.
pub(crate) type ClaimKey = (View, Untrusted);

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Claims {
    #[serde(with = "model::pairs")]
    claims: BTreeMap<ClaimKey, Arc<ContainerFacts>>,
    /// Which container a claim was joined with; each reading of a log asks.
    #[serde(with = "model::pairs")]
    joined: BTreeMap<View, BTreeMap<Untrusted, CgroupId>>,
    /// Running ones by the pid they claim.
    #[serde(with = "model::pairs")]
    by_pid: BTreeMap<(u32, ClaimKey), ()>,
    /// By id alone.
    #[serde(with = "model::pairs")]
    by_id: BTreeMap<(Untrusted, View), ()>,
    /// Of all claims together.
    #[serde(default)]
    label_bytes: usize,
    #[serde(skip)]
    texts: Texts,
}

impl Claims {
    /// Takes in a claim: as it is kept, or nothing when there was no room.
    pub(crate) fn put(&mut self, facts: &ContainerFacts) -> Option<Arc<ContainerFacts>> {
        let key = key_of(facts);
        if self.claims.len() >= CLAIMS_MAX && !self.claims.contains_key(&key) {
            return None;
        }
        self.unlist(&key);
        if let Some(pid) = facts.pid.filter(|_| facts.state != RunState::Exited) {
            self.by_pid.insert((pid, key.clone()), ());
        }
        self.by_id.insert((facts.id.clone(), facts.view.clone()), ());
        let mut kept = facts.clone();
        if self.label_bytes >= RELEVANT_BYTES_MAX {
            kept.keep_labels(Relevance::Decisive);
        } else if self.label_bytes >= LABEL_BYTES_MAX {
            kept.keep_labels(Relevance::Relevant);
        }
        self.texts.share(&mut kept);
        self.label_bytes += kept.label_bytes();
        let kept = Arc::new(kept);
        self.claims.insert(key, Arc::clone(&kept));
        Some(kept)
    }

    pub(crate) fn remove(&mut self, key: &ClaimKey) {
        self.unlist(key);
        self.claims.remove(key);
    }

    pub(crate) fn get(&self, key: &ClaimKey) -> Option<&Arc<ContainerFacts>> {
        self.claims.get(key)
    }

    /// Claims that a process of this pid is their first.
    pub(crate) fn of_pid(&self, pid: u32) -> impl Iterator<Item = &Arc<ContainerFacts>> {
        let from = (pid, (View::default(), Untrusted::default()));
        self.by_pid
            .range(from..)
            .take_while(move |((of, _), ())| *of == pid)
            .filter_map(|((_, key), ())| self.get(key))
    }

    /// Claims of a container by this id, from whichever engine.
    pub(crate) fn of_id(&self, id: &Untrusted) -> impl Iterator<Item = &Arc<ContainerFacts>> {
        let from = (id.clone(), View::default());
        let id = id.clone();
        self.by_id
            .range(from..)
            .take_while(move |((of, _), ())| *of == id)
            .filter_map(|((id, view), ())| self.get(&(view.clone(), id.clone())))
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
        self.label_bytes = self.label_bytes.saturating_sub(known.label_bytes());
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

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(number: usize, prefix: &str) -> ContainerFacts {
        let label =
            |at| (Untrusted::new(&format!("{prefix}{at:02}")), Untrusted::new(&format!("{number:0128}")));
        let mut labels: Vec<_> = (0..60).map(label).collect();
        labels.push(("io.kubernetes.pod.uid".into(), "0b5c".into()));
        ContainerFacts { id: Untrusted::new(&number.to_string()), labels, ..ContainerFacts::default() }
    }

    #[test]
    fn labels_of_all_are_bounded_and_those_that_decide_are_kept() {
        for prefix in ["x", "io.kubernetes."] {
            let mut claims = Claims::default();
            for number in 0..5_000 {
                let kept = claims.put(&facts(number, prefix)).unwrap();
                assert!(kept.label("io.kubernetes.pod.uid").is_some());
                assert_eq!(kept.labels.len() + kept.labels_dropped as usize, 61);
            }
            assert!(claims.label_bytes < RELEVANT_BYTES_MAX + (1 << 20), "{}", claims.label_bytes);
            for number in 0..5_000 {
                claims.remove(&key_of(&facts(number, prefix)));
            }
            assert_eq!(claims.label_bytes, 0);
        }
    }
}
