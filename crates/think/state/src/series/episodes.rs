//! What votes add up to, and when that begins an episode: evidence leaks, the bar rises with every episode, and one stretch of
//! evidence is one episode.
//!
//! Not here: votes (`records.rs`).

use serde::{Deserialize, Serialize};

use crate::series::streams::something;
use crate::series::tuning::Tuning;

/// Evidence of a bank, and the state of its episodes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Episodes {
    evidence: f32,
    /// Share of the threshold by which past episodes raised the bar.
    raised: f32,
    /// Samples until another episode can open.
    resting: u32,
    /// An episode began, and evidence has not been low since.
    spent: bool,
}

/// The evidence after a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Standing {
    pub(crate) evidence: f32,
    /// Evidence from which there is an excess.
    pub(crate) threshold: f32,
    /// Evidence from which an episode may begin: the threshold, raised by past episodes.
    pub(crate) bar: f32,
    /// An episode begins with this sample.
    pub(crate) onset: bool,
}

/// The engine's numbers for a bank of so many streams that takes a sample every so many seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    threshold: f32,
    refractory: u32,
    bar_kept: f32,
    kept: f32,
}

impl Pace {
    pub(crate) fn new(streams: usize, seconds: f32, unit_known: bool, tuning: &Tuning) -> Self {
        let seconds = seconds.max(1e-3);
        let (threshold_share, kept) = match unit_known {
            true => (tuning.threshold_share, tuning.evidence_kept),
            false => (tuning.threshold_share_without_unit, tuning.evidence_kept_without_unit),
        };
        Self {
            threshold: threshold_share * streams as f32,
            refractory: (tuning.refractory_seconds / seconds) as u32,
            bar_kept: (1.0 - seconds / tuning.escalation_seconds).max(0.0),
            kept,
        }
    }
}

impl Episodes {
    /// The evidence now.
    pub(crate) fn evidence(&self) -> f32 {
        self.evidence
    }

    /// Whether all numbers are numbers: a state that came from outside need not be.
    pub(crate) fn is_sound(&self) -> bool {
        self.evidence.is_finite() && self.raised.is_finite()
    }

    /// Adds the votes of a sample; evidence counts only while the rise is material.
    pub(crate) fn take(&mut self, votes: f32, material: bool, pace: Pace, tuning: &Tuning) -> Standing {
        self.evidence = something(pace.kept * self.evidence + votes);
        let evidence = if material { self.evidence } else { 0.0 };
        let threshold = pace.threshold;
        if self.spent && self.resting == 0 && evidence < tuning.rearm_share * threshold {
            self.spent = false;
        }
        self.resting = self.resting.saturating_sub(1);
        self.raised = something(self.raised * pace.bar_kept);
        let bar = threshold * (1.0 + self.raised);
        let onset = !self.spent && evidence >= bar;
        if onset {
            self.raised = (self.raised + tuning.escalation).min(tuning.escalation_max);
            self.resting = pace.refractory;
            self.spent = true;
        }
        Standing { evidence, threshold, bar, onset }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TUNING: &Tuning = &Tuning::DEFAULT;

    fn onsets(votes: impl Iterator<Item = f32>, seconds: f32) -> Vec<usize> {
        let pace = Pace::new(27, seconds, true, TUNING);
        let mut episodes = Episodes::default();
        let standing = votes.map(|votes| episodes.take(votes, true, pace, TUNING).onset);
        standing.enumerate().filter_map(|(at, onset)| onset.then_some(at)).collect()
    }

    #[test]
    fn a_long_stretch_of_evidence_is_one_episode() {
        assert_eq!(onsets((0..10_000).map(|_| 13.0), 300.0), [0]);
    }

    #[test]
    fn another_episode_needs_rest_and_low_evidence() {
        let at = |gap: usize| move |i: usize| if i == 0 || i == gap { 27.0 } else { 0.0 };
        let long = (TUNING.refractory_seconds / 300.0) as usize + 30;
        assert_eq!(onsets((0..long + 1).map(at(20)), 300.0), [0]);
        assert_eq!(onsets((0..long + 1).map(at(long)), 300.0), [0, long]);
    }

    #[test]
    fn episodes_raise_the_bar_for_the_next() {
        let pace = Pace::new(27, 300.0, true, TUNING);
        let mut episodes = Episodes::default();
        let first = episodes.take(27.0, true, pace, TUNING);
        let second = episodes.take(0.0, true, pace, TUNING);
        assert!(first.onset && second.bar > 1.29 * first.bar, "{first:?} {second:?}");
    }

    #[test]
    fn what_is_not_material_is_no_evidence_yet_but_is_remembered() {
        let pace = Pace::new(27, 300.0, true, TUNING);
        let mut episodes = Episodes::default();
        assert_eq!(episodes.take(27.0, false, pace, TUNING).evidence, 0.0);
        assert!(episodes.take(0.0, true, pace, TUNING).onset);
    }
}
