//! What is usual at this hour of the day, and how far the series lies from it.
//!
//! Not here: days of the week (168 hours were not better on the public data); a profile that an attacker cannot move
//! (`anchor.rs`).

use serde::{Deserialize, Serialize};

use crate::series::streams::{Step, something};

/// Hours of a day.
pub(crate) const HOURS: usize = 24;

/// Samples during which the profile follows freely.
const WARM: u32 = 50;

/// Mean of every hour of the day, and of the distance from it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Profile {
    means: [f32; HOURS],
    counts: [u8; HOURS],
    spread: f32,
    off_8: f32,
    off_32: f32,
    off_size: f32,
}

impl Profile {
    /// Takes a value at an hour; gives its distance from the hour's mean, means of that distance over 8 and 32 samples,
    /// and the mean size of it over 64.
    pub(crate) fn take(&mut self, step: &Step, hour: u8) -> [f32; 4] {
        let hour = usize::from(hour) % HOURS;
        let (mean, count) = (&mut self.means[hour], &mut self.counts[hour]);
        let mut off = 0.0;
        if *count > 0 {
            off = step.value - *mean;
            let size = off.abs();
            let warm = step.index <= WARM;
            let limit = if warm { size } else { 4.0 * self.spread };
            let weight = (1.0 / (f32::from(*count) + 1.0)).max(0.02);
            *mean += weight * off.min(limit).max(-limit);
            self.spread += if warm {
                0.1 * (size - self.spread)
            } else {
                0.01 * (size.min(4.0 * self.spread + step.small) - self.spread)
            };
        } else {
            *mean = step.value;
        }
        *count = count.saturating_add(1);
        self.off_8 = something(self.off_8 + (off - self.off_8) / 8.0);
        self.off_32 = something(self.off_32 + (off - self.off_32) / 32.0);
        self.off_size = something(self.off_size + (off.abs() - self.off_size) / 64.0);
        [off, self.off_8, self.off_32, self.off_size]
    }
}
