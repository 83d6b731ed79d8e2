//! Ports that workloads serve.
//!
//! Not here: who connects to them, and ports that only the container itself can reach.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::event::Socket;
use model::identity::Container;
use model::ids::{CgroupId, WorkloadKey};
use model::time::Time;
use model::traffic::Protocol;
use serde::{Deserialize, Serialize};

/// From this port on the kernel picks by itself (`net.ipv4.ip_local_port_range` as it is by default).
const PICKED_FROM: u16 = 32_768;
/// Most ports told apart of one workload, and workloads.
const PORTS_MAX: usize = 256;
const WORKLOADS_MAX: usize = 4_096;
/// Most ports that wait for the facts of their containers.
const WAITING_MAX: usize = 1_024;

/// A port that a workload serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// The port; 0 stands for those that the kernel picks.
    pub port: u16,
    /// Above IP.
    pub protocol: Protocol,
    /// When it was first seen.
    pub first: Time,
    /// When it was last opened.
    pub last: Time,
}

/// Somebody began to serve a port.
#[derive(Clone, Debug)]
pub struct Opening {
    /// Who.
    pub container: Arc<Container>,
    /// Its workload.
    pub workload: WorkloadKey,
    /// The port as it is; the listener has 0 for those that the kernel picks.
    pub port: u16,
    /// How it is kept.
    pub listener: Listener,
    /// Whether the workload never served it before.
    pub is_new: bool,
    /// Other ports that the workload serves.
    pub others: usize,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Listeners {
    #[serde(with = "model::pairs")]
    served: BTreeMap<WorkloadKey, BTreeMap<u16, Vec<Listener>>>,
    /// Of containers whose facts are not settled.
    waiting: Vec<(CgroupId, Time, Socket)>,
}

impl Listeners {
    pub(super) fn iter(&self) -> impl Iterator<Item = (&WorkloadKey, &Listener)> {
        self.served
            .iter()
            .flat_map(|(workload, ports)| ports.values().flatten().map(move |it| (workload, it)))
    }

    /// Keeps what a container listens on until its facts are settled; of very many the first go.
    pub(super) fn wait(&mut self, cgroup: CgroupId, socket: &Socket, at: Time) {
        if self.waiting.len() >= WAITING_MAX {
            self.waiting.remove(0);
        }
        self.waiting.push((cgroup, at, socket.clone()));
    }

    /// What waited for a container's facts, in order.
    pub(super) fn awaited(&mut self, settled: CgroupId) -> Vec<(Time, Socket)> {
        let (of_it, others) =
            std::mem::take(&mut self.waiting).into_iter().partition(|(cgroup, ..)| *cgroup == settled);
        self.waiting = others;
        let of_it: Vec<(CgroupId, Time, Socket)> = of_it;
        of_it.into_iter().map(|(_, at, socket)| (at, socket)).collect()
    }

    pub(super) fn open(&mut self, socket: &Socket, container: &Arc<Container>, at: Time) -> Option<Opening> {
        let workload = container.workload();
        if self.served.len() >= WORKLOADS_MAX && !self.served.contains_key(&workload) {
            return None;
        }
        let port = Some(socket.local.port()).filter(|port| *port < PICKED_FROM).unwrap_or(0);
        let ports = self.served.entry(workload.clone()).or_default();
        let others = ports.len();
        if others >= PORTS_MAX && !ports.contains_key(&port) {
            return None;
        }
        let served = ports.entry(port).or_default();
        let known = served.iter_mut().find(|known| known.protocol == socket.protocol);
        let is_new = known.is_none();
        let listener = match known {
            Some(known) => {
                known.last = at;
                known.clone()
            }
            None => {
                let new = Listener { port, protocol: socket.protocol, first: at, last: at };
                served.push(new.clone());
                new
            }
        };
        Some(Opening {
            container: Arc::clone(container),
            workload,
            port: socket.local.port(),
            listener,
            is_new,
            others,
        })
    }
}
