//! What is usual for a workload: means and peaks of what it does, and the programs it runs; kept by workload, so that
//! it survives restarts.
//!
//! Not here: records and ramps of a series (`series`). Nothing flagged is learned (`lib.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::ids::WorkloadKey;
use model::time::Time;
use model::untrusted::Untrusted;
use serde::{Deserialize, Serialize};

use crate::account::Spent;
use crate::quantities::{Quantities, Quantity};
use crate::room::make_room;

/// Most workloads remembered; the one not seen for longest makes room.
const WORKLOADS_MAX: usize = 4_096;

/// Most programs remembered of one workload: what runs more is no longer surprising by a new one.
const PROGRAMS_MAX: usize = 48;

/// Observed time over which the means forget, in seconds.
const MEMORY_SECONDS: f64 = 600.0;

/// Observed time over which a peak falls halfway to the mean, in seconds.
const PEAK_HALF_LIFE_SECONDS: f64 = 6.0 * 3600.0;

/// Observed time before a mean is called usual.
const HISTORY_MIN: Duration = Duration::from_secs(60);

/// What one workload usually does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Usual {
    means: Quantities,
    peaks: Quantities,
    /// Names of programs it has run.
    programs: BTreeSet<Untrusted>,
    seconds: f64,
    last: Time,
    /// Nothing is learned before this: an attack must not become normal, whichever container goes on with it.
    flagged_until: Time,
}

impl Usual {
    /// What it does a second, on average.
    pub fn mean(&self, quantity: Quantity) -> f64 {
        self.means.of(quantity)
    }

    /// The most it did in a second, lately.
    pub fn peak(&self, quantity: Quantity) -> f64 {
        self.peaks.of(quantity)
    }

    /// A rate that surprises nobody: its mean, or half of the most it did lately.
    pub fn high(&self, quantity: Quantity) -> f64 {
        self.mean(quantity).max(self.peak(quantity) / 2.0)
    }

    /// How long it was observed.
    pub fn history(&self) -> Duration {
        // A recording's state is foreign: no number in it may break us.
        Duration::try_from_secs_f64(self.seconds).unwrap_or_default()
    }

    /// Whether a program of that name is new to it; one that runs so many different ones has no usual ones.
    /// Whether the workload is known to run a program of that name.
    pub fn runs(&self, name: &Untrusted) -> bool {
        self.programs.contains(name)
    }

    /// Whether a program is new to the workload, as far as its programs are remembered.
    pub fn is_new_program(&self, name: &Untrusted) -> bool {
        self.programs.len() < PROGRAMS_MAX && !self.programs.contains(name)
    }

    fn new(now: Time) -> Self {
        Self {
            means: Quantities::default(),
            peaks: Quantities::default(),
            programs: BTreeSet::new(),
            seconds: 0.0,
            last: now,
            flagged_until: Time::default(),
        }
    }

    fn learn(&mut self, spent: &Spent, now: Time) {
        self.seconds += spent.seconds;
        let weight = (spent.seconds / self.seconds.clamp(1e-3, MEMORY_SECONDS)).min(1.0);
        let falling = 0.5_f64.powf(spent.seconds / PEAK_HALF_LIFE_SECONDS);
        self.means.approach(spent, weight);
        self.peaks.rise_or_fall(spent, falling);
        self.last = now;
    }
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Baselines {
    workloads: BTreeMap<WorkloadKey, Usual>,
}

impl Baselines {
    /// What is usual for a workload; `None` without enough history.
    pub(crate) fn usual(&self, workload: &WorkloadKey) -> Option<&Usual> {
        self.workloads.get(workload).filter(|usual| usual.history() >= HISTORY_MIN)
    }

    /// Learns what a workload spent, unless it is flagged.
    pub(crate) fn learn(&mut self, workload: &WorkloadKey, spent: &Spent, now: Time) {
        let usual = self.of(workload, now);
        if now >= usual.flagged_until {
            usual.learn(spent, now);
        }
    }

    /// Learns that a workload runs a program, unless it is flagged.
    pub(crate) fn learn_program(&mut self, workload: &WorkloadKey, name: &Untrusted, now: Time) {
        let usual = self.of(workload, now);
        if now >= usual.flagged_until && usual.is_new_program(name) {
            usual.programs.insert(name.clone());
        }
    }

    /// Whether a workload is kept from being learned.
    pub(crate) fn is_flagged(&self, workload: &WorkloadKey, now: Time) -> bool {
        self.workloads.get(workload).is_some_and(|usual| now < usual.flagged_until)
    }

    /// Keeps a workload from being learned until then.
    pub(crate) fn flag(&mut self, workload: &WorkloadKey, until: Time, now: Time) {
        let usual = self.of(workload, now);
        usual.flagged_until = usual.flagged_until.max(until);
    }

    /// The baseline of a workload; looked up by reference first, since nearly always it is there.
    fn of(&mut self, workload: &WorkloadKey, now: Time) -> &mut Usual {
        if !self.workloads.contains_key(workload) {
            make_room(&mut self.workloads, workload, WORKLOADS_MAX, |usual| usual.last);
            self.workloads.insert(workload.clone(), Usual::new(now));
        }
        // PANIC: it was there, or has just been put there.
        self.workloads.get_mut(workload).expect("a baseline")
    }
}
