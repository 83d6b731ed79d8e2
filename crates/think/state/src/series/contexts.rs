//! How surprising a value is after the one or two before it: code lengths of an eight-letter alphabet, by counters of a byte.
//!
//! Not here: longer contexts; they need more history than a workload lives.

use serde::{Deserialize, Serialize};

use crate::series::streams::{Step, something};

/// Letters: the range seen so far in eight equal parts.
const LETTERS: usize = 8;

/// A counter beyond this halves its row, so that old habits fade.
const COUNT_MAX: u8 = 200;

/// Pseudo-counts that the shorter context lends the longer one.
const PRIOR: f32 = 2.0;

type Row = [u8; LETTERS];

/// Counters of letters and of pairs of letters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Contexts {
    low: f32,
    high: f32,
    /// The last letter and the one before.
    recent: [u8; 2],
    singles: Row,
    pairs: [Row; LETTERS],
    mean: f32,
}

/// A letter with what precedes it, and its probability after the last letter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Letter {
    letter: usize,
    recent: [usize; 2],
    pub(crate) probability: f32,
}

/// Counters of triples of letters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Triples {
    rows: [[Row; LETTERS]; LETTERS],
    mean: f32,
}

impl Contexts {
    /// Counts a value as a letter.
    pub(crate) fn take(&mut self, step: &Step) -> Letter {
        let value = step.value;
        if step.index == 0 {
            (self.low, self.high) = (value, value);
        }
        self.low = self.low.min(value);
        self.high = self.high.max(value);
        let range = self.high - self.low;
        let share = if range > 0.0 { (value - self.low) / range } else { 0.0 };
        let letter = ((share * LETTERS as f32) as usize).min(LETTERS - 1);
        let recent = self.recent.map(|letter| usize::from(letter) % LETTERS);
        let pair = &mut self.pairs[recent[0]];
        let single = probability(&self.singles, letter, 1.0 / LETTERS as f32);
        let probability = probability(pair, letter, single);
        count(&mut self.singles, letter);
        count(pair, letter);
        self.recent = [letter as u8, recent[0] as u8];
        Letter { letter, recent, probability }
    }

    /// The mean surprise of the last 16, with this one.
    pub(crate) fn mean(&mut self, surprise: f32) -> f32 {
        self.mean = something(self.mean + (surprise - self.mean) / 16.0);
        self.mean
    }
}

impl Triples {
    /// Counts a letter after two others; the probability it had.
    pub(crate) fn take(&mut self, letter: &Letter) -> f32 {
        let row = &mut self.rows[letter.recent[1]][letter.recent[0]];
        let probability = probability(row, letter.letter, letter.probability);
        count(row, letter.letter);
        probability
    }

    /// The mean surprise of the last 16, with this one.
    pub(crate) fn mean(&mut self, surprise: f32) -> f32 {
        self.mean = something(self.mean + (surprise - self.mean) / 16.0);
        self.mean
    }
}

fn probability(row: &Row, letter: usize, prior: f32) -> f32 {
    let total: u16 = row.iter().map(|&count| u16::from(count)).sum();
    (f32::from(row[letter]) + PRIOR * prior) / (f32::from(total) + PRIOR)
}

fn count(row: &mut Row, letter: usize) {
    row[letter] = row[letter].saturating_add(1);
    if row[letter] > COUNT_MAX {
        // Half rounded up, so that what was seen once stays seen.
        *row = row.map(|count| count.div_ceil(2));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(index: u32, value: f32) -> Step {
        Step { index, value, mean_64: 0.0, spread_64: 0.0, small: 1e-9 }
    }

    #[test]
    fn a_habit_is_expected_and_its_break_is_a_surprise() {
        let mut contexts = Contexts::default();
        let seen: Vec<f32> = (0..400).map(|i| contexts.take(&step(i, (i % 2) as f32)).probability).collect();
        assert!(seen[399] > 0.95, "{}", seen[399]);
        assert!(contexts.take(&step(400, 1.0)).probability < 0.05);
    }

    #[test]
    fn foreign_letters_do_not_panic() {
        let mut contexts = Contexts { recent: [255, 9], singles: [255; 8], ..Contexts::default() };
        let letter = contexts.take(&step(7, f32::NAN));
        assert!(Triples::default().take(&letter).is_finite());
    }
}
