//! What people said about who may talk to whom.
//!
//! Not here: how they said it (`approvals.rs`, `policy.rs`).

use std::net::IpAddr;

use model::expectation::ExpectationId;
use model::graph::Mode;
use model::identity::Container;
use model::ids::WorkloadKey;
use model::traffic::{EdgeKey, Endpoint};
use model::untrusted::Untrusted;

use crate::State;
use crate::graph::{Asked, Edge, Meeting, Opening};
use crate::policy::{Side, Verdict};

/// What people said about a contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authority {
    /// Its edge was approved after it was learned.
    Approved,
    /// A declaration covers it.
    Expected(ExpectationId),
    /// None does, and one end may talk to nobody else.
    Isolated(ExpectationId),
    /// Nothing.
    Unsaid,
}

impl State {
    /// How edges are judged. Locked begins with the first edge that somebody approved or declared: before, all of them
    /// would be findings, and none could be learned.
    pub fn mode(&self) -> Mode {
        let is_begun = self.approvals.has_edges() || self.policy().iter().next().is_some();
        if is_begun { self.communication().mode } else { Mode::Open }
    }

    /// What people said about a contact.
    pub fn authority(&self, meeting: &Meeting) -> Authority {
        let containers = (Some(&*meeting.container), meeting.other.as_deref());
        let far = Far { address: Some(meeting.address), name: meeting.name.as_ref() };
        self.asked(&meeting.edge, containers, far)
    }

    /// What people said about an edge that was seen.
    pub(crate) fn edge_authority(&self, key: &EdgeKey, edge: &Edge) -> Authority {
        let (own, other) = own_first(key);
        self.asked(key, (self.container_of(own), self.container_of(other)), Far::of(edge))
    }

    /// The declaration that covers how an edge is used, by the container that uses it.
    pub fn expected_use(&self, key: &EdgeKey, container: &Container) -> Option<ExpectationId> {
        let far = self.graph.edge(key).map(Far::of)?;
        let (_, other) = own_first(key);
        let ends = Self::sides(key, (Some(container), self.container_of(other)), far);
        self.policy().expected_use(&ends.0, &ends.1, (key.port, key.protocol), self.now())
    }

    /// The declaration that covers what a container asks about a domain, as if it went there: an edge to port 53.
    pub fn expected_question(&self, key: &EdgeKey, asked: &Asked) -> Option<ExpectationId> {
        let far = Far { address: None, name: Some(&asked.name) };
        let ends = Self::sides(key, (Some(&asked.container), None), far);
        self.policy().expected_use(&ends.0, &ends.1, (key.port, key.protocol), self.now())
    }

    /// Whether somebody approved the edge after it was learned.
    pub fn is_approved_edge(&self, key: &EdgeKey) -> bool {
        self.approvals.has_edge(key)
    }

    fn asked(&self, key: &EdgeKey, containers: Containers<'_>, far: Far<'_>) -> Authority {
        if self.is_approved_edge(key) {
            return Authority::Approved;
        }
        match self.declared(key, containers, far) {
            Verdict::Expected(id) => Authority::Expected(id),
            Verdict::Isolated(id) => Authority::Isolated(id),
            Verdict::Unsaid => Authority::Unsaid,
        }
    }

    fn declared(&self, key: &EdgeKey, containers: Containers<'_>, far: Far<'_>) -> Verdict {
        let (from, to) = Self::sides(key, containers, far);
        self.policy().verdict(&from, &to, (key.port, key.protocol), self.now())
    }

    /// Who opens and who is opened, with what is known of them.
    fn sides<'a>(key: &'a EdgeKey, (own, other): Containers<'a>, far: Far<'a>) -> (Side<'a>, Side<'a>) {
        let (own_end, other_end) = own_first(key);
        let own = Side { container: own, ..Side::named(own_end) };
        let (address, name) = (far.address, far.name.map(|name| name.raw()));
        let other = Side { container: other, address, name, ..Side::named(other_end) };
        if is_workload(&key.from) { (own, other) } else { (other, own) }
    }

    /// One of the running containers of a workload: labels are alike among them.
    fn container_of(&self, end: &Endpoint) -> Option<&Container> {
        let Endpoint::Workload(workload) = end else { return None };
        let mut running = self.accounts().filter(|account| account.is_running());
        running.find(|account| account.workload() == workload).map(|account| account.container())
    }

    /// Whether somebody approved that the workload serves the port.
    pub fn is_approved_listener(&self, opening: &Opening) -> bool {
        self.approvals.has_listener(&opening.workload, opening.listener.port, opening.listener.protocol)
    }

    /// How well a workload's contacts are known, 0 to 1: after the time that the settings give, 0.63.
    pub fn maturity(&self, workload: &WorkloadKey) -> f64 {
        self.graph.maturity(workload, self.now())
    }

    /// Network namespace of the host; `None` before its first process was seen.
    pub fn host_net_ns(&self) -> Option<u32> {
        self.host_net_ns
    }
}

/// The containers of the end whose edge it is, and of the other.
type Containers<'a> = (Option<&'a Container>, Option<&'a Container>);

/// What is known of the other end beside its name in the graph.
#[derive(Clone, Copy)]
struct Far<'a> {
    address: Option<IpAddr>,
    name: Option<&'a Untrusted>,
}

impl<'a> Far<'a> {
    fn of(edge: &'a Edge) -> Self {
        Self { address: edge.address(), name: edge.name() }
    }
}

/// The ends of an edge, the one whose edge it is first: of an edge from elsewhere, the one that is opened.
fn own_first(key: &EdgeKey) -> (&Endpoint, &Endpoint) {
    if is_workload(&key.from) { (&key.from, &key.to) } else { (&key.to, &key.from) }
}

fn is_workload(end: &Endpoint) -> bool {
    matches!(end, Endpoint::Workload(_))
}
