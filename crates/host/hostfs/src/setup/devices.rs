//! Devices that a container has beyond those that every container has, by the nodes in its `/dev`.
//!
//! Not here: whether its cgroup lets it use them; nodes elsewhere, which take the right to make them.

use std::collections::BTreeSet;
use std::ffi::CStr;

use model::privilege::DEVICES_MAX;
use model::untrusted::Untrusted;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, Dir, FileType, Mode, OFlags, openat};
use rustix::io::Errno;

use crate::proc_dir::pid_path;
use crate::root::HostRoot;

/// What engines give to all.
const USUAL: [&[u8]; 8] = [b"console", b"full", b"null", b"ptmx", b"random", b"tty", b"urandom", b"zero"];
/// Directories of terminals, memory and queues, which are the container's own.
const OWN_DIRECTORIES: [&[u8]; 4] = [b"pts", b"shm", b"mqueue", b"fd"];
/// Entries read of one directory; a host's own has a few hundred.
const ENTRIES_MAX: usize = 4096;
/// Directories below `/dev` that are looked into.
const DIRECTORIES_MAX: usize = 16;

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The device nodes in a process's `/dev` and one level below it by their path in the container, those that reach the
/// most first; at most [`DEVICES_MAX`].
pub(super) fn devices(root: &HostRoot, pid: u32) -> Vec<Untrusted> {
    let top = pid_path(root, pid, "root/dev");
    let mut found = BTreeSet::new();
    // A link in its place could lead anywhere: it is not followed.
    let Ok(top) = openat(CWD, &top, DIRECTORY, Mode::empty()) else { return Vec::new() };
    let mut directories = list(&top, "/dev", &mut found);
    directories.truncate(DIRECTORIES_MAX);
    for name in directories {
        let Ok(directory) = openat(&top, name.as_str(), DIRECTORY | OFlags::NONBLOCK, Mode::empty()) else {
            continue;
        };
        list(&directory, &format!("/dev/{name}"), &mut found);
    }
    found.into_iter().take(DEVICES_MAX).map(|(_, path)| Untrusted::new(&path)).collect()
}

/// Adds the devices of a directory; the directories in it.
fn list(directory: &OwnedFd, path: &str, found: &mut BTreeSet<(u8, String)>) -> Vec<String> {
    let mut below = Vec::new();
    for (name, kind) in entries(directory) {
        let is_top = path == "/dev";
        match kind {
            FileType::Directory if is_top && !OWN_DIRECTORIES.contains(&name.as_slice()) => {
                below.extend(String::from_utf8(name).ok());
            }
            FileType::CharacterDevice | FileType::BlockDevice
                if !(is_top && USUAL.contains(&name.as_slice())) =>
            {
                let rank = rank(&name, kind == FileType::BlockDevice);
                found.insert((rank, format!("{path}/{}", String::from_utf8_lossy(&name))));
            }
            _ => {}
        }
    }
    below
}

fn entries(directory: &OwnedFd) -> Vec<(Vec<u8>, FileType)> {
    let Ok(entries) = Dir::read_from(directory.as_fd()) else { return Vec::new() };
    let shown = |name: &CStr| !matches!(name.to_bytes(), b"." | b"..");
    let entries = entries.take(ENTRIES_MAX).map_while(Result::<_, Errno>::ok);
    entries
        .filter(|entry| shown(entry.file_name()))
        .map(|entry| (entry.file_name().to_bytes().to_vec(), entry.file_type()))
        .collect()
}

/// What reaches most comes first: memory and the kernel's log, disks, the rest; then the many terminals.
fn rank(name: &[u8], is_block: bool) -> u8 {
    let begins = |prefix: &&[u8]| name.starts_with(prefix);
    let is_many = [&b"tty"[..], b"vcs", b"loop", b"ram", b"nbd"].iter().any(begins);
    match name {
        b"mem" | b"kmem" | b"port" | b"kmsg" | b"kvm" => 0,
        _ if is_many => 3,
        _ if is_block => 1,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::rank;

    #[test]
    fn memory_and_disks_come_before_terminals() {
        let mut names =
            [(&b"tty7"[..], false), (b"loop0", true), (b"input", false), (b"sda", true), (b"kmsg", false)];
        names.sort_by_key(|(name, is_block)| rank(name, *is_block));
        assert_eq!(names.map(|(name, _)| name), [&b"kmsg"[..], b"sda", b"input", b"tty7", b"loop0"]);
    }
}
