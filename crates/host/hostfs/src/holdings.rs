//! What the processes of one control group hold: open files by kind, threads, what they wrote, and what there is in
//! the namespaces of the first of them.
//!
//! One process costs about 60 µs, one open file 3 µs: an allowance bounds a reading, and tells what it left out. Not
//! here: who is worth it, which is decided by those who weigh.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};

use model::ids::CgroupId;
use model::untrusted::Untrusted;
use model::usage::DeepUsage;

use crate::error::HostfsError;
use crate::kept::read_into;
use crate::layout::{CgroupLayout, below};
use crate::mounts::engine_sockets;
use crate::namespace_objects::{conntrack, mounts, packet_sockets, ports, sysv};
use crate::open_files::OpenFiles;
use crate::proc_dir::{pid_path, stat};
use crate::process::host_namespaces;
use crate::root::HostRoot;
use crate::text::{lines, number, value_of};

/// Groups below the one asked for that are looked at.
const GROUPS_MAX: usize = 1024;
/// About 500,000 processes.
const PROCS_BYTES_MAX: usize = 4 * 1024 * 1024;
const IO_BYTES_MAX: usize = 4096;
/// What is mounted into a container is looked at in every fifth reading.
const MOUNTS_EVERY: u64 = 5;

/// How much a reading may look at; taken from while it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Processes.
    pub processes: u64,
    /// Open files, and inotify watches.
    pub files: u64,
}

impl Default for Allowance {
    fn default() -> Self {
        Self::BEAT
    }
}

impl Allowance {
    /// What one beat can bear: at most about 0.4 s of one core.
    pub const BEAT: Self = Self { processes: 2_000, files: 100_000 };

    /// An equal part for each of `count` readings.
    pub fn share(self, count: u64) -> Self {
        let count = count.max(1);
        Self { processes: self.processes / count, files: self.files / count }
    }

    /// What stays when a reading that was given `share` left `rest` of it.
    pub fn after(self, share: Self, rest: Self) -> Self {
        let left = |all: u64, share: u64, rest: u64| all.saturating_sub(share.saturating_sub(rest));
        Self {
            processes: left(self.processes, share.processes, rest.processes),
            files: left(self.files, share.files, rest.files),
        }
    }
}

/// Reads one group again and again.
#[derive(Debug)]
pub struct HoldingsReader {
    root: HostRoot,
    layout: CgroupLayout,
    path: PathBuf,
    cgroup: CgroupId,
    host_net: Option<u32>,
    known: HashMap<u32, Known>,
    sum: Option<Io>,
    engine_sockets: Vec<Untrusted>,
    readings: u64,
}

#[derive(Debug)]
struct Known {
    start_ns: u64,
    io: Io,
}

/// What `/proc/PID/io` counts, of system calls and not of disks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Io {
    written_bytes: u64,
    write_calls: u64,
    read_bytes: u64,
}

/// The processes of a group and of those below it, ascending, and how many lists of them could not be read whole.
struct Members {
    pids: Vec<u32>,
    left_out: u64,
}

impl HoldingsReader {
    /// A reader of the group at `path` below the root of its hierarchy.
    pub fn new(root: &HostRoot, layout: &CgroupLayout, path: &Path, cgroup: CgroupId) -> Self {
        Self {
            root: root.clone(),
            layout: layout.clone(),
            path: path.to_path_buf(),
            cgroup,
            host_net: host_namespaces(root).ok().map(|host| host.net),
            known: HashMap::new(),
            sum: None,
            engine_sockets: Vec::new(),
            readings: 0,
        }
    }

    /// Looks at each process as far as the allowance goes. `Gone` once the group was removed.
    pub fn read(&mut self, allowance: &mut Allowance) -> Result<DeepUsage, HostfsError> {
        let members = self.members()?;
        let mut usage = DeepUsage { cgroup: self.cgroup, left_out: members.left_out, ..DeepUsage::default() };
        usage.threads = members.pids.is_empty().then_some(0);
        let mut files = OpenFiles::default();
        for &pid in &members.pids {
            if allowance.processes == 0 {
                usage.left_out += 1;
                continue;
            }
            allowance.processes -= 1;
            self.look_at(pid, &mut usage, &mut files, allowance);
        }
        self.known.retain(|pid, _| members.pids.binary_search(pid).is_ok());
        usage.processes = members.pids.len() as u64;
        files.tell(&mut usage);
        self.tell_namespaces(&members.pids, &mut usage);
        usage.written_chars_bytes = self.sum.map(|sum| sum.written_bytes);
        usage.write_calls = self.sum.map(|sum| sum.write_calls);
        usage.read_chars_bytes = self.sum.map(|sum| sum.read_bytes);
        Ok(usage)
    }

    fn members(&self) -> Result<Members, HostfsError> {
        if self.layout.id_of(&self.path)? != self.cgroup {
            return Err(HostfsError::Gone { path: self.path.clone() });
        }
        let mut members = Members { pids: Vec::new(), left_out: 0 };
        let mut queue = VecDeque::from([below(self.layout.id_root(), &self.path)?]);
        let (mut text, mut groups) = (Vec::new(), 0);
        while let Some(directory) = queue.pop_front() {
            groups += 1;
            if groups > GROUPS_MAX {
                members.left_out += 1;
                continue;
            }
            // A threaded group refuses: its processes are listed by the group above it.
            if let Ok(is_whole) = read_into(&directory.join("cgroup.procs"), &mut text, PROCS_BYTES_MAX) {
                members.left_out += u64::from(!is_whole);
                let pids = lines(&text).filter_map(|line| u32::try_from(number(line)?).ok());
                // 0 stands for a process of a pid namespace that we cannot see.
                members.pids.extend(pids.filter(|&pid| pid != 0));
            }
            queue.extend(subgroups(&directory));
        }
        members.pids.sort_unstable();
        members.pids.dedup();
        Ok(members)
    }

    fn look_at(&mut self, pid: u32, usage: &mut DeepUsage, files: &mut OpenFiles, allowance: &mut Allowance) {
        let mut text = Vec::new();
        // One that has ended meanwhile holds nothing.
        let Ok(stat) = stat(&self.root, pid, &mut text) else { return };
        *usage.threads.get_or_insert(0) += stat.threads;
        usage.left_out += files.look_at(&self.root, pid, &mut allowance.files);
        let io = read_into(&pid_path(&self.root, pid, "io"), &mut text, IO_BYTES_MAX);
        if let Some(io) = io.ok().and_then(|_| Io::parse(&text)) {
            self.book(pid, stat.start_ns, io);
        }
    }

    /// Adds what a process has done since the last reading, or so far; so the sum stays when it ends.
    fn book(&mut self, pid: u32, start_ns: u64, io: Io) {
        let known = self.known.insert(pid, Known { start_ns, io });
        let before =
            known.filter(|known| known.start_ns == start_ns).map(|known| known.io).unwrap_or_default();
        let sum = self.sum.get_or_insert_default();
        let grown =
            |sum: &mut u64, now: u64, before: u64| *sum = sum.saturating_add(now.saturating_sub(before));
        grown(&mut sum.written_bytes, io.written_bytes, before.written_bytes);
        grown(&mut sum.write_calls, io.write_calls, before.write_calls);
        grown(&mut sum.read_bytes, io.read_bytes, before.read_bytes);
    }

    fn tell_namespaces(&mut self, pids: &[u32], usage: &mut DeepUsage) {
        let Some(&first) = pids.first() else { return };
        self.look_for_engines(first);
        usage.engine_sockets.clone_from(&self.engine_sockets);
        usage.packet_sockets = packet_sockets(&self.root, first, self.host_net);
        usage.mounts = mounts(&self.root, first);
        usage.ports = ports(&self.root, first);
        usage.conntrack = conntrack(&self.root, first);
        let sysv = sysv(&self.root, first);
        (usage.sysv_shm, usage.sysv_sem, usage.sysv_msg) = (sysv.shm, sysv.sem, sysv.msg);
    }

    /// At the first reading the container may be in the making, and still have the host's root: so at the second as well.
    fn look_for_engines(&mut self, pid: u32) {
        if self.readings <= 1 || self.readings.is_multiple_of(MOUNTS_EVERY) {
            // What was found stays while it cannot be looked for.
            self.engine_sockets =
                engine_sockets(&self.root, pid).unwrap_or_else(|_| std::mem::take(&mut self.engine_sockets));
        }
        self.readings += 1;
    }
}

impl Io {
    fn parse(text: &[u8]) -> Option<Self> {
        Some(Self {
            written_bytes: value_of(text, b"wchar: ")?,
            write_calls: value_of(text, b"syscw: ")?,
            read_bytes: value_of(text, b"rchar: ")?,
        })
    }
}

fn subgroups(directory: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path())
}

#[cfg(test)]
mod tests;
