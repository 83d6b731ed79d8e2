//! What belongs to a metric rather than to the engine: its natural unit, which way is bad, and how much is worth a word.
//!
//! Not here: the engine's own numbers (`tuning.rs`).

use serde::{Deserialize, Serialize};

/// Which records count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Only more than ever: what a container takes.
    Up,
    /// More and less than ever: a business metric.
    #[default]
    Both,
}

/// How a series is judged, in its own unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// What is large for this series: the container's limit, or the host's whole; zero when nobody can say.
    pub natural_unit: f32,
    /// Rise above the usual below which nothing is an excess, however rare; zero without a gate.
    pub gate: f32,
    /// Which records count.
    pub direction: Direction,
}

impl Metric {
    /// Share of the limit that a rise must reach.
    const GATE_OF_LIMIT: f64 = 0.1;

    /// A resource with a limit: upward only, and a rise of a tenth of the limit before it is material.
    pub fn limited(limit: f64) -> Self {
        Self::resource(limit, limit * Self::GATE_OF_LIMIT)
    }

    /// A resource whose natural unit and materiality are known apart: a quarter of a core where nothing limits CPU.
    pub fn resource(natural_unit: f64, gate: f64) -> Self {
        Self { natural_unit: bounded(natural_unit), gate: bounded(gate), direction: Direction::Up }
    }

    /// A series of which nothing is known: records both ways, no floor, no gate.
    pub fn unknown() -> Self {
        Self::default()
    }

    /// The same with another direction.
    #[must_use]
    pub fn looking(self, direction: Direction) -> Self {
        Self { direction, ..self }
    }
}

/// A finite number that is not negative, whatever was given.
fn bounded(value: f64) -> f32 {
    if value > 0.0 { value.min(1e18) as f32 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_makes_no_sense_is_no_limit() {
        for limit in [f64::NAN, -1.0, 0.0, f64::NEG_INFINITY] {
            assert_eq!(Metric::limited(limit), Metric::unknown().looking(Direction::Up));
        }
        assert!(Metric::limited(f64::INFINITY).natural_unit.is_finite());
    }
}
