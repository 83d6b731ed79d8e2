//! Whose root a running process has and whose file it runs, read as the kernel's probes tell it of one that starts.
//!
//! No file system is asked anew (`AT_STATX_DONT_SYNC`): that of a container may be served by a process in it. Not here:
//! what is made of it (`enrich`).

use std::ffi::OsStr;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use model::confines::{Confines, RootId, RunFile};
use model::privilege::Capabilities;
use rustix::fs::{AtFlags, CWD, Statx, StatxFlags, statx};

use crate::proc_dir::{link, namespace, pid_path};
use crate::root::HostRoot;
use crate::text::{lines, number};

/// Where a process lives; `None` where the kernel does not show its root.
pub(crate) fn confines(root: &HostRoot, pid: u32, status: &[u8]) -> Option<Confines> {
    let host = seen(&pid_path(root, 1, "root")).or_else(|| seen(root.path()))?;
    // That of pid 1, which may be closed to us, is the host's by definition.
    let own = if pid == 1 { host } else { seen(&pid_path(root, pid, "root"))? };
    // Browsers lock themselves into an empty directory without executing anything in it, as the probes know as well.
    let has_own_root =
        identity(&own) != identity(&host) && (executed_inside(root, pid) || holds_directories(&own));
    let file = if has_own_root { run_file(root, pid, &host) } else { RunFile::default() };
    let users = |pid| namespace(root, pid, "user").ok();
    Some(Confines {
        root: identity(&own),
        has_own_root,
        file,
        has_own_users: users(pid).is_some_and(|own| users(1).is_some_and(|host| own != host)),
        capabilities: Capabilities(hexadecimal(status, b"CapEff:").unwrap_or_default()),
        pid_inside: innermost_pid(status).unwrap_or_default(),
    })
}

/// Whether a process runs the very file that the host has at the same path: the path below the process's own root, not
/// that by which the host reaches it.
pub(crate) fn runs_hosts_file(root: &HostRoot, pid: u32) -> bool {
    let exe = pid_path(root, pid, "exe");
    let Some(inside) = path_inside(root, pid) else { return false };
    let (Some(own), Some(hosts)) = (seen(&exe), seen(&root.path().join(inside))) else { return false };
    identity(&own) == identity(&hosts)
}

/// Whether the file that a process runs lies below its root: what changed its root since it executed runs one from outside.
fn executed_inside(root: &HostRoot, pid: u32) -> bool {
    path_inside(root, pid).is_some()
}

/// The path, below its own root, of the file that a process runs.
fn path_inside(root: &HostRoot, pid: u32) -> Option<PathBuf> {
    let target = |file: &str| {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let told = link(&pid_path(root, pid, file), &mut buffer).ok()?;
        Some(PathBuf::from(OsStr::from_bytes(told)))
    };
    let (told, own_root) = (target("exe")?, target("root")?);
    told.strip_prefix(&own_root).ok().map(Path::to_path_buf)
}

/// Whether there are directories in a directory, by its links; overlayfs and Btrfs count none, and say 1. One that was
/// removed has no link left.
fn holds_directories(directory: &Statx) -> bool {
    !matches!(directory.stx_nlink, 0 | 2)
}

fn run_file(root: &HostRoot, pid: u32, host: &Statx) -> RunFile {
    let Some(exe) = seen(&pid_path(root, pid, "exe")) else { return RunFile::default() };
    let is_on_hosts = identity(&exe).device == identity(host).device;
    RunFile {
        device: identity(&exe).device,
        is_in_place: runs_hosts_file(root, pid),
        is_on_hosts,
        is_roots: exe.stx_uid == 0 && is_on_hosts,
    }
}

fn seen(path: &Path) -> Option<Statx> {
    statx(CWD, path, AtFlags::STATX_DONT_SYNC, StatxFlags::INO | StatxFlags::UID | StatxFlags::NLINK).ok()
}

/// As the kernel numbers devices in its own memory.
fn identity(found: &Statx) -> RootId {
    RootId { device: found.stx_dev_major << 20 | found.stx_dev_minor, inode: found.stx_ino }
}

/// `NSpid:` holds its pids from the host's namespace to its own.
fn innermost_pid(status: &[u8]) -> Option<u32> {
    let pids = lines(status).find_map(|line| line.strip_prefix(b"NSpid:"))?;
    let last = pids.split(u8::is_ascii_whitespace).rfind(|pid| !pid.is_empty())?;
    u32::try_from(number(last)?).ok()
}

fn hexadecimal(status: &[u8], key: &[u8]) -> Option<u64> {
    let digits = lines(status).find_map(|line| line.strip_prefix(key))?;
    u64::from_str_radix(std::str::from_utf8(digits.trim_ascii()).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use testkit::host_tree::FakeHost;

    use super::*;

    #[test]
    fn this_process_lives_where_the_host_does() {
        let root = HostRoot::new("/");
        let status = std::fs::read(format!("/proc/{}/status", std::process::id())).unwrap();
        let confines = confines(&root, std::process::id(), &status).unwrap();
        assert!(!confines.has_own_root && !confines.has_own_users);
        assert!(confines.pid_inside > 0);
        assert!(runs_hosts_file(&root, std::process::id()));
        assert!(executed_inside(&root, std::process::id()));
    }

    #[test]
    fn an_empty_directory_holds_none() {
        let tree = FakeHost::v2().unwrap();
        let plain = tree.root().join("plain");
        std::fs::create_dir(&plain).unwrap();
        std::fs::write(plain.join("file"), "").unwrap();
        let links = |path: &Path| seen(path).unwrap().stx_nlink;
        // Where directories are not counted all of them count as held.
        assert_eq!(holds_directories(&seen(&plain).unwrap()), links(&plain) == 1);
        std::fs::create_dir(plain.join("bin")).unwrap();
        assert!(holds_directories(&seen(&plain).unwrap()));
    }

    #[test]
    fn pids_and_capabilities_are_read_from_the_status() {
        let status = b"Name:\tsh\nNSpid:\t4242\t17\t1\nCapEff:\t000001ffffffffff\n";
        assert_eq!(innermost_pid(status), Some(1));
        assert_eq!(hexadecimal(status, b"CapEff:"), Some(0x1ff_ffff_ffff));
        assert_eq!((innermost_pid(b"NSpid:\t\n"), hexadecimal(b"CapEff:\tx\n", b"CapEff:")), (None, None));
    }
}
