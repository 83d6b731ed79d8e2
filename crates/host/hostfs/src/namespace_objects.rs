//! Kernel objects of the namespaces that a process is in.
//!
//! Not here: those of the host (`objects.rs`).

use std::os::fd::AsFd;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::kept::{open, read_whole};
use crate::objects::{SysvCounts, sockets, table_lines};
use crate::proc_dir::{namespace, namespace_at, pid_path};
use crate::root::HostRoot;
use crate::text::{lines, words};

const STATISTICS_BYTES_MAX: usize = 256 * 1024;

/// Mounts; a process has at least its root.
pub(crate) fn mounts(root: &HostRoot, pid: u32) -> Option<u64> {
    table_lines(&pid_path(root, pid, "mountinfo")).filter(|&mounts| mounts > 0)
}

/// Sockets that hold a port, or may.
pub(crate) fn ports(root: &HostRoot, pid: u32) -> Option<u64> {
    let read = |name| read_whole(&pid_path(root, pid, name), STATISTICS_BYTES_MAX).ok();
    let v6 = read("net/sockstat6").and_then(|text| sockets(&text)).unwrap_or(0);
    Some(sockets(&read("net/sockstat")?)?.saturating_add(v6))
}

/// Tracked connections. One line a core, each begins with the sum of all in hexadecimal.
pub(crate) fn conntrack(root: &HostRoot, pid: u32) -> Option<u64> {
    let text = read_whole(&pid_path(root, pid, "net/stat/nf_conntrack"), STATISTICS_BYTES_MAX).ok()?;
    let mut lines = lines(&text);
    let is_known = lines.next()?.starts_with(b"entries");
    let entries = std::str::from_utf8(words(lines.next().filter(|_| is_known)?).next()?).ok()?;
    u64::from_str_radix(entries, 16).ok()
}

/// Sockets that send and receive below IP; unknown in the host's own network namespace, where they are not the process's.
pub(crate) fn packet_sockets(root: &HostRoot, pid: u32, host_net: Option<u32>) -> Option<u64> {
    let net = namespace(root, pid, "net").ok()?;
    if host_net.is_none_or(|host| host == net) {
        return None;
    }
    crate::sockets::packet_sockets(root, pid).ok()
}

/// System V objects. The kernel shows a reader those of its own IPC namespace and of no other, so that a thread has to
/// enter the process's: it reads our own `/proc` there, and ends. Unknown without the right to (`CAP_SYS_ADMIN`).
pub(crate) fn sysv(root: &HostRoot, pid: u32) -> SysvCounts {
    let own = namespace_at(&root.at("proc/self/ns/ipc")).ok();
    if own.is_some() && namespace(root, pid, "ipc").ok() == own {
        return SysvCounts::read(root);
    }
    let Ok(other) = open(&pid_path(root, pid, "ns/ipc")) else { return SysvCounts::default() };
    let root = root.clone();
    let read_inside = move || {
        let ipc = Some(LinkNameSpaceType::InterProcessCommunication);
        move_into_link_name_space(other.as_fd(), ipc).map(|()| SysvCounts::read(&root))
    };
    let thread = std::thread::Builder::new().name("ipc namespace".to_owned()).spawn(read_inside);
    thread.ok().and_then(|thread| thread.join().ok()?.ok()).unwrap_or_default()
}
