//! What people declared about who may talk to whom: the edges they expect, and those who are to talk to nobody else.
//!
//! As network policies are meant: declarations add up and none forbids; whoever is named by one that speaks of a
//! direction is isolated in it. Not here: edges that were learned and approved (`approvals.rs`), and any claim.

mod index;

mod pattern;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::IpAddr;

use model::expectation::{EXPECTATIONS_MAX, EdgePattern, Expectation, ExpectationId, Expected};
use model::identity::Container;
use model::ids::WorkloadKey;
use model::runtime::ContainerFacts;
use model::time::Time;
use model::traffic::{Direction, Endpoint, Protocol};
use serde::{Deserialize, Serialize};

use crate::policy::index::{Found, Index};
use crate::policy::pattern::{NAMESPACE_LABEL, Pattern, network};

/// One end of a contact, as far as it is known.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    /// As people speak of it.
    pub endpoint: &'a Endpoint,
    /// The container, when it is one of this host.
    pub container: Option<&'a Container>,
    /// Its address.
    pub address: Option<IpAddr>,
    /// The name that it was looked up by.
    pub name: Option<&'a str>,
}

/// What people declared about a contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Somebody declared that it is fine.
    Expected(ExpectationId),
    /// Somebody declared that one of its ends talks to nobody else.
    Isolated(ExpectationId),
    /// Nobody declared anything about it.
    Unsaid,
}

/// All declared edges and isolations. At most [`EXPECTATIONS_MAX`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "BTreeMap<ExpectationId, Expectation>", into = "BTreeMap<ExpectationId, Expectation>")]
pub struct Policy {
    given: BTreeMap<ExpectationId, Expectation>,
    edges: Index<Edge>,
    alone: Index<Alone>,
}

/// A declared edge, compiled.
#[derive(Clone, Debug)]
struct Edge {
    from: Pattern,
    to: Pattern,
    ports: Option<(u16, u16)>,
    protocol: Option<Protocol>,
    side: Option<Direction>,
    expires: Option<Time>,
}

/// Who is to talk to nobody else, compiled.
#[derive(Clone, Debug)]
struct Alone {
    who: Pattern,
    direction: Direction,
    expires: Option<Time>,
}

/// A contact that is asked about.
struct Contact<'a> {
    from: &'a Side<'a>,
    to: &'a Side<'a>,
    port: u16,
    protocol: Protocol,
    now: Time,
}

/// What gives leave for a contact.
#[derive(Default)]
struct Leaves<'a> {
    /// For both ends.
    both: Option<&'a ExpectationId>,
    /// For the one who opens.
    out: Option<&'a ExpectationId>,
    /// For the one who is opened.
    into: Option<&'a ExpectationId>,
}

impl From<BTreeMap<ExpectationId, Expectation>> for Policy {
    fn from(given: BTreeMap<ExpectationId, Expectation>) -> Self {
        let mut policy = Self::default();
        given.values().for_each(|expectation| policy.add(expectation));
        policy
    }
}

impl From<Policy> for BTreeMap<ExpectationId, Expectation> {
    fn from(policy: Policy) -> Self {
        policy.given
    }
}

impl Policy {
    /// Takes in what was declared; what is not about edges is left alone, and so is what exceeds the limit.
    pub fn add(&mut self, expectation: &Expectation) {
        if !matches!(expectation.subject, Expected::Edge(_) | Expected::NothingElse { .. }) {
            return;
        }
        self.remove(&expectation.id);
        if self.given.len() >= EXPECTATIONS_MAX {
            return;
        }
        let (id, expires) = (&expectation.id, expectation.expires);
        match &expectation.subject {
            Expected::Edge(edge) => self.edges.add(id, Edge::new(edge, expires)),
            Expected::NothingElse { who, direction } => {
                let who = Pattern::new(who);
                self.alone.add(id, Alone { who, direction: *direction, expires });
            }
            Expected::Image { .. } | Expected::Workload { .. } => {}
        }
        self.given.insert(id.clone(), expectation.clone());
    }

    /// Takes back what was declared.
    pub fn remove(&mut self, id: &ExpectationId) {
        if self.given.remove(id).is_some() {
            self.edges.remove(id);
            self.alone.remove(id);
        }
    }

    /// What was declared, expired or not, ordered by name.
    pub fn iter(&self) -> impl Iterator<Item = &Expectation> {
        self.given.values()
    }

    /// What people declared about a contact with a service (port and protocol; port 0 where there are none).
    ///
    /// Each end is asked on its own, as with network policies: an isolated end needs leave of its own, the one who opens for
    /// going out, the one who is opened for being reached. An edge that a person declared is the leave of both. No
    /// isolation speaks of the host: no network policy can keep a node from its own pods, nor them from it; nor does
    /// any speak of a container that talks to itself.
    pub fn verdict(
        &self,
        from: &Side<'_>,
        to: &Side<'_>,
        (port, protocol): (u16, Protocol),
        now: Time,
    ) -> Verdict {
        let contact = Contact { from, to, port, protocol, now };
        let Leaves { both, out, into } = self.leaves(&contact);
        if let Some(id) = both {
            return Verdict::Expected(id.clone());
        }
        let isolated = |leave: Option<&ExpectationId>, direction| match leave {
            Some(_) => None,
            None => self.isolation(&contact, direction),
        };
        match isolated(out, Direction::Out).or_else(|| isolated(into, Direction::In)) {
            Some(id) => Verdict::Isolated(id.clone()),
            None => out.or(into).map_or(Verdict::Unsaid, |id| Verdict::Expected(id.clone())),
        }
    }

    /// The first edge, by name, that a person declared between two that are named, of those that cover a contact: whoever
    /// declares it knows what goes on over it. That a network policy lets somebody out, or a declaration to anybody, says
    /// nothing about how that is used.
    pub fn expected_use(
        &self,
        from: &Side<'_>,
        to: &Side<'_>,
        (port, protocol): (u16, Protocol),
        now: Time,
    ) -> Option<ExpectationId> {
        let contact = Contact { from, to, port, protocol, now };
        let found = Found::among(&self.edges, [from, to]);
        found.first(|edge| edge.side.is_none() && edge.to.is_somebody() && edge.covers(&contact)).cloned()
    }

    /// The first declared edges, by name, that cover a contact.
    fn leaves(&self, contact: &Contact<'_>) -> Leaves<'_> {
        let mut leaves = Leaves::default();
        for (id, edge) in Found::among(&self.edges, [contact.from, contact.to]).iter() {
            let leave = match edge.side {
                None => &mut leaves.both,
                Some(Direction::Out) => &mut leaves.out,
                Some(Direction::In) => &mut leaves.into,
            };
            if leave.is_none_or(|first| id < first) && edge.covers(contact) {
                *leave = Some(id);
            }
        }
        leaves
    }

    fn isolation(&self, contact: &Contact<'_>, direction: Direction) -> Option<&ExpectationId> {
        let (own, other) = match direction {
            Direction::Out => (contact.from, contact.to),
            Direction::In => (contact.to, contact.from),
        };
        if own.workload().is_none() || *other.endpoint == Endpoint::Host || own.is_same_container(other) {
            return None;
        }
        let found = Found::among(&self.alone, [own]);
        found.first(|alone| {
            alone.direction == direction && holds(alone.expires, contact.now) && alone.who.covers(own)
        })
    }
}

impl Edge {
    fn new(edge: &EdgePattern, expires: Option<Time>) -> Self {
        let EdgePattern { from, to, ports, protocol, side } = edge;
        let (from, to) = (Pattern::new(from), Pattern::new(to));
        Self { from, to, ports: *ports, protocol: *protocol, side: *side, expires }
    }

    /// What costs least is asked first.
    fn covers(&self, contact: &Contact<'_>) -> bool {
        self.ports.is_none_or(|(low, high)| (low..=high).contains(&contact.port))
            && self.protocol.is_none_or(|protocol| protocol == contact.protocol)
            && holds(self.expires, contact.now)
            && self.to.may_cover(contact.to)
            && self.from.may_cover(contact.from)
            && self.to.covers(contact.to)
            && self.from.covers(contact.from)
    }
}

impl<'a> Side<'a> {
    /// An end of which no more is known than what people call it.
    pub fn named(endpoint: &'a Endpoint) -> Self {
        Self { endpoint, container: None, address: None, name: None }
    }

    fn workload(&self) -> Option<&'a WorkloadKey> {
        match self.endpoint {
            Endpoint::Workload(workload) => Some(workload),
            _ => None,
        }
    }

    fn facts(&self) -> Option<&'a ContainerFacts> {
        self.container?.facts.known().map(AsRef::as_ref)
    }

    fn namespace(&self) -> Option<&'a str> {
        Some(self.facts()?.label(NAMESPACE_LABEL)?.raw())
    }

    /// The name it was looked up by; else the registered domain it is known by.
    fn domain(&self) -> Option<&'a str> {
        let known = match self.endpoint {
            Endpoint::Outside(name) => Some(name.raw()).filter(|name| network(name).is_none()),
            _ => None,
        };
        self.name.or(known)
    }

    fn is_same_container(&self, other: &Side<'_>) -> bool {
        self.container.is_some_and(|own| other.container.is_some_and(|other| own.key == other.key))
    }
}

fn holds(expires: Option<Time>, now: Time) -> bool {
    expires.is_none_or(|expires| now < expires)
}
