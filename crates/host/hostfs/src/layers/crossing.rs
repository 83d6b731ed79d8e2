//! Which mounts of a container may be walked when a script lies on one: those of file systems that the kernel itself serves.
//!
//! Not here: what is found there (`layers.rs`).

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

use super::folded;
use crate::mount_table::{MountLine, unescaped};
use crate::text::lines;

/// File systems that answer by themselves. Others (FUSE, NFS, 9p) wait for a process or another host.
const LOCAL: [&[u8]; 30] = [
    b"overlay",
    b"ext2",
    b"ext3",
    b"ext4",
    b"xfs",
    b"btrfs",
    b"f2fs",
    b"zfs",
    b"bcachefs",
    b"tmpfs",
    b"ramfs",
    b"rootfs",
    b"squashfs",
    b"erofs",
    b"proc",
    b"sysfs",
    b"cgroup",
    b"cgroup2",
    b"mqueue",
    b"devpts",
    b"devtmpfs",
    b"tracefs",
    b"debugfs",
    b"securityfs",
    b"bpf",
    b"pstore",
    b"configfs",
    b"hugetlbfs",
    b"fusectl",
    b"binfmt_misc",
];

/// The mounts of one container, in the order in which they were made.
pub(super) struct Mounts(Vec<Mount>);

struct Mount {
    point: PathBuf,
    is_local: bool,
}

impl Mounts {
    pub(super) fn read(table: &[u8]) -> Self {
        let mount =
            |line: MountLine| Mount { point: unescaped(line.point), is_local: LOCAL.contains(&line.kind) };
        Self(lines(table).filter_map(MountLine::parse).map(mount).collect())
    }

    /// Whether something is mounted just there.
    pub(super) fn has_point(&self, path: &Path) -> bool {
        self.0.iter().any(|mount| mount.point == path)
    }

    /// Opens a path across mounts, without reading. Links may lead anywhere, and are followed only where no mount could keep us
    /// waiting.
    pub(super) fn open(&self, root: BorrowedFd<'_>, path: &Path) -> Option<OwnedFd> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let are_all_local = self.0.iter().all(|mount| mount.is_local);
        if are_all_local {
            return openat2(root, path, flags, Mode::empty(), within).ok();
        }
        let path = folded(path);
        let covering = self.0.iter().filter(|mount| path.starts_with(&mount.point));
        let is_local = covering.clone().all(|mount| mount.is_local);
        let within = within | ResolveFlags::NO_SYMLINKS;
        is_local.then(|| openat2(root, &path, flags, Mode::empty(), within).ok()).flatten()
    }
}
