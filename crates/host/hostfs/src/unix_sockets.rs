//! Unix sockets that listen: their paths and numbers, and what those paths lead to on the host.
//!
//! Not here: who holds them (`daemons.rs`), connections, sockets without a path.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::net::sockopt::socket_peercred;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use crate::error::HostfsError;
use crate::foreign::Kind;
use crate::kept::read_into;
use crate::proc_dir::pid_path;
use crate::root::HostRoot;
use crate::text::{lines, number, words};

/// Most listening sockets told of one network namespace.
pub const UNIX_LISTENERS_MAX: usize = 4096;
/// About 60,000 sockets; connections without a path are most of them.
const TABLE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The kernel's flag of a socket that accepts connections (`__SO_ACCEPTCON`).
const ACCEPTS: u64 = 1 << 16;
/// As many links as the kernel follows in one path.
const LINKS_MAX: usize = 40;

/// A socket that waits for connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixListener {
    /// The path it was bound to, as its process sees it.
    pub path: PathBuf,
    /// Its inode number, as in the links of `/proc/PID/fd`.
    pub inode: u64,
}

/// The listening sockets with an absolute path of the network namespace of a process, at most [`UNIX_LISTENERS_MAX`].
pub fn unix_listeners(root: &HostRoot, pid: u32) -> Result<Vec<UnixListener>, HostfsError> {
    let path = pid_path(root, pid, "net/unix");
    let mut text = Vec::new();
    // A table that is longer is looked at as far as it goes.
    read_into(&path, &mut text, TABLE_BYTES_MAX).map_err(|errno| HostfsError::io(&path, errno))?;
    Ok(lines(&text).skip(1).filter_map(listener).take(UNIX_LISTENERS_MAX).collect())
}

/// `Num: RefCount Protocol Flags Type St Inode Path`; the path may hold anything but a line's end.
fn listener(line: &[u8]) -> Option<UnixListener> {
    let mut words_of = words(line);
    let flags = std::str::from_utf8(words_of.nth(3)?).ok()?;
    if u64::from_str_radix(flags, 16).ok()? & ACCEPTS == 0 {
        return None;
    }
    let inode = number(words_of.nth(2)?)?;
    // No word before it can hold a slash; that of a socket without a path begins with `@`.
    words_of.next().filter(|word| word.starts_with(b"/"))?;
    let at = line.iter().position(|&byte| byte == b'/')?;
    Some(UnixListener { path: PathBuf::from(OsStr::from_bytes(&line[at..])), inode })
}

/// The process that listens at a socket, by the kernel's account of who began to; `None` when nobody does, when its queue
/// is full, or when it is out of sight. Nothing is sent and nothing waited for.
pub fn listener_of(path: &Path) -> Option<u32> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).ok()?;
    connect(&socket, &SocketAddrUnix::new(path).ok()?).ok()?;
    let pid = socket_peercred(&socket).ok()?.pid;
    u32::try_from(pid.as_raw_nonzero().get()).ok()
}

/// Where a path of the host leads, links followed as the host would follow them. What is not there, leads in a circle, or
/// does not answer, stays as it is.
pub fn followed(root: &HostRoot, path: &Path) -> PathBuf {
    let (at, whole) = (root.clone(), path.to_path_buf());
    let follow = move || follow(&at, &whole);
    root.foreign().call(Kind::Files, "links of a path", follow).unwrap_or_else(|_| path.to_path_buf())
}

fn follow(root: &HostRoot, path: &Path) -> PathBuf {
    let mut rest: VecDeque<OsString> = parts(path).collect();
    let mut at = PathBuf::from("/");
    let mut links = 0;
    while let Some(part) = rest.pop_front() {
        if part == ".." {
            at.pop();
            continue;
        }
        let next = at.join(&part);
        let Ok(target) = std::fs::read_link(root.at(&next)) else {
            at = next;
            continue;
        };
        links += 1;
        if links > LINKS_MAX {
            return path.to_path_buf();
        }
        if target.is_absolute() {
            at = PathBuf::from("/");
        }
        parts(&target).collect::<Vec<_>>().into_iter().rev().for_each(|part| rest.push_front(part));
    }
    at
}

fn parts(path: &Path) -> impl Iterator<Item = OsString> {
    path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use testkit::host_tree::FakeHost;

    use super::*;

    const HEADING: &str = "Num       RefCount Protocol Flags    Type St Inode Path\n";

    fn paths(table: &[u8]) -> Vec<(String, u64)> {
        let host = FakeHost::v2().unwrap();
        host.write("proc/7/net/unix", &[HEADING.as_bytes(), table].concat()).unwrap();
        let found = unix_listeners(&HostRoot::new(host.root()), 7).unwrap();
        found.into_iter().map(|it| (it.path.display().to_string(), it.inode)).collect()
    }

    #[test]
    fn only_sockets_that_listen_at_a_path_are_told() {
        let table = b"00000000ba73d353: 00000002 00000000 00010000 0001 01 9944068 /run/a b.sock\n\
            00000000b71bba6a: 00000003 00000000 00000000 0001 03 9944082\n\
            00000000fb8a4397: 00000003 00000000 00000000 0001 03 9943605 /run/connected.sock\n\
            000000005a47b109: 00000002 00000000 00010000 0001 01 77 @/abstract\n\
            torn line 00010000\n";
        assert_eq!(paths(table), [("/run/a b.sock".to_owned(), 9_944_068)]);
    }

    #[test]
    fn the_process_that_listens_is_named_by_the_kernel_also_after_its_file_was_replaced() {
        let host = FakeHost::v2().unwrap();
        let path = host.root().join("s");
        assert_eq!(listener_of(&path), None);
        let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert_eq!(listener_of(&path), Some(std::process::id()));
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "").unwrap();
        assert_eq!(listener_of(&path), None, "nobody listens at a file");
    }

    #[test]
    fn more_listeners_than_the_limit_are_left_out() {
        let line = "0: 00000002 00000000 00010000 0001 01 5 /x\n";
        assert_eq!(paths(line.repeat(UNIX_LISTENERS_MAX + 3).as_bytes()).len(), UNIX_LISTENERS_MAX);
    }

    #[test]
    fn links_lead_to_where_the_host_would_go_and_never_out_of_its_root() {
        let host = FakeHost::v2().unwrap();
        let root = HostRoot::new(host.root());
        host.write("run/docker/x.sock", b"").unwrap();
        host.write("var/y", b"").unwrap();
        symlink("/run", host.root().join("var/run")).unwrap();
        symlink("../../../../run/docker/x.sock", host.root().join("var/rel")).unwrap();
        symlink("loop", host.root().join("var/loop")).unwrap();
        for (path, end) in [
            ("/var/run/docker/x.sock", "/run/docker/x.sock"),
            ("/var/rel", "/run/docker/x.sock"),
            ("/var/run/none/z", "/run/none/z"),
            ("/var/loop/z", "/var/loop/z"),
        ] {
            assert_eq!(followed(&root, Path::new(path)), Path::new(end), "{path}");
        }
    }
}
