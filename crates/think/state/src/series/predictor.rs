//! What the last four samples let one expect: a linear predictor that adapts itself (normalised least mean squares).
//!
//! Not here: longer memory; hours are `profile.rs`.

use serde::{Deserialize, Serialize};

use crate::series::streams::{Step, something};

/// Samples that are looked back.
const ORDER: usize = 4;

/// Samples during which errors are not yet judged nor limited.
const WARM: u32 = 30;

/// How fast the weights follow.
const RATE: f32 = 0.05;

/// Weights over the last four standardised values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Predictor {
    weights: [f32; ORDER],
    recent: [f32; ORDER],
    error_size: f32,
    error_8: f32,
}

impl Default for Predictor {
    /// Expects the last value again.
    fn default() -> Self {
        Self { weights: [1.0, 0.0, 0.0, 0.0], recent: [0.0; ORDER], error_size: 0.0, error_8: 0.0 }
    }
}

impl Predictor {
    /// Takes a value; gives how far it lies from what was expected, in the metric's unit, and the mean of that over 8.
    pub(crate) fn take(&mut self, step: &Step) -> [f32; 2] {
        let warm = step.index <= WARM;
        let scale = 1.25 * step.spread_64 + step.small;
        let value = ((step.value - step.mean_64) / scale).clamp(-50.0, 50.0);
        let expected: f32 = self.weights.iter().zip(&self.recent).map(|(weight, value)| weight * value).sum();
        let power: f32 = 1e-3 + self.recent.iter().map(|value| value * value).sum::<f32>();
        let error = value - expected;
        let limit = 3.0 * self.error_size + 1e-3;
        let step_error = if warm { error } else { error.min(limit).max(-limit) };
        let gain = RATE * step_error / power;
        for (weight, value) in self.weights.iter_mut().zip(&self.recent) {
            *weight = something(*weight + gain * value);
        }
        self.error_size += if warm {
            (error.abs() - self.error_size) * 0.1
        } else {
            (error.abs().min(4.0 * self.error_size + 1e-3) - self.error_size) * 0.02
        };
        self.recent = [value, self.recent[0], self.recent[1], self.recent[2]].map(something);
        let off = if warm { 0.0 } else { error * scale };
        self.error_8 = something(self.error_8 + (off - self.error_8) / 8.0);
        [off, self.error_8]
    }
}
