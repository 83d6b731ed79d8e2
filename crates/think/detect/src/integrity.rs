//! Judges of Tidewatch itself: what it could not see, when it did not run, who interferes with it.
//!
//! A claim of this family is never lowered for a reason: no expectation, no approval and nothing learned covers it. Its weight
//! is never below that of what it can hide. Not here: noticing it, which is the rim's and the state's.

pub(crate) mod blind;

pub(crate) mod stopped;

pub(crate) mod killed;

pub(crate) mod flooded;

pub(crate) mod untracked;

pub(crate) mod dead_source;

pub(crate) mod probe_detached;

pub(crate) mod clock_stepped;

pub(crate) mod file_changed;

pub(crate) mod store_changed;

pub(crate) mod tampered;

pub(crate) mod refused;

use model::event::Body;
use model::finding::{Aspect, Family, Finding};
use model::integrity::Integrity;
use model::time::Time;
use model::untrusted::Untrusted;

use crate::Case;

/// Interference that has no benign twin, or whose twins are told apart: enough alone, as in provenance.
pub(crate) const ALONE_BITS: f64 = crate::provenance::ALONE_BITS;

/// Most names that one piece of evidence lists.
const NAMES_MAX: usize = 5;

/// What the observation tells of ourselves.
pub(crate) fn fact<'a>(case: &Case<'a>) -> Option<&'a Integrity> {
    match &case.seen.event.body {
        Body::Integrity(fact) => Some(fact),
        _ => None,
    }
}

/// A claim that something could not be seen.
pub(crate) fn unseen(case: &Case, judge: &'static str, bits: f64) -> Finding {
    Finding::about_node(&case.seen.event.node, judge, Family::Integrity, case.at(), bits)
}

/// A claim that somebody interfered with us; adds to what could not be seen for it.
pub(crate) fn interference(case: &Case, judge: &'static str, bits: f64) -> Finding {
    unseen(case, judge, bits).of_aspect(Aspect::Conduct)
}

/// Names in one line, the first few of them.
pub(crate) fn listed<'a>(names: impl Iterator<Item = &'a Untrusted>) -> Option<String> {
    let all: Vec<&Untrusted> = names.collect();
    let shown: Vec<String> = all.iter().take(NAMES_MAX).map(|name| name.to_string()).collect();
    let more = all.len().saturating_sub(NAMES_MAX);
    match (shown.is_empty(), more) {
        (true, _) => None,
        (false, 0) => Some(shown.join(", ")),
        (false, more) => Some(format!("{} and {more} more", shown.join(", "))),
    }
}

/// A span of time between two instants, for people: `2026-01-31 12:00:02 to 12:00:22 UTC`.
pub(crate) fn span(from: Time, until: Time) -> String {
    let clock = |at: Time| at.rfc3339().get(11..19).unwrap_or_default().to_owned();
    let day = from.rfc3339().get(..10).unwrap_or_default().to_owned();
    format!("{day} {} to {} UTC", clock(from), clock(until))
}
