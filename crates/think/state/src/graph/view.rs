//! The graph as it is shown.
//!
//! Not here: how it is drawn (`report`).

use std::collections::BTreeMap;
use std::time::Duration;

use model::graph::{EdgeView, GraphView, ListenerView, Mode, Standing};
use model::identity::Container;
use model::ids::{NodeId, WorkloadKey};
use model::traffic::{EdgeKey, Endpoint};
use model::untrusted::Untrusted;

use crate::graph::{Edge, Listener};
use crate::{Authority, State};

/// How long an edge is new, if its workload was watched for as long before it came.
const NEW_FOR: Duration = Duration::from_secs(3_600);
const WATCHED_MIN: Duration = Duration::from_secs(600);

impl State {
    /// Who talks to whom, as of the latest event; `containers` are those that run.
    pub fn graph_view<'a>(
        &self,
        node: &NodeId,
        containers: impl Iterator<Item = &'a Container>,
    ) -> GraphView {
        let edges = self.graph.edges().map(|(key, edge)| self.edge_view(key, edge));
        let listeners = self.graph.listeners().map(|(workload, listener)| ListenerView {
            workload: Endpoint::Workload(workload.clone()),
            port: listener.port,
            protocol: listener.protocol,
            standing: self.listener_standing(workload, listener),
            first: listener.first,
        });
        GraphView {
            node: node.clone(),
            at: self.now(),
            mode: self.mode(),
            edges: edges.collect(),
            listeners: listeners.collect(),
            forgotten: self.graph.forgotten(),
            names: names(containers),
        }
    }

    fn edge_view(&self, key: &EdgeKey, edge: &Edge) -> EdgeView {
        let regularity = edge.rhythm().and_then(|rhythm| rhythm.regularity()).filter(|it| it.is_beacon());
        let counts = edge.counts();
        EdgeView {
            key: key.clone(),
            standing: self.edge_standing(key, edge),
            first: edge.first(),
            last: edge.last(),
            opened: counts.opened,
            failed: counts.failed,
            sent_bytes: counts.sent_bytes,
            received_bytes: counts.received_bytes,
            containers: u32::try_from(edge.users().len()).unwrap_or(u32::MAX),
            period_seconds: regularity.map(|it| it.period_seconds),
            judges: edge.judges().map(Untrusted::new).collect(),
        }
    }

    fn edge_standing(&self, key: &EdgeKey, edge: &Edge) -> Standing {
        match self.edge_authority(key, edge) {
            Authority::Approved => Standing::Approved,
            Authority::Expected(_) => Standing::Expected,
            Authority::Isolated(_) => Standing::Unexpected,
            Authority::Unsaid if self.mode() == Mode::Locked => Standing::Unexpected,
            Authority::Unsaid if edge.judges().next().is_some() || self.is_new(key, edge) => Standing::New,
            Authority::Unsaid => Standing::Learned,
        }
    }

    fn is_new(&self, key: &EdgeKey, edge: &Edge) -> bool {
        let ((Endpoint::Workload(workload), _) | (_, Endpoint::Workload(workload))) = (&key.from, &key.to)
        else {
            return false;
        };
        let watched = self.graph.watched_since(workload);
        let was_watched = watched.is_some_and(|since| edge.first().since(since) >= WATCHED_MIN);
        was_watched && self.now().since(edge.first()) < NEW_FOR
    }

    fn listener_standing(&self, workload: &WorkloadKey, listener: &Listener) -> Standing {
        if self.approvals.has_listener(workload, listener.port, listener.protocol) {
            return Standing::Approved;
        }
        let watched = self.graph.watched_since(workload);
        let was_watched = watched.is_some_and(|since| listener.first.since(since) >= WATCHED_MIN);
        match self.mode() {
            Mode::Locked => Standing::Unexpected,
            Mode::Open if was_watched && self.now().since(listener.first) < NEW_FOR => Standing::New,
            Mode::Open => Standing::Learned,
        }
    }
}

/// The names of containers that are the only ones of their workload.
fn names<'a>(containers: impl Iterator<Item = &'a Container>) -> BTreeMap<WorkloadKey, Untrusted> {
    let mut names: BTreeMap<WorkloadKey, Vec<&Untrusted>> = BTreeMap::new();
    for container in containers.filter(|it| it.ended.is_none()) {
        names.entry(container.workload()).or_default().push(container.name());
    }
    let only = |(workload, names): (_, Vec<&Untrusted>)| match names[..] {
        [name] => Some((workload, name.clone())),
        _ => None,
    };
    names.into_iter().filter_map(only).collect()
}
