//! The hour-of-day profile that can only be moved slowly, the sum of what lies above it, and a copy of the first week that
//! nobody moves: the expert for ramps over days, and what shows that a baseline was trained.
//!
//! Not here: the profile that follows what happens (`profile.rs`).

use serde::{Deserialize, Serialize};

use crate::series::bank::VALUE_MAX;
use crate::series::profile::HOURS;

/// Hours during which the profile follows freely and nothing is judged.
const WARM: u32 = 48;

/// After this many learned hours the profile is copied and frozen: a week.
const GOLDEN: u32 = 168;

/// Most that a visit to an hour moves its mean, in mean absolute deviations.
const STEP_MAX: f32 = 0.05;

/// Deviations that an hour may lie above its mean without counting.
const ALLOWANCE: f32 = 1.0;

/// Deviations above which an hour counts no more.
const SCORE_MAX: f32 = 4.0;

/// Share of the natural unit that is never called a deviation: half a percent of the limit.
const UNIT_SHARE: f32 = 0.005;

/// What is judged slowly, and what is never moved.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Anchor {
    means: [f32; HOURS],
    counts: [u8; HOURS],
    spread: f32,
    sum: f32,
    hours: u32,
    mean: f64,
    square: f64,
    frozen: Option<Box<Frozen>>,
}

/// What was normal in the first week, or when an operator said so.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Frozen {
    means: [f32; HOURS],
    spread: f32,
    /// Mean of everything learned until then.
    pub mean: f64,
    /// Standard deviation of it.
    pub deviation: f64,
}

/// What the anchor says of one hour.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Standing {
    /// Deviations above the allowance, summed over hours and never below zero.
    pub sum: f64,
    /// Mean of this hour of the day.
    pub usual: f64,
}

impl Anchor {
    /// Sum from which the hours lie above the profile by more than chance: of simulated calm containers one in twenty reaches
    /// it within eight days (`make bench-detect`, slow burn), before any gate.
    pub const BAR: f64 = 10.0;

    /// What the sum may reach: what lies behind is not held against a workload for longer than it lasted.
    const SUM_MAX: f32 = 2.0 * Self::BAR as f32;

    /// Judges the mean of an hour, and learns it within its limits if it may.
    pub fn take(&mut self, value: f64, hour: u8, natural_unit: f32, learn: bool) -> Standing {
        if !self.is_sound() {
            *self = Self { frozen: self.frozen.take().filter(|frozen| frozen.is_sound()), ..Self::default() };
        }
        let hour = usize::from(hour) % HOURS;
        let known = self.counts[hour] > 0;
        let level = value.clamp(-VALUE_MAX, VALUE_MAX) as f32;
        let usual = if known { self.means[hour] } else { level };
        let off = level - usual;
        let judged = self.hours >= WARM;
        if judged {
            let score = off / (1.25 * self.spread + UNIT_SHARE * natural_unit + 1e-9);
            self.sum = (self.sum + score.min(SCORE_MAX) - ALLOWANCE).clamp(0.0, Self::SUM_MAX);
        }
        if learn {
            self.learn(hour, usual, off, natural_unit);
        }
        Standing { sum: f64::from(self.sum), usual: f64::from(usual) }
    }

    /// The first week, once it is over.
    pub fn frozen(&self) -> Option<&Frozen> {
        self.frozen.as_deref()
    }

    /// Takes what was learned until now as what is normal: an operator's word.
    pub fn freeze(&mut self) {
        let variance = (self.square - self.mean * self.mean).max(0.0);
        let (mean, deviation) = (self.mean, variance.sqrt());
        self.frozen = Some(Box::new(Frozen { means: self.means, spread: self.spread, mean, deviation }));
    }

    /// How far the profile has moved from the frozen one, in frozen mean absolute deviations, at the hour it moved most.
    pub fn drift(&self, natural_unit: f32) -> Option<f64> {
        let frozen = self.frozen.as_deref()?;
        let moved = self.means.iter().zip(&frozen.means).map(|(now, then)| (now - then).abs());
        let most = moved.fold(0.0, f32::max);
        Some(f64::from(most / (frozen.spread + UNIT_SHARE * natural_unit + 1e-9)))
    }

    /// Bytes that the anchor takes on the heap, beside itself.
    pub fn heap_bytes(&self) -> usize {
        self.frozen.as_ref().map_or(0, |_| size_of::<Frozen>())
    }

    fn learn(&mut self, hour: usize, usual: f32, off: f32, natural_unit: f32) {
        let count = self.counts[hour];
        let step = off * (1.0 / (f32::from(count) + 1.0)).max(0.1);
        let limit = if self.hours >= WARM { STEP_MAX * self.spread } else { f32::MAX };
        self.means[hour] = usual + step.min(limit).max(-limit);
        self.counts[hour] = count.saturating_add(1);
        self.spread += if self.hours > 24 {
            0.05 * (off.abs().min(3.0 * self.spread + 1e-3 * natural_unit + 1e-9) - self.spread)
        } else {
            (off.abs() - self.spread) / (self.hours as f32 + 1.0)
        };
        self.hours = self.hours.saturating_add(1);
        if self.frozen.is_none() {
            let (value, weight) = (f64::from(usual + off), 1.0 / f64::from(self.hours));
            self.mean += (value - self.mean) * weight;
            self.square += (value * value - self.square) * weight;
            if self.hours >= GOLDEN {
                self.freeze();
            }
        }
    }

    fn is_sound(&self) -> bool {
        let sensible = |value: f32| f64::from(value.abs()) <= 2.0 * VALUE_MAX;
        self.means.iter().all(|&mean| sensible(mean)) && sensible(self.spread) && self.sum.is_finite()
    }
}

impl Frozen {
    /// A golden period that was recorded before: its mean and deviation, the same for every hour.
    pub fn of(values: &[f64]) -> Self {
        let count = values.len().max(1) as f64;
        let mean = values.iter().sum::<f64>() / count;
        let variance = values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / count;
        Self { means: [mean as f32; HOURS], spread: variance.sqrt() as f32, mean, deviation: variance.sqrt() }
    }

    /// How many of its own deviations a value lies from what was normal then, never more than 50; `floor` is added to the
    /// deviation, in the metric's unit.
    pub fn score(&self, value: f64, floor: f64) -> f64 {
        ((value - self.mean) / (self.deviation + floor + 1e-12)).clamp(-50.0, 50.0)
    }

    fn is_sound(&self) -> bool {
        self.means.iter().all(|mean| mean.is_finite()) && self.mean.is_finite() && self.deviation.is_finite()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A day between 10 and 20 with a little unrest, in percent of a limit of 100.
    fn day(hour: u32) -> f64 {
        15.0 + 5.0 * f64::from(hour % 24 >= 12) + 0.3 * f64::from(hour % 7)
    }

    fn after(days: u32) -> Anchor {
        let mut anchor = Anchor::default();
        for hour in 0..days * 24 {
            let standing = anchor.take(day(hour), (hour % 24) as u8, 100.0, true);
            assert!(standing.sum < Anchor::BAR, "hour {hour}: {standing:?}");
        }
        anchor
    }

    #[test]
    fn a_ramp_over_three_days_is_found_before_half_of_it() {
        let mut anchor = after(8);
        let found = (0..72).find(|&hour| {
            let value = day(hour) + 30.0 * f64::from(hour) / 72.0;
            anchor.take(value, (hour % 24) as u8, 100.0, true).sum >= Anchor::BAR
        });
        assert!(found.is_some_and(|hour| hour < 36), "{found:?}");
    }

    #[test]
    fn a_visit_moves_an_hour_by_a_twentieth_of_a_deviation_at_most() {
        let mut anchor = after(8);
        for visit in 0..200 {
            let (before, spread) = (anchor.means[3], anchor.spread);
            anchor.take(1e6, 3, 100.0, true);
            let moved = anchor.means[3] - before;
            assert!(moved <= STEP_MAX * spread * 1.001, "visit {visit}: {moved} of {spread}");
        }
    }

    #[test]
    fn the_frozen_week_stays_and_the_drift_from_it_shows() {
        let mut anchor = after(8);
        let frozen = anchor.frozen().unwrap().clone();
        for hour in 0..14 * 24 {
            anchor.take(90.0, (hour % 24) as u8, 100.0, true);
        }
        assert_eq!(anchor.frozen(), Some(&frozen));
        assert!(anchor.drift(100.0).unwrap() > 0.5, "{:?}", anchor.drift(100.0));
    }

    #[test]
    fn what_lies_behind_is_soon_behind() {
        let mut anchor = after(8);
        for hour in 0..72 {
            anchor.take(90.0, (hour % 24) as u8, 100.0, false);
        }
        let calm =
            (0..72).find(|&hour| anchor.take(day(hour), (hour % 24) as u8, 100.0, true).sum < Anchor::BAR);
        assert!(calm.is_some_and(|hours| hours <= 24), "{calm:?}");
    }

    #[test]
    fn foreign_numbers_are_started_anew() {
        let mut anchor = Anchor { spread: f32::NAN, sum: f32::INFINITY, hours: 9, ..Anchor::default() };
        assert!(anchor.take(1.0, 250, 1.0, true).sum.is_finite());
    }
}
