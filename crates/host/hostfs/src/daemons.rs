//! Processes of container engines in the host's pid namespace: daemons, shims and monitors, and what they say of where
//! their engine is.
//!
//! A process is looked at once, and again when it may have executed another program. Not here: CPU time of engines
//! (`engine.rs`), their protocols (`containers`), which of them are one engine (`sources`).

use std::collections::HashMap;
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};

use model::authority::{Authority, Executable};
use model::ids::{Namespaces, ProcessKey};
use model::untrusted::Untrusted;

use crate::error::HostfsError;
use crate::executable::ExecutableReader;
use crate::layout::CgroupLayout;
use crate::podman::StoreRoots;
use crate::proc_dir::{key, link, namespace, pid_path, pids, stat};
use crate::process::{cmdline, host_namespaces, process_cgroup};
use crate::root::HostRoot;
use crate::stat::Stat;
use crate::unix_sockets::{UnixListener, unix_listeners};

/// Most open files of one process looked at in search of sockets.
const FILES_MAX: usize = 4096;
/// Most open files looked at in one search for whoever holds a socket.
const ALL_FILES_MAX: usize = 262_144;
/// A process seen before is looked at again in one of so many listings, as in `engine.rs`.
const LOOK_AGAIN_IN: u32 = 8;
const PATH_BYTES_MAX: usize = 4096;

/// What a daemon is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DaemonKind {
    /// `dockerd`.
    Docker,
    /// `containerd`.
    Containerd,
    /// `crio`.
    Crio,
    /// `podman system service`.
    Podman,
    /// Another program; it is known by the socket it listens at.
    Other,
}

/// A process that serves an engine's interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Daemon {
    /// The process.
    pub process: ProcessKey,
    /// Its parent's pid.
    pub parent_pid: u32,
    /// What it is.
    pub kind: DaemonKind,
    /// File that it executes; empty when unknown.
    pub program: Untrusted,
    /// Path of its cgroup; empty when unknown.
    pub cgroup: Untrusted,
    /// User id in the host's user namespace; `None` when unknown.
    pub uid: Option<u32>,
    args: Vec<String>,
    /// Whether it sees the host's mounts: the paths it tells are then the host's.
    pub sees_host: bool,
    /// The file that it executes; `None` when that is out of sight.
    pub executable: Option<Executable>,
    /// Whether it runs in the host's pid namespace.
    pub is_hosts_process: bool,
}

/// A process that tells of an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It serves the engine's interface.
    Daemon(Box<Daemon>),
    /// It looks after a container of containerd, and names containerd's socket.
    Shim {
        /// The process.
        process: ProcessKey,
        /// The socket it reports to.
        socket: PathBuf,
    },
    /// It looks after a container of Podman, and names Podman's directories.
    Monitor {
        /// The process.
        process: ProcessKey,
        /// The directories.
        roots: StoreRoots,
    },
}

/// Finds the engines' processes, remembering which were looked at.
#[derive(Debug)]
pub struct DaemonFinder {
    root: HostRoot,
    layout: CgroupLayout,
    host: Namespaces,
    executables: ExecutableReader,
    /// What each process was when it was looked at.
    known: HashMap<u32, Seen>,
    turn: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    start_ns: u64,
    name: [u8; 16],
}

impl DaemonFinder {
    /// Fails when the host's own namespaces cannot be read.
    pub fn new(root: &HostRoot, layout: &CgroupLayout) -> Result<Self, HostfsError> {
        let host = host_namespaces(root)?;
        let executables = ExecutableReader::new(root);
        let (root, layout) = (root.clone(), layout.clone());
        Ok(Self { root, layout, host, executables, known: HashMap::new(), turn: 0 })
    }

    /// Lists all processes; what was not told of before and tells of an engine.
    pub fn look_around(&mut self) -> Result<Vec<Found>, HostfsError> {
        let (pids, _) = pids(&self.root)?;
        self.turn = (self.turn + 1) % LOOK_AGAIN_IN;
        let mut before = std::mem::take(&mut self.known);
        let mut found = Vec::new();
        for pid in pids {
            let known = before.remove(&pid);
            self.known.extend(known.map(|seen| (pid, seen)));
            if known.is_none() || pid % LOOK_AGAIN_IN == self.turn {
                found.extend(self.consider(pid));
            }
        }
        Ok(found)
    }

    /// A process that may tell of an engine was just executed.
    pub fn notice(&mut self, pid: u32) -> Option<Found> {
        self.consider(pid)
    }

    /// Whether the process still runs.
    pub fn is_alive(&self, process: ProcessKey) -> bool {
        is_alive(&self.root, process)
    }

    /// The sockets of the host's network namespace that somebody listens at.
    pub fn sockets_of_host(&self) -> Result<Vec<UnixListener>, HostfsError> {
        unix_listeners(&self.root, 1)
    }

    /// A process of which nothing but its pid is known.
    pub fn process(&self, pid: u32) -> Option<Daemon> {
        let stat = stat(&self.root, pid, &mut Vec::new()).ok()?;
        let kind = self.kind(&stat).unwrap_or(DaemonKind::Other);
        Some(self.daemon(&stat, kind))
    }

    /// Who holds the socket of that number: of several the one of the host's pid namespace that started last, since a
    /// service manager opens sockets for others. Looks at every process.
    pub fn holder(&self, inode: u64) -> Option<Daemon> {
        let (pids, _) = pids(&self.root).ok()?;
        let mut allowance = ALL_FILES_MAX;
        let mut holder: Option<Stat> = None;
        let mut text = Vec::new();
        for pid in pids {
            let mut holds = false;
            let looked_at =
                sockets_held(&self.root, pid, allowance.min(FILES_MAX), |number| holds |= number == inode);
            allowance = allowance.saturating_sub(looked_at);
            let stat = holds.then(|| stat(&self.root, pid, &mut text).ok()).flatten();
            let rank = |stat: &Stat| (self.is_of_host(stat.pid), stat.start_ns);
            holder = match (holder, stat) {
                (Some(one), Some(other)) if rank(&one) >= rank(&other) => Some(one),
                (one, other) => other.or(one),
            };
        }
        let stat = holder?;
        let kind = self.kind(&stat).unwrap_or(DaemonKind::Other);
        Some(self.daemon(&stat, kind))
    }

    fn consider(&mut self, pid: u32) -> Option<Found> {
        let stat = stat(&self.root, pid, &mut Vec::new()).ok()?;
        let seen = Seen { start_ns: stat.start_ns, name: stat.name };
        if self.known.insert(pid, seen) == Some(seen) || stat.is_kernel_thread() {
            return None;
        }
        let found = self.found(&stat);
        let may_change = self.is_fork(&stat) || self.arguments(pid).is_empty();
        if found.is_none() && may_change {
            self.known.remove(&pid);
        }
        found
    }

    fn found(&self, stat: &Stat) -> Option<Found> {
        let process = key(stat);
        let found = match stat.name() {
            b"conmon" => Found::Monitor { process, roots: monitored(&self.arguments(stat.pid))? },
            name if name.starts_with(b"containerd-shim") => {
                Found::Shim { process, socket: value_of(&self.arguments(stat.pid), "address")? }
            }
            _ if self.is_fork(stat) => return None,
            _ => Found::Daemon(Box::new(self.daemon(stat, self.kind(stat)?))),
        };
        self.is_of_host(stat.pid).then_some(found)
    }

    /// Whether it is a daemon's child by the daemon's own name: until it executes another program, it looks like a second
    /// daemon, sockets and all. Podman that is not run by root goes on as such a child, in a user namespace of its own.
    fn is_fork(&self, stat: &Stat) -> bool {
        let Some(kind) = self.kind(stat) else { return false };
        let parent = crate::proc_dir::stat(&self.root, stat.parent_pid, &mut Vec::new());
        let users = |pid| namespace(&self.root, pid, "user").ok();
        let is_same = || kind != DaemonKind::Podman || users(stat.pid) == users(stat.parent_pid);
        parent.is_ok_and(|parent| self.kind(&parent) == Some(kind)) && is_same()
    }

    /// What its name or, when that was changed, its program's name says that it is.
    fn kind(&self, stat: &Stat) -> Option<DaemonKind> {
        let by_name = kind_of(stat.name()).or_else(|| {
            let program = self.program(stat.pid);
            let name = program.raw().rsplit('/').next()?;
            kind_of(name.strip_suffix(" (deleted)").unwrap_or(name).as_bytes())
        })?;
        let serves = by_name != DaemonKind::Podman || is_service(&self.arguments(stat.pid));
        serves.then_some(by_name)
    }

    fn daemon(&self, stat: &Stat, kind: DaemonKind) -> Daemon {
        let cgroup = process_cgroup(&self.root, &self.layout, stat.pid);
        let mounts = namespace(&self.root, stat.pid, "mnt");
        Daemon {
            process: key(stat),
            parent_pid: stat.parent_pid,
            kind,
            program: self.program(stat.pid),
            cgroup: cgroup
                .map(|it| Untrusted::from_bytes(it.path.as_os_str().as_encoded_bytes()))
                .unwrap_or_default(),
            uid: self.uid(stat.pid),
            args: self.arguments(stat.pid),
            sees_host: mounts.is_ok_and(|inode| inode == self.host.mnt),
            executable: self.executables.of(stat.pid),
            is_hosts_process: self.is_of_host(stat.pid),
        }
    }

    fn is_of_host(&self, pid: u32) -> bool {
        namespace(&self.root, pid, "pid").is_ok_and(|inode| inode == self.host.pid)
    }

    fn program(&self, pid: u32) -> Untrusted {
        let mut buffer = [MaybeUninit::uninit(); PATH_BYTES_MAX];
        link(&pid_path(&self.root, pid, "exe"), &mut buffer).map(Untrusted::from_bytes).unwrap_or_default()
    }

    fn uid(&self, pid: u32) -> Option<u32> {
        let status = crate::kept::read_whole(&pid_path(&self.root, pid, "status"), PATH_BYTES_MAX).ok()?;
        crate::proc_dir::uid(&status)
    }

    fn arguments(&self, pid: u32) -> Vec<String> {
        let text = cmdline(&self.root, pid).unwrap_or_default();
        let text = text.strip_suffix(b"\0").unwrap_or(&text);
        let words = text.split(|&byte| byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
        if text.is_empty() { Vec::new() } else { words.collect() }
    }
}

impl Daemon {
    /// Which containers it can have made, given that it holds the socket of an engine.
    pub fn authority(&self) -> Authority {
        let refused = |why: &str| Authority::Refused { why: why.into() };
        match (&self.executable, self.uid) {
            _ if !self.is_hosts_process => refused("it runs in a pid namespace of its own"),
            (Some(file), _) if file.is_roots() => Authority::Host,
            (_, Some(uid)) if uid != 0 => Authority::User { uid },
            (Some(_), _) => refused("the file that it executes is not one of the host's own"),
            (None, _) => Authority::Unknown,
        }
    }

    /// The value of an argument (`--config X`, `--config=X`, `-config X`), by the name without dashes.
    pub fn argument(&self, name: &str) -> Option<PathBuf> {
        value_of(&self.args, name)
    }
}

/// The sockets that a process listens at, whatever network namespace it is in.
pub fn sockets_of(root: &HostRoot, pid: u32) -> Result<Vec<UnixListener>, HostfsError> {
    let listeners = unix_listeners(root, pid)?;
    if listeners.is_empty() {
        return Ok(listeners);
    }
    let mut held = Vec::new();
    sockets_held(root, pid, FILES_MAX, |inode| held.push(inode));
    Ok(listeners.into_iter().filter(|listener| held.contains(&listener.inode)).collect())
}

/// Whether a process still runs.
pub fn is_alive(root: &HostRoot, process: ProcessKey) -> bool {
    let now = stat(root, process.pid, &mut Vec::new());
    now.is_ok_and(|now| key(&now) == process && !now.has_ended())
}

/// How many open files were looked at.
fn sockets_held(root: &HostRoot, pid: u32, files_max: usize, mut each: impl FnMut(u64)) -> usize {
    let directory = pid_path(root, pid, "fd");
    let Ok(entries) = std::fs::read_dir(&directory) else { return 0 };
    let mut looked_at = 0;
    for entry in entries.flatten().take(files_max) {
        looked_at += 1;
        let mut buffer = [MaybeUninit::uninit(); 32];
        let Ok(target) = link(&entry.path(), &mut buffer) else { continue };
        let number = target.strip_prefix(b"socket:[").and_then(|rest| rest.strip_suffix(b"]"));
        if let Some(inode) = number.and_then(crate::text::number) {
            each(inode);
        }
    }
    looked_at
}

fn kind_of(name: &[u8]) -> Option<DaemonKind> {
    match name {
        b"dockerd" => Some(DaemonKind::Docker),
        b"containerd" => Some(DaemonKind::Containerd),
        b"crio" => Some(DaemonKind::Crio),
        b"podman" => Some(DaemonKind::Podman),
        _ => None,
    }
}

/// `podman … system service …`; options may stand before either word, a container's arguments never do.
fn is_service(args: &[String]) -> bool {
    let mut words = args.iter().skip(1).map(String::as_str).filter(|word| !word.starts_with('-'));
    words.any(|word| word == "system") && words.next() == Some("service")
}

fn value_of(args: &[String], name: &str) -> Option<PathBuf> {
    let mut words = args.iter().skip(1).map(String::as_str);
    while let Some(word) = words.next() {
        let Some(option) = word.strip_prefix("--").or_else(|| word.strip_prefix('-')) else { continue };
        let value = match option.strip_prefix(name) {
            Some("") => words.next(),
            Some(rest) => rest.strip_prefix('='),
            None => continue,
        };
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            return Some(PathBuf::from(value));
        }
    }
    None
}

/// The directories of Podman's that its monitor was told: those that it is to clean up in at the end, else those that the
/// container's own files lie in. A monitor without such a command is another engine's.
fn monitored(args: &[String]) -> Option<StoreRoots> {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    words.iter().position(|word| *word == "--exit-command")?;
    let cleanup: Vec<String> = words
        .windows(2)
        .filter(|pair| pair[0] == "--exit-command-arg")
        .map(|pair| pair[1].to_owned())
        .collect();
    // `value_of` looks behind the program's name.
    let cleanup = [&[String::new()], cleanup.as_slice()].concat();
    let of_bundle = || store_above(&value_of(args, "b").or_else(|| value_of(args, "bundle"))?);
    let of_pidfile = || store_above(&value_of(args, "p").or_else(|| value_of(args, "container-pidfile"))?);
    let graphroot = value_of(&cleanup, "root").or_else(of_bundle)?;
    let runroot = value_of(&cleanup, "runroot").or_else(of_pidfile)?;
    (graphroot.is_absolute() && runroot.is_absolute()).then_some(StoreRoots { graphroot, runroot })
}

/// `/store/overlay-containers/ID/userdata/…` → `/store`.
fn store_above(path: &Path) -> Option<PathBuf> {
    let containers = path.ancestors().find(|above| {
        above.file_name().is_some_and(|name| name.as_encoded_bytes().ends_with(b"-containers"))
    })?;
    containers.parent().map(Path::to_path_buf)
}

#[cfg(test)]
mod tests;
