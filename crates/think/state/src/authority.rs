//! What people said about who may talk to whom.
//!
//! Not here: how they said it (`approvals.rs`, `policy.rs`).

use std::net::IpAddr;

use model::expectation::ExpectationId;
use model::graph::Mode;
use model::identity::Container;
use model::ids::WorkloadKey;
use model::traffic::EdgeKey;

use crate::State;
use crate::graph::{Edge, Meeting, Opening};

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
    /// How edges are judged.
    pub fn mode(&self) -> Mode {
        Mode::Open
    }

    /// What people said about a contact.
    pub fn authority(&self, meeting: &Meeting) -> Authority {
        if self.approvals.has_edge(&meeting.edge) {
            return Authority::Approved;
        }
        Authority::Unsaid
    }

    /// What people said about an edge that was seen.
    pub(crate) fn edge_authority(&self, key: &EdgeKey, _edge: &Edge) -> Authority {
        if self.approvals.has_edge(key) { Authority::Approved } else { Authority::Unsaid }
    }

    /// The declaration that covers an edge, by the container that uses it and the address that answers.
    pub fn expected_by(
        &self,
        _edge: &EdgeKey,
        _container: &Container,
        _address: Option<IpAddr>,
    ) -> Option<ExpectationId> {
        None
    }

    /// Whether somebody approved that the workload serves the port.
    pub fn is_approved_listener(&self, opening: &Opening) -> bool {
        self.approvals.has_listener(&opening.workload, opening.listener.port, opening.listener.protocol)
    }

    /// How well a workload's contacts are known, 0 to 1: a day of watching makes 0.63.
    pub fn maturity(&self, workload: &WorkloadKey) -> f64 {
        let since = self.graph.watched_since(workload);
        since.map_or(0.0, |since| crate::traffic::novelty::maturity(self.now.since(since)))
    }

    /// Network namespace of the host; `None` before its first process was seen.
    pub fn host_net_ns(&self) -> Option<u32> {
        self.host_net_ns
    }
}
