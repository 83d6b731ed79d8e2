//! Sockets that already listen when a scan finds their network namespace; later ones are told by the kernel.
//!
//! Not here: the host's own namespace. Of several cgroups in one namespace (a pod), the one of the process that was found
//! first stands for all.

use std::collections::HashMap;
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

/// Looks at each network namespace once.
#[derive(Debug)]
pub(super) struct Listeners {
    root: HostRoot,
    host_net: u32,
    /// By the process it was seen through: when that ends, the namespace may, and another get its number.
    looked_at: HashMap<u32, ProcessKey>,
    due: Vec<Due>,
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
        Self { root: root.clone(), host_net, looked_at: HashMap::new(), due: Vec::new() }
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
        self.due.push(Due { net, process: exec.process, cgroup: exec.cgroup });
        if self.looked_at.len() < NAMESPACES_MAX {
            self.looked_at.insert(net, exec.process);
        }
    }

    /// Emits what listens in the namespaces that are due.
    pub(super) fn tell(&mut self, outlet: &Outlet) {
        for due in std::mem::take(&mut self.due) {
            if self.look_at(due, outlet).is_none() {
                // It ended meanwhile: the next process found there stands for the namespace.
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
