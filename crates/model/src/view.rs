//! Views: who says that a container exists, and what each of them says. None is believed alone; they must tally.
//!
//! Not here: comparing them (`enrich`), and what a disagreement is worth (`detect`).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::authority::{Authority, Executable};
use crate::ids::ProcessKey;
use crate::time::Time;
use crate::untrusted::Untrusted;

/// Most units of systemd told at once; the rest follows in the next event.
pub const UNITS_MAX: usize = 512;

/// What kind of container engine a view is from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineKind {
    /// Docker.
    #[default]
    Docker,
    /// containerd, through its own interface: one view for each of its namespaces.
    Containerd,
    /// Whatever serves the kubelet (the CRI interface of containerd or CRI-O).
    Cri,
    /// Podman, through its interface or its files.
    Podman,
}

impl EngineKind {
    /// The word used in output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Containerd => "containerd",
            Self::Cri => "cri",
            Self::Podman => "podman",
        }
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One engine's account of containers.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct View {
    /// What kind of engine.
    pub engine: EngineKind,
    /// The socket or directory it was read from; empty for the Docker engine that Tidewatch is told to follow.
    #[serde(default, skip_serializing_if = "Untrusted::is_empty")]
    pub place: Untrusted,
    /// containerd's namespace; empty for other engines, and for the engine as a whole.
    #[serde(default, skip_serializing_if = "Untrusted::is_empty")]
    pub namespace: Untrusted,
}

impl View {
    /// The view of an engine at a place.
    pub fn new(engine: EngineKind, place: &str) -> Self {
        Self { engine, place: Untrusted::new(place), namespace: Untrusted::default() }
    }

    /// The same engine's view of one namespace.
    #[must_use]
    pub fn of_namespace(&self, namespace: &Untrusted) -> Self {
        Self { namespace: namespace.clone(), ..self.clone() }
    }

    /// Whether it is the one that events without a view are from.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Whether both are views of one engine.
    pub fn is_of(&self, engine: &Self) -> bool {
        self.engine == engine.engine && self.place == engine.place
    }
}

/// `docker`, `containerd:moby`, `containerd:default at /run/other.sock`.
impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.engine.name())?;
        if !self.namespace.is_empty() {
            write!(f, ":{}", self.namespace)?;
        }
        if !self.place.is_empty() {
            write!(f, " at {}", self.place)?;
        }
        Ok(())
    }
}

/// How an engine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineState {
    /// It is there and answers.
    Answers,
    /// It is there and does not answer: its silence about a container says nothing.
    Silent,
    /// It answers, but not about everything.
    Doubtful,
    /// It is gone: neither a socket nor a process of it is left.
    Gone,
}

/// An engine was found, or how it is has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineSeen {
    /// Its view; of containerd without a namespace.
    pub view: View,
    /// How it is.
    pub state: EngineState,
    /// Why, for people; empty when all is well.
    pub reason: Untrusted,
    /// Its daemon, when there is one and it was found.
    pub process: Option<ProcessKey>,
    /// File that the daemon executes; empty when unknown.
    pub program: Untrusted,
    /// Path of the daemon's cgroup; empty when unknown.
    pub cgroup: Untrusted,
    /// Whether it is where packages of this engine put it.
    pub is_standard: bool,
    /// The engine that runs this one as its part (Docker its containerd), when that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part_of: Option<View>,
    /// Which containers it can have made.
    #[serde(default, skip_serializing_if = "Authority::is_unknown")]
    pub authority: Authority,
    /// The file that its daemon executes; `None` when unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executable: Option<Executable>,
}

/// What systemd says about its units since it last said something; the first time, all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitChange {
    /// Whether systemd manages this host at all.
    pub is_manager: bool,
    /// Units that run now and did not: `nginx.service`, `session-3.scope`; at most [`UNITS_MAX`].
    pub started: Vec<Untrusted>,
    /// Units that no longer run.
    pub ended: Vec<Untrusted>,
}

/// What one view says about one container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It is there.
    Present,
    /// It is not there, though this view would have to know it.
    Denied,
    /// This view need not know it.
    Foreign,
    /// It cannot be asked now.
    Silent,
    /// It has not answered yet.
    #[default]
    Pending,
}

impl Standing {
    /// The word used in output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Denied => "denied",
            Self::Foreign => "-",
            Self::Silent => "silent",
            Self::Pending => "pending",
        }
    }
}

/// Whose account a row of the tally is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Witness {
    /// The kernel: cgroups, namespaces, first processes.
    Kernel,
    /// systemd's list of units.
    Systemd,
    /// An engine.
    Engine(View),
    /// An orchestrator, by what the engines' labels claim and its own lists confirm.
    Orchestrator {
        /// Which: `swarm`, `compose`, `kubernetes`.
        name: Untrusted,
    },
    /// What people approved.
    Policy,
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kernel => f.write_str("kernel"),
            Self::Systemd => f.write_str("systemd"),
            Self::Engine(view) => view.fmt(f),
            Self::Orchestrator { name } => name.fmt(f),
            Self::Policy => f.write_str("policy"),
        }
    }
}

/// What one witness says about one container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Who.
    pub witness: Witness,
    /// Whether it is there.
    pub standing: Standing,
    /// Since when, by this witness; `None` when it does not say.
    pub since: Option<Time>,
    /// In which words: a name, an image, a path.
    pub says: Untrusted,
}

/// What two views disagree about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Disagreement {
    /// Its cgroup is named as an engine names them, and that engine denies it.
    CgroupOfEngine,
    /// Its cgroup is named as systemd names them, and systemd knows no such unit or does not run here.
    CgroupOfUnit,
    /// It lies in a namespace that belongs to an engine or an orchestrator which denies it.
    OwnersNamespace,
    /// It carries the labels of a service or project that the orchestrator denies.
    OrchestratorLabels,
    /// It carries the labels of a pod that the runtime of the kubelet denies.
    PodLabels,
    /// The kernel shows rights that its runtime says it was not given.
    Rights,
}

impl Disagreement {
    /// The word used in output.
    pub fn name(self) -> &'static str {
        match self {
            Self::CgroupOfEngine => "cgroup_of_engine",
            Self::CgroupOfUnit => "cgroup_of_unit",
            Self::OwnersNamespace => "owners_namespace",
            Self::OrchestratorLabels => "orchestrator_labels",
            Self::PodLabels => "pod_labels",
            Self::Rights => "rights",
        }
    }
}

/// Two views that contradict each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contradiction {
    /// About what.
    pub about: Disagreement,
    /// Who claims.
    pub claims: Witness,
    /// Who denies.
    pub denies: Witness,
    /// What is claimed and denied, in one sentence for people. Foreign text in it is already escaped.
    pub sentence: String,
}

/// What all witnesses say about one container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// One row a witness, the kernel first.
    pub rows: Vec<Row>,
    /// Where they contradict each other.
    pub contradictions: Vec<Contradiction>,
}

impl Tally {
    /// Whether nothing contradicts anything.
    pub fn is_whole(&self) -> bool {
        self.contradictions.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::{EngineKind, View};

    #[test]
    fn a_view_is_named_by_engine_namespace_and_place() {
        let docker = View::default();
        let other = View::new(EngineKind::Containerd, "/run/x.sock");
        let shown = [docker.to_string(), other.of_namespace(&"moby".into()).to_string(), other.to_string()];
        assert_eq!(shown, ["docker", "containerd:moby at /run/x.sock", "containerd at /run/x.sock"]);
    }
}
