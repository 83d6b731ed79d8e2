//! One metric of one workload: what is usual, and what is more than ever, at three resolutions.
//!
//! Not here: which workload, and what follows from an excess (`baselines.rs`, `detect`). No clock: time is that of the samples.

mod logarithm;

pub mod tuning;

pub mod metric;

pub mod counter;

pub mod resolution;

pub mod streams;

mod contexts;

mod profile;

mod predictor;

mod records;

mod episodes;

pub mod bank;

pub mod spikes;

pub mod anchor;

use std::time::Duration;

use model::time::Time;
use serde::{Deserialize, Serialize};

use crate::series::anchor::{Anchor, Frozen};
use crate::series::bank::{Bank, Judged, Lens, Sample, VALUE_MAX};
use crate::series::metric::Metric;
use crate::series::resolution::{Filling, Resolution, Slot, hour_of_day};
use crate::series::spikes::Spikes;
use crate::series::streams::{LANES, NAMES};
use crate::series::tuning::Tuning;

/// How long a series that inherited its normal is judged with twice the range floor.
const SETTLING: Duration = Duration::from_secs(3_600);

/// Slots of a constant series that a bank is shown when it is made: as many as its slowest mean remembers.
const SHOWN_MAX: u32 = 256;

/// Streams that are named to people.
const NAMED: usize = 3;

/// One metric of one workload. A series that was always the same keeps no banks.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Series {
    metric: Metric,
    filling: [Filling; 3],
    settling_until: Option<Time>,
    constant: Constant,
    banks: Option<Box<Banks>>,
}

/// What an expert found to be more than ever.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Excess {
    /// When the slot that shows it began.
    pub time: Time,
    /// Where it shows.
    pub resolution: Resolution,
    /// Who says so.
    pub expert: Expert,
    /// An episode begins here; false while it lasts, and while the bar is raised by episodes before.
    pub onset: bool,
    /// Evidence, in votes or deviations.
    pub evidence: f64,
    /// Evidence from which there is an excess.
    pub threshold: f64,
    /// Mean of the slot, in the metric's unit.
    pub value: f64,
    /// What is usual instead, in the metric's unit.
    pub usual: f64,
    /// How far it rose above that, in natural units; in the metric's unit when nobody knows what is large.
    pub rise: f64,
    /// How many streams voted at all; zero for the anchor.
    pub voters: u8,
    /// The streams that voted most.
    pub streams: [Option<&'static str>; NAMED],
    /// Slots of this resolution that were learned.
    pub samples: u32,
}

/// Who found an excess.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expert {
    /// The record bank.
    Records,
    /// The anchor.
    Anchor,
}

/// What is usual for a series, and how long that was observed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usual {
    /// Mean of the last day (256 slots of 5 minutes), in the metric's unit.
    pub mean: f64,
    /// Mean of the last five hours (64 slots of 5 minutes).
    pub recent: f64,
    /// Mean of the first week, which nothing moves; `None` until it is over.
    pub frozen: Option<f64>,
    /// How far today's hours have moved from the frozen ones, in frozen deviations.
    pub drift: Option<f64>,
    /// Time learned, gaps and flagged time not counted.
    pub history: Duration,
    /// Slots of 5 minutes learned.
    pub samples: u32,
}

/// A value that never changed, and for how many slots of each resolution.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Constant {
    value: f64,
    slots: [u32; 3],
}

/// What follows a series that moves.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Banks {
    fast: Bank,
    middle: Bank,
    slow: Bank,
    anchor: Anchor,
    spikes: Spikes,
    spike: f64,
}

impl Series {
    /// A series without history.
    pub fn new(metric: Metric) -> Self {
        Self {
            metric,
            filling: Default::default(),
            settling_until: None,
            constant: Constant::default(),
            banks: None,
        }
    }

    /// The series of a new version of a workload: it starts from what was normal for the old one, with a doubled range floor
    /// for an hour.
    #[must_use]
    pub fn inherit(&self, now: Time) -> Self {
        Self { filling: Default::default(), settling_until: Some(now.plus(SETTLING)), ..self.clone() }
    }

    /// Changes what belongs to the metric: a limit that was raised, say.
    pub fn set_metric(&mut self, metric: Metric) {
        self.metric = metric;
    }

    /// Takes a sample; the strongest excess that the slots it completes show. A flagged workload is judged but not learned
    /// (`learn` false). What is not a number, or larger than 1e18, is no sample.
    pub fn sample(&mut self, time: Time, value: f64, learn: bool) -> Option<Excess> {
        let sensible = value.abs() <= VALUE_MAX;
        if !sensible {
            return None;
        }
        let mut strongest = None;
        for resolution in Resolution::ALL {
            let filling = &mut self.filling[resolution as usize];
            if let Some(slot) = filling.add(time, value, learn, resolution.slot()) {
                let found = self.judge(resolution, slot);
                strongest = stronger(strongest, found);
            }
        }
        strongest
    }

    /// What is usual; `None` before anything was learned.
    pub fn usual(&self) -> Option<Usual> {
        let slot = Resolution::Middle.slot();
        let Some(banks) = &self.banks else {
            let samples = self.constant.slots[Resolution::Middle as usize];
            let value = self.constant.value;
            let frozen = None;
            let history = slot.saturating_mul(samples);
            let usual = Usual { mean: value, recent: value, frozen, drift: None, history, samples };
            return (samples > 0).then_some(usual);
        };
        let samples = banks.middle.samples();
        let [.., recent, mean] = banks.middle.means();
        let usual = Usual {
            mean,
            recent,
            frozen: banks.anchor.frozen().map(|frozen| frozen.mean),
            drift: banks.anchor.drift(self.metric.natural_unit),
            history: slot.saturating_mul(samples),
            samples,
        };
        (samples > 0).then_some(usual)
    }

    /// How many deviations the last 15 seconds lay from the minutes before, for the sum over a workload's metrics
    /// (`spikes::sum`).
    pub fn spike(&self) -> f64 {
        self.banks.as_ref().map_or(0.0, |banks| banks.spike)
    }

    /// The first week of the series, once it is over.
    pub fn frozen(&self) -> Option<&Frozen> {
        self.banks.as_ref()?.anchor.frozen()
    }

    /// Takes what was learned until now as what is normal, from now on unmoved: an operator's word.
    pub fn freeze(&mut self) {
        if let Some(banks) = &mut self.banks {
            banks.anchor.freeze();
        }
    }

    /// Bytes of memory that the series takes, itself included.
    pub fn bytes(&self) -> usize {
        let banks = self.banks.as_ref().map_or(0, |banks| {
            let heap = [&banks.fast, &banks.middle, &banks.slow].map(Bank::heap_bytes);
            size_of::<Banks>() + heap.iter().sum::<usize>() + banks.anchor.heap_bytes()
        });
        size_of::<Self>() + banks
    }

    fn judge(&mut self, resolution: Resolution, slot: Slot) -> Option<Excess> {
        let seen = &mut self.constant.slots[resolution as usize];
        if self.banks.is_none() {
            let never_moved =
                self.constant.value == slot.mean || *seen == 0 && resolution == Resolution::Fast;
            if never_moved && slot.learn {
                self.constant.value = slot.mean;
                *seen = seen.saturating_add(1);
                return None;
            }
        }
        let settling = self.settling_until.is_some_and(|until| slot.begin < until);
        let floor_factor = if settling { 2.0 } else { 1.0 };
        let (metric, constant) = (self.metric, self.constant);
        let banks = self.banks.get_or_insert_with(|| Box::new(Banks::after(&constant, metric)));
        banks.judge(resolution, slot, metric, floor_factor)
    }
}

impl Banks {
    /// Banks that know a value that never changed.
    fn after(constant: &Constant, metric: Metric) -> Self {
        let (fast, middle, slow) = (Bank::lite(), Bank::full(), Bank::sparse());
        let (anchor, spikes) = (Anchor::default(), Spikes::default());
        let mut banks = Self { fast, middle, slow, anchor, spikes, spike: 0.0 };
        for resolution in Resolution::ALL {
            let slots = constant.slots[resolution as usize];
            for hour in 0..slots.min(SHOWN_MAX) {
                // Where in the day a constant value was seen does not matter: it was the same at every hour.
                let begin = Time::default().plus(Resolution::Slow.slot().saturating_mul(hour));
                let slot = Slot { begin, mean: constant.value, after_gap: false, learn: true };
                banks.judge(resolution, slot, metric, 1.0);
            }
            if slots > SHOWN_MAX {
                banks.bank(resolution).set_samples(slots);
            }
        }
        banks
    }

    fn bank(&mut self, resolution: Resolution) -> &mut Bank {
        match resolution {
            Resolution::Fast => &mut self.fast,
            Resolution::Middle => &mut self.middle,
            Resolution::Slow => &mut self.slow,
        }
    }

    fn judge(
        &mut self,
        resolution: Resolution,
        slot: Slot,
        metric: Metric,
        floor_factor: f32,
    ) -> Option<Excess> {
        let seconds = resolution.slot().as_secs_f32();
        let lens = Lens { tuning: &Tuning::DEFAULT, metric, seconds, floor_factor };
        let hour = hour_of_day(slot.begin);
        let (value, learn) = (slot.mean, slot.learn);
        let bank = self.bank(resolution);
        let judged = bank.judge(Sample { value, hour, after_gap: slot.after_gap, learn }, &lens);
        let samples = bank.samples();
        let place = Place { time: slot.begin, resolution, value, metric, samples };
        let mut found = place.records(&judged);
        match resolution {
            Resolution::Fast => self.spike = self.spikes.take(value, learn),
            Resolution::Middle => {}
            Resolution::Slow => {
                let standing = self.anchor.take(value, hour, metric.natural_unit, learn);
                found = stronger(found, place.anchor(&standing));
            }
        }
        found
    }
}

/// Where an excess would be.
#[derive(Clone, Copy, Debug)]
struct Place {
    time: Time,
    resolution: Resolution,
    value: f64,
    metric: Metric,
    samples: u32,
}

impl Place {
    fn records(self, judged: &Judged) -> Option<Excess> {
        let excess = || Excess {
            onset: judged.onset,
            voters: judged.votes.iter().filter(|vote| **vote > 0.0).count() as u8,
            streams: loudest(&judged.votes),
            ..self.excess(Expert::Records, judged.usual, judged.rise)
        };
        let (evidence, threshold) = (f64::from(judged.evidence), f64::from(judged.threshold));
        (evidence >= threshold).then(|| Excess { evidence, threshold, ..excess() })
    }

    fn anchor(self, standing: &anchor::Standing) -> Option<Excess> {
        let rise = self.value - standing.usual;
        let material = rise >= f64::from(self.metric.gate);
        let (evidence, threshold) = (standing.sum, Anchor::BAR);
        (evidence >= threshold && material).then(|| Excess {
            evidence,
            threshold,
            ..self.excess(Expert::Anchor, standing.usual, rise)
        })
    }

    fn excess(self, expert: Expert, usual: f64, rise: f64) -> Excess {
        let unit = f64::from(self.metric.natural_unit);
        Excess {
            time: self.time,
            resolution: self.resolution,
            expert,
            onset: false,
            evidence: 0.0,
            threshold: 0.0,
            value: self.value,
            usual,
            rise: if unit > 0.0 { rise / unit } else { rise },
            voters: 0,
            streams: [None; NAMED],
            samples: self.samples,
        }
    }
}

/// The beginning of an episode before one that lasts, then the one with more evidence for its threshold.
fn stronger(one: Option<Excess>, other: Option<Excess>) -> Option<Excess> {
    let (Some(first), Some(second)) = (one, other) else { return one.or(other) };
    let rank = |excess: &Excess| (excess.onset, excess.evidence / excess.threshold);
    if rank(&second) > rank(&first) { other } else { one }
}

/// Ties go to the earlier stream, so the same evidence is always told in the same words.
fn loudest(votes: &[f32; LANES]) -> [Option<&'static str>; NAMED] {
    let mut order: [usize; LANES] = std::array::from_fn(|lane| lane);
    order.sort_unstable_by(|&a, &b| votes[b].total_cmp(&votes[a]).then(a.cmp(&b)));
    std::array::from_fn(|place| order[place]).map(|lane| (votes[lane] > 0.0).then_some(NAMES[lane]))
}

#[cfg(test)]
mod tests;
