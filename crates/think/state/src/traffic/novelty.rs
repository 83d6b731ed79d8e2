//! How surprising a new edge is: how rarely its workload makes new ones, and how rare the destination is.
//!
//! Good and Turing's estimate that the next flow is on an edge never seen, with fading memory. Not here: the edges themselves.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Weight of one flow: the memory is a few hundred flows long.
const WEIGHT: f64 = 1.0 / 300.0;

/// Least rate that is believed. A fading memory is worth (2 - w) / w flows, about 600, and after n flows without a new edge
/// nobody can tell a rate below 1/n. Without it, calm hours pass for certainty, and the score mostly says how long ago the last
/// deploy was: of the attacker's edges in the bench it finds 67 % instead of 75 % at 0.05 false ones a day.
const RATE_MIN: f64 = WEIGHT / (2.0 - WEIGHT);

/// Over how long a workload becomes known, unless somebody wants it otherwise.
pub const KNOWN_AFTER: Duration = Duration::from_secs(86_400);

/// The chance that a workload's next flow is on an edge it never had: 8 bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Novelty {
    rate: f64,
}

impl Default for Novelty {
    /// Of a workload that nobody saw yet, every second flow.
    fn default() -> Self {
        Self { rate: 0.5 }
    }
}

impl Novelty {
    /// Takes a flow: whether its edge was never seen before. Scores are taken before, so that none counts for itself.
    pub fn take(&mut self, is_new: bool) {
        self.rate += WEIGHT * (f64::from(u8::from(is_new)) - self.rate);
    }

    /// The chance that the next flow is on a new edge, 0 to 1.
    pub fn rate(&self) -> f64 {
        self.rate
    }
}

/// How well a workload of that age is known, 0 to 1: 0.63 after `known_after`.
pub fn maturity(age: Duration, known_after: Duration) -> f64 {
    1.0 - (-age.as_secs_f64() / known_after.as_secs_f64().max(1.0)).exp()
}

/// How surprising a new edge is, in powers of ten: of a workload with this rate that is so well known, among so many
/// workloads of which so many use the destination.
pub fn score(rate: f64, maturity: f64, workloads: usize, popularity: usize) -> f64 {
    let rarity = (workloads as f64 + 2.0) / (popularity as f64 + 1.0);
    maturity * (-rate.max(RATE_MIN).log10() + rarity.log10())
}

/// A score in bits.
pub fn bits(score: f64) -> f64 {
    score * std::f64::consts::LOG2_10
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a workload that was watched for ever.
    const KNOWN: f64 = 1.0;

    fn calm(flows: u32) -> Novelty {
        let mut novelty = Novelty::default();
        (0..flows).for_each(|_| novelty.take(false));
        novelty
    }

    #[test]
    fn a_calm_workload_is_surprising_and_a_crawler_is_not() {
        let mut crawler = Novelty::default();
        (0..5_000).for_each(|flow| crawler.take(flow % 2 == 0));
        let of = |novelty: &Novelty| score(novelty.rate(), KNOWN, 600, 0);
        assert!((of(&calm(100_000)) - 5.56).abs() < 0.01, "{}", of(&calm(100_000)));
        assert!((of(&crawler) - 3.08).abs() < 0.01, "{}", of(&crawler));
    }

    #[test]
    fn a_destination_that_all_use_takes_the_surprise_away() {
        let rate = calm(2_000).rate();
        let rare = score(rate, KNOWN, 600, 0);
        let common = score(rate, KNOWN, 600, 600);
        assert!((rare - common - 601_f64.log10()).abs() < 1e-9);
    }

    #[test]
    fn nothing_is_surprising_about_a_workload_that_just_began() {
        assert_eq!(maturity(Duration::ZERO, KNOWN_AFTER), 0.0);
        let half = maturity(KNOWN_AFTER.mul_f64(std::f64::consts::LN_2), KNOWN_AFTER);
        assert!((half - 0.5).abs() < 1e-9);
        assert!((score(0.5, half, 600, 0) - score(0.5, KNOWN, 600, 0) / 2.0).abs() < 1e-9);
    }

    #[test]
    fn the_memory_is_three_hundred_flows() {
        assert!((calm(300).rate() - 0.5 / std::f64::consts::E).abs() < 1e-3);
    }

    #[test]
    fn a_thousandfold_surprise_is_ten_bits() {
        assert!((bits(3.0) - 9.966).abs() < 1e-3);
    }
}
