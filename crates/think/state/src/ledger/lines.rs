//! The lines of the host's books: one second of them, and their sum over the ledger's window.
//!
//! Not here: which container causes what (`booking.rs`).

use std::collections::VecDeque;

use model::usage::{CpuTimes, EngineRole, HostUsage, Pressures};
use serde::{Deserialize, Serialize};

use crate::account::Spent;
use crate::booking::{Drive, Pool, Pools};
use crate::ledger::grown;
use crate::quantities::Quantity;

/// What the host spent over the ledger's window. The lines sum up to what was busy, within the precision of the
/// kernel's own accounting: time is charged in ticks here and to the nanosecond there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HostSpent {
    /// Length of the window in seconds.
    pub seconds: f64,
    /// Online cores.
    pub cores: u32,
    /// CPU in cores: everything but idle and stolen time.
    pub busy_cores: f64,
    /// Cores that idled while block I/O was outstanding.
    pub iowait_cores: f64,
    /// CPU of all containers' own cgroups in cores.
    pub container_cores: f64,
    /// CPU of the host's services in cores, engines and loggers left out.
    pub service_cores: f64,
    /// CPU of the engines' shared daemons in cores.
    pub engine_cores: f64,
    /// CPU the engines' daemons usually need when nobody asks anything of them, in cores.
    pub engine_idle_cores: f64,
    /// CPU of shims in cores.
    pub shim_cores: f64,
    /// CPU of attached clients in cores.
    pub client_cores: f64,
    /// CPU of the host's loggers in cores.
    pub logger_cores: f64,
    /// CPU of programs that the kernel started by itself, in cores.
    pub helper_cores: f64,
    /// CPU of kernel threads in cores, software interrupts left out.
    pub kernel_thread_cores: f64,
    /// Of that, writing back data.
    pub writeback_cores: f64,
    /// CPU of interrupts, software ones included, in cores.
    pub softirq_cores: f64,
    /// What no line accounts for, in cores.
    pub residual_cores: f64,
    /// Log growth of all containers in bytes per second.
    pub log_bytes_per_second: f64,
    /// Pressure as of the last reading.
    pub pressures: Pressures,
    /// Memory as of the last reading, in bytes.
    pub memory_available_bytes: u64,
    /// Memory in bytes.
    pub memory_total_bytes: u64,
}

/// One closed second of the host, in CPU seconds.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct HostSecond {
    pub(crate) seconds: f64,
    busy: f64,
    iowait: f64,
    containers: f64,
    services: f64,
    shims: f64,
    kernel_threads: f64,
    irq: f64,
    log_bytes: f64,
    pub(crate) pools: Pools,
    /// What should be spent by usual unit costs and what is done now, in cores: how a pool is shared.
    pub(crate) expected: Pools,
}

impl HostSecond {
    pub(crate) fn new(now: &HostUsage, last: &HostUsage, span: f64) -> Self {
        let ns = |now: u64, last: u64| now.saturating_sub(last) as f64 / 1e9;
        let engines = engine_seconds(now, last);
        let work = |pick: fn(&model::usage::KernelWork) -> u64| match (&now.kernel_work, &last.kernel_work) {
            (Some(now), Some(last)) => ns(pick(now), pick(last)),
            _ => 0.0,
        };
        let mut second = Self {
            seconds: span,
            busy: busy_seconds(&now.cpu, &last.cpu),
            iowait: ns(now.cpu.iowait_ns, last.cpu.iowait_ns),
            services: service_seconds(now, last),
            kernel_threads: match (now.kernel_threads_ns, last.kernel_threads_ns) {
                // `ksoftirqd` is charged to software interrupts as well.
                (Some(now), Some(last)) => (ns(now, last) - work(|work| work.softirq_ns)).max(0.0),
                _ => 0.0,
            },
            irq: ns(now.cpu.irq_ns, last.cpu.irq_ns),
            ..Self::default()
        };
        second.pools[Pool::Engine as usize] = engines.of(EngineRole::Daemon);
        second.pools[Pool::Clients as usize] = engines.of(EngineRole::Client);
        second.pools[Pool::Loggers as usize] = engines.of(EngineRole::Logger);
        second.pools[Pool::Writeback as usize] = work(|work| work.writeback_ns);
        second.pools[Pool::Softirq as usize] = ns(now.cpu.softirq_ns, last.cpu.softirq_ns);
        second
    }

    pub(crate) fn add_helpers(&mut self, cpu_seconds: f64) {
        self.pools[Pool::Helpers as usize] += cpu_seconds;
    }

    /// What somebody does drives pools.
    pub(crate) fn drive(&mut self, drive: &Drive) {
        for (sum, more) in self.expected.iter_mut().zip(drive.expected()) {
            *sum += more;
        }
    }

    pub(crate) fn add_container(&mut self, spent: &Spent) {
        self.containers += spent.of(Quantity::OwnCpu);
        self.shims += spent.of(Quantity::ShimCpu);
        self.log_bytes += spent.of(Quantity::LogBytes);
    }

    /// What each pool spent above its idle cost, in CPU seconds.
    pub(crate) fn above(&self, idle: &Pools) -> Pools {
        std::array::from_fn(|pool| (self.pools[pool] - idle[pool] * self.seconds).max(0.0))
    }

    /// The host's services without what runs in them of engines and loggers, which have lines of their own. Where
    /// there are no cgroups of services, engines run beside them.
    fn services_alone(&self) -> f64 {
        let own_lines = self.shims
            + self.pools[Pool::Engine as usize]
            + self.pools[Pool::Clients as usize]
            + self.pools[Pool::Loggers as usize];
        (self.services - own_lines).max(0.0)
    }

    fn accounted(&self) -> f64 {
        let pools = [Pool::Engine, Pool::Clients, Pool::Loggers, Pool::Helpers, Pool::Softirq];
        let pools: f64 = pools.iter().map(|pool| self.pools[*pool as usize]).sum();
        self.containers + self.services_alone() + self.shims + self.kernel_threads + self.irq + pools
    }
}

impl HostSpent {
    /// The sum of the newest seconds that lie within the window.
    pub(crate) fn sum(seconds: &VecDeque<HostSecond>, window: f64, idle: Pools, host: &HostUsage) -> Self {
        let mut length = 0.0;
        let within = |second: &&HostSecond| {
            let is_within = length + 0.5 < window;
            length += second.seconds;
            is_within
        };
        let window: Vec<&HostSecond> = seconds.iter().rev().take_while(within).collect();
        let length: f64 = window.iter().map(|second| second.seconds).sum();
        let cores = |pick: &dyn Fn(&HostSecond) -> f64| {
            window.iter().map(|second| pick(second)).sum::<f64>() / length.max(1e-3)
        };
        let pool = |pool: Pool| cores(&|second| second.pools[pool as usize]);
        Self {
            seconds: length,
            cores: host.cores,
            busy_cores: cores(&|second| second.busy),
            iowait_cores: cores(&|second| second.iowait),
            container_cores: cores(&|second| second.containers),
            service_cores: cores(&HostSecond::services_alone),
            engine_cores: pool(Pool::Engine),
            engine_idle_cores: idle[Pool::Engine as usize],
            shim_cores: cores(&|second| second.shims),
            client_cores: pool(Pool::Clients),
            logger_cores: pool(Pool::Loggers),
            helper_cores: pool(Pool::Helpers),
            kernel_thread_cores: cores(&|second| second.kernel_threads),
            writeback_cores: pool(Pool::Writeback),
            softirq_cores: pool(Pool::Softirq) + cores(&|second| second.irq),
            residual_cores: cores(&|second| second.busy - second.accounted()),
            log_bytes_per_second: cores(&|second| second.log_bytes),
            pressures: host.pressures,
            memory_available_bytes: host.memory_available_bytes,
            memory_total_bytes: host.memory_total_bytes,
        }
    }
}

/// CPU seconds of the engines' processes by their part; only of those that were there at both readings.
struct EngineSeconds([f64; 4]);

impl EngineSeconds {
    fn of(&self, role: EngineRole) -> f64 {
        self.0[role as usize]
    }
}

fn engine_seconds(now: &HostUsage, last: &HostUsage) -> EngineSeconds {
    let mut seconds = EngineSeconds([0.0; 4]);
    for (engine, grown_ns) in grown::engines(now, last) {
        seconds.0[engine.role as usize] += grown_ns as f64 / 1e9;
    }
    seconds
}

fn service_seconds(now: &HostUsage, last: &HostUsage) -> f64 {
    grown::services(now, last).map(|(_, grown_ns)| grown_ns).sum::<u64>() as f64 / 1e9
}

fn busy_seconds(now: &CpuTimes, last: &CpuTimes) -> f64 {
    let grown = |pick: fn(&CpuTimes) -> u64| pick(now).saturating_sub(pick(last)) as f64;
    (grown(|cpu| cpu.user_ns)
        + grown(|cpu| cpu.system_ns)
        + grown(|cpu| cpu.irq_ns)
        + grown(|cpu| cpu.softirq_ns))
        / 1e9
}
