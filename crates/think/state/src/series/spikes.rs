//! How far one sample stands out from the last few hundred, and the sum of that over a workload's metrics: the expert for what
//! shows in many metrics at once.
//!
//! Not here: records (`bank.rs`). Alone it is the best expert for short faults and a poor one for everything else.

use serde::{Deserialize, Serialize};

/// Samples over which the level is taken.
const LEVEL_SAMPLES: f64 = 50.0;

/// Samples over which the variance is taken.
const VARIANCE_SAMPLES: f64 = 500.0;

/// Samples before anything stands out.
const WARM: u32 = 20;

/// No metric counts for more.
pub const SCORE_MAX: f64 = 20.0;

/// Level and variance of one metric.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spikes {
    count: u32,
    level: f64,
    variance: f64,
}

impl Spikes {
    /// How many standard deviations the value lies from the level, with sign; learns it if it may.
    pub fn take(&mut self, value: f64, learn: bool) -> f64 {
        if self.count == 0 || !(self.level.is_finite() && self.variance.is_finite()) {
            *self = Self { count: 0, level: value, variance: 0.0 };
        }
        let off = value - self.level;
        let small = 1e-3 * self.level.abs() + 1e-9;
        let score = if self.count < WARM { 0.0 } else { off / (self.variance.max(0.0).sqrt() + small) };
        if learn {
            let first = 1.0 / (f64::from(self.count) + 1.0);
            self.level += (1.0 / LEVEL_SAMPLES).max(first) * off;
            self.variance += (1.0 / VARIANCE_SAMPLES).max(first) * (off * off - self.variance);
            self.count = self.count.saturating_add(1);
        }
        score
    }
}

/// The evidence of a workload: the scores of its metrics, none for more than `SCORE_MAX`.
pub fn sum(scores: impl IntoIterator<Item = f64>) -> f64 {
    scores.into_iter().filter(|score| !score.is_nan()).map(|score| score.abs().min(SCORE_MAX)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_metric_alone_cannot_make_the_sum_large() {
        assert_eq!(sum([1e9, -3.0, f64::NAN]), SCORE_MAX + 3.0);
    }

    #[test]
    fn a_spike_stands_out_and_is_forgotten() {
        let mut spikes = Spikes::default();
        for i in 0..1000 {
            assert!(spikes.take(f64::from(i % 2), true).abs() < 3.0);
        }
        assert!(spikes.take(50.0, false) > 50.0);
        assert!(spikes.take(1.0, true).abs() < 3.0, "it was not learned");
    }

    #[test]
    fn foreign_numbers_are_started_anew() {
        let mut spikes = Spikes { count: 9, level: f64::NAN, variance: f64::INFINITY };
        assert_eq!(spikes.take(3.0, true), 0.0);
    }
}
