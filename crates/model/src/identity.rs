//! Identity: who. A container as all views together know it, and the workload it belongs to.
//!
//! Not here: how facts are joined (`enrich`).

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::confines::RootId;
use crate::event::{Body, Event, Exec};
use crate::fact::Fact;
use crate::ids::{ContainerKey, Namespaces, ProcessKey, WorkloadKey};
use crate::runtime::{ContainerFacts, Orchestrated};
use crate::setup::Setup;
use crate::time::Time;
use crate::traffic::Talk;
use crate::untrusted::Untrusted;
use crate::view::Tally;

/// What kind of process tree a container is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A runtime claims it.
    Managed,
    /// No runtime claims it, though it lives in namespaces and a cgroup of its own.
    Ghost,
    /// A systemd unit with private namespaces.
    Service,
    /// Its cgroup is named as a runtime names them whose view is not watched.
    Unwatched,
    /// The runtime that could claim it does not answer.
    Unanswered,
    /// Not settled: a runtime may still claim it.
    Unsettled,
    /// Namespaces of its own and the host's files: a sandbox of a browser, of a package manager, of `sudo` or `ip netns`.
    Sandbox,
    /// Tidewatch's own.
    #[serde(rename = "self")]
    Own,
}

impl Kind {
    /// The word used in output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Managed => "managed",
            Self::Ghost => "ghost",
            Self::Service => "service",
            Self::Unwatched => "unwatched",
            Self::Unanswered => "unanswered",
            Self::Unsettled => "unsettled",
            Self::Sandbox => "sandbox",
            Self::Own => "self",
        }
    }
}

/// One container as all views together know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// Its key.
    pub key: ContainerKey,
    /// What kind it is.
    pub kind: Kind,
    /// Path of its cgroup.
    pub cgroup_path: Untrusted,
    /// Namespaces of its first process.
    pub namespaces: Namespaces,
    /// Its first process that we saw.
    pub init: Option<ProcessKey>,
    /// Program and arguments that the kernel saw last at the start (what a ghost is called by).
    pub program: Untrusted,
    /// What the runtime claims; with its labels it is large, and others keep it too.
    pub facts: Fact<Arc<ContainerFacts>>,
    /// How the kernel shows its first process.
    #[serde(default = "not_looked_at")]
    pub setup: Fact<Arc<Setup>>,
    /// What each view says about it, and where they contradict each other; as of when it was settled last.
    #[serde(default)]
    pub tally: Arc<Tally>,
    /// What other engines than the one of `facts` claim about it, by engine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<Arc<ContainerFacts>>,
    /// Its root directory, where the kernel told of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<RootId>,
    /// Whether a process of it was seen to run files that are not the host's; `None` where the kernel did not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub has_own_files: Option<bool>,
    /// When it ended; kept for a while so that late facts and findings still find it.
    pub ended: Option<Time>,
}

impl Container {
    /// Every engine's claim, the one that names it first.
    pub fn claims(&self) -> impl Iterator<Item = &ContainerFacts> {
        self.facts.known().into_iter().chain(&self.others).map(AsRef::as_ref)
    }

    /// What the orchestrator says that its labels name, by whatever engine asked it.
    pub fn orchestrated(&self) -> Option<&Orchestrated> {
        self.claims().find_map(|facts| facts.orchestrated.as_ref())
    }

    /// What survives a restart: Swarm or Compose service *and* image, else image and command; for a container
    /// that no runtime claims, its program. The image is part of it, so a forged label joins nobody's workload.
    pub fn workload(&self) -> WorkloadKey {
        let Some(facts) = self.facts.known() else {
            return WorkloadKey::new(&format!("unclaimed:{}", self.program.raw()));
        };
        let image = image_repository(facts.image.raw());
        let label = |key| facts.label(key).map(Untrusted::raw);
        if let Some(service) = label("com.docker.swarm.service.name") {
            return WorkloadKey::new(&format!("swarm:{service} {image}"));
        }
        if let (Some(project), Some(service)) =
            (label("com.docker.compose.project"), label("com.docker.compose.service"))
        {
            return WorkloadKey::new(&format!("compose:{project}/{service} {image}"));
        }
        WorkloadKey::new(&format!("{image} [{}]", facts.command.raw()))
    }

    /// The name people know it by: the runtime's, else what runs in it.
    pub fn name(&self) -> &Untrusted {
        self.facts.known().map_or(&self.program, |facts| &facts.name)
    }
}

/// Who an event is about.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Identity {
    /// The process, when the event is about one.
    pub process: Option<ProcessKey>,
    /// The container; `None` for the host.
    pub container: Option<Arc<Container>>,
    /// The container in whose namespaces the process lives though it is in another cgroup.
    pub within: Option<Arc<Container>>,
    /// What this event changed in the inventory.
    pub news: Vec<News>,
    /// What went on between containers and others, now that both ends are known.
    pub talks: Vec<Talk>,
}

/// A change in the inventory of containers.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    /// It was seen for the first time; nothing but the kernel's view is known.
    Appeared(Arc<Container>),
    /// Its kind and facts are settled, or settled anew; judges of provenance look at it now.
    Settled(Arc<Container>),
    /// All views had their time to say something about it: what they say is compared, or compared anew since a view
    /// changed its word. Judges of what contradicts look at it now.
    Tallied(Arc<Container>),
    /// It ended.
    Ended(Arc<Container>),
}

/// An event and who it is about.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// What happened.
    pub event: Event,
    /// Who it was.
    pub identity: Identity,
}

fn not_looked_at() -> Fact<Arc<Setup>> {
    Fact::Failed { reason: Untrusted::new("nobody looked") }
}

impl Observation {
    /// A program that was run in a container from outside: it lives where the container's do, and what started it does not; or
    /// a program that descends from such a process.
    pub fn entered(&self) -> Option<(&Arc<Container>, &Exec, Entered)> {
        let (Body::Exec(exec), Some(container)) = (&self.event.body, &self.identity.container) else {
            return None;
        };
        let lineage = exec.lineage?;
        if exec.namespaces.mnt != container.namespaces.mnt || container.init == Some(exec.process) {
            return None;
        }
        let parent_does = lineage.parent_namespaces.mnt == container.namespaces.mnt;
        if !parent_does && lineage.parent_cgroup != container.key.cgroup {
            return Some((container, exec, Entered::Itself));
        }
        // The first process comes from outside as well, and all of the container descends from it.
        let entry = exec.descent.entry.filter(|entry| Some(*entry) != container.init)?;
        (entry != exec.process).then_some((container, exec, Entered::Descends(entry)))
    }
}

/// How a program came to be run from outside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entered {
    /// It came in itself.
    #[default]
    Itself,
    /// This process did, and it descends from that.
    Descends(ProcessKey),
}

/// `registry:5000/team/app:1.2@sha256:…` → `registry:5000/team/app`.
fn image_repository(image: &str) -> &str {
    let name = image.split('@').next().unwrap_or(image);
    match name.rfind(':') {
        // A colon before the last slash belongs to the registry's port.
        Some(colon) if !name[colon..].contains('/') => &name[..colon],
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::image_repository;

    #[test]
    fn tag_and_digest_are_not_part_of_the_repository() {
        for (image, repository) in [
            ("busybox", "busybox"),
            ("busybox:1.36", "busybox"),
            ("registry:5000/team/app", "registry:5000/team/app"),
            ("registry:5000/team/app:1.2@sha256:00", "registry:5000/team/app"),
            ("sha256:00ff", "sha256"),
        ] {
            assert_eq!(image_repository(image), repository);
        }
    }
}
