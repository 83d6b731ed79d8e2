//! How engines' sockets are named, and which of a daemon's sockets serves its interface.
//!
//! Not here: whether somebody listens.

use std::path::{Path, PathBuf};

use hostfs::daemons::{Daemon, DaemonKind};
use model::view::EngineKind;

/// Where packages of engines have them listen.
pub(crate) const STANDARD: [(&str, EngineKind); 10] = [
    ("/run/docker.sock", EngineKind::Docker),
    ("/run/containerd/containerd.sock", EngineKind::Containerd),
    ("/run/docker/containerd/containerd.sock", EngineKind::Containerd),
    ("/run/k3s/containerd/containerd.sock", EngineKind::Containerd),
    ("/run/k0s/containerd.sock", EngineKind::Containerd),
    ("/var/snap/microk8s/common/run/containerd.sock", EngineKind::Containerd),
    ("/run/crio/crio.sock", EngineKind::Cri),
    ("/run/cri-dockerd.sock", EngineKind::Cri),
    ("/run/podman/podman.sock", EngineKind::Podman),
    ("/var/run/docker.sock", EngineKind::Docker),
];

/// Names that nobody but an engine gives its socket.
const NAMES: [(&str, EngineKind); 5] = [
    ("docker.sock", EngineKind::Docker),
    ("containerd.sock", EngineKind::Containerd),
    ("crio.sock", EngineKind::Cri),
    ("cri-dockerd.sock", EngineKind::Cri),
    ("podman.sock", EngineKind::Podman),
];

/// Parts of paths of sockets that daemons have beside the one that serves their interface.
const ASIDE: [&str; 5] = [".ttrpc", "debug", "metrics", "/libnetwork/", "/plugins/"];
const DOCKER_DEFAULT: &str = "/var/run/docker.sock";

/// The engine whose socket this looks like.
pub(crate) fn kind_by_name(path: &Path) -> Option<EngineKind> {
    let name = path.file_name()?.to_str()?;
    NAMES.iter().find(|(engines, _)| name == *engines).map(|(_, kind)| *kind)
}

/// The engine that a daemon is; `None` for a program that is known by its socket only.
pub(crate) fn kind_by_daemon(daemon: &Daemon) -> Option<EngineKind> {
    match daemon.kind {
        DaemonKind::Docker => Some(EngineKind::Docker),
        DaemonKind::Containerd => Some(EngineKind::Containerd),
        DaemonKind::Crio => Some(EngineKind::Cri),
        DaemonKind::Podman => Some(EngineKind::Podman),
        DaemonKind::Other => None,
    }
}

/// Whether packages of this engine put it there.
pub(crate) fn is_standard(kind: EngineKind, place: &Path) -> bool {
    // A CRI is served by containerd, too.
    let fits =
        |known: EngineKind| known == kind || (kind, known) == (EngineKind::Cri, EngineKind::Containerd);
    STANDARD.iter().any(|(path, known)| fits(*known) && place == Path::new(path))
}

/// The socket of a daemon that serves its interface: the one that is preferred, the one with the engine's usual name, one
/// that has a second one for shims beside it (containerd), any that is not known to be for something else.
pub(crate) fn serving(
    paths: &[PathBuf],
    kind: Option<EngineKind>,
    is_preferred: impl Fn(&Path) -> bool,
) -> Option<&Path> {
    let candidates: Vec<&Path> = paths.iter().map(PathBuf::as_path).filter(|path| !is_aside(path)).collect();
    let beside = |path: &Path| {
        let shims = format!("{}.ttrpc", path.display());
        paths.iter().any(|other| other.as_os_str() == shims.as_str())
    };
    let ranks: [&dyn Fn(&Path) -> bool; 4] = [
        &is_preferred,
        &|path| kind_by_name(path).is_some_and(|named| kind.is_none_or(|kind| kind == named)),
        &beside,
        &|_| kind.is_some(),
    ];
    ranks.iter().find_map(|fits| candidates.iter().copied().find(|path| fits(path)))
}

/// Where a `dockerd` will listen, as it was told: it starts its containerd before it does.
pub(crate) fn told_docker_socket(daemon: &Daemon) -> PathBuf {
    let told = daemon.argument("H").or_else(|| daemon.argument("host"));
    let path = told.as_deref().and_then(Path::to_str).and_then(|told| told.strip_prefix("unix://"));
    PathBuf::from(path.unwrap_or(DOCKER_DEFAULT))
}

fn is_aside(path: &Path) -> bool {
    let text = path.to_string_lossy();
    ASIDE.iter().any(|part| text.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(paths: &[&str], kind: Option<EngineKind>) -> Option<String> {
        let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
        serving(&paths, kind, |path| path == Path::new("/told.sock")).map(|path| path.display().to_string())
    }

    #[test]
    fn the_serving_socket_is_told_from_those_beside_it() {
        let containerd = Some(EngineKind::Containerd);
        for (paths, kind, expected) in [
            (
                &["/x/containerd-debug.sock", "/x/containerd.sock.ttrpc", "/x/containerd.sock"][..],
                containerd,
                Some("/x/containerd.sock"),
            ),
            (&["/tmp/a", "/tmp/b", "/tmp/b.ttrpc"], containerd, Some("/tmp/b")),
            (&["/tmp/a"], containerd, Some("/tmp/a")),
            (&["/run/docker/metrics.sock", "/run/docker/libnetwork/1.sock"], Some(EngineKind::Docker), None),
            (&["/run/docker.sock", "/told.sock"], Some(EngineKind::Docker), Some("/told.sock")),
            (&["/run/docker.sock", "/a"], None, Some("/run/docker.sock")),
            (&["/a"], None, None),
        ] {
            assert_eq!(chosen(paths, kind).as_deref(), expected, "{paths:?}");
        }
    }

    #[test]
    fn containerd_s_standard_place_is_one_of_the_kubelet_s_too_and_not_docker_s() {
        let place = Path::new("/run/containerd/containerd.sock");
        let is = [EngineKind::Containerd, EngineKind::Cri, EngineKind::Docker]
            .map(|kind| is_standard(kind, place));
        assert_eq!(is, [true, true, false]);
    }
}
