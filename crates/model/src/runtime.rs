//! What a container runtime claims about a container.
//!
//! Claims, not truth: names, labels and images are chosen by whoever starts a container.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::labels::Relevance;
use crate::privilege::Privileges;
use crate::time::Time;
use crate::traffic::Protocol;
use crate::untrusted::Untrusted;
use crate::view::{Standing, View};

/// Most labels kept of one container; the rest is counted in [`ContainerFacts::labels_dropped`].
pub const LABELS_MAX: usize = 64;

/// Most bytes of all labels of one container, keys and values.
pub const LABEL_BYTES_MAX: usize = 10 * 1024;

/// Most addresses kept of one container.
pub const ADDRESSES_MAX: usize = 16;

/// Most published ports kept of one container.
pub const PORTS_MAX: usize = 64;

/// Most digests kept of one image.
pub const DIGESTS_MAX: usize = 16;

/// Life of a container as its runtime tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Made, not started.
    #[default]
    Created,
    /// Has a running process.
    Running,
    /// Frozen.
    Paused,
    /// Being restarted.
    Restarting,
    /// Ended.
    Exited,
}

/// The facts a runtime tells about one container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerFacts {
    /// Which engine says so.
    #[serde(default, skip_serializing_if = "View::is_default")]
    pub view: View,
    /// The runtime's id (64 hexadecimal digits for Docker).
    pub id: Untrusted,
    /// Name without Docker's leading slash.
    pub name: Untrusted,
    /// Image as it was asked for: `busybox`, `registry.example/app:1.2`.
    pub image: Untrusted,
    /// Content digest of the image configuration (`sha256:…`), which no re-tagging changes.
    pub digest: Untrusted,
    /// Entry point and arguments, space separated.
    pub command: Untrusted,
    /// Labels, sorted by key, at most [`LABELS_MAX`] in [`LABEL_BYTES_MAX`]; those that say whose it is are kept first.
    pub labels: Vec<(Untrusted, Untrusted)>,
    /// Labels that did not fit.
    pub labels_dropped: u32,
    /// First process in the host's pid namespace; `None` when it does not run.
    pub pid: Option<u32>,
    /// Where it is in its life.
    pub state: RunState,
    /// When it was made.
    pub created: Option<Time>,
    /// When it was last started.
    pub started: Option<Time>,
    /// Log driver: `json-file`, `journald`, `none`, …
    pub log_driver: Untrusted,
    /// Log file on the host, when the driver has one.
    pub log_path: Option<Untrusted>,
    /// How it is joined to networks: `bridge`, a network's name, `host`, `none`, `container:` and another one's id.
    #[serde(default, skip_serializing_if = "Untrusted::is_empty")]
    pub network_mode: Untrusted,
    /// Its addresses, at most [`ADDRESSES_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
    /// Its ports that the host forwards to, at most [`PORTS_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub published: Vec<PublishedPort>,
    /// What else is told of its image.
    #[serde(default, skip_serializing_if = "ImageFacts::is_empty")]
    pub image_facts: ImageFacts,
    /// What the engine says it may do to the host; `None` when the engine does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub privileges: Option<Box<Privileges>>,
    /// The command that the engine runs in it to see whether it works, space separated; empty when none is declared.
    #[serde(default, skip_serializing_if = "Untrusted::is_empty")]
    pub health_check: Untrusted,
    /// Its root directory or bundle on the host; empty when not told.
    #[serde(default, skip_serializing_if = "Untrusted::is_empty")]
    pub root: Untrusted,
    /// The cgroup that the engine says it is in; empty when not told.
    #[serde(default, skip_serializing_if = "Untrusted::is_empty")]
    pub cgroup: Untrusted,
    /// What the orchestrator says that its labels name; `None` when they name none that can be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orchestrated: Option<Orchestrated>,
}

/// An orchestrator's word on a container that carries its labels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orchestrated {
    /// Which: `swarm`, `kubernetes`.
    pub name: Untrusted,
    /// Whether it has placed this container here; `Silent` when it cannot be asked.
    pub standing: Standing,
    /// Why, for people.
    pub reason: Untrusted,
    /// From whom its agent on this host has the order.
    #[serde(default, skip_serializing_if = "OrderedBy::is_untold")]
    pub ordered_by: OrderedBy,
}

/// From whom an orchestrator's agent on a host has the order to run something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderedBy {
    /// It is not told.
    #[default]
    Untold,
    /// The orchestrator.
    Orchestrator,
    /// A file on this host: a static pod.
    HostFile,
    /// An address that the agent fetches orders from: a static pod as well.
    Address,
}

impl OrderedBy {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
    fn is_untold(&self) -> bool {
        *self == Self::Untold
    }
}

/// What is told of an image beside its name and its configuration's digest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFacts {
    /// Every other digest it is known by: of manifests and of indexes of several platforms (`sha256:…`), sorted; at most
    /// [`DIGESTS_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub digests: Vec<Untrusted>,
    /// Whether no registry is known to have it: it was built, committed, imported or loaded here.
    #[serde(default)]
    pub is_local: bool,
    /// The image it was built on here, by its configuration's digest; empty when unknown.
    #[serde(default, skip_serializing_if = "Untrusted::is_empty")]
    pub parent: Untrusted,
    /// Who signed it, as the runtime or an admission log tells; nothing was verified by us.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signers: Vec<Untrusted>,
}

impl ImageFacts {
    /// Whether nothing is told.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A port of the host that is forwarded to a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PublishedPort {
    /// Above IP.
    pub protocol: Protocol,
    /// The host's port.
    pub host_port: u16,
    /// The container's port.
    pub port: u16,
}

impl ContainerFacts {
    /// Every digest that its image is known by, the configuration's first.
    pub fn digests(&self) -> impl Iterator<Item = &Untrusted> {
        std::iter::once(&self.digest).filter(|digest| !digest.is_empty()).chain(&self.image_facts.digests)
    }

    /// How long its labels are together, keys and values.
    pub fn label_bytes(&self) -> usize {
        self.labels.iter().map(|(key, value)| key.raw().len() + value.raw().len()).sum()
    }

    /// Keeps the labels that are at least this relevant, and counts the others.
    pub fn keep_labels(&mut self, least: Relevance) {
        let before = self.labels.len();
        self.labels.retain(|(key, _)| Relevance::of(key.raw()) <= least);
        let dropped = u32::try_from(before - self.labels.len()).unwrap_or(u32::MAX);
        self.labels_dropped = self.labels_dropped.saturating_add(dropped);
    }

    /// The value of a label, when it has that label.
    pub fn label(&self, key: &str) -> Option<&Untrusted> {
        self.labels.iter().find(|(name, _)| name.raw() == key).map(|(_, value)| value)
    }
}

/// What a container engine does with an image for somebody who asked it to: work of its own, on no container's behalf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageWork {
    /// Made one of a file tree.
    Import,
    /// Fetched one from a registry.
    Pull,
    /// Read some from an archive.
    Load,
    /// Made one of a container.
    Commit,
    /// Built one, or named what it had built.
    Build,
}

impl ImageWork {
    /// What was done, for people: it is put before the image's name.
    pub fn verb(self) -> &'static str {
        match self {
            Self::Import => "imported",
            Self::Pull => "pulled",
            Self::Load => "loaded",
            Self::Commit => "committed",
            Self::Build => "built or tagged",
        }
    }
}

/// A container engine says that it has worked on an image. It says so at the end of the work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineWork {
    /// What it did.
    pub work: ImageWork,
    /// The image, by the name or digest that the engine gives; empty when it gives none.
    pub image: Untrusted,
    /// The container that it was made of, by the engine's id; empty unless it was committed.
    #[serde(default, skip_serializing_if = "Untrusted::is_empty")]
    pub container: Untrusted,
    /// The digest of the image's configuration, when the engine gives one beside a name.
    #[serde(default, skip_serializing_if = "Untrusted::is_empty")]
    pub digest: Untrusted,
}

impl EngineWork {
    /// Work on an image of which no more than that is told.
    pub fn new(work: ImageWork, image: Untrusted) -> Self {
        Self { work, image, container: Untrusted::default(), digest: Untrusted::default() }
    }
}

/// What somebody has an engine do in a container that runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Administered {
    /// Run a program.
    #[default]
    Exec,
    /// Connect to the streams of its first process.
    Attach,
    /// Copy files into or out of it.
    Copy,
}

impl Administered {
    /// Whether it is the usual one.
    pub fn is_exec(&self) -> bool {
        *self == Self::Exec
    }
}

/// What happens to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deploy {
    /// Its containers are replaced by others.
    Rollout,
    /// It is given more replicas.
    ScaleOut,
}

/// An orchestrator says that it changes a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceChange {
    /// Name of the service.
    pub service: Untrusted,
    /// What happens to it.
    pub deploy: Deploy,
}
