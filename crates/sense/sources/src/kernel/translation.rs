//! Where first contacts truly go, where the host translates addresses on the way: published ports, masquerade.
//!
//! Not here: the question itself (`conntrack`). One that fails leaves the contact as the socket saw it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use conntrack::Conntrack;
use model::event::{Socket, SocketState};

/// How often it is looked whether the host has begun to track connections.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A line to the host's connection tracking.
#[derive(Debug)]
pub(super) struct Translation {
    /// Network namespace of the host.
    namespace: PathBuf,
    /// A file that is there while connections are tracked.
    sign: Option<PathBuf>,
    line: Option<Conntrack>,
    looked: Option<Instant>,
    problem: Option<String>,
}

impl Translation {
    /// Of the network namespace at that path, `…/proc/1/ns/net`. To ask is to have the kernel load its part for asking: where
    /// nothing is tracked, nothing is translated, and nobody is asked.
    pub(super) fn open(namespace: &Path) -> Self {
        let proc = namespace.ancestors().nth(3);
        let sign = proc.map(|proc| proc.join("sys/net/netfilter/nf_conntrack_max"));
        let mut translation =
            Self { namespace: namespace.to_path_buf(), sign, line: None, looked: None, problem: None };
        translation.look();
        translation
    }

    /// Why addresses are not translated; `None` when they are, or none are.
    pub(super) fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// Tells a first contact where it leads.
    pub(super) fn fill(&mut self, socket: &mut Socket) {
        let Socket { protocol, local, remote, state, .. } = *socket;
        let is_first = matches!(state, SocketState::Connected | SocketState::Accepted);
        if !is_first || remote.ip().is_loopback() {
            return;
        }
        self.look();
        let Some(conntrack) = &mut self.line else { return };
        let answer = match state {
            SocketState::Accepted => conntrack.original(protocol, local, remote),
            _ => conntrack.translated(protocol, local, remote),
        };
        // What connection tracking does not answer is as if nothing were translated.
        socket.translated = answer.ok().flatten();
    }

    fn look(&mut self) {
        let is_due = self.looked.is_none_or(|looked| looked.elapsed() >= LOOK_EVERY);
        if self.line.is_some() || self.problem.is_some() || !is_due {
            return;
        }
        self.looked = Some(Instant::now());
        if !self.sign.as_ref().is_some_and(|sign| sign.exists()) {
            return;
        }
        match Conntrack::open_in(&self.namespace) {
            Ok(line) => self.line = Some(line),
            Err(error) => {
                self.problem = Some(format!("published ports and masquerade are not seen through: {error}"));
            }
        }
    }
}
