//! Kernel objects of the whole host that there are only so many of: open files, ptys, tracked connections, and so on.
//!
//! Files below `/proc/sys/net` and `/proc/sysvipc` show the namespaces of the reader, which are to be the host's. Not
//! here: inotify, which nothing counts for the host; who holds what.

use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};

use model::usage::{KernelObjects, Level};

use crate::kept::{KeptFile, buffer, read_whole};
use crate::line_count::count_lines;
use crate::root::HostRoot;
use crate::text::{lines, number, words};

/// Lines of a table that are counted; the kernel's own limits are below it unless somebody raised them.
pub(crate) const LINES_MAX: u64 = 131_072;
const SETTING_BYTES_MAX: usize = 4096;

/// Reads the levels.
#[derive(Debug)]
pub struct ObjectsReader {
    root: HostRoot,
    files: MaybeFile,
    inodes: MaybeFile,
    ptys: MaybeFile,
    conntrack: MaybeFile,
    sockets: [MaybeFile; 2],
    /// Tables and limits as of the last refresh.
    slow: Slow,
}

#[derive(Debug, Default)]
struct Slow {
    ptys_max: Option<u64>,
    conntrack_max: Option<u64>,
    threads_max: Option<u64>,
    ports_max: Option<u64>,
    sysv: SysvCounts,
    shm_max: Option<u64>,
    sem_max: Option<u64>,
    msg_max: Option<u64>,
    mounts: Option<u64>,
    mounts_max: Option<u64>,
}

/// System V objects of one IPC namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SysvCounts {
    pub(crate) shm: Option<u64>,
    pub(crate) sem: Option<u64>,
    pub(crate) msg: Option<u64>,
}

impl ObjectsReader {
    /// A reader of what is there; a module may bring more later.
    pub fn new(root: &HostRoot) -> Self {
        let file = |path| MaybeFile { path: root.at(path), file: None };
        Self {
            root: root.clone(),
            files: file("proc/sys/fs/file-nr"),
            inodes: file("proc/sys/fs/inode-nr"),
            ptys: file("proc/sys/kernel/pty/nr"),
            conntrack: file("proc/sys/net/netfilter/nf_conntrack_count"),
            sockets: [file("proc/1/net/sockstat"), file("proc/1/net/sockstat6")],
            slow: Slow::default(),
        }
    }

    /// Reads tables and limits, and looks for files that were absent; for every few seconds.
    pub fn refresh(&mut self) {
        let [sockets, sockets6] = &mut self.sockets;
        for file in
            [&mut self.files, &mut self.inodes, &mut self.ptys, &mut self.conntrack, sockets, sockets6]
        {
            file.look();
        }
        self.slow = Slow::read(&self.root);
    }

    /// The levels now, tables and limits as of the last refresh. `tasks` and `pid_max` are known to the caller, who
    /// reads them anyway.
    pub fn read(&self, tasks: u64, pid_max: u64) -> KernelObjects {
        let slow = &self.slow;
        let level = |used: Option<u64>, limit| used.map(|used| Level { used, limit });
        let threads_max = slow.threads_max.map_or(pid_max, |threads_max| threads_max.min(pid_max));
        let mut buffer = buffer();
        KernelObjects {
            files: self.files.read(&mut buffer).and_then(files),
            inodes: level(self.inodes.read(&mut buffer).and_then(allocated), None),
            ptys: level(self.ptys.read(&mut buffer).and_then(number), slow.ptys_max),
            conntrack: level(self.conntrack.read(&mut buffer).and_then(number), slow.conntrack_max),
            threads: level(Some(tasks), Some(threads_max)),
            ports: level(self.ports(&mut buffer), slow.ports_max),
            sysv_shm: level(slow.sysv.shm, slow.shm_max),
            sysv_sem: level(slow.sysv.sem, slow.sem_max),
            sysv_msg: level(slow.sysv.msg, slow.msg_max),
            mounts: level(slow.mounts, slow.mounts_max),
            inotify_instances: None,
        }
    }

    fn ports(&self, buffer: &mut [MaybeUninit<u8>]) -> Option<u64> {
        let [v4, v6] = &self.sockets;
        let used = v4.read(buffer).and_then(sockets)?;
        // Without IPv6 there is no such file, and no such socket.
        Some(used.saturating_add(v6.read(buffer).and_then(sockets).unwrap_or(0)))
    }
}

impl Slow {
    fn read(root: &HostRoot) -> Self {
        let setting = |path: &str| read_whole(&root.at(format!("proc/sys/{path}")), SETTING_BYTES_MAX).ok();
        let one = |path: &str| number(&setting(path)?);
        let nth = |path: &str, place| numbers(&setting(path)?).nth(place)?;
        Self {
            ptys_max: one("kernel/pty/max"),
            conntrack_max: one("net/netfilter/nf_conntrack_max"),
            threads_max: one("kernel/threads-max"),
            ports_max: setting("net/ipv4/ip_local_port_range").and_then(|text| width(&text)),
            sysv: SysvCounts::read(root),
            shm_max: one("kernel/shmmni"),
            sem_max: nth("kernel/sem", 3),
            msg_max: one("kernel/msgmni"),
            mounts: table_lines(&root.at("proc/1/mountinfo")),
            mounts_max: one("fs/mount-max"),
        }
    }
}

impl SysvCounts {
    /// Those of the IPC namespace that the calling thread is in.
    pub(crate) fn read(root: &HostRoot) -> Self {
        // The first line is the head of the table.
        let rows = |name: &str| table_lines(&root.at(format!("proc/sysvipc/{name}")))?.checked_sub(1);
        Self { shm: rows("shm"), sem: rows("sem"), msg: rows("msg") }
    }
}

/// Sockets that hold a port, or may: `TCP: inuse 3 orphan 0 tw 1 alloc 3 mem 1`, likewise UDP and the same of IPv6.
/// Those that wait for their time to pass (`tw`) are told with IPv4 for both.
pub(crate) fn sockets(sockstat: &[u8]) -> Option<u64> {
    let of = |line: &[u8], key: &[u8]| {
        let mut words = words(line).skip_while(|word| *word != key).skip(1);
        words.next().and_then(number)
    };
    let (mut sum, mut found) = (0u64, false);
    for line in lines(sockstat) {
        let line = [&b"TCP"[..], b"UDP"].iter().find_map(|kind| line.strip_prefix(*kind));
        let Some(line) = line.and_then(|rest| rest.strip_prefix(b"6").unwrap_or(rest).strip_prefix(b":"))
        else {
            continue;
        };
        sum = sum.saturating_add(of(line, b"inuse")?).saturating_add(of(line, b"tw").unwrap_or(0));
        found = true;
    }
    found.then_some(sum)
}

/// Lines of a table, at least [`LINES_MAX`] when there are more.
pub(crate) fn table_lines(path: &Path) -> Option<u64> {
    count_lines(path, b"", LINES_MAX).ok().map(|count| count.lines)
}

/// A file that not every host has.
#[derive(Debug)]
struct MaybeFile {
    path: PathBuf,
    file: Option<KeptFile>,
}

impl MaybeFile {
    fn look(&mut self) {
        if self.file.is_none() {
            self.file = KeptFile::open(&self.path).ok();
        }
    }

    fn read<'b>(&self, buffer: &'b mut [MaybeUninit<u8>]) -> Option<&'b [u8]> {
        self.file.as_ref()?.read(buffer, || self.path.clone()).ok()
    }
}

fn numbers(text: &[u8]) -> impl Iterator<Item = Option<u64>> {
    words(text.trim_ascii()).map(number)
}

/// `385 0 2466174`: allocated, of those free, most.
fn files(text: &[u8]) -> Option<Level> {
    Some(Level { used: allocated(text)?, limit: Some(numbers(text).nth(2)??) })
}

/// The first number less the second.
fn allocated(text: &[u8]) -> Option<u64> {
    let mut numbers = numbers(text);
    numbers.next()??.checked_sub(numbers.next()??)
}

/// `32768 60999`: both are in the range.
fn width(text: &[u8]) -> Option<u64> {
    let mut numbers = numbers(text);
    let (first, last) = (numbers.next()??, numbers.next()??);
    last.checked_sub(first)?.checked_add(1)
}

#[cfg(test)]
mod tests;
