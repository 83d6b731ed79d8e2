//! Windows of time that somebody declared: cron for when they open, a length for how long they stay open. UTC.
//!
//! Not here: any clock; whoever asks says what time it is.

use std::time::Duration;

use chrono::{DateTime, Utc};
use model::expectation::{LASTING_SECONDS_MAX, Schedule};
use model::time::Time;
use model::untrusted::Untrusted;

/// Fields of cron that are taken: minute, hour, day of month, month, day of week.
const FIELDS: usize = 5;

/// Why a schedule cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ScheduleError {
    /// There are more or fewer fields than five.
    #[error(
        "cron {cron:?} has {fields} fields; it takes 5 (minute, hour, day of month, month, day of week) or one of \
         @hourly, @daily, @weekly, @monthly, @yearly"
    )]
    Fields {
        /// The text.
        cron: Untrusted,
        /// How many it has.
        fields: usize,
    },
    /// One of the fields cannot be read; the problem names it.
    #[error("cron {cron:?}: {problem}")]
    Cron {
        /// The text.
        cron: Untrusted,
        /// Which field, and what is wrong with it.
        problem: Untrusted,
    },
    /// It can be read, but that day never comes.
    #[error("cron {cron:?} never comes")]
    Never {
        /// The text.
        cron: Untrusted,
    },
    /// A window of no length, or of more than a week.
    #[error("a window lasts from 1 second to 7 days, not {seconds} seconds")]
    Lasting {
        /// The length asked for.
        seconds: u64,
    },
}

/// A schedule that can be asked.
#[derive(Clone, Debug)]
pub struct Windows {
    opens: cron_lite::Schedule,
    lasting: Duration,
}

impl Windows {
    /// Reads a schedule, and makes sure that it opens a window some time after `now`.
    ///
    /// # Errors
    /// What is wrong with it, and in which field.
    pub fn parse(schedule: &Schedule, now: Time) -> Result<Self, ScheduleError> {
        let cron = schedule.cron.clone();
        let fields = cron.raw().split_ascii_whitespace().count();
        // More fields would be seconds and years, which nobody expects of five stars and one of which moves all others.
        if fields != FIELDS && !(fields == 1 && cron.raw().trim_ascii().starts_with('@')) {
            return Err(ScheduleError::Fields { cron, fields });
        }
        let opens = match cron_lite::Schedule::new(cron.raw().trim_ascii()) {
            Ok(opens) => opens,
            Err(error) => {
                return Err(ScheduleError::Cron { cron, problem: Untrusted::new(&error.to_string()) });
            }
        };
        let seconds = schedule.lasting_seconds;
        if !(1..=LASTING_SECONDS_MAX).contains(&seconds) {
            return Err(ScheduleError::Lasting { seconds });
        }
        let windows = Self { opens, lasting: Duration::from_secs(seconds) };
        if windows.next(now).is_none() {
            return Err(ScheduleError::Never { cron });
        }
        Ok(windows)
    }

    /// When the window opened that is open now; of several the earliest.
    pub fn opened(&self, now: Time) -> Option<Time> {
        self.next(now.minus(self.lasting).plus(Duration::from_nanos(1))).filter(|opened| *opened <= now)
    }

    /// When the next window opens, at `now` or later; `None` when the calendar ends before.
    fn next(&self, now: Time) -> Option<Time> {
        let now: DateTime<Utc> = DateTime::from_timestamp_nanos(now.ns());
        self.opens.upcoming(&now)?.timestamp_nanos_opt().map(Time::from_ns)
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn now() -> Time {
        Time::parse("2026-11-24T01:59:00Z").unwrap()
    }

    fn parsed(cron: &str, lasting_seconds: u64) -> Result<Windows, ScheduleError> {
        Windows::parse(&Schedule { cron: cron.into(), lasting_seconds }, now())
    }

    fn check_refused(cron: &str, lasting_seconds: u64, expected: &Expect) {
        expected.assert_eq(&parsed(cron, lasting_seconds).unwrap_err().to_string());
    }

    #[test]
    fn a_window_is_open_from_its_minute_for_its_length() {
        let nightly = parsed("0 2 * * *", 3600).unwrap();
        let opened = |text: &str| nightly.opened(Time::parse(text).unwrap()).map(Time::rfc3339);
        assert_eq!(opened("2026-11-24T01:59:59.999Z"), None);
        assert_eq!(opened("2026-11-24T02:00:00Z").as_deref(), Some("2026-11-24T02:00:00.000Z"));
        assert_eq!(opened("2026-11-24T02:59:59.999Z").as_deref(), Some("2026-11-24T02:00:00.000Z"));
        assert_eq!(opened("2026-11-24T03:00:00Z"), None);
    }

    #[test]
    fn a_window_may_reach_into_the_next_day_and_week() {
        let weekend = parsed("30 23 * * FRI", 2 * 86_400).unwrap();
        let opened = |text: &str| weekend.opened(Time::parse(text).unwrap()).map(Time::rfc3339);
        assert_eq!(opened("2026-11-29T12:00:00Z").as_deref(), Some("2026-11-27T23:30:00.000Z"));
        assert_eq!(opened("2026-11-29T23:30:00Z"), None);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_field() {
        check_refused(
            "0 2 * *",
            60,
            &expect![[
                r#"cron "0 2 * *" has 4 fields; it takes 5 (minute, hour, day of month, month, day of week) or one of @hourly, @daily, @weekly, @monthly, @yearly"#
            ]],
        );
        check_refused(
            "* * * * * *",
            60,
            &expect![[
                r#"cron "* * * * * *" has 6 fields; it takes 5 (minute, hour, day of month, month, day of week) or one of @hourly, @daily, @weekly, @monthly, @yearly"#
            ]],
        );
        check_refused(
            "61 * * * *",
            60,
            &expect![[r#"cron "61 * * * *": minutes: invalid digital value: 61"#]],
        );
        check_refused("0 25 * * *", 60, &expect![[r#"cron "0 25 * * *": hours: invalid digital value: 25"#]]);
        check_refused(
            "*/0 * * * *",
            60,
            &expect![[r#"cron "*/0 * * * *": minutes: invalid repeating pattern: */0"#]],
        );
        check_refused(
            "\u{1b}[2J * * * *",
            60,
            &expect![[r#"cron "\u{1b}[2J * * * *": minutes: invalid digital value: \u{1b}[2J"#]],
        );
        check_refused("@reboot", 60, &expect![[r#"cron "@reboot": invalid cron schedule: @reboot"#]]);
        check_refused("0 0 30 2 *", 60, &expect![[r#"cron "0 0 30 2 *" never comes"#]]);
        check_refused(
            "",
            60,
            &expect![[
                r#"cron "" has 0 fields; it takes 5 (minute, hour, day of month, month, day of week) or one of @hourly, @daily, @weekly, @monthly, @yearly"#
            ]],
        );
        check_refused("0 2 * * *", 0, &expect!["a window lasts from 1 second to 7 days, not 0 seconds"]);
        check_refused(
            "0 2 * * *",
            8 * 86_400,
            &expect!["a window lasts from 1 second to 7 days, not 691200 seconds"],
        );
    }

    #[test]
    fn at_the_ends_of_time_no_window_is_open_and_nothing_breaks() {
        let always = parsed("* * * * *", 86_400).unwrap();
        for ns in [i64::MIN, -1, 0, i64::MAX] {
            assert!(always.opened(Time::from_ns(ns)).is_none_or(|opened| opened <= Time::from_ns(ns)));
        }
        Windows::parse(&Schedule { cron: "* * * * *".into(), lasting_seconds: 1 }, Time::from_ns(i64::MAX))
            .unwrap_err();
    }
}
