//! The books of one container: what it spent itself and what it wrote, second by second.
//!
//! Not here: what others spent on its behalf, which needs the whole ledger.

use std::collections::VecDeque;
use std::sync::Arc;

use model::identity::Container;
use model::ids::WorkloadKey;
use model::novelty::Provenance;
use model::time::Time;
use model::usage::{LogSize, Usage};
use serde::{Deserialize, Serialize};

/// Seconds of history kept per container; the longest window any judge asks for.
pub(crate) const ENTRIES_MAX: usize = 10;

/// A container younger than this at its first reading has spent everything we read since it started; an older
/// one spent an unknown part before we looked.
const YOUNG_SECONDS: f64 = 5.0;

/// What one container spent over a span of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spent {
    /// Length of the span in seconds, counted from the container's start when that lies within.
    pub seconds: f64,
    /// CPU seconds of its own cgroup.
    pub own_cpu_seconds: f64,
    /// CPU seconds of its shim, the engine's process that serves only it.
    pub shim_cpu_seconds: f64,
    /// Bytes its log grew by.
    pub log_bytes: f64,
}

impl Spent {
    /// CPU of its own cgroup in cores.
    pub fn own_cores(&self) -> f64 {
        self.own_cpu_seconds / self.seconds.max(1e-3)
    }

    fn add(&mut self, other: &Self) {
        self.seconds += other.seconds;
        self.own_cpu_seconds += other.own_cpu_seconds;
        self.shim_cpu_seconds += other.shim_cpu_seconds;
        self.log_bytes += other.log_bytes;
    }
}

/// The books of one container.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Account {
    container: Arc<Container>,
    workload: WorkloadKey,
    provenance: Provenance,
    /// Closed seconds, oldest first.
    entries: VecDeque<Spent>,
    /// The second being filled.
    open: Spent,
    last_usage: Option<(Time, Usage)>,
    last_log: Option<(Time, u64)>,
    last_shim_ns: Option<u64>,
    flagged_until: Time,
}

impl Account {
    pub(crate) fn new(container: &Arc<Container>, provenance: Provenance) -> Self {
        Self {
            workload: container.workload(),
            container: Arc::clone(container),
            provenance,
            entries: VecDeque::with_capacity(ENTRIES_MAX),
            open: Spent::default(),
            last_usage: None,
            last_log: None,
            last_shim_ns: None,
            flagged_until: Time::default(),
        }
    }

    /// The container.
    pub fn container(&self) -> &Container {
        &self.container
    }

    /// Its workload.
    pub fn workload(&self) -> &WorkloadKey {
        &self.workload
    }

    /// What people said about it.
    pub fn provenance(&self) -> Provenance {
        self.provenance
    }

    /// Whether it still runs, as far as we know.
    pub fn is_running(&self) -> bool {
        self.container.ended.is_none()
    }

    /// The last reading of its cgroup.
    pub fn usage(&self) -> Option<&Usage> {
        self.last_usage.as_ref().map(|(_, usage)| usage)
    }

    /// What it spent over the last `window_seconds` of closed books, or since its start if that is less;
    /// `None` before the first second is closed.
    pub fn spent(&self, window_seconds: f64) -> Option<Spent> {
        self.spent_over(window_seconds).map(|(spent, _)| spent)
    }

    /// As `spent`, with the number of closed books it is the sum of.
    pub(crate) fn spent_over(&self, window_seconds: f64) -> Option<(Spent, usize)> {
        let mut sum = Spent::default();
        let mut books = 0;
        for entry in self.entries.iter().rev() {
            if sum.seconds + 0.5 >= window_seconds {
                break;
            }
            sum.add(entry);
            books += 1;
        }
        (books > 0).then_some((sum, books))
    }

    /// The last second whose books are closed.
    pub fn latest(&self) -> Option<&Spent> {
        self.entries.back()
    }

    pub(crate) fn is_flagged(&self, now: Time) -> bool {
        now < self.flagged_until
    }

    pub(crate) fn flag(&mut self, until: Time) {
        self.flagged_until = self.flagged_until.max(until);
    }

    pub(crate) fn update(&mut self, container: &Arc<Container>, provenance: Provenance) {
        self.workload = container.workload();
        self.container = Arc::clone(container);
        self.provenance = provenance;
    }

    pub(crate) fn review(&mut self, provenance: Provenance) {
        self.provenance = provenance;
    }

    pub(crate) fn read_usage(&mut self, usage: &Usage, at: Time) {
        let spent_ns = match (&self.last_usage, usage.cpu_ns) {
            (Some((_, last)), Some(now)) => now.saturating_sub(last.cpu_ns.unwrap_or(now)),
            (None, Some(now)) if self.age_seconds(at) <= YOUNG_SECONDS => now,
            _ => 0,
        };
        self.open.own_cpu_seconds += spent_ns as f64 / 1e9;
        self.last_usage = Some((at, usage.clone()));
    }

    pub(crate) fn read_log(&mut self, log: &LogSize, at: Time) {
        let grown = match self.last_log {
            // A smaller size means that the oldest rotated file was deleted; what was written meanwhile is unknown.
            Some((_, last)) => log.bytes.saturating_sub(last),
            None if self.age_seconds(at) <= YOUNG_SECONDS => log.bytes,
            None => 0,
        };
        self.open.log_bytes += grown as f64;
        self.last_log = Some((at, log.bytes));
    }

    pub(crate) fn read_shim(&mut self, cpu_ns: u64, at: Time) {
        let spent_ns = match self.last_shim_ns {
            Some(last) => cpu_ns.saturating_sub(last),
            None if self.age_seconds(at) <= YOUNG_SECONDS => cpu_ns,
            None => 0,
        };
        self.open.shim_cpu_seconds += spent_ns as f64 / 1e9;
        self.last_shim_ns = Some(cpu_ns);
    }

    /// Closes the second that ended at `at`, `span_seconds` after the one before.
    pub(crate) fn close(&mut self, at: Time, span_seconds: f64) {
        self.open.seconds = span_seconds.min(self.age_seconds(at).max(1e-3));
        if self.entries.len() == ENTRIES_MAX {
            self.entries.pop_front();
        }
        self.entries.push_back(std::mem::take(&mut self.open));
    }

    /// Forgets the seconds before a gap: rates across it would be guesses.
    pub(crate) fn forget_seconds(&mut self) {
        self.entries.clear();
        self.open = Spent::default();
    }

    fn age_seconds(&self, at: Time) -> f64 {
        at.since(self.container.key.started).as_secs_f64()
    }
}
