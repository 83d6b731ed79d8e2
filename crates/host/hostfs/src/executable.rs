//! The file that a process executes, and whether it is the host's own: by device and inode, owner, file system, root
//! directory and namespaces. Its name says nothing.
//!
//! No file system is asked anew: a process may serve the one that its own executable lies in. Not here: what follows
//! from it (`enrich`).

use std::mem::MaybeUninit;
use std::path::Path;

use model::authority::Executable;
use model::untrusted::Untrusted;
use rustix::fs::{AtFlags, CWD, Statx, StatxFlags, statx};

use crate::kept::{read_into, read_whole};
use crate::mount_table::{HOST_TABLE_BYTES_MAX, MountLine};
use crate::proc_dir::{link, namespace, pid_path, uid};
use crate::root::HostRoot;
use crate::text::lines;

const PATH_BYTES_MAX: usize = 4096;
const STATUS_BYTES_MAX: usize = 4096;
/// Bits of a file's mode by which its group and others may write it.
const WRITABLE_BY_OTHERS: u16 = 0o022;
/// The kernel's note behind the path of a file that was replaced or removed.
const DELETED: &[u8] = b" (deleted)";

/// Looks at executables of processes, against those of the host.
#[derive(Clone, Debug)]
pub struct ExecutableReader {
    root: HostRoot,
    pid_namespace: Option<u32>,
    user_namespace: Option<u32>,
}

impl ExecutableReader {
    /// A reader that holds what it finds against the host's first process, or where that is closed to us, the kernel's
    /// first thread.
    pub fn new(root: &HostRoot) -> Self {
        let first = |kind| [1, 2].into_iter().find_map(|pid| namespace(root, pid, kind).ok());
        Self { root: root.clone(), pid_namespace: first("pid"), user_namespace: first("user") }
    }

    /// What a process executes; `None` when it has ended or is out of sight.
    pub fn of(&self, pid: u32) -> Option<Executable> {
        let path = pid_path(&self.root, pid, "exe");
        let mut buffer = [MaybeUninit::uninit(); PATH_BYTES_MAX];
        let told = link(&path, &mut buffer).ok()?;
        let told = Untrusted::from_bytes(told.strip_suffix(DELETED).unwrap_or(told));
        let file = without_asking(&path)?;
        let status = read_whole(&pid_path(&self.root, pid, "status"), STATUS_BYTES_MAX).ok()?;
        Some(Executable {
            path: told,
            device: (file.stx_dev_major, file.stx_dev_minor),
            inode: file.stx_ino,
            uid: uid(&status)?,
            is_hosts: is_roots_alone(&file) && self.lives_on_host(pid) && self.is_on_host(&file),
        })
    }

    /// Whether the process has the host's pid and user namespaces and its root directory.
    fn lives_on_host(&self, pid: u32) -> bool {
        let has = |kind, host: Option<u32>| host.is_some() && namespace(&self.root, pid, kind).ok() == host;
        has("pid", self.pid_namespace) && has("user", self.user_namespace) && self.has_hosts_root(pid)
    }

    fn has_hosts_root(&self, pid: u32) -> bool {
        let place =
            |path: &Path| without_asking(path).map(|it| (it.stx_dev_major, it.stx_dev_minor, it.stx_ino));
        place(&pid_path(&self.root, pid, "root")).is_some_and(|own| Some(own) == self.root_place())
    }

    fn root_place(&self) -> Option<(u32, u32, u64)> {
        let first = without_asking(&pid_path(&self.root, 1, "root"));
        let found = first.or_else(|| without_asking(self.root.path()))?;
        Some((found.stx_dev_major, found.stx_dev_minor, found.stx_ino))
    }

    /// Whether its file system is one of the host's. A file in FUSE has whatever owner its server says.
    fn is_on_host(&self, file: &Statx) -> bool {
        let device = (file.stx_dev_major, file.stx_dev_minor);
        let is_roots = self.root_place().is_some_and(|(major, minor, _)| (major, minor) == device);
        // Devices without a number of their own are of file systems in memory, on networks, in layers, in FUSE.
        is_roots || device.0 != 0 || self.is_mounted(device)
    }

    fn is_mounted(&self, (major, minor): (u32, u32)) -> bool {
        let mut table = Vec::new();
        let path = pid_path(&self.root, 1, "mountinfo");
        let is_read = read_into(&path, &mut table, HOST_TABLE_BYTES_MAX);
        let device = format!("{major}:{minor}");
        let mounts = lines(&table).filter_map(MountLine::parse);
        let mut kinds = mounts.filter(|mount| mount.device == device.as_bytes()).map(|mount| mount.kind);
        is_read.is_ok() && kinds.next().is_some_and(|kind| !kind.starts_with(b"fuse"))
    }
}

fn is_roots_alone(file: &Statx) -> bool {
    file.stx_uid == 0 && file.stx_mode & WRITABLE_BY_OTHERS == 0
}

fn without_asking(path: &Path) -> Option<Statx> {
    let wanted = StatxFlags::INO | StatxFlags::UID | StatxFlags::MODE;
    statx(CWD, path, AtFlags::STATX_DONT_SYNC, wanted).ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use testkit::host_tree::{FakeHost, FakeProcess};

    use super::*;

    const DAEMON: u32 = 900;

    /// A made-up process that executes a file of the host's, and is otherwise as pid 1 is.
    struct Case {
        host: FakeHost,
    }

    impl Case {
        fn new() -> Self {
            let host = FakeHost::v2().unwrap();
            host.write("usr/bin/engine", b"").unwrap();
            host.process(&FakeProcess::new(DAEMON, "containerd")).unwrap();
            let case = Self { host };
            case.link(&format!("proc/{DAEMON}/exe"), "usr/bin/engine");
            for pid in [1, DAEMON] {
                case.link(&format!("proc/{pid}/root"), ".");
                case.namespace(pid, 7);
            }
            case
        }

        fn link(&self, from: &str, to: &str) {
            self.host.link_within(from, to).unwrap();
        }

        fn namespace(&self, pid: u32, number: u32) {
            self.host.link(&format!("proc/{pid}/ns/user"), format!("user:[{number}]")).unwrap();
        }

        fn is_hosts(&self) -> bool {
            ExecutableReader::new(&HostRoot::new(self.host.root())).of(DAEMON).unwrap().is_hosts
        }
    }

    #[test]
    fn a_file_of_root_run_as_pid_one_is_run_is_the_hosts() {
        let case = Case::new();
        // The files of this test belong to the user who runs it.
        let is_root = rustix::process::getuid().is_root();
        assert_eq!(case.is_hosts(), is_root);
    }

    #[test]
    fn a_file_that_others_may_write_is_not_the_hosts() {
        let case = Case::new();
        let file = case.host.root().join("usr/bin/engine");
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o775)).unwrap();
        assert!(!case.is_hosts());
    }

    #[test]
    fn a_process_in_a_user_namespace_or_a_root_of_its_own_is_not_the_hosts() {
        let case = Case::new();
        case.namespace(DAEMON, 8);
        assert!(!case.is_hosts());
        case.namespace(DAEMON, 7);
        case.link(&format!("proc/{DAEMON}/root"), "usr");
        assert!(!case.is_hosts());
    }

    #[test]
    fn a_name_that_links_to_another_program_is_that_program() {
        let case = Case::new();
        case.host.write("usr/bin/sleep", b"").unwrap();
        case.link("usr/bin/containerd", "usr/bin/sleep");
        case.link(&format!("proc/{DAEMON}/exe"), "usr/bin/sleep");
        let found = ExecutableReader::new(&HostRoot::new(case.host.root())).of(DAEMON).unwrap();
        assert_eq!(found.name(), "sleep");
    }
}
