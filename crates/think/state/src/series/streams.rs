//! The views of one series that are watched for records: levels, changes, spreads and roughness at several time constants.
//!
//! Not here: code lengths (`contexts.rs`), the hour of day (`profile.rs`), prediction (`predictor.rs`); what makes a record
//! (`records.rs`). Time constants count samples, so the same code serves every resolution.

use serde::{Deserialize, Serialize};

/// Streams that every bank has; the last lane fills a vector and never moves.
pub(crate) const CORE: usize = 20;

/// Streams that only a full bank has.
pub(crate) const DEEP: usize = 8;

/// Lanes of a full bank.
pub(crate) const LANES: usize = CORE + DEEP;

/// The streams by lane, for explaining to people; the unnamed lane is the one that never moves.
pub const NAMES: [&str; LANES] = [
    "value",
    "value - mean 8",
    "value - mean 32",
    "mean 4",
    "mean 16",
    "mean 64",
    "mean 256",
    "spread 4",
    "spread 16",
    "spread 64",
    "spread 256",
    "mean 4 - mean 16",
    "mean 16 - mean 64",
    "mean 64 - mean 256",
    "roughness 16",
    "roughness 64",
    "surprise after 1",
    "surprise after 1, mean 16",
    "change",
    "",
    "value - hour of day",
    "value - hour of day, mean 8",
    "value - hour of day, mean 32",
    "spread around hour of day",
    "surprise after 2",
    "surprise after 2, mean 16",
    "value - predicted",
    "value - predicted, mean 8",
];

/// Lanes whose unit is the metric's; the others are logarithms, in nats or bits.
pub(crate) const IN_METRIC_UNIT: [bool; LANES] = [
    true, true, true, true, true, true, true, false, false, false, false, true, true, true, false, false,
    false, false, true, false, true, true, true, false, false, false, true, true,
];

/// Time constants of means and spreads, in samples.
const WINDOWS: [f32; 6] = [4.0, 8.0, 16.0, 32.0, 64.0, 256.0];

/// Below this a decaying mean is nothing: subnormal numbers cost a hundred times as much.
const NOTHING: f32 = 1e-30;

/// Exponentially weighted means, mean absolute deviations and roughness of a series, as distance from its first value: so
/// single precision is relative to how far the series moves, not to how high it lies.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Levels {
    origin: f64,
    /// Samples so far.
    count: u32,
    last: f32,
    size: f32,
    means: [f32; 6],
    spreads: [f32; 6],
    roughness: [f32; 2],
}

/// One sample as the other streams need it; levels are distances from the first value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    /// Samples before this one.
    pub(crate) index: u32,
    pub(crate) value: f32,
    pub(crate) mean_64: f32,
    pub(crate) spread_64: f32,
    /// What is small beside the usual size of the values; above zero.
    pub(crate) small: f32,
}

impl Levels {
    /// Samples so far.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// Means over 4, 8, 16, 32, 64 and 256 samples, in the metric's unit.
    pub(crate) fn means(&self) -> [f64; 6] {
        self.means.map(|mean| self.origin + f64::from(mean))
    }

    /// Pretends that `count` samples were seen: for a series that was constant and was not followed until now.
    pub(crate) fn set_count(&mut self, count: u32) {
        self.count = count;
    }

    /// Takes a value; gives its streams, spreads and roughness without their logarithm. After a gap there is no change.
    pub(crate) fn take(&mut self, value: f64, after_gap: bool) -> (Step, [f32; CORE]) {
        if self.count == 0 {
            self.origin = value;
        }
        let index = self.count;
        self.count = self.count.saturating_add(1);
        let first = 1.0 / (index as f32 + 1.0);
        self.size += (value.abs() as f32 - self.size) * first.max(1e-3);
        let value = (value - self.origin) as f32;
        if after_gap {
            self.last = value;
        }
        let change = value - self.last;
        self.last = value;
        let (below_8, below_32) = (value - self.means[1], value - self.means[3]);
        for ((mean, spread), window) in self.means.iter_mut().zip(&mut self.spreads).zip(WINDOWS) {
            let weight = (1.0 / window).max(first);
            let off = value - *mean;
            *spread = something(*spread + weight * (off.abs() - *spread));
            *mean = something(*mean + weight * off);
        }
        for (rough, window) in self.roughness.iter_mut().zip([16.0, 64.0]) {
            *rough = something(*rough + (change.abs() - *rough) * first.max(1.0 / window));
        }
        let [m4, _, m16, _, m64, m256] = self.means;
        let [s4, _, s16, _, s64, s256] = self.spreads;
        let [r16, r64] = self.roughness;
        let lanes = [
            value,
            below_8,
            below_32,
            m4,
            m16,
            m64,
            m256,
            s4,
            s16,
            s64,
            s256,
            m4 - m16,
            m16 - m64,
            m64 - m256,
            r16,
            r64,
            0.0,
            0.0,
            change,
            0.0,
        ];
        let small = 1e-3 * self.size + 1e-9;
        (Step { index, value, mean_64: m64, spread_64: s64, small }, lanes)
    }
}

/// The number itself, or zero when it is next to nothing.
pub(crate) fn something(value: f32) -> f32 {
    if value.abs() < NOTHING { 0.0 } else { value }
}
