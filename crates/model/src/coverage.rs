//! What share of the evidence we could see: sources, their health, what was lost.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::CgroupId;
use crate::time::Time;
use crate::untrusted::Untrusted;

/// Where events come from. `seq` of an event is dense per source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Our BPF programs.
    Kernel,
    /// Scans of `/proc` and of the cgroup tree.
    Scan,
    /// The 1 Hz reading of cgroups.
    Cgroups,
    /// The 1 Hz reading of the host and of the engines' processes and logs.
    Host,
    /// The Docker engine.
    Docker,
    /// People, through the command line.
    Operator,
    /// Tidewatch itself: its clock, its restarts.
    Engine,
    /// containerd daemons, in all their namespaces.
    Containerd,
    /// What serves the kubelet.
    Cri,
    /// Podman.
    Podman,
    /// systemd's list of units.
    Systemd,
}

impl Source {
    /// All sources.
    pub const ALL: [Self; 11] = [
        Self::Kernel,
        Self::Scan,
        Self::Cgroups,
        Self::Host,
        Self::Docker,
        Self::Operator,
        Self::Engine,
        Self::Containerd,
        Self::Cri,
        Self::Podman,
        Self::Systemd,
    ];

    /// The name used in output and in strategies.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Scan => "scan",
            Self::Cgroups => "cgroups",
            Self::Host => "host",
            Self::Docker => "docker",
            Self::Operator => "operator",
            Self::Engine => "engine",
            Self::Containerd => "containerd",
            Self::Cri => "cri",
            Self::Podman => "podman",
            Self::Systemd => "systemd",
        }
    }

    /// The source of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.name() == name)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Whether a source can be relied on now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Works.
    Up,
    /// Works in part; the reason says what is missing.
    Degraded,
    /// Gives nothing.
    Down,
    /// Not there on this host and not needed (no Docker installed, say).
    Absent,
}

/// A source tells how it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceReport {
    /// Which source.
    pub source: Source,
    /// How it is.
    pub health: Health,
    /// What is missing and why, for people; empty when all is well.
    pub reason: Untrusted,
}

/// Events that a source knows it lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// Which source lost them.
    pub source: Source,
    /// The cgroup they were about, when known.
    pub cgroup: Option<CgroupId>,
    /// How many.
    pub count: u64,
    /// Where: `budget`, `ring buffer`, `queue`.
    pub stage: Untrusted,
}

/// A source that could not be relied on, from when on, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blind {
    /// Which source.
    pub source: Source,
    /// How it is.
    pub health: Health,
    /// Since when.
    pub since: Time,
    /// Until when; `None` while it lasts.
    pub until: Option<Time>,
    /// Why.
    pub reason: Untrusted,
}

/// Events that were lost about one cgroup, or at one stage where no cgroup is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostEvents {
    /// Which source lost them.
    pub source: Source,
    /// The container's name, or the number of the cgroup; empty when it is not known.
    pub about: Untrusted,
    /// Where: `budget`, `ring buffer`, `queue`.
    pub stage: Untrusted,
    /// How many.
    pub count: u64,
    /// When the first of them were reported.
    pub since: Time,
    /// When the last of them were reported.
    pub until: Time,
}

/// Most entries of [`Coverage::lost`]: the heaviest losses.
pub const LOST_SHOWN_MAX: usize = 8;

/// What a finding or an incident could not see.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// Sources that worked.
    pub seen: Vec<Source>,
    /// Sources that did not, or not wholly, and gaps of the last hour.
    pub blind: Vec<Blind>,
    /// Events lost in all since the start.
    pub lost_events: u64,
    /// The heaviest losses of the last hour.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<LostEvents>,
}

impl Coverage {
    /// Whether nothing needed was missing.
    pub fn is_whole(&self) -> bool {
        self.blind.is_empty() && self.lost_events == 0
    }
}
