//! A small generator of random numbers with a fixed seed (SplitMix64), and the distributions that the simulation needs.
//!
//! Not here: anything that must be hard to guess.

/// The generator.
#[derive(Clone, Debug)]
pub(crate) struct Noise(u64);

impl Noise {
    /// The sequence of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// Evenly distributed over `low` to `high`.
    pub(crate) fn even(&mut self, low: f64, high: f64) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        low + (high - low) * (bits >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Normally distributed (Box and Muller).
    pub(crate) fn normal(&mut self, mean: f64, deviation: f64) -> f64 {
        let (radius, angle) = (self.even(f64::MIN_POSITIVE, 1.0), self.even(0.0, std::f64::consts::TAU));
        mean + deviation * (-2.0 * radius.ln()).sqrt() * angle.cos()
    }

    /// A count of events that are `mean` on average (Knuth).
    pub(crate) fn count(&mut self, mean: f64) -> usize {
        let limit = (-mean).exp();
        let mut product = self.even(0.0, 1.0);
        let mut count = 0;
        while product > limit {
            product *= self.even(0.0, 1.0);
            count += 1;
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::Noise;

    #[test]
    fn the_distributions_have_their_means() {
        let mut noise = Noise::new(1);
        let mean = |draw: &mut dyn FnMut() -> f64| (0..20_000).map(|_| draw()).sum::<f64>() / 20_000.0;
        assert!((mean(&mut || noise.even(2.0, 4.0)) - 3.0).abs() < 0.03);
        assert!((mean(&mut || noise.normal(5.0, 2.0)) - 5.0).abs() < 0.06);
        assert!((mean(&mut || noise.count(30.0) as f64) - 30.0).abs() < 0.2);
    }
}
