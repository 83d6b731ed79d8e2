//! What is usual for a workload: a slow mean of its CPU, kept by workload so that it survives restarts.
//!
//! Not here: records, ramps and schedules of a series. Nothing flagged is learned (`lib.rs`).

use std::collections::BTreeMap;
use std::time::Duration;

use model::ids::WorkloadKey;
use model::time::Time;
use serde::{Deserialize, Serialize};

use crate::account::Spent;

/// Most workloads remembered; the one not seen for longest makes room.
const WORKLOADS_MAX: usize = 4_096;

/// Observed time over which the mean forgets, in seconds.
const MEMORY_SECONDS: f64 = 600.0;

/// Observed time before a mean is called usual.
const HISTORY_MIN: Duration = Duration::from_secs(60);

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Baselines {
    workloads: BTreeMap<WorkloadKey, Baseline>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Baseline {
    cores: f64,
    seconds: f64,
    last: Time,
    /// Nothing is learned before this: an attack must not become normal, whichever container goes on with it.
    flagged_until: Time,
}

impl Baselines {
    /// Usual CPU in cores and how long it was observed; `None` without enough history.
    pub(crate) fn usual(&self, workload: &WorkloadKey) -> Option<(f64, Duration)> {
        let baseline = self.workloads.get(workload)?;
        // A recording's state is foreign: no number in it may break us.
        let history = Duration::try_from_secs_f64(baseline.seconds).unwrap_or_default();
        (history >= HISTORY_MIN).then_some((baseline.cores, history))
    }

    /// Learns what a workload spent, unless it is flagged.
    pub(crate) fn learn(&mut self, workload: &WorkloadKey, spent: &Spent, now: Time) {
        let baseline = self.of(workload, now);
        if now >= baseline.flagged_until {
            baseline.learn(spent, now);
        }
    }

    /// Keeps a workload from being learned until then.
    pub(crate) fn flag(&mut self, workload: &WorkloadKey, until: Time, now: Time) {
        let baseline = self.of(workload, now);
        baseline.flagged_until = baseline.flagged_until.max(until);
    }

    /// The baseline of a workload; looked up by reference first, since nearly always it is there.
    fn of(&mut self, workload: &WorkloadKey, now: Time) -> &mut Baseline {
        if !self.workloads.contains_key(workload) {
            if self.workloads.len() >= WORKLOADS_MAX {
                self.evict();
            }
            let new = Baseline { cores: 0.0, seconds: 0.0, last: now, flagged_until: Time::default() };
            self.workloads.insert(workload.clone(), new);
        }
        // PANIC: it was there, or has just been put there.
        self.workloads.get_mut(workload).expect("a baseline")
    }

    fn evict(&mut self) {
        let oldest = self.workloads.iter().min_by_key(|(_, baseline)| baseline.last);
        if let Some(workload) = oldest.map(|(workload, _)| workload.clone()) {
            self.workloads.remove(&workload);
        }
    }
}

impl Baseline {
    fn learn(&mut self, spent: &Spent, now: Time) {
        self.seconds += spent.seconds;
        let weight = spent.seconds / self.seconds.clamp(1e-3, MEMORY_SECONDS);
        self.cores += (spent.own_cores() - self.cores) * weight.min(1.0);
        self.last = now;
    }
}
