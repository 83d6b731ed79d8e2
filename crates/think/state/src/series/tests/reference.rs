//! The formulas of the record bank written plainly, in double precision, for comparing value by value.
//!
//! Not here: speed, bounds, hostile input. Counters are kept as fractions, where the bank has bytes.

use crate::series::streams::LANES;
use crate::series::tuning::Tuning;

const TUNING: Tuning = Tuning::DEFAULT;

const WINDOWS: [f64; 6] = [4.0, 8.0, 16.0, 32.0, 64.0, 256.0];

#[derive(Clone, Debug, Default)]
pub(super) struct Reference {
    i: usize,
    m: [f64; 6],
    s: [f64; 6],
    size: f64,
    last: f64,
    rough: [f64; 2],
    hours: [(f64, f64); 24],
    hour_spread: f64,
    off: [f64; 3],
    low: f64,
    high: f64,
    letters: [usize; 2],
    singles: [f64; 8],
    pairs: [[f64; 8]; 8],
    triples: Vec<[f64; 8]>,
    surprise: [f64; 2],
    weights: [f64; 4],
    recent: [f64; 4],
    error_size: f64,
    error_8: f64,
    extremes: Vec<[f64; 3]>,
    evidence: f64,
}

impl Reference {
    pub(super) fn new() -> Self {
        Self {
            triples: vec![[0.0; 8]; 64],
            weights: [1.0, 0.0, 0.0, 0.0],
            extremes: vec![[0.0; 3]; LANES],
            ..Self::default()
        }
    }

    /// The streams in the order of `NAMES`, and the evidence, with the engine's default numbers and no floor.
    pub(super) fn take(&mut self, x: f64, hour: usize) -> ([f64; LANES], f64) {
        let first = 1.0 / (self.i as f64 + 1.0);
        if self.i == 0 {
            (self.m, self.last, self.low, self.high) = ([x; 6], x, x, x);
        }
        self.size += (x.abs() - self.size) * first.max(0.001);
        let eps = 1e-3 * self.size + 1e-9;
        let (below_8, below_32) = (x - self.m[1], x - self.m[3]);
        for (k, window) in WINDOWS.into_iter().enumerate() {
            let (a, d) = (first.max(1.0 / window), x - self.m[k]);
            self.s[k] += a * (d.abs() - self.s[k]);
            self.m[k] += a * d;
        }
        let change = x - self.last;
        self.last = x;
        self.rough[0] += (change.abs() - self.rough[0]) * first.max(1.0 / 16.0);
        self.rough[1] += (change.abs() - self.rough[1]) * first.max(1.0 / 64.0);
        let off = self.hour(x, hour, eps);
        let [i1, i2] = self.letter(x);
        self.surprise[0] += (i1 - self.surprise[0]) / 16.0;
        self.surprise[1] += (i2 - self.surprise[1]) / 16.0;
        let missed = self.predict(x, eps);
        let (m, s) = (self.m, self.s);
        let ln = |value: f64| (value + eps).ln();
        let lanes = [
            x,
            below_8,
            below_32,
            m[0],
            m[2],
            m[4],
            m[5],
            ln(s[0]),
            ln(s[2]),
            ln(s[4]),
            ln(s[5]),
            m[0] - m[2],
            m[2] - m[4],
            m[4] - m[5],
            ln(self.rough[0]),
            ln(self.rough[1]),
            i1,
            self.surprise[0],
            change,
            0.0,
            off,
            self.off[0],
            self.off[1],
            ln(self.off[2]),
            i2,
            self.surprise[1],
            missed,
            self.error_8,
        ];
        let votes = self.votes(&lanes, eps);
        self.evidence = f64::from(TUNING.evidence_kept_without_unit) * self.evidence + votes;
        self.i += 1;
        (lanes, self.evidence)
    }

    fn hour(&mut self, x: f64, hour: usize, eps: f64) -> f64 {
        let (mean, count) = &mut self.hours[hour];
        let mut off = 0.0;
        if *count > 0.0 {
            off = x - *mean;
            let limit = if self.i > 50 { 4.0 * self.hour_spread } else { off.abs() };
            *mean += (1.0 / (*count + 1.0)).max(0.02) * off.clamp(-limit, limit);
            self.hour_spread += if self.i > 50 {
                0.01 * (off.abs().min(4.0 * self.hour_spread + eps) - self.hour_spread)
            } else {
                0.1 * (off.abs() - self.hour_spread)
            };
        } else {
            *mean = x;
        }
        *count += 1.0;
        self.off[0] += (off - self.off[0]) / 8.0;
        self.off[1] += (off - self.off[1]) / 32.0;
        self.off[2] += (off.abs() - self.off[2]) / 64.0;
        off
    }

    fn letter(&mut self, x: f64) -> [f64; 2] {
        (self.low, self.high) = (self.low.min(x), self.high.max(x));
        let range = self.high - self.low;
        let letter = if range > 0.0 { ((x - self.low) / range * 8.0) as usize } else { 0 }.min(7);
        let [h1, h2] = self.letters;
        let rows = [&mut self.singles, &mut self.pairs[h1], &mut self.triples[h2 * 8 + h1]];
        let mut q = 1.0 / 8.0;
        let lengths = rows.map(|row| {
            q = (row[letter] + 2.0 * q) / (row.iter().sum::<f64>() + 2.0);
            row[letter] += 1.0;
            if row[letter] > 200.0 {
                *row = row.map(|count| count * 0.5);
            }
            -q.log2()
        });
        self.letters = [letter, h1];
        [lengths[1], lengths[2]]
    }

    fn predict(&mut self, x: f64, eps: f64) -> f64 {
        let scale = 1.25 * self.s[4] + eps;
        let z = ((x - self.m[4]) / scale).clamp(-50.0, 50.0);
        let dot = |a: &[f64; 4], b: &[f64; 4]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let e = z - dot(&self.weights, &self.recent);
        let limit = 3.0 * self.error_size + 1e-3;
        let clipped = if self.i > 30 { e.clamp(-limit, limit) } else { e };
        let gain = 0.05 * clipped / (1e-3 + dot(&self.recent, &self.recent));
        for (weight, value) in self.weights.iter_mut().zip(&self.recent) {
            *weight += gain * value;
        }
        self.error_size += if self.i > 30 {
            (e.abs().min(4.0 * self.error_size + 1e-3) - self.error_size) * 0.02
        } else {
            (e.abs() - self.error_size) * 0.1
        };
        self.recent = [z, self.recent[0], self.recent[1], self.recent[2]];
        let missed = if self.i > 30 { e * scale } else { 0.0 };
        self.error_8 += (missed - self.error_8) / 8.0;
        missed
    }

    fn votes(&mut self, lanes: &[f64; LANES], eps: f64) -> f64 {
        let mut votes = 0.0;
        for (lane, ([high, low, centre], &y)) in self.extremes.iter_mut().zip(lanes).enumerate() {
            if self.i == 0 {
                (*high, *low, *centre) = (y, y, y);
                continue;
            }
            let floor =
                if [7, 8, 9, 10, 14, 15, 16, 17, 19, 23, 24, 25].contains(&lane) { 0.02 } else { 3.0 * eps };
            let range = (*high - *low + 1e-9 * high.abs() + 1e-12).max(floor);
            let step = if self.i < 50 { f64::INFINITY } else { f64::from(TUNING.absorbed_share) * range };
            if y > *high {
                votes += ((y - *high) / range / f64::from(TUNING.margin_of_full_vote)).min(1.0);
                *high = y.min(*high + step);
            } else if y < *low {
                votes += ((*low - y) / range / f64::from(TUNING.margin_of_full_vote)).min(1.0);
                *low = y.max(*low - step);
            }
            *centre += (y - *centre) * (1.0 / (self.i as f64 + 1.0)).max(0.001);
            if self.i > 200 {
                *high -= (*high - *centre).max(0.0) / 20_000.0;
                *low += (*centre - *low).max(0.0) / 20_000.0;
            }
        }
        votes
    }
}
