//! Whether each stream sets a record, by which margin; how far a record moves the extremes, and how old ones are forgotten.
//!
//! Not here: what the votes add up to (`episodes.rs`). Records need no scale, no shape and no threshold to be learned: for an
//! exchangeable stream the chance of one at sample n is 1/n whatever the distribution.

use serde::{Deserialize, Serialize};

use crate::series::tuning::Tuning;

/// Samples during which records are absorbed whole.
const WARM: u32 = 50;

/// Far beyond any sum of numbers that a series can bring about.
const SENSIBLE_MAX: f32 = 1e22;

/// Samples after which extremes are forgotten.
const FORGET_AFTER: u32 = 200;

/// The extremes and the centre of some streams, a lane each.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Records<Lanes> {
    high: Lanes,
    low: Lanes,
    centre: Lanes,
}

/// How a sample is held against the extremes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    /// Share of the range that one record moves an extreme by; without bound while warm.
    absorbed: f32,
    /// The first sample: every stream is its own extreme.
    first: bool,
    per_margin: f32,
    weight: f32,
    forgotten: f32,
    /// 1 when lows count as well, else 0.
    lows: f32,
}

impl Rule {
    /// The rule for the sample that has `index` before it.
    pub(crate) fn at(index: u32, lows: bool, tuning: &Tuning) -> Self {
        Self {
            first: index == 0,
            absorbed: if index < WARM { f32::INFINITY } else { tuning.absorbed_share },
            per_margin: 1.0 / tuning.margin_of_full_vote,
            weight: (1.0 / (index as f32 + 1.0)).max(1e-3),
            forgotten: if index > FORGET_AFTER { 1.0 / tuning.forget_samples } else { 0.0 },
            lows: f32::from(u8::from(lows)),
        }
    }
}

impl<const N: usize> Records<[f32; N]> {
    /// Nothing seen yet.
    pub(crate) fn empty() -> Self {
        Self { high: [0.0; N], low: [0.0; N], centre: [0.0; N] }
    }

    /// Votes of a sample, 0 to 1 each; the extremes absorb it. No range counts as smaller than its floor. `None` when an
    /// extreme or a value is not a number of sensible size.
    pub(crate) fn take(&mut self, values: &[f32; N], floors: &[f32; N], rule: &Rule) -> Option<[f32; N]> {
        if rule.first {
            *self = Self { high: *values, low: *values, centre: *values };
        }
        let mut votes = [0.0; N];
        let mut sound = true;
        for lane in 0..N {
            let (high, low, value) = (self.high[lane], self.low[lane], values[lane]);
            let range = greater(high - low + 1e-9 * high.abs() + 1e-12, floors[lane]);
            let above = greater(value - high, 0.0);
            let below = greater(low - value, 0.0);
            votes[lane] = lesser((above + below * rule.lows) / range * rule.per_margin, 1.0);
            let step = range * rule.absorbed;
            let centre = self.centre[lane] + (value - self.centre[lane]) * rule.weight;
            let high = high + lesser(above, step);
            let low = low - lesser(below, step);
            self.high[lane] = high - greater(high - centre, 0.0) * rule.forgotten;
            self.low[lane] = low + greater(centre - low, 0.0) * rule.forgotten;
            self.centre[lane] = centre;
            // One comparison for all four: infinity and NaN survive the sum.
            sound &= high.abs() + low.abs() + centre.abs() + value.abs() < SENSIBLE_MAX;
        }
        sound.then_some(votes)
    }
}

/// `f32::max` also minds NaN, which costs two instructions more a lane; the caller looks for it once.
fn greater(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

fn lesser(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TUNING: &Tuning = &Tuning::DEFAULT;

    /// A series that goes up and down between 0 and 1, and then one value.
    fn votes_after(samples: u32, value: f32, floor: f32, lows: bool) -> ([f32; 4], Records<[f32; 4]>) {
        let mut records = Records::<[f32; 4]>::empty();
        for index in 0..samples {
            let value = (index % 2) as f32;
            records.take(&[value; 4], &[0.0; 4], &Rule::at(index, true, TUNING)).unwrap();
        }
        let votes = records.take(&[value; 4], &[floor; 4], &Rule::at(samples, lows, TUNING)).unwrap();
        (votes, records)
    }

    #[test]
    fn a_record_moves_the_extreme_by_a_bounded_share_of_the_range() {
        let (votes, records) = votes_after(100, 1000.0, 0.0, true);
        assert_eq!(votes, [1.0; 4]);
        assert!(records.high[0] <= 1.0 + TUNING.absorbed_share * 1.001, "{}", records.high[0]);
    }

    #[test]
    fn lows_vote_only_where_they_matter() {
        let votes = |lows| votes_after(100, -5.0, 0.0, lows).0;
        assert_eq!((votes(true), votes(false)), ([1.0; 4], [0.0; 4]));
    }

    #[test]
    fn a_range_below_its_floor_makes_small_records_small_votes() {
        let vote = |floor| votes_after(100, 1.02, floor, true).0[0];
        assert_eq!(vote(0.0), 1.0);
        assert!((vote(1000.0) - 0.02 / 1000.0 / TUNING.margin_of_full_vote).abs() < 1e-4);
    }

    #[test]
    fn old_extremes_are_forgotten() {
        let (_, mut records) = votes_after(100, 0.5, 0.0, true);
        for index in 100..60_000 {
            records.take(&[0.5; 4], &[0.0; 4], &Rule::at(index, true, TUNING)).unwrap();
        }
        assert!(records.high[0] < 0.55, "{}", records.high[0]);
    }

    #[test]
    fn what_is_no_number_is_told() {
        for foreign in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let (_, mut records) = votes_after(100, 0.5, 0.0, true);
            records.centre[3] = foreign;
            assert_eq!(records.take(&[0.5; 4], &[0.0; 4], &Rule::at(101, true, TUNING)), None);
        }
    }
}
