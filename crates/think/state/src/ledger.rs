//! The host's books: who spent what, second by second, and what the container engine spent on whose behalf.
//!
//! Not here: whether that is too much (`detect`). Only the class *container log copied by the engine* is booked
//! back so far.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use model::identity::Container;
use model::ids::{CgroupId, ProcessKey};
use model::novelty::Provenance;
use model::time::Time;
use model::untrusted::Untrusted;
use model::usage::{CpuTimes, EngineRole, HostUsage, LogSize, Pressures, Usage};
use serde::{Deserialize, Serialize};

use crate::account::{Account, ENTRIES_MAX};

/// Seconds over which costs are summed: long enough to even out the 10 ms ticks of `/proc/PID/stat`, short
/// enough that a container of two seconds fills it.
pub(crate) const WINDOW: f64 = 5.0;

/// A pause between two readings of the host longer than this is a gap: rates across it would be guesses.
const GAP_SECONDS: f64 = 10.0;

/// Most CPU the engine is believed to need when it copies no logs; higher readings are other work.
const ENGINE_IDLE_CORES_MAX: f64 = 0.2;

/// Log growth of all containers below which the engine counts as not copying, in bytes per second.
const QUIET_LOG_BYTES_PER_SECOND: f64 = 64.0 * 1024.0;

/// Most engine CPU that one byte of log can explain. Measured with Docker 20.10's json-file driver and two-byte
/// lines, its worst case: 28 ns a byte; seven times that leaves room for slower machines, and keeps a trickle of
/// log from being blamed for an image import.
const CPU_SECONDS_PER_LOG_BYTE_MAX: f64 = 200e-9;

/// Age from which a container no longer keeps the engine busy with its start.
const UNDISTURBED_AFTER: Duration = Duration::from_secs(10);

/// How long the books of an ended container are kept.
const ENDED_KEPT: Duration = Duration::from_secs(10);

/// What the host spent over the ledger's window.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HostSpent {
    /// Length of the window in seconds.
    pub seconds: f64,
    /// Online cores.
    pub cores: u32,
    /// CPU in cores: everything but idle.
    pub busy_cores: f64,
    /// CPU of the engines' shared daemons in cores.
    pub engine_cores: f64,
    /// CPU the engines' daemons usually need when they copy no logs, in cores.
    pub engine_idle_cores: f64,
    /// CPU of kernel threads in cores.
    pub kernel_thread_cores: f64,
    /// CPU of software interrupts in cores.
    pub softirq_cores: f64,
    /// CPU of all containers' own cgroups in cores.
    pub container_cores: f64,
    /// CPU of shims in cores.
    pub shim_cores: f64,
    /// Log growth of all containers in bytes per second.
    pub log_bytes_per_second: f64,
    /// Pressure as of the last reading.
    pub pressures: Pressures,
    /// Memory as of the last reading, in bytes.
    pub memory_available_bytes: u64,
    /// Memory in bytes.
    pub memory_total_bytes: u64,
}

/// What the engine spent on copying one container's log.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogCost {
    /// Length of the window in seconds.
    pub seconds: f64,
    /// CPU of the container's own cgroup in cores: all that container metrics show.
    pub own_cores: f64,
    /// CPU of the engine's daemons and the container's shim in cores, idle cost not deducted.
    pub engine_cores: f64,
    /// The part of it booked back to this container, in cores.
    pub attributed_cores: f64,
    /// Its share of all bytes logged, 0 to 1: how sure the booking is.
    pub share: f64,
    /// Growth of its log in bytes per second.
    pub log_bytes_per_second: f64,
    /// Bytes its log grew by in the last closed second: zero once the copying is over.
    pub log_bytes_last_second: f64,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Ledger {
    accounts: BTreeMap<CgroupId, Account>,
    last: Option<(Time, HostUsage)>,
    seconds: VecDeque<HostSecond>,
    engine_idle_cores: f64,
    spent: Option<HostSpent>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct HostSecond {
    seconds: f64,
    busy: f64,
    engine: f64,
    kernel_threads: f64,
    softirq: f64,
    containers: f64,
    shims: f64,
    log_bytes: f64,
}

impl Ledger {
    pub(crate) fn account(&self, cgroup: CgroupId) -> Option<&Account> {
        self.accounts.get(&cgroup)
    }

    pub(crate) fn accounts(&self) -> impl Iterator<Item = &Account> {
        self.accounts.values()
    }

    pub(crate) fn host(&self) -> Option<&HostSpent> {
        self.spent.as_ref()
    }

    pub(crate) fn open(&mut self, container: &Arc<Container>, provenance: Provenance) {
        let key = &container.key;
        match self.accounts.get_mut(&key.cgroup) {
            Some(account) if account.container().key == *key => account.update(container, provenance),
            _ => {
                self.accounts.insert(key.cgroup, Account::new(container, provenance));
            }
        }
    }

    pub(crate) fn review(&mut self, provenance: impl Fn(&Container) -> Provenance) {
        for account in self.accounts.values_mut() {
            let now = provenance(account.container());
            account.review(now);
        }
    }

    pub(crate) fn flag(&mut self, cgroup: CgroupId, until: Time) {
        if let Some(account) = self.accounts.get_mut(&cgroup) {
            account.flag(until);
        }
    }

    pub(crate) fn usage(&mut self, usage: &Usage, at: Time) {
        if let Some(account) = self.accounts.get_mut(&usage.cgroup) {
            account.read_usage(usage, at);
        }
    }

    pub(crate) fn log(&mut self, cgroup: CgroupId, log: &LogSize, at: Time) {
        if let Some(account) = self.accounts.get_mut(&cgroup) {
            account.read_log(log, at);
        }
    }

    /// Closes the books of the second that ends with this reading of the host.
    pub(crate) fn close(&mut self, host: &HostUsage, at: Time) {
        self.accounts
            .retain(|_, account| account.container().ended.is_none_or(|ended| at.since(ended) < ENDED_KEPT));
        let span = self.last.as_ref().map(|(last, _)| at.since(*last).as_secs_f64());
        match (span, self.last.take()) {
            (Some(span), Some((_, last))) if span > 0.0 && span <= GAP_SECONDS => {
                self.read_shims(host, at);
                self.close_second(host, &last, span, at);
            }
            _ => self.start_over(),
        }
        self.last = Some((at, host.clone()));
    }

    pub(crate) fn log_cost(&self, cgroup: CgroupId) -> Option<LogCost> {
        let account = self.accounts.get(&cgroup)?;
        let latest = account.latest()?;
        let (own, books) = account.spent_over(WINDOW)?;
        // The same books of the host, the newest first. A container's first may be shorter than the host's: to count
        // seconds instead would leave out the one that holds its first bytes.
        let (mut engine_cpu, mut all_log_bytes, mut seconds) = (0.0, 0.0, 0.0);
        for second in self.seconds.iter().rev().take(books) {
            engine_cpu += second.engine;
            all_log_bytes += second.log_bytes;
            seconds += second.seconds;
        }
        let share = if all_log_bytes > 0.0 { own.log_bytes / all_log_bytes } else { 0.0 };
        let copying = (engine_cpu - self.engine_idle_cores * seconds).max(0.0);
        let attributed =
            (copying * share).min(own.log_bytes * CPU_SECONDS_PER_LOG_BYTE_MAX) + own.shim_cpu_seconds;
        Some(LogCost {
            seconds: own.seconds,
            own_cores: own.own_cores(),
            engine_cores: (engine_cpu + own.shim_cpu_seconds) / own.seconds,
            attributed_cores: attributed / own.seconds,
            share,
            log_bytes_per_second: own.log_bytes / own.seconds,
            log_bytes_last_second: latest.log_bytes,
        })
    }

    /// Learns what the engine needs when it copies nothing: a slow mean, so that bursts of other work fade.
    pub(crate) fn learn_engine_idle(&mut self, now: Time) {
        let Some(second) = self.seconds.back() else { return };
        // Seconds in which somebody is flagged, starts or ends hold the engine's work for it, not its idle.
        let is_disturbed = |account: &Account| {
            let age = now.since(account.container().key.started);
            account.is_flagged(now) || age < UNDISTURBED_AFTER || account.container().ended.is_some()
        };
        if self.accounts.values().any(is_disturbed) {
            return;
        }
        if second.log_bytes / second.seconds < QUIET_LOG_BYTES_PER_SECOND {
            let cores = (second.engine / second.seconds).min(ENGINE_IDLE_CORES_MAX);
            self.engine_idle_cores += (cores - self.engine_idle_cores) / 32.0;
        }
    }

    fn start_over(&mut self) {
        self.seconds.clear();
        self.spent = None;
        for account in self.accounts.values_mut() {
            account.forget_seconds();
        }
    }

    fn read_shims(&mut self, host: &HostUsage, at: Time) {
        let shims: BTreeMap<&Untrusted, u64> = host
            .engines
            .iter()
            .filter(|engine| engine.role == EngineRole::Shim)
            .filter_map(|engine| Some((engine.container_id.as_ref()?, engine.cpu_ns)))
            .collect();
        for account in self.accounts.values_mut() {
            let id = account.container().facts.known().map(|facts| &facts.id);
            if let Some(cpu_ns) = id.and_then(|id| shims.get(id)) {
                account.read_shim(*cpu_ns, at);
            }
        }
    }

    fn close_second(&mut self, host: &HostUsage, last: &HostUsage, span: f64, at: Time) {
        let mut second = HostSecond {
            seconds: span,
            busy: busy_seconds(&host.cpu, &last.cpu),
            engine: daemon_seconds(host, last),
            kernel_threads: match (host.kernel_threads_ns, last.kernel_threads_ns) {
                (Some(now), Some(before)) => now.saturating_sub(before) as f64 / 1e9,
                _ => 0.0,
            },
            softirq: host.cpu.softirq_ns.saturating_sub(last.cpu.softirq_ns) as f64 / 1e9,
            containers: 0.0,
            shims: 0.0,
            log_bytes: 0.0,
        };
        for account in self.accounts.values_mut() {
            account.close(at, span);
            if let Some(entry) = account.latest() {
                second.containers += entry.own_cpu_seconds;
                second.shims += entry.shim_cpu_seconds;
                second.log_bytes += entry.log_bytes;
            }
        }
        if self.seconds.len() == ENTRIES_MAX {
            self.seconds.pop_front();
        }
        self.seconds.push_back(second);
        self.spent = Some(self.sum_host(host));
    }

    fn sum_host(&self, host: &HostUsage) -> HostSpent {
        let mut window: Vec<&HostSecond> = Vec::with_capacity(ENTRIES_MAX);
        let mut seconds = 0.0;
        for second in self.seconds.iter().rev() {
            if seconds + 0.5 >= WINDOW {
                break;
            }
            seconds += second.seconds;
            window.push(second);
        }
        let per_second = |pick: fn(&HostSecond) -> f64| window.iter().map(|s| pick(s)).sum::<f64>() / seconds;
        HostSpent {
            seconds,
            cores: host.cores,
            busy_cores: per_second(|s| s.busy),
            engine_cores: per_second(|s| s.engine),
            engine_idle_cores: self.engine_idle_cores,
            kernel_thread_cores: per_second(|s| s.kernel_threads),
            softirq_cores: per_second(|s| s.softirq),
            container_cores: per_second(|s| s.containers),
            shim_cores: per_second(|s| s.shims),
            log_bytes_per_second: per_second(|s| s.log_bytes),
            pressures: host.pressures,
            memory_available_bytes: host.memory_available_bytes,
            memory_total_bytes: host.memory_total_bytes,
        }
    }
}

fn busy_seconds(now: &CpuTimes, last: &CpuTimes) -> f64 {
    let grown = |pick: fn(&CpuTimes) -> u64| pick(now).saturating_sub(pick(last)) as f64;
    (grown(|cpu| cpu.user_ns)
        + grown(|cpu| cpu.system_ns)
        + grown(|cpu| cpu.irq_ns)
        + grown(|cpu| cpu.softirq_ns))
        / 1e9
}

/// CPU seconds of the daemons that were there at both readings.
fn daemon_seconds(now: &HostUsage, last: &HostUsage) -> f64 {
    let daemons = |host: &HostUsage| -> BTreeMap<ProcessKey, u64> {
        let daemons = host.engines.iter().filter(|engine| engine.role == EngineRole::Daemon);
        daemons.map(|engine| (engine.process, engine.cpu_ns)).collect()
    };
    let before = daemons(last);
    let grown = |(process, cpu_ns): (ProcessKey, u64)| {
        before.get(&process).map_or(0.0, |before| cpu_ns.saturating_sub(*before) as f64)
    };
    daemons(now).into_iter().map(grown).sum::<f64>() / 1e9
}
