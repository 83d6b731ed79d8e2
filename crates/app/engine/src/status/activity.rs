//! What one container does, holds, waits for and may have: figures beside its cost.
//!
//! Not here: the cost itself (`status.rs`).

use serde::{Deserialize, Serialize};
use state::{Account, Quantity, Resource, Spent};

/// What it does, a second, as a mean over the last seconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Activity {
    /// Bytes read from and written to block devices; `None` where its cgroup does not tell.
    pub io_bytes_per_second: Option<f64>,
    /// Operations on block devices; likewise.
    pub io_operations_per_second: Option<f64>,
    /// Share of its scheduler periods in which it hit its CPU limit, 0 to 1; `None` without a limit.
    pub throttled_share: Option<f64>,
    /// Processes killed for want of memory in that time.
    pub oom_kills: f64,
    /// Programs the engine was asked to run in it.
    pub engine_execs_per_second: f64,
    /// What only the kernel probes count; `None` where they do not run.
    pub counted: Option<Counted>,
}

/// What the kernel probes count, a second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counted {
    /// Packets sent and received.
    pub packets_per_second: f64,
    /// Bytes of those packets.
    pub packet_bytes_per_second: f64,
    /// TCP connections opened.
    pub connects_per_second: f64,
    /// TCP connections accepted.
    pub accepts_per_second: f64,
    /// Processes forked.
    pub forks_per_second: f64,
    /// Programs executed.
    pub execs_per_second: f64,
    /// Processes that ended with a core dump.
    pub crashes_per_second: f64,
    /// Calls that write back everybody's data.
    pub whole_syncs_per_second: f64,
    /// Calls that write back one file.
    pub file_syncs_per_second: f64,
    /// Kernel modules that the kernel was made to ask for.
    pub module_requests_per_second: f64,
    /// Connections to an engine's API.
    pub engine_calls_per_second: f64,
}

/// What it may have, and how near it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// CPU limit in cores; `None` when unlimited.
    pub cpu_limit_cores: Option<f32>,
    /// Memory limit in bytes; `None` when unlimited.
    pub memory_limit_bytes: Option<u64>,
    /// Memory that cannot be had back at once, in bytes.
    pub memory_working_set_bytes: Option<u64>,
    /// Memory swapped out, in bytes.
    pub memory_swap_bytes: Option<u64>,
    /// Tasks now.
    pub tasks: Option<u64>,
    /// Task limit; `None` when unlimited.
    pub tasks_limit: Option<u64>,
}

/// For what share of the last seconds one of its tasks waited. Its own CPU limit is no waiting.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Waiting {
    /// For a CPU.
    pub cpu: Wait,
    /// For memory.
    pub memory: Wait,
    /// For block I/O.
    pub io: Wait,
}

/// One share of time, 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Wait {
    /// Now.
    pub share: f64,
    /// Usually; `None` before that is known.
    pub usual_share: Option<f64>,
}

/// What its processes hold; known only while it is looked at closely.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Held {
    /// Processes.
    pub processes: u64,
    /// Threads.
    pub threads: Option<u64>,
    /// Open files.
    pub files: Option<u64>,
    /// Open sockets.
    pub sockets: Option<u64>,
    /// Open ends of pseudo terminals.
    pub ptys: Option<u64>,
    /// Inotify watches.
    pub inotify_watches: Option<u64>,
    /// Tracked connections.
    pub conntrack: Option<u64>,
    /// Mounts.
    pub mounts: Option<u64>,
    /// Shared memory segments, semaphore sets and message queues of its IPC namespace.
    pub sysv: Option<u64>,
}

pub(super) fn activity(account: &Account, spent: &Spent, is_counted: bool) -> Activity {
    let rate = |quantity| spent.rate(quantity);
    let tells_io = account.usage().is_some_and(|usage| usage.io_read_bytes.is_some());
    let periods = spent.of(Quantity::Periods);
    Activity {
        io_bytes_per_second: tells_io.then(|| rate(Quantity::IoBytes)),
        io_operations_per_second: tells_io.then(|| rate(Quantity::IoOperations)),
        throttled_share: (periods > 0.0).then(|| spent.of(Quantity::ThrottledPeriods) / periods),
        oom_kills: spent.of(Quantity::OomKills),
        engine_execs_per_second: rate(Quantity::EngineExecs),
        counted: is_counted.then(|| Counted {
            packets_per_second: rate(Quantity::Packets),
            packet_bytes_per_second: rate(Quantity::PacketBytes),
            connects_per_second: rate(Quantity::Connects),
            accepts_per_second: rate(Quantity::Accepts),
            forks_per_second: rate(Quantity::Forks),
            execs_per_second: rate(Quantity::Execs),
            crashes_per_second: rate(Quantity::Crashes),
            whole_syncs_per_second: rate(Quantity::WholeSyncs),
            file_syncs_per_second: rate(Quantity::FileSyncs),
            module_requests_per_second: rate(Quantity::ModuleRequests),
            engine_calls_per_second: rate(Quantity::EngineCalls),
        }),
    }
}

pub(super) fn limits(account: &Account) -> Limits {
    let Some(usage) = account.usage() else { return Limits::default() };
    Limits {
        cpu_limit_cores: usage.cpu_limit_cores,
        memory_limit_bytes: usage.memory_limit_bytes,
        memory_working_set_bytes: usage.memory_working_set_bytes,
        memory_swap_bytes: usage.memory_swap_bytes,
        tasks: usage.pids,
        tasks_limit: usage.pids_limit,
    }
}

pub(super) fn waiting(account: &Account) -> Waiting {
    let waits = account.waits();
    let wait = |resource| Wait { share: waits.now(resource), usual_share: waits.usual(resource) };
    Waiting { cpu: wait(Resource::Cpu), memory: wait(Resource::Memory), io: wait(Resource::Io) }
}

pub(super) fn held(account: &Account) -> Option<Held> {
    let (_, deep) = account.deep()?;
    let sysv = [deep.sysv_shm, deep.sysv_sem, deep.sysv_msg];
    Some(Held {
        processes: deep.processes,
        threads: deep.threads,
        files: deep.files,
        sockets: deep.sockets,
        ptys: deep.ptys,
        inotify_watches: deep.inotify_watches,
        conntrack: deep.conntrack,
        mounts: deep.mounts,
        sysv: sysv.into_iter().flatten().reduce(u64::saturating_add),
    })
}
