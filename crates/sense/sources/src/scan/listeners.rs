//! Sockets that already listen when a scan finds their network namespace; later ones are told by the kernel.
//!
//! Not here: the host's own namespace. Of several cgroups in one namespace (a pod), the one of the process that was found
//! first stands for all.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hostfs::process::namespaces;
use hostfs::root::HostRoot;
use hostfs::sockets::{Listener, listening};
use model::coverage::{Loss, Source};
use model::event::{Body, Exec, Socket, SocketState};
use model::ids::{CgroupId, ProcessKey};
use model::untrusted::Untrusted;

use crate::outlet::Outlet;

/// Network namespaces that are remembered as looked at.
const NAMESPACES_MAX: usize = 10_000;
/// Looked at in one go, each at a cost of about 5 ms: the rest waits for the next, half a second later.
const AT_ONCE_MAX: usize = 8;

/// Looks at each network namespace once.
#[derive(Debug)]
pub(super) struct Listeners {
    root: HostRoot,
    host_net: u32,
    /// By the process it was seen through: when that ends, the namespace may, and another get its number.
    looked_at: HashMap<u32, ProcessKey>,
    due: VecDeque<Due>,
    left_out: u64,
}

#[derive(Clone, Copy, Debug)]
struct Due {
    net: u32,
    process: ProcessKey,
    cgroup: CgroupId,
}

impl Listeners {
    /// Nothing was looked at yet.
    pub(super) fn new(root: &HostRoot, host_net: u32) -> Self {
        Self { root: root.clone(), host_net, looked_at: HashMap::new(), due: VecDeque::new(), left_out: 0 }
    }

    /// These processes have ended.
    pub(super) fn forget(&mut self, gone: &[ProcessKey]) {
        if !gone.is_empty() {
            self.looked_at.retain(|_, process| gone.binary_search(process).is_err());
        }
    }

    /// A process was found: its network namespace is due unless it was looked at, or is the host's.
    pub(super) fn note(&mut self, exec: &Exec) {
        let net = exec.namespaces.net;
        if net == self.host_net || self.looked_at.contains_key(&net) {
            return;
        }
        // Beyond the limit a namespace is not remembered, and so not looked at: it is told as lost.
        if self.looked_at.len() >= NAMESPACES_MAX {
            self.left_out += 1;
            return;
        }
        self.looked_at.insert(net, exec.process);
        self.due.push_back(Due { net, process: exec.process, cgroup: exec.cgroup });
    }

    /// Network namespaces that were not looked at because of a limit; grows only.
    pub(super) fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Emits what listens in the namespaces that are due next.
    pub(super) fn tell(&mut self, outlet: &Outlet) {
        let next = self.due.len().min(AT_ONCE_MAX);
        let due: Vec<Due> = self.due.drain(..next).collect();
        for due in due {
            let is_told = self.look_at(due, outlet).is_some();
            // It ended meanwhile: the next process found there stands for the namespace.
            if !is_told && self.looked_at.get(&due.net) == Some(&due.process) {
                self.looked_at.remove(&due.net);
            }
        }
    }

    fn look_at(&self, due: Due, outlet: &Outlet) -> Option<()> {
        let Due { net, process, cgroup } = due;
        let found = listening(&self.root, process.pid).ok()?;
        // Whoever has that pid by now may be somebody else.
        namespaces(&self.root, process.pid).ok().filter(|now| now.net == net)?;
        for listener in &found.listeners {
            outlet.send_now(Source::Scan, Body::Socket(Box::new(socket(listener, cgroup, net))));
        }
        if found.left_out > 0 {
            let stage = Untrusted::new("limit on listening sockets");
            let loss = Loss { source: Source::Scan, cgroup: Some(cgroup), count: found.left_out, stage };
            outlet.send_now(Source::Scan, Body::Lost(loss));
        }
        Some(())
    }
}

fn socket(listener: &Listener, cgroup: CgroupId, net_ns: u32) -> Socket {
    let nobody = match listener.address.ip() {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let socket = Socket::new(cgroup, SocketState::Listening, listener.address, SocketAddr::new(nobody, 0));
    Socket { protocol: listener.protocol, net_ns, ..socket }
}
