//! Where first contacts truly go, where the host translates addresses on the way: published ports, masquerade.
//!
//! Not here: the question itself (`conntrack`). One that fails leaves the contact as the socket saw it.

use std::fs;
use std::os::unix::fs::MetadataExt;
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
        let opened = match is_ours(&self.namespace) {
            true => Conntrack::open(),
            false => Conntrack::open_in(&self.namespace),
        };
        match opened {
            Ok(line) => self.line = Some(line),
            Err(error) => {
                self.problem = Some(format!("published ports and masquerade are not seen through: {error}"));
            }
        }
    }
}

/// Whether this thread is in that network namespace already, so that it need not enter it. The link itself cannot be read
/// where the first process holds capabilities that we lack; the numbers of the files below `net` differ by namespace.
fn is_ours(namespace: &Path) -> bool {
    let file = |process: &Path| {
        let file = fs::metadata(process.join("net/dev")).ok()?;
        Some((file.dev(), file.ino()))
    };
    let Some(process) = namespace.ancestors().nth(2) else { return false };
    let Some(ours) = process.parent().and_then(|proc| file(&proc.join("thread-self"))) else { return false };
    file(process) == Some(ours)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_namespace_is_ours_only_while_this_thread_is_in_it() {
        let namespace = |pid: u32| PathBuf::from(format!("/proc/{pid}/ns/net"));
        assert!(is_ours(&namespace(std::process::id())));
        // `cat` waits for its input, and says by a line of output that it is in its namespace.
        let mut inside = Command::new("unshare");
        inside.args(["--net", "sh", "-c", "echo; exec cat"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut inside = inside.stderr(Stdio::null()).spawn().unwrap();
        let mut line = [0];
        let is_inside = inside.stdout.as_mut().unwrap().read(&mut line).unwrap() == 1;
        let seen = is_ours(&namespace(inside.id()));
        drop(inside.stdin.take());
        inside.wait().unwrap();
        // Without the right to make one there is no other namespace.
        assert!(!is_inside || !seen);
    }

    #[test]
    fn what_cannot_be_read_is_not_ours() {
        assert!(!is_ours(Path::new("/nonexistent/proc/1/ns/net")));
        assert!(!is_ours(Path::new("net")));
    }
}
