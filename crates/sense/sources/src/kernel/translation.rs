//! Where first contacts truly go, where the host translates addresses on the way: published ports, masquerade.
//!
//! Not here: the question itself (`conntrack`). One that fails leaves the contact as the socket saw it.

use std::path::Path;

use conntrack::Conntrack;
use model::event::{Socket, SocketState};

/// A line to the host's connection tracking, or why there is none.
#[derive(Debug)]
pub(super) struct Translation(Result<Conntrack, String>);

impl Translation {
    /// Of the network namespace at that path.
    pub(super) fn open(namespace: &Path) -> Self {
        Self(Conntrack::open_in(namespace).map_err(|error| error.to_string()))
    }

    /// Why addresses are not translated; `None` when they are.
    pub(super) fn problem(&self) -> Option<String> {
        let reason = self.0.as_ref().err()?;
        Some(format!("published ports and masquerade are not seen through: {reason}"))
    }

    /// Tells a first contact where it leads.
    pub(super) fn fill(&mut self, socket: &mut Socket) {
        let Ok(conntrack) = &mut self.0 else { return };
        let Socket { protocol, local, remote, .. } = *socket;
        if remote.ip().is_loopback() {
            return;
        }
        let answer = match socket.state {
            SocketState::Connected => conntrack.translated(protocol, local, remote),
            SocketState::Accepted => conntrack.original(protocol, local, remote),
            SocketState::Failed | SocketState::Closed | SocketState::Listening => return,
        };
        // What connection tracking does not answer is as if nothing were translated.
        socket.translated = answer.ok().flatten();
    }
}
