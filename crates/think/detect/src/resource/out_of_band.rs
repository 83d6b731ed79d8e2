//! What the judges of out-of-band cost share: when a cost is material, and how much it weighs.
//!
//! Not here: any class of its own, see the files beside this one.

use model::finding::Finding;
use state::{Account, Cost, CostClass};

use crate::Case;

/// CPU of others booked back to one container below which nobody is harmed, in cores (ALGORITHMS: materiality gate).
pub(crate) const ATTRIBUTED_CORES_MIN: f64 = 0.25;

/// Share of all that drives the cost below which the booking is a guess.
pub(crate) const SHARE_MIN: f64 = 0.3;

/// Shortest span judged, in seconds: `/proc/PID/stat` counts in 10 ms ticks, so half a second is good to 4 %.
const SECONDS_MIN: f64 = 0.5;

/// The cost of a class for a container.
pub(crate) fn cost(account: &Account, class: CostClass) -> Option<&Cost> {
    account.costs().iter().find(|cost| cost.class == class)
}

/// Whether the booking is sure enough, over long enough, and still goes on.
pub(crate) fn is_sure(cost: &Cost) -> bool {
    cost.seconds >= SECONDS_MIN && cost.goes_on && cost.share >= SHARE_MIN
}

/// Material cost weighs up to 8 bits (at half a core or more), its disproportion to the container's own CPU up to
/// 5: together above what one incident needs, for a container that metrics call idle while a core burns.
pub(crate) fn bits(attributed_cores: f64, own_cores: f64) -> f64 {
    let material = 8.0 * (attributed_cores / 0.5).min(1.0);
    let ratio = attributed_cores / own_cores.max(0.01);
    material + (ratio.log2() / 1.3).clamp(0.0, 5.0)
}

/// A finding with the arithmetic of the booking. Cost that others pay is harm by itself: it is no oddity of the
/// container but a loss of theirs.
pub(crate) fn finding(
    case: &Case,
    account: &Account,
    judge: &'static str,
    cost: &Cost,
    bits: f64,
) -> Finding {
    let mut finding = case
        .resource(account, judge, bits)
        .with("own_cpu_cores", cost.own_cores)
        .with("pool_cpu_cores", cost.pool_cores)
        .with("attributed_cpu_cores", cost.attributed_cores)
        .with("attribution_share", cost.share)
        .with("window_seconds", cost.seconds);
    finding.harm = true;
    finding
}
