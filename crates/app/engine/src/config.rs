//! Settings of the engine and of every room below it; embedded defaults make all of them optional.
//!
//! Not here: reading files, which `cli` does once.

use std::path::PathBuf;

use probes::ProbesConfig;
use serde::{Deserialize, Serialize};
use sources::containers::ContainersConfig;
use sources::engines::EnginesConfig;
use state::CommunicationConfig;
use store::journal::JournalConfig;
use triage::TriageConfig;

use crate::fold::FoldConfig;

/// All settings of a running Tidewatch.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EngineConfig {
    /// Name of this host in events and incidents; empty takes the kernel's host name.
    pub node: String,
    /// Directory below which the host's `/proc` and `/sys` are found: `/`, or a mount of it inside a container.
    pub host_root: PathBuf,
    /// Directories whose file systems containers can fill.
    pub runtime_roots: Vec<String>,
    /// Events that may wait for the fold; more are lost and counted.
    pub queue_events_max: usize,
    /// The container engine.
    pub containers: ContainersConfig,
    /// All other container engines of the host.
    pub engines: EnginesConfig,
    /// The kernel probes.
    pub probes: ProbesConfig,
    /// Weights and the threshold.
    pub triage: TriageConfig,
    /// Who talks to whom.
    pub communication: CommunicationConfig,
    /// The journal of events.
    pub journal: JournalConfig,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            node: String::new(),
            host_root: "/".into(),
            runtime_roots: vec!["/var/lib/docker".into(), "/var/lib/containerd".into()],
            queue_events_max: 65_536,
            containers: ContainersConfig::default(),
            engines: EnginesConfig::default(),
            probes: ProbesConfig::default(),
            triage: TriageConfig::default(),
            communication: CommunicationConfig::default(),
            journal: JournalConfig::default(),
        }
    }
}

impl EngineConfig {
    /// What the core is told of the settings.
    pub fn fold(&self) -> FoldConfig {
        FoldConfig { triage: self.triage.clone(), communication: self.communication.clone() }
    }

    /// Everything that is wrong with the settings, one sentence each.
    pub fn problems(&self) -> Vec<String> {
        let mut problems: Vec<String> =
            self.triage.problem().map(|p| format!("triage: {p}")).into_iter().collect();
        problems.extend(self.communication.problems().into_iter().map(|p| format!("communication: {p}")));
        problems.extend(self.engines.problems().into_iter().map(|p| format!("engines: {p}")));
        if !(1_024..=16_777_216).contains(&self.queue_events_max) {
            problems.push(format!(
                "queue_events_max is {}; it must lie between 1024 and 16777216",
                self.queue_events_max
            ));
        }
        if !self.host_root.is_absolute() {
            problems.push(format!("host_root is {:?}; it must be an absolute path", self.host_root));
        }
        problems
    }
}
