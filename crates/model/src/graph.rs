//! The graph of who talks to whom, as it is shown: nodes, edges, and how each stands.
//!
//! Not here: how it is kept (`state`), and how it is drawn (`report`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::{NodeId, WorkloadKey};
use crate::time::Time;
use crate::traffic::{EdgeKey, Endpoint, Protocol};
use crate::untrusted::Untrusted;

/// How edges are judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Learned, and judged by how new and rare they are.
    #[default]
    Open,
    /// Whatever nobody approved or declared is a finding.
    Locked,
}

/// How an edge stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Somebody approved it after it was learned.
    Approved,
    /// Somebody declared it, or a network policy allows it.
    Expected,
    /// Learned, and nothing was ever held against it.
    Learned,
    /// Not known for long, or unusual when it appeared.
    New,
    /// Outside what is approved or declared.
    Unexpected,
}

impl Standing {
    /// The word used in output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Expected => "expected",
            Self::Learned => "learned",
            Self::New => "new",
            Self::Unexpected => "unexpected",
        }
    }
}

/// One edge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EdgeView {
    /// Who, whom, which service.
    #[serde(flatten)]
    pub key: EdgeKey,
    /// How it stands.
    pub standing: Standing,
    /// When it was first seen.
    pub first: Time,
    /// When it was last seen.
    pub last: Time,
    /// Connections that were made, or spells of packets.
    pub opened: u64,
    /// Connections that could not be made.
    pub failed: u64,
    /// Bytes from the one who opens.
    pub sent_bytes: u64,
    /// Bytes to the one who opens.
    pub received_bytes: u64,
    /// Containers of the workload that use it now.
    pub containers: u32,
    /// The period in seconds at which it comes back, when it does so regularly.
    pub period_seconds: Option<f64>,
    /// Judges that spoke about it in the last day.
    pub judges: Vec<Untrusted>,
}

/// A port that a workload serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerView {
    /// The workload.
    pub workload: Endpoint,
    /// The port; 0 stands for the range that the kernel picks from when a program names none.
    pub port: u16,
    /// Above IP.
    pub protocol: Protocol,
    /// How it stands.
    pub standing: Standing,
    /// When it was first seen.
    pub first: Time,
}

/// The graph at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GraphView {
    /// The host.
    pub node: NodeId,
    /// When.
    pub at: Time,
    /// How edges are judged.
    pub mode: Mode,
    /// Ordered by who opens, then by whom.
    pub edges: Vec<EdgeView>,
    /// Ordered by workload and port.
    pub listeners: Vec<ListenerView>,
    /// Edges that were forgotten to make room for others.
    pub forgotten: u64,
    /// What people call the container of a workload that has just one.
    pub names: BTreeMap<WorkloadKey, Untrusted>,
}
