//! Instants on the wall clock, as nanoseconds since the Unix epoch.
//!
//! Not here: reading a clock. Time reaches the pure core only inside events.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A wall-clock instant in nanoseconds since the Unix epoch (covers the years 1970 to 2262).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Time(i64);

/// Text that is neither RFC 3339 nor Unix seconds.
#[derive(Debug, thiserror::Error)]
#[error("{text:?} is not a time: give RFC 3339 (2026-01-31T12:00:00Z) or Unix seconds")]
pub struct TimeParseError {
    text: String,
}

impl Time {
    /// The instant `ns` nanoseconds after the Unix epoch.
    pub const fn from_ns(ns: i64) -> Self {
        Self(ns)
    }

    /// The instant `secs` seconds after the Unix epoch.
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1_000_000_000))
    }

    /// Nanoseconds since the Unix epoch.
    pub const fn ns(self) -> i64 {
        self.0
    }

    /// Time passed since `earlier`; zero when the clock went backwards.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// This instant moved forward, saturating at the end of time.
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span_ns(span)))
    }

    /// This instant moved back, saturating at the beginning of time.
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(span_ns(span)))
    }

    /// RFC 3339 in UTC with milliseconds: `2026-01-31T12:00:00.000Z`.
    pub fn rfc3339(self) -> String {
        // PANIC: every i64 of nanoseconds lies within the years jiff represents (-9999 to 9999).
        let stamp = jiff::Timestamp::from_nanosecond(i128::from(self.0)).expect("within range");
        format!("{stamp:.3}")
    }

    /// Parses RFC 3339, or Unix seconds with an optional fraction.
    pub fn parse(text: &str) -> Result<Self, TimeParseError> {
        let error = || TimeParseError { text: text.chars().take(64).collect() };
        if let Ok(secs) = text.parse::<f64>() {
            // Whole microseconds: a float of today's Unix seconds carries no more.
            let in_range = (0.0..9.2e9).contains(&secs);
            return if in_range { Ok(Self((secs * 1e6).round() as i64 * 1000)) } else { Err(error()) };
        }
        let stamp: jiff::Timestamp = text.parse().map_err(|_| error())?;
        i64::try_from(stamp.as_nanosecond()).map(Self).map_err(|_| error())
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rfc3339())
    }
}

fn span_ns(span: Duration) -> i64 {
    i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_and_unix_seconds_mean_the_same_instant() {
        let time = Time::parse("2026-01-31T12:00:00.250Z").unwrap();
        assert_eq!(time, Time::parse("1769860800.25").unwrap());
        assert_eq!(time.rfc3339(), "2026-01-31T12:00:00.250Z");
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        for text in ["", "yesterday", "NaN", "-1", "1e300", "2026-13-01T00:00:00Z"] {
            assert!(Time::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Time::from_secs(1).since(Time::from_secs(2)), Duration::ZERO);
        assert_eq!(Time::from_ns(i64::MAX).plus(Duration::MAX), Time::from_ns(i64::MAX));
    }
}
