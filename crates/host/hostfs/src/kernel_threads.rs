//! CPU time of the kernel's own threads: part of the host's books that belongs to no container by name.
//!
//! Not here: finding them (`engine.rs` lists `/proc` for both). Programs the kernel starts for itself, crash handlers
//! for example, are processes and no kernel threads.

use std::collections::BTreeMap;

use crate::engine::KERNEL_THREADS_MAX;
use crate::kept::{KeptFile, buffer};
use crate::proc_dir::pid_path;
use crate::root::HostRoot;
use crate::stat::Stat;

/// Watched threads and the sum of all they ever used, which stays when a thread ends.
#[derive(Debug, Default)]
pub(crate) struct KernelThreads {
    threads: BTreeMap<u32, Thread>,
    sum_ns: u64,
    found: bool,
    left_out: u64,
}

#[derive(Debug)]
struct Thread {
    start_ns: u64,
    cpu_ns: u64,
    stat: KeptFile,
}

impl KernelThreads {
    /// Begins to watch a thread not watched yet.
    pub(crate) fn consider(&mut self, root: &HostRoot, stat: &Stat) {
        self.found |= stat.pid == 2;
        if self.threads.get(&stat.pid).is_some_and(|thread| thread.start_ns == stat.start_ns) {
            return;
        }
        if self.threads.len() >= KERNEL_THREADS_MAX {
            self.left_out += 1;
            return;
        }
        let Ok(file) = KeptFile::open(&pid_path(root, stat.pid, "stat")) else { return };
        self.sum_ns = self.sum_ns.saturating_add(stat.cpu_ns);
        self.threads.insert(stat.pid, Thread { start_ns: stat.start_ns, cpu_ns: stat.cpu_ns, stat: file });
    }

    /// Whether the thread is watched.
    pub(crate) fn knows(&self, pid: u32) -> bool {
        self.threads.contains_key(&pid)
    }

    /// Threads beyond [`KERNEL_THREADS_MAX`], counted anew by each listing.
    pub(crate) fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Begins a new listing.
    pub(crate) fn begin(&mut self) {
        self.left_out = 0;
    }

    /// CPU time of all of them in nanoseconds; `None` when the kernel's threads are out of sight, as in a pid namespace.
    pub(crate) fn read(&mut self, root: &HostRoot) -> Option<u64> {
        let mut buffer = buffer();
        let sum_ns = &mut self.sum_ns;
        self.threads.retain(|&pid, thread| {
            let read = thread.stat.read(&mut buffer, || pid_path(root, pid, "stat"));
            let now = read.ok().and_then(Stat::parse).filter(|stat| stat.start_ns == thread.start_ns);
            let Some(stat) = now else { return false };
            *sum_ns = sum_ns.saturating_add(stat.cpu_ns.saturating_sub(thread.cpu_ns));
            thread.cpu_ns = thread.cpu_ns.max(stat.cpu_ns);
            true
        });
        self.found.then_some(self.sum_ns)
    }
}
