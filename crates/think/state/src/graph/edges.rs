//! All edges: by who talks to whom, and by the flow that goes over them.
//!
//! Most of what comes is the next reading of a flow that is known: it finds its edge without its ends being spelled out.
//! Not here: which edges make room for others.

use std::collections::BTreeMap;
use std::sync::Arc;

use foldhash::HashMap;
use model::identity::Container;
use model::ids::CgroupId;
use model::traffic::{EdgeKey, FlowKey, Peer, Talk};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use slab::Slab;

use crate::graph::edge::Edge;

/// Most flows whose edges are remembered; when there are more it begins anew.
const ROUTES_MAX: usize = 32_768;

/// Edges by key and by number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Edges {
    numbers: BTreeMap<Arc<EdgeKey>, usize>,
    slots: Slab<(Arc<EdgeKey>, Edge)>,
    /// Never in a checkpoint: what it holds follows from the edges and what comes.
    routes: HashMap<(CgroupId, FlowKey), Route>,
}

/// Over which edge a flow went, and between whom it did.
#[derive(Clone, Debug)]
struct Route {
    container: Arc<Container>,
    peer: Peer,
    number: usize,
}

impl Edges {
    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    pub(super) fn number(&self, key: &EdgeKey) -> Option<usize> {
        self.numbers.get(key).copied()
    }

    pub(super) fn get(&self, key: &EdgeKey) -> Option<&Edge> {
        let (_, edge) = self.slots.get(self.number(key)?)?;
        Some(edge)
    }

    pub(super) fn edge_mut(&mut self, key: &EdgeKey) -> Option<&mut Edge> {
        let number = self.number(key)?;
        self.numbered(number).map(|(_, edge)| edge)
    }

    pub(super) fn numbered(&mut self, number: usize) -> Option<(&Arc<EdgeKey>, &mut Edge)> {
        self.slots.get_mut(number).map(|(key, edge)| (&*key, edge))
    }

    /// All of them, ordered by who opens.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Arc<EdgeKey>, &Edge)> {
        self.numbers.values().filter_map(|number| self.slots.get(*number)).map(|(key, edge)| (key, edge))
    }

    /// Keys from this one on, in order.
    pub(super) fn keys_from(&self, first: EdgeKey) -> impl Iterator<Item = &Arc<EdgeKey>> {
        self.numbers.range(Arc::new(first)..).map(|(key, _)| key)
    }

    /// Adds an edge that is not there yet.
    pub(super) fn add(&mut self, key: Arc<EdgeKey>, edge: Edge) -> usize {
        let number = self.slots.insert((Arc::clone(&key), edge));
        self.numbers.insert(key, number);
        number
    }

    pub(super) fn remove(&mut self, key: &EdgeKey) {
        if let Some(number) = self.numbers.remove(key) {
            self.slots.remove(number);
            // The number will be given to another edge.
            self.routes.clear();
        }
    }

    /// The edge of a flow that went between the same two before.
    pub(super) fn routed(&self, talk: &Talk) -> Option<usize> {
        let route = self.routes.get(&place(talk))?;
        (Arc::ptr_eq(&route.container, &talk.container) && is_same(&route.peer, &talk.peer))
            .then_some(route.number)
    }

    /// Remembers over which edge something went.
    pub(super) fn route(&mut self, talk: &Talk, number: usize) {
        if self.routes.len() >= ROUTES_MAX {
            self.routes.clear();
        }
        let (container, peer) = (Arc::clone(&talk.container), talk.peer.clone());
        self.routes.insert(place(talk), Route { container, peer, number });
    }
}

fn place(talk: &Talk) -> (CgroupId, FlowKey) {
    (talk.container.key.cgroup, talk.key)
}

/// Whether it is the same other end, as far as that is cheap to tell: a container of which more became known is another.
fn is_same(one: &Peer, other: &Peer) -> bool {
    match (one, other) {
        (Peer::Container(one), Peer::Container(other)) => Arc::ptr_eq(one, other),
        (Peer::Container(_), _) | (_, Peer::Container(_)) => false,
        _ => one == other,
    }
}

impl Serialize for Edges {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(|(key, edge)| (&**key, edge)))
    }
}

impl<'de> Deserialize<'de> for Edges {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let pairs = BTreeMap::from_iter(Vec::<(EdgeKey, Edge)>::deserialize(deserializer)?);
        let mut edges = Self::default();
        for (key, edge) in pairs {
            edges.add(Arc::new(key), edge);
        }
        Ok(edges)
    }
}
