//! Flags a source that has been down, silent or degraded for longer than a moment, and says which strategies lack it.
//!
//! T1562.001, T1562.006. A lead: engines are restarted, and some hosts lack what a source reads. Which strategies are blind
//! without it is added by the engine, which knows them. Not here: a thread of ours that ended (`dead_source.rs`).

use model::coverage::{Health, Source};
use model::finding::Finding;

use crate::Case;
use crate::integrity::unseen;

pub(crate) const ID: &str = "blind";

/// The kernel's view and our own readings do not go away while a host works: whoever takes one away has root. Prior.
const OWN_VIEW_BITS: f64 = 9.0;
/// An engine that stops to answer: an upgrade of Docker takes 3 to 20 s, one that hangs does not come back. Prior.
const ENGINE_BITS: f64 = 5.0;
/// A source that works in part, and worked wholly before. Prior.
const DEGRADED_BITS: f64 = 4.0;
/// A source that never worked here: how the host is, not what somebody did. Prior.
const NEVER_UP_BITS: f64 = 1.0;
/// It comes back for moments only, which an upgrade does not. Prior.
const FLAPPING_BITS: f64 = 2.0;
const FLAPS_MIN: u32 = 2;

/// Judges outages when they have lasted long enough.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    for outage in case.state.outages() {
        let is_own = matches!(outage.source, Source::Kernel | Source::Scan | Source::Cgroups | Source::Host);
        let bits = match (outage.was_up, outage.health) {
            (false, _) => NEVER_UP_BITS,
            (true, Health::Down) if is_own => OWN_VIEW_BITS,
            (true, Health::Down) => ENGINE_BITS,
            (true, _) => DEGRADED_BITS,
        };
        let is_flapping = outage.was_up && outage.flaps >= FLAPS_MIN;
        let bits = if is_flapping { bits + FLAPPING_BITS } else { bits };
        let how = match (outage.is_silent, outage.health, is_flapping) {
            (_, _, true) => format!("was lost {} times in a row", outage.flaps + 1),
            (true, _, _) => "reports to be well and delivers nothing".to_owned(),
            (_, Health::Down, _) => "delivers nothing".to_owned(),
            _ => "works in part".to_owned(),
        };
        let since = outage.since.rfc3339();
        out.push(
            unseen(case, ID, bits)
                .on_topic(&outage.source.name().into())
                .claiming(format!(
                    "blind: the source {} {how} since {since}: {}",
                    outage.source, outage.reason
                ))
                .with("source", outage.source.name())
                .with("silent_seconds", case.at().since(outage.since).as_secs_f64())
                .with("came_back_times", u64::from(outage.flaps))
                .with("reason", &outage.reason),
        );
    }
}
