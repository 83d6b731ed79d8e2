//! The record bank of one series at one resolution: its streams, their records, and what they add up to.
//!
//! Not here: time slots (`resolution.rs`), other experts (`spikes.rs`, `anchor.rs`).

use std::f32::consts::LOG2_E;

use serde::{Deserialize, Serialize};

use crate::series::contexts::{Contexts, Letter, Triples};
use crate::series::episodes::{Episodes, Pace};
use crate::series::logarithm::ln;
use crate::series::metric::{Direction, Metric};
use crate::series::predictor::Predictor;
use crate::series::profile::Profile;
use crate::series::records::{Records, Rule};
use crate::series::streams::{CORE, DEEP, IN_METRIC_UNIT, LANES, Levels, Step};
use crate::series::tuning::Tuning;

/// Streams of a bank without profile, triples and prediction.
const STREAMS_LITE: usize = 19;

/// Streams that profile and predictor add.
const STREAMS_DEEP: usize = 6;

/// Streams that triples add.
const STREAMS_OF_TRIPLES: usize = 2;

/// Larger values are taken as this: their squares must stay finite in single precision.
pub(crate) const VALUE_MAX: f64 = 1e18;

/// The record bank of one series at one resolution.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Bank {
    views: Views,
    episodes: Episodes,
}

/// A value with what the bank needs to know about it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// In the metric's unit; not a number is refused by the caller.
    pub value: f64,
    /// Hour of the day, 0 to 23.
    pub hour: u8,
    /// Samples are missing before this one, so there is no change from the last.
    pub after_gap: bool,
    /// Whether what is normal may move; a flagged workload is judged without.
    pub learn: bool,
}

/// How a bank judges: one for all series, but for what belongs to the metric.
#[derive(Clone, Copy, Debug)]
pub struct Lens<'a> {
    /// The engine's numbers.
    pub tuning: &'a Tuning,
    /// What belongs to the metric.
    pub metric: Metric,
    /// Seconds between samples.
    pub seconds: f32,
    /// How many times the usual range floor holds: two for what inherited its normal.
    pub floor_factor: f32,
}

/// What a bank says of one sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judged {
    /// Evidence now; zero while the rise is not material.
    pub evidence: f32,
    /// Evidence whether or not the rise is material.
    pub ungated: f32,
    /// Evidence from which there is an excess.
    pub threshold: f32,
    /// Evidence from which an episode may begin.
    pub bar: f32,
    /// An episode begins here.
    pub onset: bool,
    /// Mean of the last 64 samples, in the metric's unit.
    pub usual: f64,
    /// How far the value, or the mean of the last 4, lies above that.
    pub rise: f64,
    /// Votes of each stream, 0 to 1.
    pub votes: [f32; LANES],
}

/// How many streams a bank has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Full,
    Sparse,
    Lite,
}

/// The baseline: what a flagged workload does not move.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Views {
    levels: Levels,
    contexts: Contexts,
    records: Records<[f32; CORE]>,
    deep: Option<Box<Deep>>,
}

/// What a lite bank does not have.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Deep {
    profile: Profile,
    predictor: Predictor,
    records: Records<[f32; DEEP]>,
    triples: Option<Box<Triples>>,
}

impl Bank {
    /// A bank of all 27 streams.
    pub fn full() -> Self {
        Self::of(Kind::Full)
    }

    /// A bank of 25 streams: no triples, which would take months of hours to fill.
    pub fn sparse() -> Self {
        Self::of(Kind::Sparse)
    }

    /// A bank of 19 streams: no triples, no hour of day, no prediction.
    pub fn lite() -> Self {
        Self::of(Kind::Lite)
    }

    /// How many streams vote.
    pub fn streams(&self) -> usize {
        match self.views.kind() {
            Kind::Full => STREAMS_LITE + STREAMS_DEEP + STREAMS_OF_TRIPLES,
            Kind::Sparse => STREAMS_LITE + STREAMS_DEEP,
            Kind::Lite => STREAMS_LITE,
        }
    }

    /// Bytes that the bank takes on the heap, beside itself.
    pub fn heap_bytes(&self) -> usize {
        match self.views.kind() {
            Kind::Full => size_of::<Deep>() + size_of::<Triples>(),
            Kind::Sparse => size_of::<Deep>(),
            Kind::Lite => 0,
        }
    }

    /// Samples learned.
    pub fn samples(&self) -> u32 {
        self.views.levels.count()
    }

    /// Means over 4, 8, 16, 32, 64 and 256 samples, in the metric's unit.
    pub fn means(&self) -> [f64; 6] {
        self.views.levels.means()
    }

    /// Evidence now, whether or not it is material.
    pub fn evidence(&self) -> f32 {
        self.episodes.evidence()
    }

    /// Judges a sample and, unless told otherwise, learns it. Evidence is kept either way: it is no baseline.
    pub fn judge(&mut self, sample: Sample, lens: &Lens<'_>) -> Judged {
        let sample = Sample { value: sample.value.clamp(-VALUE_MAX, VALUE_MAX), ..sample };
        let seen = self.see(sample, lens);
        let material = lens.metric.gate <= 0.0 || seen.rise >= f64::from(lens.metric.gate);
        let pace = Pace::new(self.streams(), lens.seconds, lens.metric.natural_unit > 0.0, lens.tuning);
        let standing = self.episodes.take(sum(&seen.votes), material, pace, lens.tuning);
        Judged {
            evidence: standing.evidence,
            ungated: self.episodes.evidence(),
            threshold: standing.threshold,
            bar: standing.bar,
            onset: standing.onset,
            usual: seen.usual,
            rise: seen.rise,
            votes: seen.votes,
        }
    }

    fn of(kind: Kind) -> Self {
        Self { views: Views::new(kind), episodes: Episodes::default() }
    }

    fn see(&mut self, sample: Sample, lens: &Lens<'_>) -> Seen {
        if self.episodes.is_sound()
            && let Some(seen) = self.views.see(sample, lens)
        {
            return seen;
        }
        // Only a state that came from outside can hold what is not a number: start anew rather than stay deaf.
        *self = Self::of(self.views.kind());
        let calm = Seen { votes: [0.0; LANES], usual: sample.value, rise: 0.0 };
        self.views.see(sample, lens).unwrap_or(calm)
    }

    /// The streams of a sample by lane (`NAMES`), learning nothing: for comparing with a reference.
    pub fn streams_of(&self, sample: Sample) -> [f32; LANES] {
        let (_, core, deep) = self.views.clone().streams(sample);
        joined(core, deep)
    }

    /// Tells a bank that its series was constant for so many samples, of which it took only the last.
    pub(crate) fn set_samples(&mut self, samples: u32) {
        self.views.levels.set_count(samples);
    }
}

/// One sample against the baseline.
#[derive(Clone, Copy, Debug)]
struct Seen {
    votes: [f32; LANES],
    usual: f64,
    rise: f64,
}

impl Views {
    fn new(kind: Kind) -> Self {
        let triples = (kind == Kind::Full).then(Box::default);
        let deep = (kind != Kind::Lite).then(|| Box::new(Deep { triples, ..Deep::default() }));
        Self {
            levels: Levels::default(),
            contexts: Contexts::default(),
            records: Records::<[f32; CORE]>::empty(),
            deep,
        }
    }

    fn kind(&self) -> Kind {
        match &self.deep {
            Some(deep) if deep.triples.is_some() => Kind::Full,
            Some(_) => Kind::Sparse,
            None => Kind::Lite,
        }
    }

    /// Holds a sample against the baseline, and learns it if it may; `None` when the baseline is not made of numbers.
    fn see(&mut self, sample: Sample, lens: &Lens<'_>) -> Option<Seen> {
        if sample.learn {
            return self.take(sample, lens);
        }
        // What is put aside lies on the stack: a flagged workload is judged without allocating, like any other.
        let core = (self.levels.clone(), self.contexts.clone(), self.records.clone());
        let deep = self.deep.as_deref().map(Deep::put_aside);
        let seen = self.take(sample, lens);
        (self.levels, self.contexts, self.records) = core;
        if let Some((own, kept)) = self.deep.as_deref_mut().zip(deep) {
            own.put_back(kept);
        }
        seen
    }

    fn take(&mut self, sample: Sample, lens: &Lens<'_>) -> Option<Seen> {
        let (step, core, deep) = self.streams(sample);
        // Nothing would ever stand out beside such values.
        let sensible = f64::from(step.small) < VALUE_MAX;
        if !sensible {
            return None;
        }
        let (core_floors, deep_floors) = floors(lens, step.small);
        let rule = Rule::at(step.index, lens.metric.direction == Direction::Both, lens.tuning);
        let core_votes = self.records.take(&core, &core_floors, &rule)?;
        let deep_votes = match &mut self.deep {
            Some(own) => own.records.take(&deep, &deep_floors, &rule)?,
            None => [0.0; DEEP],
        };
        let [mean_4, _, _, _, usual, _] = self.levels.means();
        let rise = (sample.value - usual).max(mean_4 - usual);
        Some(Seen { votes: joined(core_votes, deep_votes), usual, rise })
    }

    /// Moves every stream by one sample.
    fn streams(&mut self, sample: Sample) -> (Step, [f32; CORE], [f32; DEEP]) {
        let (step, mut core) = self.levels.take(sample.value, sample.after_gap);
        let letter = self.contexts.take(&step);
        let [s4, s16, s64, s256, r16, r64] = [7, 8, 9, 10, 14, 15].map(|lane| core[lane] + step.small);
        let [s4, s16, s64, s256, r16, r64, told, _] =
            ln([s4, s16, s64, s256, r16, r64, letter.probability, 1.0]);
        (core[7], core[8], core[9], core[10], core[14], core[15]) = (s4, s16, s64, s256, r16, r64);
        core[16] = -told * LOG2_E;
        core[17] = self.contexts.mean(core[16]);
        let deep = match &mut self.deep {
            Some(deep) => deep.streams(&step, sample.hour, &letter),
            None => [0.0; DEEP],
        };
        (step, core, deep)
    }
}

/// The parts of `Deep`, triples without their box.
type Aside = (Profile, Predictor, Records<[f32; DEEP]>, Option<Triples>);

impl Deep {
    fn put_aside(&self) -> Aside {
        let triples = self.triples.as_deref().cloned();
        (self.profile.clone(), self.predictor.clone(), self.records.clone(), triples)
    }

    fn put_back(&mut self, aside: Aside) {
        let (profile, predictor, records, triples) = aside;
        (self.profile, self.predictor, self.records) = (profile, predictor, records);
        if let Some((own, kept)) = self.triples.as_deref_mut().zip(triples) {
            *own = kept;
        }
    }

    fn streams(&mut self, step: &Step, hour: u8, letter: &Letter) -> [f32; DEEP] {
        let [off, off_8, off_32, off_size] = self.profile.take(step, hour);
        let probability = self.triples.as_mut().map_or(1.0, |triples| triples.take(letter));
        let [spread, told] = ln([off_size + step.small, probability]);
        let surprise = -told * LOG2_E;
        let mean = self.triples.as_mut().map_or(0.0, |triples| triples.mean(surprise));
        let [missed, missed_8] = self.predictor.take(step);
        [off, off_8, off_32, spread, surprise, mean, missed, missed_8]
    }
}

/// The smallest range that each stream is taken to have: a share of the metric's natural unit, or what is small beside its
/// values, whichever is more; for logarithms, the share of a nat or bit. Without any, a stream that stood still would cast
/// whole votes for hundreds of samples when it begins to move.
fn floors(lens: &Lens<'_>, small: f32) -> ([f32; CORE], [f32; DEEP]) {
    let share = lens.tuning.range_floor_share * lens.floor_factor;
    let in_unit = (share * lens.metric.natural_unit).max(lens.tuning.range_floor_small * small);
    let floor = |lane: usize| if IN_METRIC_UNIT[lane] { in_unit } else { share };
    (std::array::from_fn(floor), std::array::from_fn(|lane| floor(CORE + lane)))
}

fn joined(core: [f32; CORE], deep: [f32; DEEP]) -> [f32; LANES] {
    let mut lanes = [0.0; LANES];
    let (left, right) = lanes.split_at_mut(CORE);
    left.copy_from_slice(&core);
    right.copy_from_slice(&deep);
    lanes
}

/// In four partial sums, which is one vector.
fn sum(votes: &[f32; LANES]) -> f32 {
    let mut parts = [0.0; 4];
    for four in votes.as_chunks::<4>().0 {
        for (part, vote) in parts.iter_mut().zip(four) {
            *part += vote;
        }
    }
    (parts[0] + parts[1]) + (parts[2] + parts[3])
}
