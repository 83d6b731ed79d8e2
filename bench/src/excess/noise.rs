//! A small generator of random numbers with a fixed seed (SplitMix64), and the distributions that the simulation needs.
//!
//! Not here: anything that must be hard to guess.

/// Largest mean of a count that is drawn at once: e^-mean must not vanish.
const MEAN_MAX: f64 = 500.0;

/// The generator.
#[derive(Clone, Debug)]
pub(crate) struct Noise(u64);

impl Noise {
    /// The sequence of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// The sequence of a seed that shares nothing with those of its neighbours: `new` gives seed n + 1 the numbers of seed n
    /// from the second on.
    pub(crate) fn apart(seed: u64) -> Self {
        Self(Self::new(seed).next())
    }

    /// Evenly distributed over `low` to `high`.
    pub(crate) fn even(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// Normally distributed (Box and Muller).
    pub(crate) fn normal(&mut self, mean: f64, deviation: f64) -> f64 {
        let (radius, angle) = (self.even(f64::MIN_POSITIVE, 1.0), self.even(0.0, std::f64::consts::TAU));
        mean + deviation * (-2.0 * radius.ln()).sqrt() * angle.cos()
    }

    /// A count of events that are `mean` on average (Knuth); a large mean is made of small ones, for which his product fits.
    pub(crate) fn count(&mut self, mean: f64) -> usize {
        if mean > MEAN_MAX {
            return self.count(MEAN_MAX) + self.count(mean - MEAN_MAX);
        }
        let limit = (-mean).exp();
        let mut product = self.even(0.0, 1.0);
        let mut count = 0;
        while product > limit {
            product *= self.even(0.0, 1.0);
            count += 1;
        }
        count
    }

    /// A whole number from `low` up to, but not including, `high`.
    pub(crate) fn whole(&mut self, low: usize, high: usize) -> usize {
        low + (self.even(0.0, 1.0) * (high - low) as f64) as usize
    }

    /// Whether something with that chance comes about.
    pub(crate) fn is(&mut self, chance: f64) -> bool {
        self.even(0.0, 1.0) < chance
    }

    /// Exponentially distributed.
    pub(crate) fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.even(0.0, 1.0)).ln()
    }

    /// Pareto's distribution of the second kind, from 0 (Lomax).
    pub(crate) fn pareto(&mut self, shape: f64) -> f64 {
        (1.0 - self.even(0.0, 1.0)).powf(-1.0 / shape) - 1.0
    }

    /// What is normally distributed as a logarithm.
    pub(crate) fn log_normal(&mut self, mean: f64, deviation: f64) -> f64 {
        self.normal(mean, deviation).exp()
    }

    /// How many tries it takes until one succeeds, at least 1.
    pub(crate) fn tries(&mut self, chance: f64) -> usize {
        1 + (self.exponential(1.0) / -(1.0 - chance).ln()) as usize
    }
}

/// A choice among some, of which each has a weight.
#[derive(Clone, Debug)]
pub(crate) struct Choice {
    /// Sums of the weights up to each.
    sums: Vec<f64>,
}

impl Choice {
    /// A choice by these weights.
    pub(crate) fn new(weights: impl IntoIterator<Item = f64>) -> Self {
        let sums = weights.into_iter().scan(0.0, |sum, weight| {
            *sum += weight;
            Some(*sum)
        });
        Self { sums: sums.collect() }
    }

    /// A choice among so many, the one at place n with a weight of n^-exponent (Zipf).
    pub(crate) fn zipf(count: usize, exponent: f64) -> Self {
        Self::new((1..=count).map(|place| (place as f64).powf(-exponent)))
    }

    /// One of them, by its place.
    pub(crate) fn of(&self, noise: &mut Noise) -> usize {
        let sum = noise.even(0.0, self.sums.last().copied().unwrap_or(0.0));
        self.sums.partition_point(|upto| *upto <= sum).min(self.sums.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::{Choice, Noise};

    #[test]
    fn the_distributions_have_their_means() {
        let mut noise = Noise::new(1);
        let mean = |draw: &mut dyn FnMut() -> f64| (0..20_000).map(|_| draw()).sum::<f64>() / 20_000.0;
        assert!((mean(&mut || noise.even(2.0, 4.0)) - 3.0).abs() < 0.03);
        assert!((mean(&mut || noise.normal(5.0, 2.0)) - 5.0).abs() < 0.06);
        assert!((mean(&mut || noise.count(30.0) as f64) - 30.0).abs() < 0.2);
        assert!((mean(&mut || noise.count(1_200.0) as f64) - 1_200.0).abs() < 1.5);
        assert!((mean(&mut || noise.whole(2, 5) as f64) - 3.0).abs() < 0.03);
        assert!((mean(&mut || f64::from(u8::from(noise.is(0.3)))) - 0.3).abs() < 0.02);
        assert!((mean(&mut || noise.exponential(7.0)) - 7.0).abs() < 0.25);
        assert!((mean(&mut || noise.pareto(3.0)) - 0.5).abs() < 0.04);
        assert!((mean(&mut || noise.log_normal(1.0, 0.5)) - (1.125_f64).exp()).abs() < 0.06);
        assert!((mean(&mut || noise.tries(0.15) as f64) - 1.0 / 0.15).abs() < 0.25);
    }

    #[test]
    fn sequences_of_neighbours_are_apart() {
        let numbers = |mut noise: Noise| -> Vec<f64> { (0..100).map(|_| noise.even(0.0, 1.0)).collect() };
        assert_eq!(numbers(Noise::new(7))[1..], numbers(Noise::new(8))[..99]);
        let (seven, eight) = (numbers(Noise::apart(7)), numbers(Noise::apart(8)));
        assert!(seven.iter().all(|number| !eight.contains(number)));
    }

    #[test]
    fn a_choice_follows_its_weights() {
        let mut noise = Noise::new(2);
        let mut chosen = [0.0; 3];
        let choice = Choice::zipf(3, 1.0);
        (0..30_000).for_each(|_| chosen[choice.of(&mut noise)] += 1.0 / 30_000.0);
        for (share, weight) in chosen.into_iter().zip([6.0, 3.0, 2.0]) {
            assert!((share - weight / 11.0_f64).abs() < 0.01, "{chosen:?}");
        }
    }
}
