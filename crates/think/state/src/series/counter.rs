//! From a counter that only grows to a rate a second, telling resets and clock steps.
//!
//! Not here: what the rate means (`series.rs`).

use model::time::Time;
use serde::{Deserialize, Serialize};

/// The last reading of a counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counter {
    last: Option<(Time, u64)>,
}

/// What a reading of a counter says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reading {
    /// Growth a second since the last reading.
    Rate(f64),
    /// Nothing to compare with.
    First,
    /// The counter stands lower than before: whatever counted has started anew.
    Reset,
    /// The clock did not move on: it stands still or was set back.
    ClockStep,
}

impl Counter {
    /// Takes a reading.
    pub fn read(&mut self, time: Time, total: u64) -> Reading {
        let last = self.last.replace((time, total));
        let Some((then, before)) = last else { return Reading::First };
        if time <= then {
            return Reading::ClockStep;
        }
        match total.checked_sub(before) {
            Some(grown) => Reading::Rate(grown as f64 / time.since(then).as_secs_f64()),
            None => Reading::Reset,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resets_and_clock_steps_are_no_rates() {
        let mut counter = Counter::default();
        let readings = [(0, 5), (2, 25), (3, 1), (4, 2), (4, 9), (1, 10), (2, 12)];
        let found = readings.map(|(second, total)| counter.read(Time::from_secs(second), total));
        let rate = Reading::Rate;
        assert_eq!(
            found,
            [
                Reading::First,
                rate(10.0),
                Reading::Reset,
                rate(1.0),
                Reading::ClockStep,
                Reading::ClockStep,
                rate(2.0)
            ]
        );
    }
}
