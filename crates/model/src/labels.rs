//! What labels are about, by their keys: of those that are too many, which ones are kept.
//!
//! Not here: what a label's value means, and whether it is true.

/// Labels by which an orchestrator says whose a container is: they are compared with what it says itself, so they are kept
/// first, whatever else there is.
const DECISIVE: [&str; 17] = [
    "io.kubernetes.pod.name",
    "io.kubernetes.pod.namespace",
    "io.kubernetes.pod.uid",
    "io.kubernetes.container.name",
    "io.cri-containerd.kind",
    "io.cri-containerd.sandbox-id",
    "io.podman.annotations.privileged",
    "com.docker.swarm.service.name",
    "com.docker.swarm.service.id",
    "com.docker.swarm.task.id",
    "com.docker.swarm.task.name",
    "com.docker.swarm.node.id",
    "com.docker.stack.namespace",
    "com.docker.compose.project",
    "com.docker.compose.service",
    "com.docker.compose.container-number",
    "nerdctl/name",
];
/// Beginnings of the labels of orchestrators, engines, images and of admission.
const RELEVANT: [&str; 14] = [
    "io.kubernetes.",
    "kubernetes.io/",
    "com.docker.",
    "io.podman.",
    "io.containers.",
    "io.cri-containerd.",
    "containerd.io/",
    "nerdctl/",
    "org.opencontainers.",
    "app.kubernetes.io/",
    "pod-security.",
    "security.",
    "dev.sigstore.",
    "io.tidewatch.",
];

/// What a label is about, the most important first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Relevance {
    /// An orchestrator says by it whose the container is.
    Decisive,
    /// It is one of an orchestrator, an engine, an image, or of admission.
    Relevant,
    /// Anything else.
    Other,
}

impl Relevance {
    /// That of a label with this key.
    pub fn of(key: &str) -> Self {
        if DECISIVE.contains(&key) {
            Self::Decisive
        } else if RELEVANT.iter().any(|beginning| key.starts_with(beginning)) {
            Self::Relevant
        } else {
            Self::Other
        }
    }
}
