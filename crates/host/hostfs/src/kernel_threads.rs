//! CPU time of the kernel's own threads: part of the host's books that belongs to no container by name.
//!
//! What a thread does is told by its name, which workers change with their work (`kworker/u4:2+flush-254:0`).
//! Not here: finding them (`engine.rs` lists `/proc` for both). Programs the kernel starts for itself, crash handlers
//! for example, are processes and no kernel threads.

use std::collections::BTreeMap;

use model::usage::KernelWork;

use crate::engine::KERNEL_THREADS_MAX;
use crate::kept::{KeptFile, buffer};
use crate::proc_dir::pid_path;
use crate::root::HostRoot;
use crate::stat::{Stat, whole_name};

/// Beginnings of the names of threads, and of workers' work, that write to block devices or to their journals.
const WRITEBACK: [&[u8]; 16] = [
    b"flush-",
    b"writeback",
    b"jbd2/",
    b"ext4-rsv-conver",
    b"xfsaild/",
    b"xfs-",
    b"btrfs-transacti",
    b"btrfs-endio",
    b"btrfs-worker",
    b"f2fs_flush",
    b"f2fs_ckpt",
    b"txg_sync",
    b"z_wr_",
    b"dm-",
    b"dmcrypt_write",
    b"kdmflush",
];
/// Likewise, when a number follows: `loop0`, `md127_raid5`.
const WRITEBACK_NUMBERED: [&[u8]; 2] = [b"loop", b"md"];

/// Watched threads and the sum of all they ever used, which stays when a thread ends.
#[derive(Debug, Default)]
pub(crate) struct KernelThreads {
    threads: BTreeMap<u32, Thread>,
    sum_ns: u64,
    work: KernelWork,
    found: bool,
    left_out: u64,
}

#[derive(Debug)]
struct Thread {
    start_ns: u64,
    cpu_ns: u64,
    stat: KeptFile,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Writeback,
    Softirq,
    Other,
}

impl KernelThreads {
    /// Begins to watch a thread not watched yet; `line` is the whole of what `stat` was read from.
    pub(crate) fn consider(&mut self, root: &HostRoot, stat: &Stat, line: &[u8]) {
        self.found |= stat.pid == 2;
        if self.threads.get(&stat.pid).is_some_and(|thread| thread.start_ns == stat.start_ns) {
            return;
        }
        if self.threads.len() >= KERNEL_THREADS_MAX {
            self.left_out += 1;
            return;
        }
        let Ok(file) = KeptFile::open(&pid_path(root, stat.pid, "stat")) else { return };
        book(&mut self.sum_ns, &mut self.work, whole_name(line), stat.cpu_ns);
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
        let (sum_ns, work) = (&mut self.sum_ns, &mut self.work);
        self.threads.retain(|&pid, thread| {
            let read = thread.stat.read(&mut buffer, || pid_path(root, pid, "stat"));
            let Ok(line) = read else { return false };
            let now = Stat::parse(line).filter(|stat| stat.start_ns == thread.start_ns);
            let Some(stat) = now else { return false };
            book(sum_ns, work, whole_name(line), stat.cpu_ns.saturating_sub(thread.cpu_ns));
            thread.cpu_ns = thread.cpu_ns.max(stat.cpu_ns);
            true
        });
        self.found.then_some(self.sum_ns)
    }

    /// Of what the last reading told, the part whose purpose is known.
    pub(crate) fn work(&self) -> Option<KernelWork> {
        self.found.then_some(self.work)
    }
}

/// Adds what a thread spent, to its work as well: what it did since the last reading is taken for what it does now.
fn book(sum_ns: &mut u64, work: &mut KernelWork, name: &[u8], spent_ns: u64) {
    *sum_ns = sum_ns.saturating_add(spent_ns);
    let of_work = match work_of(name) {
        Work::Writeback => &mut work.writeback_ns,
        Work::Softirq => &mut work.softirq_ns,
        Work::Other => return,
    };
    *of_work = of_work.saturating_add(spent_ns);
}

fn work_of(name: &[u8]) -> Work {
    if name.starts_with(b"ksoftirqd/") {
        return Work::Softirq;
    }
    // `kworker/u4:2-` did the work named behind it last, `kworker/u4:2+` does it now.
    let work = match name.strip_prefix(b"kworker/") {
        Some(worker) => worker.splitn(2, |byte| matches!(byte, b'-' | b'+')).nth(1).unwrap_or_default(),
        None => name,
    };
    let is_numbered = |prefix: &&[u8]| {
        work.strip_prefix(*prefix).is_some_and(|rest| rest.first().is_some_and(u8::is_ascii_digit))
    };
    let is_writeback =
        WRITEBACK.iter().any(|prefix| work.starts_with(prefix)) || WRITEBACK_NUMBERED.iter().any(is_numbered);
    if is_writeback { Work::Writeback } else { Work::Other }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_known_by_its_name_and_a_worker_by_its_work() {
        let of = |work| move |name: &&str| assert_eq!(work_of(name.as_bytes()), work, "{name}");
        ["ksoftirqd/0", "ksoftirqd/127"].iter().for_each(of(Work::Softirq));
        [
            "jbd2/vda-8",
            "kworker/u4:2-flush-254:0",
            "kworker/u4:2+flush-254:0",
            "kworker/R-writeback",
            "kworker/u8:4-ext4-rsv-conversion",
            "kworker/0:1+xfs-conv/sda1",
            "xfsaild/sda1",
            "btrfs-transaction",
            "btrfs-transacti",
            "kworker/u8:1-btrfs-endio-write",
            "loop7",
            "kworker/u8:2+loop7",
            "md127_raid5",
            "dmcrypt_write/253:0",
        ]
        .iter()
        .for_each(of(Work::Writeback));
        [
            "",
            "kworker/",
            "kworker/0:1",
            "kworker/0:1-events",
            "kworker/0:1H-kblockd",
            "loop",
            "mdadm",
            "kswapd0",
        ]
        .iter()
        .for_each(of(Work::Other));
    }
}
