//! Listing `/proc` and reading the files of one process.
//!
//! Not here: what is remembered between listings (`scan.rs`, `engine.rs`).

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use model::ids::ProcessKey;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;

use crate::error::HostfsError;
use crate::kept::read_into;
use crate::root::HostRoot;
use crate::scan::PROCESSES_MAX;
use crate::stat::Stat;
use crate::text::{lines, number};

const STAT_BYTES_MAX: usize = 4096;

/// The pids in `/proc`, ascending, and how many were left out because of [`PROCESSES_MAX`].
pub(crate) fn pids(root: &HostRoot) -> Result<(Vec<u32>, u64), HostfsError> {
    let proc = root.at("proc");
    let io = |source| HostfsError::Io { path: proc.clone(), source };
    let (mut pids, mut left_out) = (Vec::new(), 0);
    for entry in std::fs::read_dir(&proc).map_err(io)? {
        let name = entry.map_err(io)?.file_name();
        let Some(pid) = number(name.as_encoded_bytes()).and_then(|pid| u32::try_from(pid).ok()) else {
            continue;
        };
        if pids.len() < PROCESSES_MAX {
            pids.push(pid);
        } else {
            left_out += 1;
        }
    }
    pids.sort_unstable();
    Ok((pids, left_out))
}

/// The path of a process's file.
pub(crate) fn pid_path(root: &HostRoot, pid: u32, file: &str) -> PathBuf {
    root.at(format!("proc/{pid}/{file}"))
}

/// The root directory of a process, held without being read: a place to open what it sees below.
pub(crate) fn root_of(root: &HostRoot, pid: u32) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(CWD, pid_path(root, pid, "root"), flags, Mode::empty())
}

/// Reads `/proc/PID/stat`.
pub(crate) fn stat(root: &HostRoot, pid: u32, text: &mut Vec<u8>) -> Result<Stat, HostfsError> {
    let path = pid_path(root, pid, "stat");
    read_into(&path, text, STAT_BYTES_MAX).map_err(|errno| HostfsError::io(&path, errno))?;
    Stat::parse(text).ok_or_else(|| HostfsError::malformed(&path, "is not a process's status line"))
}

/// The number in a link such as `/proc/PID/ns/pid` → `pid:[4026531836]`.
pub(crate) fn namespace(root: &HostRoot, pid: u32, kind: &str) -> Result<u32, HostfsError> {
    namespace_at(&pid_path(root, pid, &format!("ns/{kind}")))
}

/// Likewise, of the link at `path`.
pub(crate) fn namespace_at(path: &Path) -> Result<u32, HostfsError> {
    let mut buffer = [MaybeUninit::uninit(); 64];
    let target = link(path, &mut buffer)?;
    let inode = target.split(|&byte| byte == b'[').nth(1).and_then(|rest| number(rest.strip_suffix(b"]")?));
    let inode = inode.and_then(|inode| u32::try_from(inode).ok());
    inode.ok_or_else(|| HostfsError::malformed(path, "is not a namespace link"))
}

/// The target of a link, cut to the buffer.
pub(crate) fn link<'b>(path: &Path, buffer: &'b mut [MaybeUninit<u8>]) -> Result<&'b [u8], HostfsError> {
    let read = rustix::fs::readlinkat_raw(CWD, path, buffer);
    read.map(|(target, _)| &*target).map_err(|errno| HostfsError::io(path, errno))
}

/// The real user id in `/proc/PID/status` (`Uid:` real, effective, saved, file system).
pub(crate) fn uid(status: &[u8]) -> Option<u32> {
    let rest = lines(status).find_map(|line| line.strip_prefix(b"Uid:\t"))?;
    u32::try_from(number(rest.split(|&byte| byte == b'\t').next()?)?).ok()
}

/// The process of a status line.
pub(crate) fn key(stat: &Stat) -> ProcessKey {
    ProcessKey { pid: stat.pid, start_ns: stat.start_ns }
}
