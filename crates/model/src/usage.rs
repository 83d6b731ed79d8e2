//! What the kernel counts: usage of one cgroup, of the host, of the container engines. Raw and cumulative, as read.
//!
//! Not here: rates and shares, which `state` derives from two readings. A value that could not be read is
//! `None`, never zero. A field that came later is left out of a recording where it is empty.

use serde::{Deserialize, Serialize};

use crate::ids::{CgroupId, ProcessKey};
use crate::untrusted::Untrusted;

/// Pressure-stall information (kernel `Documentation/accounting/psi.rst`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pressure {
    /// Share of the last 10 s in which some task waited, in percent.
    pub some_avg10_percent: f32,
    /// Share of the last 60 s in which some task waited, in percent.
    pub some_avg60_percent: f32,
    /// Share of the last 10 s in which all tasks waited, in percent.
    pub full_avg10_percent: f32,
    /// Total time in which some task waited, in microseconds.
    pub some_total_us: u64,
}

/// Pressure on the three resources the kernel tracks; `None` where the kernel or the hierarchy has no PSI.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pressures {
    /// CPU.
    pub cpu: Option<Pressure>,
    /// Memory.
    pub memory: Option<Pressure>,
    /// Block I/O.
    pub io: Option<Pressure>,
}

/// One reading of one cgroup; counters are cumulative since the cgroup was made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Which cgroup.
    pub cgroup: CgroupId,
    /// CPU time in nanoseconds.
    pub cpu_ns: Option<u64>,
    /// Scheduler periods in which the limit was hit, and all periods (`cpu.stat`).
    pub throttled_periods: Option<u64>,
    /// All scheduler periods with a limit in force.
    pub periods: Option<u64>,
    /// Time spent throttled in nanoseconds.
    pub throttled_ns: Option<u64>,
    /// CPU limit in cores; `None` when unlimited.
    pub cpu_limit_cores: Option<f32>,
    /// Memory in bytes, page cache included.
    pub memory_bytes: Option<u64>,
    /// Memory limit in bytes; `None` when unlimited.
    pub memory_limit_bytes: Option<u64>,
    /// Memory that cannot be had back at once, in bytes: all but the page cache of files not used lately. Read
    /// every tenth time; in between as last read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_working_set_bytes: Option<u64>,
    /// Memory swapped out, in bytes; likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_swap_bytes: Option<u64>,
    /// Page faults that waited for a disk; likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub major_faults: Option<u64>,
    /// OOM kills in this cgroup.
    pub oom_kills: Option<u64>,
    /// How often the memory limit was hit with nothing left to take back, killed for or not; `None` on v1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oom_events: Option<u64>,
    /// Tasks now.
    pub pids: Option<u64>,
    /// Task limit; `None` when unlimited.
    pub pids_limit: Option<u64>,
    /// Bytes read from block devices.
    pub io_read_bytes: Option<u64>,
    /// Bytes written to block devices.
    pub io_write_bytes: Option<u64>,
    /// Block operations, both ways.
    pub io_operations: Option<u64>,
    /// Pressure inside this cgroup.
    pub pressures: Pressures,
}

/// CPU time of the whole host by kind, cumulative nanoseconds (`/proc/stat`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuTimes {
    /// User mode, nice included.
    pub user_ns: u64,
    /// Kernel mode.
    pub system_ns: u64,
    /// Idle.
    pub idle_ns: u64,
    /// Idle while block I/O was outstanding.
    pub iowait_ns: u64,
    /// Hardware interrupts.
    pub irq_ns: u64,
    /// Software interrupts.
    pub softirq_ns: u64,
    /// Taken by the hypervisor.
    pub steal_ns: u64,
}

/// What part of a container engine a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineRole {
    /// Serves many containers: `dockerd`, `containerd`, `crio`.
    Daemon,
    /// Serves one container: `containerd-shim`, `conmon`.
    Shim,
    /// Writes the host's logs: `systemd-journald`, `rsyslogd`, `fluent-bit`.
    Logger,
    /// Copies a container's output to somebody who watches it: `docker run`, `podman logs`.
    Client,
}

/// CPU of one engine process, cumulative.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineUsage {
    /// Which process.
    pub process: ProcessKey,
    /// Its part in the engine.
    pub role: EngineRole,
    /// Program name (`comm`).
    pub name: Untrusted,
    /// For a shim, the runtime's id of the container it serves.
    pub container_id: Option<Untrusted>,
    /// CPU time in nanoseconds, all threads.
    pub cpu_ns: u64,
}

/// CPU of kernel threads by what they did when it was read, cumulative: never falls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelWork {
    /// Writing to block devices and journals, in nanoseconds.
    pub writeback_ns: u64,
    /// Software interrupts that were put off to `ksoftirqd`, in nanoseconds.
    pub softirq_ns: u64,
}

/// CPU of one cgroup that neither holds nor is a container: a service of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceUsage {
    /// Its path below the hierarchy's root.
    pub path: Untrusted,
    /// CPU time in nanoseconds, its descendants' included.
    pub cpu_ns: u64,
}

/// How many of a kernel object there are, and how many there can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Level {
    /// In use now.
    pub used: u64,
    /// Most the kernel allows; `None` when only memory is the limit.
    pub limit: Option<u64>,
}

/// Kernel objects of the host that no cgroup counts (Yang et al., "Demons in the Shared Kernel", CCS 2021).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KernelObjects {
    /// Open files.
    pub files: Option<Level>,
    /// Inodes in memory.
    pub inodes: Option<Level>,
    /// Pseudo terminals.
    pub ptys: Option<Level>,
    /// Tracked connections of the host's network namespace.
    pub conntrack: Option<Level>,
    /// Tasks.
    pub threads: Option<Level>,
    /// Sockets of the host's network namespace against the width of its range of local ports.
    pub ports: Option<Level>,
    /// System V shared memory segments of the host's IPC namespace.
    pub sysv_shm: Option<Level>,
    /// System V semaphore sets of the host's IPC namespace.
    pub sysv_sem: Option<Level>,
    /// System V message queues of the host's IPC namespace.
    pub sysv_msg: Option<Level>,
    /// Mounts of the host's mount namespace.
    pub mounts: Option<Level>,
    /// Inotify instances; no file of the kernel counts them for the host.
    pub inotify_instances: Option<Level>,
}

impl KernelObjects {
    /// Whether none could be read.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What the processes of one cgroup hold, found by looking at each; only while somebody asks for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeepUsage {
    /// Which cgroup; its descendants are included.
    pub cgroup: CgroupId,
    /// Processes found in it.
    pub processes: u64,
    /// Open files of all its processes; one that two processes share counts twice.
    pub files: Option<u64>,
    /// Inotify watches.
    pub inotify_watches: Option<u64>,
    /// Inotify instances.
    pub inotify_instances: Option<u64>,
    /// Open ends of pseudo terminals.
    pub ptys: Option<u64>,
    /// Open sockets.
    pub sockets: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
    /// Mounts of the mount namespace of its first process.
    pub mounts: Option<u64>,
    /// Tracked connections, when its first process is in the host's network namespace.
    pub conntrack: Option<u64>,
    /// System V shared memory segments of the IPC namespace of its first process.
    pub sysv_shm: Option<u64>,
    /// System V semaphore sets of that namespace.
    pub sysv_sem: Option<u64>,
    /// System V message queues of that namespace.
    pub sysv_msg: Option<u64>,
    /// Sockets of the network namespace of its first process.
    pub ports: Option<u64>,
    /// Bytes handed to `write` and its like, to whatever kind of file. Grows from the first reading on, never falls.
    pub written_chars_bytes: Option<u64>,
    /// Calls of `write` and its like; likewise.
    pub write_calls: Option<u64>,
    /// Bytes taken from `read` and its like; likewise.
    pub read_chars_bytes: Option<u64>,
    /// Processes and open files that a limit left out of this reading.
    pub left_out: u64,
    /// Sockets of container engines that are mounted into it, by the host's path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub engine_sockets: Vec<Untrusted>,
    /// Sockets in its network namespace that send and receive below IP; `None` when it shares the host's, or unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packet_sockets: Option<u64>,
}

/// CPU of one process of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessUsage {
    /// Which process.
    pub process: ProcessKey,
    /// Path of its cgroup in the hierarchy that gives ids; empty when it could not be read.
    pub cgroup_path: Untrusted,
    /// Program name (`comm`).
    pub name: Untrusted,
    /// CPU time in nanoseconds since it started, all threads.
    pub cpu_ns: u64,
    /// Of that, spent since the reading before.
    pub spent_ns: u64,
}

/// Space of one file system that containers can fill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskSpace {
    /// Path the runtime writes below.
    pub path: Untrusted,
    /// Size in bytes.
    pub total_bytes: u64,
    /// Free for unprivileged users, in bytes.
    pub free_bytes: u64,
    /// Inodes in all.
    pub inodes_total: u64,
    /// Inodes free.
    pub inodes_free: u64,
}

/// One reading of the host; the books of that second are closed on it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HostUsage {
    /// Online cores.
    pub cores: u32,
    /// CPU time by kind, all cores.
    pub cpu: CpuTimes,
    /// CPU time of kernel threads in nanoseconds; `None` until the first full scan.
    pub kernel_threads_ns: Option<u64>,
    /// Of that, what is known by the names of the threads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel_work: Option<KernelWork>,
    /// CPU of the container engines' processes, of their clients and of loggers, host namespaces only.
    pub engines: Vec<EngineUsage>,
    /// CPU of cgroups that are no containers and hold none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<ServiceUsage>,
    /// What the kernel has only so many of.
    #[serde(default, skip_serializing_if = "KernelObjects::is_empty")]
    pub objects: KernelObjects,
    /// Memory in bytes.
    pub memory_total_bytes: u64,
    /// Memory available without swapping, in bytes.
    pub memory_available_bytes: u64,
    /// Host-wide pressure.
    pub pressures: Pressures,
    /// Tasks now, and their limit.
    pub tasks: u64,
    /// `kernel.pid_max`.
    pub tasks_limit: u64,
    /// Processes that run or wait to run (`procs_running`).
    pub runnable: u64,
    /// File systems of the runtimes' roots.
    pub disks: Vec<DiskSpace>,
}

/// Size of the log file a container engine writes for one container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogSize {
    /// The runtime's id of the container.
    pub container_id: Untrusted,
    /// The file.
    pub path: Untrusted,
    /// Bytes in the current file and in rotated ones beside it. Falls when an old one is deleted.
    pub bytes: u64,
}

/// What the kernel probes counted for one cgroup since they were loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KernelCounts {
    /// Which cgroup.
    pub cgroup: CgroupId,
    /// Forks and clones of processes (threads not counted).
    pub forks: u64,
    /// Threads started beside the first of a process.
    #[serde(skip_serializing_if = "is_zero")]
    pub threads: u64,
    /// Programs executed.
    pub execs: u64,
    /// Processes that ended.
    pub exits: u64,
    /// Of those, with a core dump.
    pub core_dumps: u64,
    /// CPU time in nanoseconds of processes that ended and were reaped here, over their whole lives; kernel threads
    /// not counted.
    #[serde(skip_serializing_if = "is_zero")]
    pub ended_cpu_ns: u64,
    /// Of the processes that ended, those the kernel itself had started: handlers of core dumps, `modprobe`.
    #[serde(skip_serializing_if = "is_zero")]
    pub helpers: u64,
    /// CPU time in nanoseconds of these, and of the children they waited for.
    #[serde(skip_serializing_if = "is_zero")]
    pub helper_cpu_ns: u64,
    /// Kernel modules that processes of the cgroup made the kernel look for.
    #[serde(skip_serializing_if = "is_zero")]
    pub module_requests: u64,
    /// TCP connections opened by a process of the cgroup.
    pub connects: u64,
    /// TCP connections accepted.
    pub accepts: u64,
    /// Connections tried to the socket of a container engine's API.
    #[serde(skip_serializing_if = "is_zero")]
    pub engine_calls: u64,
    /// Bytes sent over TCP connections that have closed.
    pub sent_bytes: u64,
    /// Bytes received over TCP connections that have closed.
    pub received_bytes: u64,
    /// IP packets of every protocol sent by sockets opened in the cgroup; a bundle that the kernel handles as one packet
    /// is one.
    #[serde(skip_serializing_if = "is_zero")]
    pub sent_packets: u64,
    /// Bytes of these, IP headers included.
    #[serde(skip_serializing_if = "is_zero")]
    pub sent_packet_bytes: u64,
    /// IP packets that reached sockets opened in the cgroup, counted the same way.
    #[serde(skip_serializing_if = "is_zero")]
    pub received_packets: u64,
    /// Bytes of these, IP headers included.
    #[serde(skip_serializing_if = "is_zero")]
    pub received_packet_bytes: u64,
    /// File systems written back as a whole because of `sync` or `syncfs`, once for each that had something to write.
    #[serde(skip_serializing_if = "is_zero")]
    pub whole_syncs: u64,
    /// Single files written back: `fsync`, `fdatasync`, `msync`, each write with `O_SYNC`.
    #[serde(skip_serializing_if = "is_zero")]
    pub file_syncs: u64,
    /// Events handed to us.
    pub submitted: u64,
    /// Events dropped because the cgroup spent its budget.
    pub over_budget: u64,
    /// Events dropped because the ring buffer had no room.
    pub no_room: u64,
    /// Contacts with addresses that were given no line of their own in the table of flows; counted in one line for all.
    #[serde(skip_serializing_if = "is_zero")]
    pub crowded: u64,
}

impl KernelCounts {
    /// These counts and what was counted before they began anew.
    #[must_use]
    pub fn after(mut self, earlier: &Self) -> Self {
        let mut earlier = *earlier;
        for (sum, more) in self.each_mut().into_iter().zip(earlier.each_mut()) {
            *sum = sum.saturating_add(*more);
        }
        self
    }

    fn each_mut(&mut self) -> [&mut u64; 24] {
        // Taken apart by name, so that a new field cannot be forgotten here.
        let Self {
            cgroup: _,
            forks,
            threads,
            execs,
            exits,
            core_dumps,
            ended_cpu_ns,
            helpers,
            helper_cpu_ns,
            module_requests,
            connects,
            accepts,
            engine_calls,
            sent_bytes,
            received_bytes,
            sent_packets,
            sent_packet_bytes,
            received_packets,
            received_packet_bytes,
            whole_syncs,
            file_syncs,
            submitted,
            over_budget,
            no_room,
            crowded,
        } = self;
        [
            forks,
            threads,
            execs,
            exits,
            core_dumps,
            ended_cpu_ns,
            helpers,
            helper_cpu_ns,
            module_requests,
            connects,
            accepts,
            engine_calls,
            sent_bytes,
            received_bytes,
            sent_packets,
            sent_packet_bytes,
            received_packets,
            received_packet_bytes,
            whole_syncs,
            file_syncs,
            submitted,
            over_budget,
            no_room,
            crowded,
        ]
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}
