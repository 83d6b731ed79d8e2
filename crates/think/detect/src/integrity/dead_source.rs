//! Flags a thread of ours that ended unasked, and one that has not reported within its deadline.
//!
//! T1562.001. What it delivered is missing until it runs again, whatever its source reported last. Twins: a loaded
//! host makes threads late for seconds. Not here: a source that says itself that it is down (`blind.rs`).

use model::finding::Finding;
use model::integrity::Integrity;

use crate::Case;
use crate::integrity::{ALONE_BITS, fact, unseen};

pub(crate) const ID: &str = "dead_source";

/// It is gone, and so is everything it would have seen meanwhile. By a bug of ours or by what somebody fed it: both need a
/// person now.
const DIED_BITS: f64 = ALONE_BITS;
/// Overdue for seconds, for half a minute, for minutes: a call that never returns is what a hostile file system does. Prior.
const LATE_BITS: f64 = 3.0;
const OVERDUE_BITS: f64 = 6.0;
const HUNG_BITS: f64 = 9.0;
const OVERDUE_MS: u64 = 10_000;
const HUNG_MS: u64 = 60_000;

/// Judges what the rim tells of its threads.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    match fact(case) {
        Some(Integrity::Died { thread, reason }) => {
            let why = if reason.is_empty() { "it returned".to_owned() } else { reason.to_string() };
            let claim = format!(
                "the thread {thread} of Tidewatch ended: {why}; what it delivers is missing until it runs again"
            );
            let finding = unseen(case, ID, DIED_BITS).on_topic(thread).claiming(claim);
            out.push(finding.with("thread", thread).with("reason", reason));
        }
        Some(Integrity::Overdue { thread, silent_ms }) => {
            let bits = match *silent_ms {
                HUNG_MS.. => HUNG_BITS,
                OVERDUE_MS..HUNG_MS => OVERDUE_BITS,
                _ => LATE_BITS,
            };
            let seconds = *silent_ms as f64 / 1e3;
            let claim = format!(
                "{thread} has not reported for {seconds:.1} s: something that it asked does not answer"
            );
            let finding = unseen(case, ID, bits).on_topic(thread).claiming(claim);
            out.push(finding.with("thread", thread).with("silent_seconds", seconds));
        }
        _ => {}
    }
}
