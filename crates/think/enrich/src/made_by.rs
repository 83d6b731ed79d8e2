//! Which engine a container can only be from, as the kernel shows it: the helper above its first process, by its
//! executable and user, and the container's id in that helper's arguments and in the path of its cgroup.
//!
//! Not here: what an engine claims. Names alone say nothing: see `model::authority`.

use model::authority::Executable;
use model::identity::Container;
use model::setup::Maker;
use model::view::{EngineKind, View};

use crate::cgroup_path::{Suggests, read};

/// Executables that look after one container for as long as it runs, of runtimes that have no view here. Docker runs the
/// containers of a build itself, and keeps no list of them.
const MONITORS: [&str; 8] =
    ["lxc-start", "lxc-execute", "lxd", "incusd", "systemd-nspawn", "libvirt_lxc", "buildkitd", "dockerd"];

/// Executables by which a monitor starts a container, and which stay between the two.
const RUNTIMES: [&str; 4] = ["runc", "crun", "buildkit-runc", "docker-runc"];

/// Directories of programs that packages install.
const PROGRAM_PLACES: [&str; 6] = ["/usr/", "/bin/", "/sbin/", "/opt/", "/snap/", "/nix/store/"];

/// The engine's helper that a container's first process descends from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MadeBy<'a> {
    /// containerd's: the socket that it reports to, and the namespace.
    Shim { socket: &'a str, namespace: &'a str, uid: u32 },
    /// That of Podman and CRI-O.
    Conmon { uid: u32 },
    /// One of a runtime that has no view here, by the file's name.
    Monitor(&'a str),
}

impl MadeBy<'_> {
    /// Whether an engine can be the one that this helper works for.
    pub(crate) fn is_for(self, engine: &View) -> bool {
        match self {
            Self::Shim { socket, namespace, .. } => {
                let is_there = engine.place.raw() == one_name(socket);
                match engine.engine {
                    EngineKind::Containerd => is_there,
                    EngineKind::Docker => namespace == "moby",
                    // cri-dockerd has Docker make the containers of pods.
                    EngineKind::Cri => (is_there && namespace == "k8s.io") || namespace == "moby",
                    EngineKind::Podman => false,
                }
            }
            Self::Conmon { .. } => matches!(engine.engine, EngineKind::Podman | EngineKind::Cri),
            Self::Monitor(_) => false,
        }
    }

    /// The user that it runs as.
    pub(crate) fn uid(self) -> u32 {
        match self {
            Self::Shim { uid, .. } | Self::Conmon { uid } => uid,
            Self::Monitor(_) => 0,
        }
    }
}

/// The nearest helper of an engine among a container's ancestors, if it is one and if it is the container's.
pub(crate) fn made_by(container: &Container) -> Option<MadeBy<'_>> {
    let setup = container.setup.known()?;
    monitor(&setup.makers).or_else(|| {
        let helpers = setup.makers.iter().filter_map(|maker| Some((maker, maker.executable.as_deref()?)));
        let (helper, id) =
            helpers.filter(|(_, file)| file.is_hosts).find_map(|(maker, file)| helper(maker, file))?;
        let path = container.cgroup_path.raw();
        (is_named_in(path, id) || is_of_pod(path, helper)).then_some(helper)
    })
}

/// The monitor that runs a container: root's, from a file where packages put programs, with nothing but its own forks and
/// runtimes of the host between the two. A process that stands further down is in the monitor's container, not of it.
fn monitor(makers: &[Maker]) -> Option<MadeBy<'static>> {
    let mut files = makers.iter().map(|maker| maker.executable.as_deref().filter(|file| is_installed(file)));
    loop {
        let name = files.next()??.name();
        if let Some(monitor) = MONITORS.iter().find(|monitor| **monitor == name) {
            return Some(MadeBy::Monitor(monitor));
        }
        if !RUNTIMES.contains(&name) {
            return None;
        }
    }
}

/// Whether root runs it from a file that only root can write, at a path where packages put programs.
fn is_installed(file: &Executable) -> bool {
    file.is_roots() && PROGRAM_PLACES.iter().any(|place| file.path.raw().starts_with(place))
}

/// A helper of an engine, and the id of its container.
fn helper<'a>(maker: &'a Maker, file: &'a Executable) -> Option<(MadeBy<'a>, &'a str)> {
    let (args, uid) = (maker.args.raw(), file.uid);
    match file.name() {
        name if name.starts_with("containerd-shim") => {
            let socket = value_of(args, &["-address"])?;
            let namespace = value_of(args, &["-namespace"])?;
            Some((MadeBy::Shim { socket, namespace, uid }, value_of(args, &["-id"])?))
        }
        "conmon" => Some((MadeBy::Conmon { uid }, value_of(args, &["-c", "--cid"])?)),
        _ => None,
    }
}

fn is_named_in(path: &str, id: &str) -> bool {
    id.len() >= ID_LENGTH_MIN && path.split('/').any(|part| part.contains(id))
}

/// A shim of the kubelet's containerd looks after all containers of a pod, and is told the id of the first one.
fn is_of_pod(path: &str, helper: MadeBy<'_>) -> bool {
    let is_cri = matches!(read(path), Suggests::Container(Some(EngineKind::Cri), _));
    is_cri && matches!(helper, MadeBy::Shim { namespace: "k8s.io", .. })
}

/// A shorter id is in many a path.
const ID_LENGTH_MIN: usize = 3;

/// The word behind one of these options.
fn value_of<'a>(args: &'a str, options: &[&str]) -> Option<&'a str> {
    let mut words = args.split(' ');
    words.find(|word| options.contains(word))?;
    words.next()
}

/// A socket's path without the link that hosts have in it.
fn one_name(socket: &str) -> &str {
    let bare = socket.strip_prefix("unix://").unwrap_or(socket);
    if bare.starts_with("/var/run/") { &bare["/var".len()..] } else { bare }
}
