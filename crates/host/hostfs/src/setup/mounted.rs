//! What of the host is mounted into a container, and what its root is called on the host: its mount table held against
//! that of the host's first process.
//!
//! Not here: whether another mount covers one; file systems that the host mounts nowhere.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use model::privilege::{HOST_MOUNTS_MAX, HostMount, NamespaceKind};
use model::untrusted::Untrusted;

use crate::error::HostfsError;
use crate::kept::{read_into, read_whole};
use crate::mount_table::{HOST_TABLE_BYTES_MAX, MountLine, unescaped};
use crate::proc_dir::pid_path;
use crate::root::HostRoot;
use crate::text::lines;

/// About 10,000 mounts, the oldest first: what a container is started with is among them.
const TABLE_BYTES_MAX: usize = 1024 * 1024;
/// Behind the path of a mounted file that was removed since.
const DELETED: &[u8] = b"//deleted";
/// Files that engines make for each container and mount over those of its image; `docker-init` is their own program.
const ENGINES_FILES: [&str; 8] = [
    "/etc/hosts",
    "/etc/hostname",
    "/etc/resolv.conf",
    "/dev/termination-log",
    "/run/.containerenv",
    "/sbin/docker-init",
    "/dev/init",
    "/run/podman-init",
];
/// Parts of a host's path that only directories have which an engine or the kubelet made for one container.
const ENGINES_DIRECTORIES: [&str; 4] =
    ["/overlay-containers/", "/io.containerd.", "/kubelet/pods/", "/_data"];
/// What of the host rules it or tells its secrets, worst first; what is below counts like it.
const DANGEROUS: [&str; 16] = [
    "/etc",
    "/root",
    "/run",
    "/var/run",
    "/proc",
    "/dev",
    "/sys",
    "/boot",
    "/var/lib/docker",
    "/var/lib/containerd",
    "/var/lib/containers",
    "/var/lib/kubelet",
    "/usr",
    "/lib",
    "/var",
    "/home",
];
/// What engines call their sockets.
const SOCKETS: [&str; 5] = ["docker.sock", "containerd.sock", "podman.sock", "crio.sock", "docker.raw.sock"];
/// File systems that the kernel serves by itself: listing a directory of theirs cannot keep us waiting.
const KERNELS: [&[u8]; 7] = [b"tmpfs", b"devtmpfs", b"ramfs", b"overlay", b"ext4", b"xfs", b"btrfs"];

/// What the mount table of a process shows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mounted {
    /// Its root by the host's path; `KIND:PART` of the file system when the host shows it nowhere.
    pub(super) root: PathBuf,
    /// What of the host is mounted into it, the most dangerous first.
    pub(super) mounts: Vec<HostMount>,
    /// Whether its `/dev` can be listed without asking a file system that a process of its own may serve.
    pub(super) may_list_devices: bool,
    /// Whether its root can be listed without asking what serves a file system, as far as its kind tells: layers may be
    /// on one.
    pub(super) may_list_root: bool,
}

impl Mounted {
    /// Of a process whose root is the host's: the whole host is there.
    pub(super) fn whole_host(is_writable: bool) -> Self {
        let mounts = vec![HostMount { path: Untrusted::new("/"), is_writable }];
        Self { root: PathBuf::from("/"), mounts, may_list_devices: false, may_list_root: true }
    }

    /// Of a process with this root, as its own mount namespace names it, or with the host's, that shares these
    /// namespaces with the host.
    pub(super) fn read(
        root: &HostRoot,
        pid: u32,
        own_root: Option<&Path>,
        shared: &[NamespaceKind],
    ) -> Result<Self, HostfsError> {
        let path = pid_path(root, pid, "mountinfo");
        let mut text = Vec::new();
        read_into(&path, &mut text, TABLE_BYTES_MAX).map_err(|errno| HostfsError::io(&path, errno))?;
        let own: Vec<MountLine<'_>> = lines(&text).filter_map(MountLine::parse).collect();
        let top = own.iter().rfind(|line| line.point == b"/");
        let Some(own_root) = own_root else {
            return Ok(Self::whole_host(top.is_none_or(MountLine::is_writable)));
        };
        let text = read_whole(&pid_path(root, 1, "mountinfo"), HOST_TABLE_BYTES_MAX)?;
        let host = HostTable(lines(&text).filter_map(MountLine::parse).collect());
        let shown = match top {
            Some(top) if !shared.contains(&NamespaceKind::Mnt) => host.root_path(top),
            // A directory in the mount namespace's own tree, which nothing is mounted on.
            _ => own_root
                .strip_prefix(root.path())
                .map_or_else(|_| own_root.into(), |below| Path::new("/").join(below)),
        };
        let dev = own.iter().rfind(|line| line.point == b"/dev").or(top);
        Ok(Self {
            root: shown,
            mounts: host.mounted(&own, shared),
            may_list_devices: dev.is_none_or(|line| KERNELS.contains(&line.kind)),
            may_list_root: top.is_none_or(|line| !is_served(line.kind)),
        })
    }
}

/// The mounts of the host itself.
struct HostTable<'t>(Vec<MountLine<'t>>);

impl HostTable<'_> {
    /// Where the host shows what a mount shows. Of several places, by the mount that shows most of the file system: a
    /// volume that is a bind of `/etc` is `/etc`.
    fn path_of(&self, line: &MountLine<'_>) -> Option<PathBuf> {
        let part = unescaped(line.part.strip_suffix(DELETED).unwrap_or(line.part));
        let shown = |host: &MountLine<'_>| {
            let whole = unescaped(host.part);
            let rest = part.strip_prefix(&whole).ok().filter(|_| host.device == line.device)?;
            let place = unescaped(host.point);
            let place = if rest.as_os_str().is_empty() { place } else { place.join(rest) };
            Some((whole.as_os_str().len(), place))
        };
        self.0.iter().filter_map(shown).min_by_key(|(length, _)| *length).map(|(_, place)| place)
    }

    /// The root: its own path, or the directory of the layers it is made of where those are mounted out of our sight.
    fn root_path(&self, top: &MountLine<'_>) -> PathBuf {
        let upper = || {
            let options = top.options.split(|&byte| byte == b',');
            let upper = options.filter_map(|option| option.strip_prefix(b"upperdir=")).next()?;
            unescaped(upper).parent().map(Path::to_path_buf)
        };
        let unnamed = || {
            let kind = String::from_utf8_lossy(top.kind).into_owned();
            PathBuf::from(format!("{kind}:{}", unescaped(top.part).display()))
        };
        self.path_of(top).or_else(upper).unwrap_or_else(unnamed)
    }

    fn mounted(&self, own: &[MountLine<'_>], shared: &[NamespaceKind]) -> Vec<HostMount> {
        // The same directory mounted twice can be written when one of the mounts can.
        let mut paths: BTreeMap<PathBuf, bool> = BTreeMap::new();
        for line in own.iter().filter(|line| line.point != b"/") {
            if let Some(path) = self.host_path(line, shared) {
                *paths.entry(path).or_default() |= line.is_writable();
            }
        }
        let mut mounts: Vec<(PathBuf, bool)> = paths.into_iter().collect();
        mounts.sort_by_key(|(path, is_writable)| (danger(path), !is_writable));
        let mounts = mounts.into_iter().take(HOST_MOUNTS_MAX);
        mounts.map(|(path, is_writable)| HostMount { path: super::text(&path), is_writable }).collect()
    }

    /// The host's path of a mount, if it is one that somebody asked for and that is not the container's own.
    fn host_path(&self, line: &MountLine<'_>, shared: &[NamespaceKind]) -> Option<PathBuf> {
        let point = unescaped(line.point);
        match line.kind {
            // One file system for all: every container shows its part of it, few the whole, fewer may write.
            b"cgroup" | b"cgroup2" => {
                return (line.part == b"/" && line.is_writable()).then(|| PathBuf::from("/sys/fs/cgroup"));
            }
            b"mqueue" | b"devpts" | b"nsfs" | b"autofs" => return None,
            // Single nodes are told as devices.
            b"devtmpfs" if line.part != b"/" && point.starts_with("/dev") => return None,
            // Of the host when namespaces are shared, which is told as that.
            b"proc" if point.starts_with("/proc") && shared.contains(&NamespaceKind::Pid) => return None,
            b"sysfs" if point.starts_with("/sys") && shared.contains(&NamespaceKind::Net) => return None,
            b"tmpfs" if point == Path::new("/dev/shm") && shared.contains(&NamespaceKind::Ipc) => {
                return None;
            }
            _ => {}
        }
        self.path_of(line).filter(|path| !is_engines(path, &point))
    }
}

/// Whether an engine mounts it into every container, or made it for this one.
fn is_engines(path: &Path, point: &Path) -> bool {
    let is_file = ENGINES_FILES.iter().any(|file| point == Path::new(file));
    // The host's own file of that name was asked for.
    if is_file && !path.starts_with("/etc") {
        return true;
    }
    let bytes = path.as_os_str().as_bytes();
    let contains = |part: &str| bytes.windows(part.len()).any(|window| window == part.as_bytes());
    ENGINES_DIRECTORIES.iter().any(|part| contains(part)) || is_below_id(path)
}

/// `…/containers/<id>/…`, as Docker keeps what it makes for each.
fn is_below_id(path: &Path) -> bool {
    let is_id = |name: &[u8]| name.len() == 64 && name.iter().all(u8::is_ascii_hexdigit);
    let names: Vec<&[u8]> = path.iter().map(OsStr::as_bytes).collect();
    names.windows(2).any(|pair| pair[0] == b"containers" && is_id(pair[1]))
}

fn danger(path: &Path) -> usize {
    let name = path.file_name();
    if path == Path::new("/") {
        return 0;
    }
    if SOCKETS.iter().any(|socket| name == Some(OsStr::new(socket))) {
        return 1;
    }
    DANGEROUS.iter().position(|place| path.starts_with(place)).map_or(2 + DANGEROUS.len(), |at| 2 + at)
}

/// Whether a process serves a file system of that kind, or another host does.
fn is_served(kind: &[u8]) -> bool {
    let served: [&[u8]; 8] = [b"fuse", b"fuseblk", b"nfs", b"nfs4", b"cifs", b"smb3", b"9p", b"ceph"];
    served.contains(&kind) || kind.starts_with(b"fuse.")
}
