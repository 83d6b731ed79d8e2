//! The share of sizes that lie within a tenth of the most frequent one, without keeping them: one candidate, and a vote on it.
//!
//! Boyer and Moore's majority vote (MJRTY, 1991) with a tolerance; the candidate moves to the middle of what agrees with it. Not
//! here: a mode that fewer than half share. Sizes so irregular say nothing, and the share is then merely too low.

use serde::{Deserialize, Serialize};

/// How far a size may be off, as share of the candidate.
const TOLERANCE: f32 = 0.1;

/// How much of the way the candidate moves towards a size that agrees with it.
const FOLLOWS: f32 = 0.125;

/// Sizes after which all counts are halved.
const SIZES_MAX: u16 = 512;

/// The candidate and its votes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sizes {
    /// In bytes.
    candidate: f32,
    /// How many more agreed than did not; at 0 the next size is the candidate.
    votes: u16,
    /// Sizes that agreed with this candidate.
    agreed: u16,
    /// All sizes, those before this candidate included: the share is never too high.
    total: u16,
}

impl Sizes {
    /// Takes a size in bytes; 0 is none.
    pub(crate) fn take(&mut self, bytes: u64) {
        if bytes == 0 {
            return;
        }
        let size = bytes as f32;
        if self.votes == 0 {
            (self.candidate, self.agreed) = (size, 0);
        }
        if (size - self.candidate).abs() <= TOLERANCE * self.candidate {
            self.candidate += (size - self.candidate) * FOLLOWS;
            (self.votes, self.agreed) = (self.votes + 1, self.agreed + 1);
        } else {
            self.votes -= 1;
        }
        self.total += 1;
        if self.total >= SIZES_MAX {
            self.votes = self.votes.div_ceil(2);
            (self.agreed, self.total) = (self.agreed / 2, self.total / 2);
        }
    }

    /// The share that agrees, 0 to 1; 0 without any size.
    pub(crate) fn regularity(&self) -> f64 {
        f64::from(self.agreed) / f64::from(self.total.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn regularity(sizes: impl IntoIterator<Item = u64>) -> f64 {
        let mut kept = Sizes::default();
        sizes.into_iter().for_each(|size| kept.take(size));
        kept.regularity()
    }

    #[test]
    fn sizes_that_differ_a_little_are_regular() {
        assert!(regularity((0..5_000).map(|turn| 200 + turn * 7 % 31)) > 0.99);
    }

    #[test]
    fn the_share_is_that_of_the_mode_whichever_comes_first() {
        let mixed = |first: u64| {
            move |turn: u64| if (turn + first).is_multiple_of(4) { 10_000 + 977 * turn } else { 300 }
        };
        for first in 0..4 {
            let share = regularity((0..400).map(mixed(first)));
            assert!((share - 0.75).abs() < 0.03, "{first}: {share}");
        }
    }

    #[test]
    fn sizes_all_over_the_place_are_irregular() {
        let spread = (0..1_000_u32).map(|turn| (f64::from(turn) * 0.618).fract() * 14.0);
        assert!(regularity(spread.map(|octaves| octaves.exp2() as u64 + 1)) < 0.2);
    }

    #[test]
    fn no_size_is_no_regularity() {
        assert_eq!(regularity([0; 100]), 0.0);
        assert_eq!(regularity([u64::MAX; 100]), 1.0);
    }
}
