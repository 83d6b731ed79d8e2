//! How a process that begins a container is set up, as the kernel shows it: cgroup, namespaces, root, rights, makers.
//!
//! Nothing below its root is followed, and nothing is asked of a file system that its own process serves. Not here: what
//! runtimes claim about it (`containers`), when to look (`sources`), what is too much (`detect`).

mod devices;

mod mounted;

use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use model::ids::{Namespaces, ProcessKey};
use model::privilege::{Capabilities, NamespaceKind, Privileges};
use model::setup::{MAKERS_MAX, Maker, Setup};
use model::untrusted::Untrusted;
use rustix::fs::{AtFlags, CWD, StatxFlags, statx};

use self::devices::devices;
use self::mounted::Mounted;
use crate::confines::runs_hosts_file;
use crate::error::HostfsError;
use crate::executable::ExecutableReader;
use crate::foreign::Kind;
use crate::kept::read_into;
use crate::layout::CgroupLayout;
use crate::proc_dir::{link, namespace, pid_path, stat};
use crate::process::{arguments, cmdline, host_namespaces, process_cgroup};
use crate::root::HostRoot;
use crate::stat::Stat;
use crate::text::lines;

const STATUS_BYTES_MAX: usize = 16 * 1024;
const LABEL_BYTES_MAX: usize = 4096;
const PATH_BYTES_MAX: usize = 4096;
/// Types of SELinux that confine nothing; the first is what engines give the privileged.
const FREE_TYPES: [&[u8]; 4] = [b"spc_t", b"unconfined_t", b"unconfined_service_t", b"container_runtime_t"];

/// One look at a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// What was seen.
    pub setup: Setup,
    /// The program's name (`comm`) before and after the look: a container's first process is its runtime's until it
    /// executes, which it may do while it is looked at.
    pub names: [Untrusted; 2],
    /// Whether it was cloned and had executed nothing before the look.
    pub is_cloned: bool,
}

/// Reads how processes are set up.
#[derive(Clone, Debug)]
pub struct SetupReader {
    root: HostRoot,
    layout: CgroupLayout,
    host: Namespaces,
    /// By [`NamespaceKind`]; `None` for kinds that this kernel does not have, or does not show of its first process.
    kinds: [Option<u32>; NamespaceKind::ALL.len()],
    confinement: Confinement,
    executables: ExecutableReader,
}

/// What confines containers on this host, beside seccomp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Confinement {
    None,
    AppArmor,
    Selinux,
}

impl SetupReader {
    /// Fails when the host's own namespaces cannot be read: nothing could be told from the host then.
    pub fn new(root: &HostRoot, layout: &CgroupLayout) -> Result<Self, HostfsError> {
        let host = host_namespaces(root)?;
        // The kernel's threads have the first ones, as pid 1 does, which may be closed to us.
        let kind =
            |kind: NamespaceKind| [1, 2].into_iter().find_map(|pid| namespace(root, pid, kind.name()).ok());
        let confinement = confinement(root);
        let executables = ExecutableReader::new(root);
        let (root, layout) = (root.clone(), layout.clone());
        Ok(Self { root, layout, host, kinds: NamespaceKind::ALL.map(kind), confinement, executables })
    }

    /// The namespaces of the host itself.
    pub fn host_namespaces(&self) -> Namespaces {
        self.host
    }

    /// Looks at a process. `Gone` when it ended, also when its pid is another's by now.
    pub fn look(&self, process: ProcessKey) -> Result<Look, HostfsError> {
        let pid = process.pid;
        let first = self.stat_of(process)?;
        let (namespaces, host_namespaces) = self.namespaces(pid)?;
        let cgroup = process_cgroup(&self.root, &self.layout, pid)?;
        let own_root = self.own_root(pid)?;
        let mounted = if own_root.is_none() && host_namespaces.contains(&NamespaceKind::Mnt) {
            Mounted::whole_host(true)
        } else {
            Mounted::read(&self.root, pid, own_root.as_deref(), &host_namespaces)?
        };
        let has_own_root = own_root.is_some() && self.holds_anything(pid, &mounted);
        let (capabilities, without_seccomp) = self.rights(pid)?;
        let privileges = Privileges {
            is_privileged: false,
            capabilities,
            without_seccomp,
            is_unconfined: self.is_unconfined(pid),
            devices: if has_own_root && mounted.may_list_devices { self.devices(pid) } else { Vec::new() },
            mounts: mounted.mounts,
            host_namespaces,
        };
        let makers = self.makers(first.parent_pid);
        let program = arguments(&cmdline(&self.root, pid)?);
        // Whatever was read between two looks at the same start belongs to that process and to no later one of that pid.
        let last = self.stat_of(process)?;
        let names = [&first, &last].map(|stat| Untrusted::from_bytes(stat.name()));
        let setup = Setup {
            process,
            cgroup: cgroup.id,
            program: if program.is_empty() { names[1].clone() } else { program },
            cgroup_path: text(&cgroup.path),
            namespaces,
            root: text(&mounted.root),
            has_own_root,
            runs_hosts_file: has_own_root && runs_hosts_file(&self.root, pid),
            has_own_users: !privileges.shares(NamespaceKind::User),
            privileges,
            makers,
        };
        Ok(Look { setup, names, is_cloned: first.is_cloned() })
    }

    /// Whether there is anything in its root. A browser locks itself into an empty directory, in which nothing can be run:
    /// what it does run is the host's. A file system that something else than the kernel serves is not asked, and one that
    /// does not answer holds something: silence is no proof of emptiness.
    fn holds_anything(&self, pid: u32, mounted: &Mounted) -> bool {
        if !mounted.may_list_root {
            return true;
        }
        let path = pid_path(&self.root, pid, "root");
        let list = move || match std::fs::read_dir(path) {
            Ok(mut entries) => entries.next().is_some_and(|entry| entry.is_ok()),
            Err(error) => error.kind() == std::io::ErrorKind::PermissionDenied,
        };
        self.root.foreign().call(Kind::Roots, "root directory of a process", list).unwrap_or(true)
    }

    /// Devices of its own; none are known of a file system that does not answer.
    fn devices(&self, pid: u32) -> Vec<Untrusted> {
        let root = self.root.clone();
        let list = move || devices(&root, pid);
        self.root.foreign().call(Kind::Roots, "devices of a process", list).unwrap_or_default()
    }

    fn stat_of(&self, process: ProcessKey) -> Result<Stat, HostfsError> {
        let found = stat(&self.root, process.pid, &mut Vec::new())?;
        if found.start_ns != process.start_ns || found.has_ended() {
            return Err(HostfsError::Gone { path: pid_path(&self.root, process.pid, "stat") });
        }
        Ok(found)
    }

    /// Its namespaces, and which kinds of them are the host's. A kind that the kernel does not have is shared by all.
    fn namespaces(&self, pid: u32) -> Result<(Namespaces, Vec<NamespaceKind>), HostfsError> {
        let (mut own, mut shared) = (Namespaces::default(), Vec::new());
        for (kind, host) in NamespaceKind::ALL.into_iter().zip(self.kinds) {
            let Some(host) = host else {
                shared.push(kind);
                continue;
            };
            let inode = namespace(&self.root, pid, kind.name())?;
            match kind {
                NamespaceKind::Pid => own.pid = inode,
                NamespaceKind::Mnt => own.mnt = inode,
                NamespaceKind::Net => own.net = inode,
                _ => {}
            }
            shared.extend((inode == host).then_some(kind));
        }
        Ok((own, shared))
    }

    /// Its root directory as its own mount namespace names it; `None` when it is the host's.
    fn own_root(&self, pid: u32) -> Result<Option<PathBuf>, HostfsError> {
        let path = pid_path(&self.root, pid, "root");
        let (asked, root) = (path.clone(), self.root.clone());
        let ask = move || {
            let own = directory(&asked)?;
            let host = directory(&pid_path(&root, 1, "root")).or_else(|_| directory(root.path()))?;
            Ok(own == host)
        };
        // The host's own root answers: one that does not is another.
        let asked = self.root.foreign().call(Kind::Roots, "root of a process", ask);
        if asked.unwrap_or(Ok(false))? {
            return Ok(None);
        }
        let mut buffer = [MaybeUninit::uninit(); PATH_BYTES_MAX];
        let told = link(&path, &mut buffer)?;
        Ok(Some(PathBuf::from(std::ffi::OsStr::from_bytes(told))))
    }

    /// What it can ever be capable of, and whether no seccomp filter is in force.
    fn rights(&self, pid: u32) -> Result<(Capabilities, bool), HostfsError> {
        let path = pid_path(&self.root, pid, "status");
        let mut text = Vec::new();
        read_into(&path, &mut text, STATUS_BYTES_MAX).map_err(|errno| HostfsError::io(&path, errno))?;
        let field = |key: &[u8]| lines(&text).find_map(|line| line.strip_prefix(key)).map(<[u8]>::trim_ascii);
        let bounding = field(b"CapBnd:").and_then(|digits| std::str::from_utf8(digits).ok());
        let bounding = bounding.and_then(|digits| u64::from_str_radix(digits, 16).ok());
        let bounding = bounding.ok_or_else(|| HostfsError::malformed(&path, "has no CapBnd"))?;
        // A kernel that filters nothing has no such line.
        let without_seccomp = field(b"Seccomp:").is_none_or(|mode| mode == b"0");
        Ok((Capabilities(bounding), without_seccomp))
    }

    fn is_unconfined(&self, pid: u32) -> bool {
        let mut label = Vec::new();
        let mut read =
            |file: &str| read_into(&pid_path(&self.root, pid, file), &mut label, LABEL_BYTES_MAX).is_ok();
        match self.confinement {
            Confinement::None => false,
            Confinement::AppArmor => {
                (read("attr/apparmor/current") || read("attr/current")) && label.starts_with(b"unconfined")
            }
            Confinement::Selinux => {
                read("attr/current")
                    && label.split(|&byte| byte == b':').nth(2).is_some_and(|kind| FREE_TYPES.contains(&kind))
            }
        }
    }

    /// Its ancestors as far as they can be seen.
    fn makers(&self, parent: u32) -> Vec<Maker> {
        let (mut makers, mut pid) = (Vec::new(), parent);
        while pid != 0 && makers.len() < MAKERS_MAX {
            let Ok(found) = stat(&self.root, pid, &mut Vec::new()) else { break };
            let args = cmdline(&self.root, pid).map(|args| arguments(&args)).unwrap_or_default();
            let executable = self.executables.of(pid).map(Box::new);
            makers.push(Maker { pid, name: Untrusted::from_bytes(found.name()), args, executable });
            pid = found.parent_pid;
        }
        makers
    }
}

/// What tells one directory from another. No file system is asked anew: that of a container may be served by a process
/// in it, which could keep us waiting.
fn directory(path: &Path) -> Result<(u32, u32, u64), HostfsError> {
    let found = statx(CWD, path, AtFlags::STATX_DONT_SYNC, StatxFlags::INO)
        .map_err(|errno| HostfsError::io(path, errno))?;
    Ok((found.stx_dev_major, found.stx_dev_minor, found.stx_ino))
}

fn confinement(root: &HostRoot) -> Confinement {
    let begins = |file: &str, with: &[u8]| {
        let mut text = Vec::new();
        read_into(&root.at(file), &mut text, LABEL_BYTES_MAX).is_ok() && text.starts_with(with)
    };
    if begins("sys/module/apparmor/parameters/enabled", b"Y") {
        Confinement::AppArmor
    } else if begins("sys/fs/selinux/enforce", b"1") {
        Confinement::Selinux
    } else {
        Confinement::None
    }
}

fn text(path: &Path) -> Untrusted {
    Untrusted::from_bytes(path.as_os_str().as_bytes())
}

#[cfg(test)]
mod tests;
