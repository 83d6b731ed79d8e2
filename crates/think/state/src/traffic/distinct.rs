//! How many different things there were, without keeping them: HyperLogLog with 64 registers; and the hash that feeds it.
//!
//! Not here: sparse forms and larger sizes, for which there are libraries; none of them is 64 bytes.

use std::hash::Hasher;

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

/// Registers, and bits of a hash that choose one.
const REGISTERS: usize = 64;
const INDEX_BITS: u32 = 6;

/// The bias of the mean for 64 registers (Flajolet et al., 2007).
const ALPHA: f64 = 0.709;

/// Below so many times the registers, empty ones tell more than full ones.
const SMALL: f64 = 2.5;

/// Estimates how many different hashes it took, within 13 % (one deviation) (Flajolet, Fusy, Gandouet and Meunier, AofA 2007).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Distinct {
    /// The most leading zeros of a hash in each register, plus one; rows, because serde knows arrays of up to 32.
    registers: [[u8; REGISTERS / 2]; 2],
}

impl Distinct {
    /// Takes one more.
    pub fn insert(&mut self, hash: u64) {
        let index = (hash >> (u64::BITS - INDEX_BITS)) as usize;
        let rank = (hash << INDEX_BITS | 1 << (INDEX_BITS - 1)).leading_zeros() as u8 + 1;
        let register = &mut self.registers.as_flattened_mut()[index];
        *register = rank.max(*register);
    }

    /// How many different ones there were, about.
    pub fn count(&self) -> f64 {
        let registers = self.registers.as_flattened();
        let size = REGISTERS as f64;
        let sum: f64 = registers.iter().map(|&rank| (-f64::from(rank)).exp2()).sum();
        let estimate = ALPHA * size * size / sum;
        let empty = registers.iter().filter(|rank| **rank == 0).count();
        if estimate <= SMALL * size && empty > 0 { size * (size / empty as f64).ln() } else { estimate }
    }

    /// Whether there was none.
    pub fn is_empty(&self) -> bool {
        self.registers.as_flattened().iter().all(|rank| *rank == 0)
    }
}

/// The secret of a hash (SipHash-1-3) of what an adversary chooses: addresses, names.
///
/// Any hash without a secret can be tried out beforehand: one name in 64 falls into a given register, so whoever knows the
/// function makes thousands of names that count as one. A pseudorandom function whose key nobody in a container can know leaves
/// nothing to try out, and no count is ever shown to a container. The key must not be a constant, nor anything a container can
/// read: the nanosecond of the first event will do. It is told by an event, so a recording gives the same counts again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Salt(u64);

impl Salt {
    /// A salt from something that nobody in a container knows.
    pub fn new(secret: u64) -> Self {
        Self(secret)
    }

    /// The hash of some bytes.
    pub fn hash(self, bytes: &[u8]) -> u64 {
        let mut hasher = self.hasher();
        hasher.write(bytes);
        hasher.finish()
    }

    /// A hasher, for what comes in pieces.
    pub(crate) fn hasher(self) -> SipHasher13 {
        // The second half of the key only sets these hashes apart from others under the same secret.
        SipHasher13::new_with_keys(self.0, u64::from_le_bytes(*b"distinct"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(things: u64, salt: u64) -> f64 {
        let mut distinct = Distinct::default();
        for thing in 0..things {
            distinct.insert(Salt::new(salt).hash(&thing.to_le_bytes()));
            distinct.insert(Salt::new(salt).hash(&thing.to_le_bytes()));
        }
        distinct.count()
    }

    #[test]
    fn counts_are_right_within_their_error() {
        assert_eq!(size_of::<Distinct>(), 64);
        assert_eq!(counted(0, 1), 0.0);
        for things in [1, 10, 40, 160, 1_000, 60_000] {
            let errors = (0..50).map(|salt| (counted(things, salt) / things as f64 - 1.0).powi(2));
            let error = (errors.sum::<f64>() / 50.0).sqrt();
            assert!(error < 0.18, "{things}: {error}");
        }
    }

    #[test]
    fn what_collides_under_one_secret_counts_under_another() {
        let known = Salt::new(0);
        let chosen: Vec<[u8; 8]> = (0_u64..50_000)
            .map(u64::to_le_bytes)
            .filter(|bytes| known.hash(bytes) >> 57 == 0b000_0001)
            .collect();
        let count = |salt: Salt| {
            let mut distinct = Distinct::default();
            chosen.iter().for_each(|bytes| distinct.insert(salt.hash(bytes)));
            distinct.count()
        };
        assert!(count(known) < 2.0);
        assert!(count(Salt::new(1_700_000_000_123_456_789)) > 200.0);
    }

    #[test]
    fn the_hash_is_stable() {
        assert_eq!(Salt::new(7).hash(b"example.com"), Salt::new(7).hash(b"example.com"));
        assert_ne!(Salt::new(7).hash(b"example.com"), Salt::new(8).hash(b"example.com"));
    }

    #[test]
    fn the_ends_of_the_hash_fit_into_their_registers() {
        let mut distinct = Distinct::default();
        distinct.insert(0);
        distinct.insert(u64::MAX);
        assert_eq!((distinct.registers[0][0], distinct.registers[1][31]), (59, 1));
    }
}
