//! What one container cost in each of the last seconds: a line to be drawn.
//!
//! Not here: what is judged, which has windows and classes (`account.rs`, `booking.rs`).

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Seconds kept.
const SECONDS_MAX: usize = 30;

/// What one container cost in one second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SecondCost {
    /// CPU of its own cgroup in cores.
    pub own_cores: f32,
    /// CPU that others spent on its behalf in cores.
    pub out_of_band_cores: f32,
}

/// The last seconds, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Recent(VecDeque<SecondCost>);

impl Recent {
    pub(crate) fn push(&mut self, own_cores: f64, out_of_band_cores: f64) {
        if self.0.len() == SECONDS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(SecondCost {
            own_cores: own_cores as f32,
            out_of_band_cores: out_of_band_cores as f32,
        });
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = SecondCost> {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_minute_is_kept_the_newest_last() {
        let mut recent = Recent::default();
        (0..10_000).for_each(|second| recent.push(f64::from(second), 0.5));
        let own: Vec<f32> = recent.iter().map(|second| second.own_cores).collect();
        assert_eq!((own.len(), own[0], own[29]), (SECONDS_MAX, 9_970.0, 9_999.0));
    }
}
