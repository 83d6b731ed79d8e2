//! From samples at any rate to one mean per 15 seconds, 5 minutes and hour, by event time.
//!
//! Not here: filling of gaps. A slot in which nothing was seen does not exist: no zero is ever made up.

use std::time::Duration;

use model::time::Time;
use serde::{Deserialize, Serialize};

use crate::series::bank::VALUE_MAX;

/// How finely time is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resolution {
    /// 15 seconds: bursts.
    Fast,
    /// 5 minutes: what is usual, and ramps of an hour.
    Middle,
    /// An hour: ramps of days.
    Slow,
}

impl Resolution {
    /// From fine to coarse.
    pub const ALL: [Self; 3] = [Self::Fast, Self::Middle, Self::Slow];

    /// How long a slot is.
    pub const fn slot(self) -> Duration {
        Duration::from_secs(match self {
            Self::Fast => 15,
            Self::Middle => 300,
            Self::Slow => 3_600,
        })
    }
}

/// The slot that is being filled.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Filling {
    /// Slots since the Unix epoch.
    number: i64,
    mean: f64,
    count: u32,
    /// Samples that a slot usually has, in sixteenths.
    usual_count: u32,
    learn: bool,
    after_gap: bool,
}

/// A slot that is full.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Slot {
    /// When it began.
    pub(crate) begin: Time,
    /// Mean of its samples.
    pub(crate) mean: f64,
    /// Slots are missing before it, or the clock was set back.
    pub(crate) after_gap: bool,
    /// None of its samples was flagged.
    pub(crate) learn: bool,
}

impl Filling {
    /// Adds a sample; gives the slot before when this one begins another. A slot with less than half of its usual samples is
    /// dropped, and so is what was collected when the clock is set back by a slot or more.
    pub(crate) fn add(&mut self, time: Time, value: f64, learn: bool, span: Duration) -> Option<Slot> {
        let span_ns = i64::try_from(span.as_nanos()).unwrap_or(i64::MAX).max(1);
        let number = time.ns().div_euclid(span_ns);
        if self.count > 0 && number == self.number {
            self.count = self.count.saturating_add(1);
            // Not a sum divided at the end: that would make a constant series move by its rounding.
            self.mean += (value - self.mean) / f64::from(self.count);
            self.learn &= learn;
            return None;
        }
        let full = self.close(number, span_ns);
        let follows = full.is_some() && self.number.checked_add(1) == Some(number);
        *self =
            Self { number, mean: value, count: 1, usual_count: self.usual_count, learn, after_gap: !follows };
        full
    }

    fn close(&mut self, next: i64, span_ns: i64) -> Option<Slot> {
        if self.count == 0 || next < self.number {
            return None;
        }
        let seen = self.count.saturating_mul(16);
        let enough = seen >= self.usual_count / 2;
        // Follows by an eighth, so a changed rate is believed after a few slots.
        self.usual_count = self.usual_count / 8 * 7 + seen / 8 + 1;
        let begin = Time::from_ns(self.number.saturating_mul(span_ns));
        (enough && self.mean.abs() <= VALUE_MAX).then_some(Slot {
            begin,
            mean: self.mean,
            after_gap: self.after_gap,
            learn: self.learn,
        })
    }
}

/// The hour of the day in UTC, 0 to 23.
pub(crate) fn hour_of_day(time: Time) -> u8 {
    (time.ns().div_euclid(3_600_000_000_000).rem_euclid(24)) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Duration = Duration::from_secs(15);

    fn slots(seconds: impl IntoIterator<Item = (i64, f64)>) -> Vec<(i64, f64, bool)> {
        let mut filling = Filling::default();
        let full = seconds
            .into_iter()
            .filter_map(|(second, value)| filling.add(Time::from_secs(second), value, true, SPAN));
        full.map(|slot| (slot.begin.ns() / 1_000_000_000, slot.mean, slot.after_gap)).collect()
    }

    #[test]
    fn a_slot_is_the_mean_of_its_samples() {
        let samples = (0..46).map(|second| (second, f64::from(second as i32 / 15)));
        assert_eq!(slots(samples), [(0, 0.0, true), (15, 1.0, false), (30, 2.0, false)]);
    }

    #[test]
    fn nothing_is_made_up_for_a_gap() {
        let samples = (0..31).chain(300..331).map(|second| (second, 1.0));
        assert_eq!(slots(samples), [(0, 1.0, true), (15, 1.0, false), (300, 1.0, true), (315, 1.0, false)]);
    }

    #[test]
    fn a_slot_that_was_hardly_seen_is_dropped() {
        let samples = (0..151).chain(165..196).map(|second| (second, 1.0));
        let begins: Vec<i64> = slots(samples).into_iter().map(|slot| slot.0).collect();
        assert!(!begins.contains(&150) && begins.contains(&165), "{begins:?}");
    }

    #[test]
    fn a_clock_that_is_set_back_starts_a_slot_anew() {
        let samples = (600..640).chain(0..31).map(|second| (second, 1.0));
        let found = slots(samples);
        assert_eq!(found.last(), Some(&(15, 1.0, false)));
        assert!(found.contains(&(0, 1.0, true)), "{found:?}");
    }

    #[test]
    fn a_flagged_sample_keeps_its_whole_slot_from_being_learned() {
        let mut filling = Filling::default();
        for second in 0..15 {
            assert_eq!(filling.add(Time::from_secs(second), 1.0, second != 7, SPAN), None);
        }
        assert!(!filling.add(Time::from_secs(15), 1.0, true, SPAN).unwrap().learn);
    }

    #[test]
    fn the_ends_of_time_do_not_panic() {
        for ns in [i64::MIN, i64::MAX] {
            assert!(hour_of_day(Time::from_ns(ns)) < 24);
            slots([(0, 1.0), (ns / 1_000_000_000, 1.0), (0, 1.0)]);
        }
    }
}
