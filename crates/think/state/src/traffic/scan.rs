//! Scans: first contacts that fail more often than honest ones do, and how many destinations a workload reaches.
//!
//! The first is Threshold Random Walk (Jung et al., S&P 2004). Whoever mixes in contacts that succeed evades it ("Limitations to
//! Threshold Random Walk"), so there is the second. Not here: what is usual for a workload.

use std::time::Duration;

use model::time::Time;
use serde::{Deserialize, Serialize};

use crate::traffic::distinct::Distinct;

/// Evidence of a contact that failed, in nats: ln(0.6 / 0.1), the share that fails of a scanner's over that of honest ones.
const FAILED: f64 = 1.791_759_469_228_055;

/// Evidence of one that was made: ln(0.4 / 0.9).
const MADE: f64 = -0.810_930_216_216_328_8;

/// From here on it is a scan: ln(0.99 / 0.00001), one false decision in 100,000, one scanner in a hundred missed.
const UPPER: f64 = 11.502_875_129_116_728;

/// From here down it is none: ln(0.01 / 0.99999).
const LOWER: f64 = -4.605_160_185_938_091;

/// Over how long destinations are counted.
const WINDOW: Duration = Duration::from_secs(600);

/// Wald's sequential test on first contacts: 16 bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scan {
    /// Evidence in nats.
    evidence: f64,
    /// Since the test began.
    contacts: u32,
    failed: u32,
}

/// What the test says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not decided yet.
    Open,
    /// As honest contacts go; the test begins anew.
    Usual,
    /// A scan; it stays one with every contact that fails, until enough were made.
    Scan,
}

impl Scan {
    /// Takes how a first contact with a destination went.
    pub fn take(&mut self, failed: bool) -> Verdict {
        self.contacts = self.contacts.saturating_add(1);
        self.failed = self.failed.saturating_add(u32::from(failed));
        self.evidence += if failed { FAILED } else { MADE };
        if self.evidence <= LOWER {
            *self = Self::default();
            return Verdict::Usual;
        }
        if self.evidence < UPPER {
            return Verdict::Open;
        }
        // No more than the bound: a scan that is long over must not need as long to be forgotten.
        self.evidence = UPPER;
        Verdict::Scan
    }

    /// First contacts since the test began.
    pub fn contacts(&self) -> u32 {
        self.contacts
    }

    /// Those of them that failed.
    pub fn failed(&self) -> u32 {
        self.failed
    }
}

/// How many different destinations are reached in ten minutes: 72 bytes. Windows begin at whole ten minutes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FanOut {
    /// The window's number since the epoch.
    window: i64,
    destinations: Distinct,
}

impl FanOut {
    /// Takes a contact with a destination, by [`Salt::hash`](crate::traffic::distinct::Salt::hash) of it; gives back the count
    /// of the window before, when this is the first of another.
    pub fn take(&mut self, at: Time, destination: u64) -> Option<f64> {
        let ended = self.close(at);
        self.destinations.insert(destination);
        ended
    }

    /// The count of the window that has ended by now, once.
    pub fn close(&mut self, now: Time) -> Option<f64> {
        let window = window(now);
        // One window back is a contact told late; further back, the clock was set.
        if window == self.window || window == self.window - 1 {
            return None;
        }
        self.window = window;
        let ended = std::mem::take(&mut self.destinations);
        (!ended.is_empty()).then(|| ended.count())
    }

    /// Different destinations in the current window so far.
    pub fn count(&self, now: Time) -> f64 {
        if window(now) > self.window { 0.0 } else { self.destinations.count() }
    }
}

fn window(at: Time) -> i64 {
    at.ns().div_euclid(WINDOW.as_nanos() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::distinct::Salt;

    #[test]
    fn the_bounds_are_those_of_the_test() {
        let (honest, scanner, false_share, missed_share) = (0.1_f64, 0.6_f64, 1e-5_f64, 0.01_f64);
        assert!((FAILED - (scanner / honest).ln()).abs() < 1e-9);
        assert!((MADE - ((1.0 - scanner) / (1.0 - honest)).ln()).abs() < 1e-9);
        assert!((UPPER - ((1.0 - missed_share) / false_share).ln()).abs() < 1e-9);
        assert!((LOWER - (missed_share / (1.0 - false_share)).ln()).abs() < 1e-9);
    }

    #[test]
    fn seven_failures_in_a_row_are_a_scan_and_six_are_not() {
        let mut scan = Scan::default();
        let verdicts: Vec<Verdict> = (0..7).map(|_| scan.take(true)).collect();
        assert_eq!((verdicts[5], verdicts[6]), (Verdict::Open, Verdict::Scan));
        assert_eq!((scan.contacts(), scan.failed()), (7, 7));
    }

    #[test]
    fn honest_contacts_begin_the_test_anew() {
        let mut scan = Scan::default();
        let verdicts: Vec<Verdict> = (0..6).map(|_| scan.take(false)).collect();
        assert_eq!(verdicts[5], Verdict::Usual);
        assert_eq!(scan, Scan::default());
    }

    #[test]
    fn a_scan_is_over_when_enough_contacts_were_made() {
        let mut scan = Scan::default();
        let all = (0..1_000).filter(|_| scan.take(true) == Verdict::Scan).count();
        assert_eq!(all, 994);
        let made = (0..100).take_while(|_| scan.take(false) != Verdict::Usual).count();
        assert_eq!(made, 19);
    }

    #[test]
    fn both_are_as_small_as_they_say() {
        assert_eq!((size_of::<Scan>(), size_of::<FanOut>()), (16, 72));
    }

    #[test]
    fn destinations_are_counted_once_and_by_window() {
        let (mut fan_out, salt) = (FanOut::default(), Salt::new(1));
        let at = |seconds: i64| Time::from_secs(1_700_000_400 + seconds);
        for second in 0..500_i64 {
            assert_eq!(fan_out.take(at(second), salt.hash(&(second % 20).to_le_bytes())), None);
        }
        assert!((fan_out.count(at(500)) - 20.0).abs() < 4.0, "{}", fan_out.count(at(500)));
        let ended = fan_out.take(at(600), salt.hash(b"another")).unwrap();
        assert!((ended - 20.0).abs() < 4.0, "{ended}");
        assert_eq!(fan_out.count(at(600)).round(), 1.0);
        assert_eq!(fan_out.take(at(599), salt.hash(b"late")), None);
        assert_eq!(fan_out.count(at(1_200)), 0.0);
        assert_eq!(fan_out.close(at(1_200)).map(f64::round), Some(2.0));
        assert_eq!(fan_out.close(at(9_999)), None);
    }

    #[test]
    fn a_clock_that_is_set_back_begins_another_window() {
        let mut fan_out = FanOut::default();
        fan_out.take(Time::from_ns(i64::MAX), 1);
        assert!(fan_out.take(Time::from_ns(i64::MIN), 2).is_some());
        assert!(fan_out.count(Time::from_ns(i64::MIN)) > 0.0);
    }
}
