//! What an observation tells the graph.
//!
//! Not here: what the graph makes of it (`graph.rs`).

use model::event::{Body, SocketState};
use model::finding::Finding;
use model::identity::{News, Observation};
use model::time::Time;

use crate::State;

impl State {
    /// What went on between containers and others.
    pub(crate) fn follow_traffic(&mut self, seen: &Observation) {
        let at = seen.event.time;
        self.graph.begin_step();
        for talk in &seen.identity.talks {
            self.graph.take(talk);
        }
        for news in &seen.identity.news {
            if let News::Settled(container) = news {
                self.graph.settled(container, at);
            }
        }
        let container = seen.identity.container.as_ref();
        match (&seen.event.body, container) {
            (Body::Socket(socket), Some(container)) if socket.state == SocketState::Listening => {
                self.graph.listens(socket, container, at);
            }
            (Body::Dns(message), Some(container)) => {
                if let Some(account) = self.ledger.account(container.key.cgroup) {
                    self.graph.asks(message, (container, account.workload()), at);
                }
            }
            (Body::Tick, _) => self.graph.time_passes(at),
            _ => {}
        }
        self.follow_outflow(&seen.identity.news, at);
    }

    /// What judges found about edges marks them.
    pub(crate) fn note_edges(&mut self, findings: &[Finding], now: Time) {
        for finding in findings {
            if let Some(edge) = &finding.edge {
                self.graph.note(edge, &finding.judge, now);
            }
        }
    }
}
