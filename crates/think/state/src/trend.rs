//! Where a level is heading: a minute of readings, and when it would reach its limit.
//!
//! Not here: rates of what is counted (`account.rs`).

use std::collections::VecDeque;
use std::time::Duration;

use model::time::Time;
use serde::{Deserialize, Serialize};

/// One reading is kept in so many seconds.
const EVERY: Duration = Duration::from_millis(1_900);
/// Readings kept: a minute.
const KEPT: usize = 31;
/// A pause longer than this is a gap: what happened across it is not known.
const GAP: Duration = Duration::from_secs(20);

/// A minute of readings of one level.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Trend {
    readings: VecDeque<(Time, f64)>,
}

/// Growth of a level over the last seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Growth {
    /// Time between the first reading counted and the last, in seconds.
    pub seconds: f64,
    /// The last reading.
    pub now: f64,
    /// Growth over those seconds; negative when it fell.
    pub by: f64,
    /// Share of the steps between readings that went up, 0 to 1.
    pub rising_share: f64,
}

impl Growth {
    /// Growth a second.
    pub fn rate(&self) -> f64 {
        self.by / self.seconds.max(1.0)
    }

    /// Seconds until the limit is reached if it goes on like this; `None` when it does not rise.
    pub fn seconds_to(&self, limit: f64) -> Option<f64> {
        (self.by > 0.0).then(|| ((limit - self.now) / self.rate()).max(0.0))
    }
}

impl Trend {
    /// Takes a reading in, unless the last one is too recent.
    pub(crate) fn read(&mut self, level: f64, at: Time) {
        if let Some(&(last, _)) = self.readings.back() {
            if at < last.plus(EVERY) {
                return;
            }
            if at.since(last) > GAP {
                self.readings.clear();
            }
        }
        if self.readings.len() == KEPT {
            self.readings.pop_front();
        }
        self.readings.push_back((at, level));
    }

    /// Growth over the last `window` of readings; `None` before two readings lie in it.
    pub fn growth(&self, window: Duration) -> Option<Growth> {
        let &(last, now) = self.readings.back()?;
        let counted = || self.readings.iter().rev().take_while(move |(at, _)| last.since(*at) <= window);
        let &(first, before) = counted().last()?;
        let steps = counted().count().checked_sub(1).filter(|steps| *steps > 0)?;
        let rising = counted().zip(counted().skip(1)).filter(|((_, later), (_, earlier))| later > earlier);
        Some(Growth {
            seconds: last.since(first).as_secs_f64(),
            now,
            by: now - before,
            rising_share: rising.count() as f64 / steps as f64,
        })
    }

    /// Means of the last `window` in `N` parts of as many readings each, oldest first: what is left when the noise of single
    /// readings is gone. `None` before each part has two.
    pub fn parts<const N: usize>(&self, window: Duration) -> Option<[f64; N]> {
        let &(last, _) = self.readings.back()?;
        let levels: Vec<f64> = self
            .readings
            .iter()
            .filter(|(at, _)| last.since(*at) <= window)
            .map(|(_, level)| *level)
            .collect();
        let each = levels.len().checked_div(N).filter(|each| *each >= 2)?;
        let first = levels.len() - each * N;
        let mean = |part: usize| levels[first + part * each..][..each].iter().sum::<f64>() / each as f64;
        Some(std::array::from_fn(mean))
    }

    /// The last reading.
    pub fn now(&self) -> Option<f64> {
        self.readings.back().map(|(_, level)| *level)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trend(levels: &[f64]) -> Trend {
        let mut trend = Trend::default();
        for (second, level) in (0_i64..).zip(levels) {
            trend.read(*level, Time::from_secs(1_000 + 2 * second));
        }
        trend
    }

    #[test]
    fn a_steady_rise_tells_when_the_limit_is_reached() {
        let growth = trend(&[0.0, 10.0, 20.0, 30.0]).growth(Duration::from_secs(60)).unwrap();
        assert_eq!((growth.seconds, growth.by, growth.rising_share), (6.0, 30.0, 1.0));
        assert_eq!(growth.seconds_to(80.0), Some(10.0));
    }

    #[test]
    fn only_the_window_counts_and_a_fall_reaches_no_limit() {
        let growth = trend(&[0.0, 100.0, 90.0, 80.0]).growth(Duration::from_secs(4)).unwrap();
        assert_eq!((growth.by, growth.rising_share, growth.seconds_to(200.0)), (-20.0, 0.0, None));
    }

    #[test]
    fn one_reading_or_a_gap_is_no_trend() {
        assert_eq!(trend(&[5.0]).growth(Duration::from_secs(60)), None);
        let mut gap = trend(&[0.0, 50.0]);
        gap.read(90.0, Time::from_secs(2_000));
        assert_eq!(gap.growth(Duration::from_secs(60)), None);
    }

    #[test]
    fn parts_are_means_of_the_newest_readings() {
        let trend = trend(&[9.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(trend.parts(Duration::from_secs(60)), Some([1.5, 3.5, 5.5]));
        assert_eq!(trend.parts::<4>(Duration::from_secs(60)), None);
    }

    #[test]
    fn readings_are_bounded() {
        assert_eq!(trend(&vec![1.0; 10_000]).readings.len(), KEPT);
    }
}
