//! Podman's account of its containers, as it lies on disk: what it keeps for itself, read without any lock.
//!
//! Files are replaced whole by their writer, so that one reading is never torn. Not here: the container's specification
//! (`containers`), images, and Podman's own database, which can be read only with its lock: labels lie there, see
//! `service_socket.rs`.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use model::ids::ProcessKey;
use model::time::Time;
use model::untrusted::Untrusted;
use rustix::fs::{FileType, Stat as FileStat};
use serde::Deserialize;

use crate::error::HostfsError;
use crate::kept::read_whole;
use crate::proc_dir::{key, pid_path, stat};
use crate::process::cmdline;
use crate::root::HostRoot;
use crate::text::{lines, number};

/// Most containers told of one store.
pub const STORED_MAX: usize = 10_000;
/// Most users whose homes are looked at.
pub const HOMES_MAX: usize = 1024;

/// About a kilobyte for each container.
const LIST_BYTES_MAX: usize = 16 * 1024 * 1024;
const PASSWD_BYTES_MAX: usize = 1024 * 1024;
const SPEC_BYTES_MAX: usize = 1024 * 1024;
const PIDFILE_BYTES_MAX: usize = 32;
const METADATA_BYTES_MAX: usize = 64 * 1024;

/// Storage drivers in use: each has its own list.
const DRIVERS: [&str; 4] = ["overlay", "vfs", "btrfs", "zfs"];
/// Containers that need not outlive a reboot (`--rm`) are in a list of their own, in either root.
const LISTS: [&str; 2] = ["containers.json", "volatile-containers.json"];

const ROOTFUL: (&str, &str) = ("/var/lib/containers/storage", "/run/containers/storage");
const ROOTLESS: &str = ".local/share/containers/storage";

/// The two directories of one store, as the host's paths.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreRoots {
    /// What is kept: containers, layers, images.
    pub graphroot: PathBuf,
    /// What is of this boot: pids, mounts.
    pub runroot: PathBuf,
}

/// A container as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its id.
    pub id: Untrusted,
    /// Its name.
    pub name: Untrusted,
    /// Image as it was asked for.
    pub image: Untrusted,
    /// Digest of the image's configuration, without `sha256:`; empty when it has no image.
    pub image_id: Untrusted,
    /// When it was made.
    pub created: Option<Time>,
    driver: &'static str,
}

/// A list of containers, and what could not be read of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredList {
    /// At most [`STORED_MAX`].
    pub containers: Vec<Stored>,
    /// Those beyond it.
    pub left_out: u64,
}

/// One store, which may not be there.
#[derive(Debug)]
pub struct Store {
    root: HostRoot,
    roots: StoreRoots,
    lists: Vec<(PathBuf, &'static str)>,
    marks: Vec<Option<Mark>>,
}

/// What changes when a file is replaced or written.
type Mark = (u64, i64, i64, i64);

impl Store {
    /// The store in these directories.
    pub fn new(root: &HostRoot, roots: StoreRoots) -> Self {
        let lists = DRIVERS.iter().flat_map(|driver| {
            let directories =
                [&roots.graphroot, &roots.runroot].map(|root| root.join(format!("{driver}-containers")));
            let [kept, of_boot] = directories;
            [
                (kept.join(LISTS[0]), *driver),
                (kept.join(LISTS[1]), *driver),
                (of_boot.join(LISTS[1]), *driver),
            ]
        });
        let lists: Vec<_> = lists.collect();
        let marks = vec![None; lists.len()];
        Self { root: root.clone(), roots, lists, marks }
    }

    /// Its directories.
    pub fn roots(&self) -> &StoreRoots {
        &self.roots
    }

    /// The user whose directory it is; `None` when that is out of sight.
    pub fn owner(&self) -> Option<u32> {
        rustix::fs::stat(self.root.at(&self.roots.graphroot)).ok().map(|found| found.st_uid)
    }

    /// Whether it holds a list at all.
    pub fn is_there(&self) -> bool {
        self.lists.iter().any(|(path, _)| file(&self.root.at(path)).is_some())
    }

    /// Whether a list was replaced since the last time this was asked.
    pub fn has_changed(&mut self) -> bool {
        let mark = |path: &PathBuf| file(&self.root.at(path)).map(|it| mark(&it));
        let marks: Vec<_> = self.lists.iter().map(|(path, _)| mark(path)).collect();
        let has_changed = marks != self.marks;
        self.marks = marks;
        has_changed
    }

    /// What is kept. Containers of other users of the same library (CRI-O's pods) are left to those.
    pub fn list(&self) -> Result<StoredList, HostfsError> {
        let mut list = StoredList::default();
        let mut seen = BTreeSet::new();
        for (path, driver) in &self.lists {
            let path = self.root.at(path);
            if file(&path).is_none() {
                continue;
            }
            let text = match read_whole(&path, LIST_BYTES_MAX) {
                Err(error) if error.is_gone() => continue,
                text => text?,
            };
            let kept: Vec<Kept> = serde_json::from_slice(&text)
                .map_err(|_| HostfsError::malformed(&path, "is not a list of containers"))?;
            for container in kept.into_iter().filter_map(|kept| kept.told(driver)) {
                if list.containers.len() >= STORED_MAX {
                    list.left_out += 1;
                } else if seen.insert(container.id.clone()) {
                    list.containers.push(container);
                }
            }
        }
        Ok(list)
    }

    /// The container's first process, when it runs. The file that names it can be written by the store's owner; so the
    /// process counts only as the child of a monitor that looks after that container, or, in a store of the
    /// administrator's, as one whose monitor is gone.
    pub fn process(&self, container: &Stored) -> Option<ProcessKey> {
        let path = self.pidfile(container);
        file(&path)?;
        let pid = read_whole(&path, PIDFILE_BYTES_MAX).ok().and_then(|text| number(&text))?;
        let mut text = Vec::new();
        let found = stat(&self.root, u32::try_from(pid).ok()?, &mut text).ok()?;
        let is_orphan = found.parent_pid == 1 && self.is_administrators();
        let counts = is_orphan || self.is_monitor(found.parent_pid, container);
        (counts && !found.has_ended() && !found.is_kernel_thread()).then(|| key(&found))
    }

    /// Whether it was started since the host was booted: the file that names its first process stays when that ends.
    pub fn was_started(&self, container: &Stored) -> bool {
        file(&self.pidfile(container)).is_some()
    }

    /// The text of its specification (OCI `config.json`).
    pub fn spec(&self, container: &Stored) -> Result<Vec<u8>, HostfsError> {
        let path = self.root.at(self.kept(container).join("config.json"));
        if file(&path).is_none() {
            return Err(HostfsError::Gone { path });
        }
        read_whole(&path, SPEC_BYTES_MAX)
    }

    /// Whether a process may speak for this store: it sees the very same directory, and is its owner's or the
    /// administrator's. Anybody can say on a command line which store he serves.
    pub fn is_served_by(&self, process: ProcessKey, uid: u32) -> bool {
        let graphroot = &self.roots.graphroot;
        let own =
            pid_path(&self.root, process.pid, "root").join(graphroot.strip_prefix("/").unwrap_or(graphroot));
        let stats = [own, self.root.at(graphroot)].map(|path| rustix::fs::stat(path).ok());
        let [Some(seen), Some(kept)] = stats else { return false };
        (seen.st_dev, seen.st_ino) == (kept.st_dev, kept.st_ino) && (uid == 0 || uid == kept.st_uid)
    }

    fn is_monitor(&self, pid: u32, container: &Stored) -> bool {
        let is_named_so = stat(&self.root, pid, &mut Vec::new()).is_ok_and(|it| it.name() == b"conmon");
        is_named_so
            && cmdline(&self.root, pid).is_ok_and(|text| {
                text.split(|&byte| byte == 0).any(|word| word == container.id.raw().as_bytes())
            })
    }

    fn is_administrators(&self) -> bool {
        rustix::fs::stat(self.root.at(&self.roots.graphroot)).is_ok_and(|it| it.st_uid == 0)
    }

    fn kept(&self, container: &Stored) -> PathBuf {
        directory(&self.roots.graphroot, container)
    }

    fn pidfile(&self, container: &Stored) -> PathBuf {
        self.root.at(directory(&self.roots.runroot, container).join("pidfile"))
    }
}

fn directory(root: &Path, container: &Stored) -> PathBuf {
    root.join(format!("{}-containers", container.driver)).join(container.id.raw()).join("userdata")
}

/// Where Podman keeps its containers when nobody tells it otherwise: root's, and each user's. Users who share a home share
/// its store.
pub fn standard_stores(root: &HostRoot) -> Vec<StoreRoots> {
    let rootless = users(root).into_iter().map(|(home, uid)| rootless(root, &home, uid));
    std::iter::once(rootful())
        .chain(rootless.filter(|roots| root.foreign().is_directory(&root.at(&roots.graphroot))))
        .collect()
}

/// Where the Podman of one user keeps its containers; `None` for a user without a home.
pub fn store_of_user(root: &HostRoot, uid: u32) -> Option<StoreRoots> {
    if uid == 0 {
        return Some(rootful());
    }
    let (home, uid) = users(root).into_iter().find(|(_, user)| *user == u64::from(uid))?;
    Some(rootless(root, &home, uid))
}

fn rootful() -> StoreRoots {
    StoreRoots { graphroot: ROOTFUL.0.into(), runroot: ROOTFUL.1.into() }
}

fn rootless(root: &HostRoot, home: &Path, uid: u64) -> StoreRoots {
    // The second when nobody has made the directory of the user's session.
    let runroots = [format!("/run/user/{uid}/containers"), format!("/tmp/containers-user-{uid}/containers")];
    let runroot = runroots.iter().find(|path| root.at(path).is_dir()).unwrap_or(&runroots[0]);
    StoreRoots { graphroot: home.join(ROOTLESS), runroot: runroot.into() }
}

fn users(root: &HostRoot) -> BTreeSet<(PathBuf, u64)> {
    let text = read_whole(&root.at("etc/passwd"), PASSWD_BYTES_MAX).unwrap_or_default();
    lines(&text).filter_map(user).take(HOMES_MAX).collect()
}

/// `name:password:uid:gid:comment:home:shell`.
fn user(line: &[u8]) -> Option<(PathBuf, u64)> {
    let mut fields = line.split(|&byte| byte == b':').skip(2);
    let uid = number(fields.next()?)?;
    let home = Path::new(OsStr::from_bytes(fields.nth(2)?));
    (home.is_absolute() && home != Path::new("/")).then(|| (home.to_path_buf(), uid))
}

/// A regular file: a hostile directory may hold anything, and a device does things when it is opened.
fn file(path: &Path) -> Option<FileStat> {
    let stat = rustix::fs::stat(path).ok()?;
    (FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile).then_some(stat)
}

fn mark(stat: &FileStat) -> Mark {
    #[expect(clippy::useless_conversion, reason = "the fields' types differ between architectures")]
    (
        stat.st_ino.into(),
        stat.st_size.into(),
        stat.st_mtime.into(),
        i64::try_from(stat.st_mtime_nsec).unwrap_or(0),
    )
}

/// An element of the library's list.
#[derive(Deserialize)]
struct Kept {
    id: String,
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    image: String,
    #[serde(default)]
    metadata: String,
    #[serde(default)]
    created: String,
}

/// What Podman writes beside it; CRI-O writes the pod.
#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Metadata {
    name: String,
    image_name: String,
    image_id: String,
    pod_id: String,
}

impl Kept {
    fn told(self, driver: &'static str) -> Option<Stored> {
        let metadata = Some(self.metadata.as_str()).filter(|text| text.len() <= METADATA_BYTES_MAX);
        let metadata: Metadata =
            metadata.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        // The id becomes part of a path.
        let is_id = !self.id.is_empty() && self.id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !is_id || !metadata.pod_id.is_empty() {
            return None;
        }
        let name = self.names.first().unwrap_or(&metadata.name);
        let image_id = if self.image.is_empty() { &metadata.image_id } else { &self.image };
        Some(Stored {
            id: Untrusted::new(&self.id),
            name: Untrusted::new(name),
            image: Untrusted::new(&metadata.image_name),
            image_id: Untrusted::new(image_id),
            created: Time::parse(&self.created).ok(),
            driver,
        })
    }
}

#[cfg(test)]
mod tests;
