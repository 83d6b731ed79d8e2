//! Flags a container that burns all the CPU its limit allows, for so long that it is no burst: a miner under a quota
//! looks small in every chart.
//!
//! Not here: containers without a limit (`excess.rs`), and a workload that always runs into its limit.

use std::time::Duration;

use model::finding::Finding;
use model::novelty::Provenance;
use state::Quantity;

use crate::Case;

pub(crate) const ID: &str = "hidden_burn";

/// How long it must hit its limit without a pause; half of that for what nobody approved.
const HELD_MIN: Duration = Duration::from_secs(60);
const HELD_MIN_UNAPPROVED: Duration = Duration::from_secs(5);

/// Share of its limit that it uses.
const LIMIT_SHARE_MIN: f64 = 0.8;

/// Limit below which the burn is worth nothing to anybody, in cores.
const LIMIT_CORES_MIN: f64 = 0.1;

/// Share of its periods in which the workload usually hits the limit, from which that is normal for it.
const USUAL_SHARE: f64 = 0.1;

/// What nobody approved has no reason to be busy.
const UNAPPROVED_BITS: f64 = 8.0;
const APPROVED_BITS: f64 = 3.0;

/// Judges every container with a limit when the books of a second are closed.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    if case.closed_books().is_none() {
        return;
    }
    for account in case.running() {
        let (held_min, bits) = match account.provenance() {
            Provenance::Pending => continue,
            Provenance::Unclaimed | Provenance::Unapproved => (HELD_MIN_UNAPPROVED, UNAPPROVED_BITS),
            Provenance::ImageApproved | Provenance::Approved => (HELD_MIN, APPROVED_BITS),
        };
        let held = account.throttled_for(case.at());
        let Some(limit) = account.usage().and_then(|usage| usage.cpu_limit_cores).map(f64::from) else {
            continue;
        };
        let Some(spent) = account.spent(5.0).filter(|_| held >= held_min && limit >= LIMIT_CORES_MIN) else {
            continue;
        };
        let usual = case.state.usual(account.workload()).map_or(0.0, |usual| {
            usual.mean(Quantity::ThrottledPeriods) / usual.mean(Quantity::Periods).max(1e-6)
        });
        if spent.own_cores() < LIMIT_SHARE_MIN * limit || usual >= USUAL_SHARE {
            continue;
        }
        let throttled = spent.of(Quantity::ThrottledPeriods) / spent.of(Quantity::Periods).max(1.0);
        let claim = format!(
            "it has used all of the {limit:.2} cores it may for {} seconds, held back in {:.0} % of the time",
            held.as_secs(),
            100.0 * throttled
        );
        out.push(
            case.resource(account, ID, bits)
                .claiming(claim)
                .explainable("own_cpu_cores", spent.own_cores())
                .with("own_cpu_cores", spent.own_cores())
                .with("cpu_limit_cores", limit)
                .with("throttled_share", throttled)
                .with("usual_throttled_share", usual)
                .with("held_seconds", held.as_secs()),
        );
    }
}
