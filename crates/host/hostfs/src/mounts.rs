//! Which sockets of container engines are mounted into a process's mount namespace: whoever can talk to one of them
//! rules the host.
//!
//! Sure is a mount of the socket itself, known by its name, and a mount of a directory of the host that holds one which
//! is there. Not here: a socket that was given another name or reached over TCP; one of a user's own engine by its
//! directory; whether the process may open it; whether another mount covers it.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use model::untrusted::Untrusted;
use rustix::fs::{FileType, major, minor, stat};

use crate::error::HostfsError;
use crate::kept::{read_into, read_whole};
use crate::mount_table::{HOST_TABLE_BYTES_MAX, MountLine, unescaped};
use crate::proc_dir::pid_path;
use crate::root::HostRoot;
use crate::text::lines;

/// Most sockets told of one process.
pub const ENGINE_SOCKETS_MAX: usize = 16;
/// About 10,000 mounts, the oldest first: what a container is started with is among them.
const TABLE_BYTES_MAX: usize = 1024 * 1024;

/// What engines call their sockets, as in `probes/src/bpf/requests.h`.
const NAMES: [&str; 6] =
    ["docker.sock", "containerd.sock", "podman.sock", "crio.sock", "cri-dockerd.sock", "docker.raw.sock"];
/// Where they put them.
const PLACES: [&str; 8] = [
    "/run/docker.sock",
    "/run/docker.raw.sock",
    "/run/containerd/containerd.sock",
    "/run/docker/containerd/containerd.sock",
    "/run/k3s/containerd/containerd.sock",
    "/run/podman/podman.sock",
    "/run/crio/crio.sock",
    "/run/cri-dockerd.sock",
];
/// Behind the path of a mounted file that was removed since: the engine was restarted, or its socket replaced.
const DELETED: &[u8] = b"//deleted";

/// The sockets of container engines that are mounted into the mount namespace of a process, by the host's path where it
/// is known, else by the path in their file system; at most [`ENGINE_SOCKETS_MAX`], sorted. None for a process whose
/// root is the host's own (services, a container that is still being made): nothing is mounted *into* it.
pub fn engine_sockets(root: &HostRoot, pid: u32) -> Result<Vec<Untrusted>, HostfsError> {
    let path = pid_path(root, pid, "mountinfo");
    let mut text = Vec::new();
    read_into(&path, &mut text, TABLE_BYTES_MAX).map_err(|errno| HostfsError::io(&path, errno))?;
    let mounts: Vec<Mount> = lines(&text).filter_map(Mount::parse).collect();
    let places: Vec<Place> = PLACES.iter().filter_map(|path| Place::find(root, path)).collect();
    let may_reach = |mount: &Mount| mount.names_engine() || places.iter().any(|place| place.is_on(mount));
    let candidates: Vec<&Mount> = mounts.iter().filter(|mount| may_reach(mount)).collect();
    // The host's own table has a line or two for each container: it is read for those few that it is needed for.
    if candidates.is_empty() {
        return Ok(Vec::new());
    }
    let host_path = pid_path(root, 1, "mountinfo");
    let text = read_whole(&host_path, HOST_TABLE_BYTES_MAX)?;
    let host = HostTable(lines(&text).filter_map(Mount::parse).collect());
    if host.has_root_of(&mounts) {
        return Ok(Vec::new());
    }
    let reached: BTreeSet<PathBuf> =
        candidates.iter().flat_map(|mount| host.reached(root, mount, &places)).collect();
    let shown = reached.iter().map(|path| Untrusted::from_bytes(path.as_os_str().as_bytes()));
    Ok(shown.take(ENGINE_SOCKETS_MAX).collect())
}

/// One mount, of whichever file system.
struct Mount {
    device: Vec<u8>,
    part: PathBuf,
    point: PathBuf,
}

impl Mount {
    fn parse(line: &[u8]) -> Option<Self> {
        let line = MountLine::parse(line)?;
        let part = line.part.strip_suffix(DELETED).unwrap_or(line.part);
        Some(Self { device: line.device.to_vec(), part: unescaped(part), point: unescaped(line.point) })
    }

    fn names_engine(&self) -> bool {
        let name = self.part.file_name();
        NAMES.iter().any(|engine| name == Some(OsStr::new(engine)))
    }
}

/// An engine's socket that is there, and the device of its file system.
struct Place {
    path: &'static str,
    device: String,
}

impl Place {
    fn find(root: &HostRoot, path: &'static str) -> Option<Self> {
        let found = stat(root.at(path)).ok()?;
        let is_socket = FileType::from_raw_mode(found.st_mode) == FileType::Socket;
        let device = format!("{}:{}", major(found.st_dev), minor(found.st_dev));
        is_socket.then_some(Self { path, device })
    }

    fn is_on(&self, mount: &Mount) -> bool {
        mount.device == self.device.as_bytes()
    }
}

/// The mounts of the host itself.
struct HostTable(Vec<Mount>);

impl HostTable {
    /// Whether the root that a table shows is the host's.
    fn has_root_of(&self, mounts: &[Mount]) -> bool {
        let top = |mounts: &[Mount]| mounts.iter().rposition(|mount| mount.point == Path::new("/"));
        let tops = top(mounts).zip(top(&self.0)).map(|(theirs, ours)| (&mounts[theirs], &self.0[ours]));
        tops.is_some_and(|(theirs, ours)| theirs.device == ours.device && theirs.part == ours.part)
    }

    /// The sockets that one mount leads to.
    fn reached(&self, root: &HostRoot, mount: &Mount, places: &[Place]) -> Vec<PathBuf> {
        if mount.names_engine() {
            let path = self.path_of(mount).unwrap_or_else(|| mount.part.clone());
            // Docker makes a directory of that name where there is no socket to mount.
            let is_directory = root
                .foreign()
                .lstat(&root.at(&path))
                .is_some_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::Directory);
            return if is_directory { Vec::new() } else { vec![path] };
        }
        let below = |place: &&Place| {
            self.inside(Path::new(place.path))
                .is_some_and(|(device, inside)| *device == mount.device && inside.starts_with(&mount.part))
        };
        places.iter().filter(below).map(|place| PathBuf::from(place.path)).collect()
    }

    /// Where the host shows what a mount shows.
    fn path_of(&self, mount: &Mount) -> Option<PathBuf> {
        let shown = |host: &Mount| {
            let rest = mount.part.strip_prefix(&host.part).ok().filter(|_| host.device == mount.device)?;
            Some((host.part.as_os_str().len(), join(&host.point, rest)))
        };
        self.0
            .iter()
            .filter_map(shown)
            .reduce(|best, next| if next.0 > best.0 { next } else { best })
            .map(|best| best.1)
    }

    /// The device of the file system that a path of the host is on, and the path in it. The latest mount covers.
    fn inside(&self, path: &Path) -> Option<(&Vec<u8>, PathBuf)> {
        let covering = self.0.iter().filter_map(|mount| Some((mount, path.strip_prefix(&mount.point).ok()?)));
        let (mount, rest) = covering.max_by_key(|(mount, _)| mount.point.as_os_str().len())?;
        Some((&mount.device, join(&mount.part, rest)))
    }
}

/// `join` of the library ends a path with a slash when there is nothing to add.
fn join(path: &Path, rest: &Path) -> PathBuf {
    if rest.as_os_str().is_empty() { path.to_path_buf() } else { path.join(rest) }
}

#[cfg(test)]
mod tests;
