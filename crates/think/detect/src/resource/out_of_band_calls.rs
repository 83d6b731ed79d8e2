//! Flags a container for which the engine spends CPU on calls: programs run in it without end, questions without end.
//!
//! Gao et al., "Houdini's Escape" (CCS 2019), the container-engine class. Not here: who may call the engine at all.

use model::finding::Finding;
use state::{CostClass, Quantity};

use crate::Case;
use crate::resource::out_of_band::{self, cost, is_sure};

pub(crate) const ID: &str = "out_of_band_calls";

/// Engine CPU for calls from which somebody is harmed, in cores. Less than for other classes: the runtime's own
/// processes, one or more a call, are not in it and cost several times as much.
const ATTRIBUTED_CORES_MIN: f64 = 0.06;

/// Calls a second from which it is no health check, no operator and no agent.
const CALLS_MIN: f64 = 4.0;

/// How many times its usual rate of calls is still usual.
const USUAL_FACTOR: f64 = 3.0;

/// Judges every container's calls when the books of a second are closed.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    if case.closed_books().is_none() {
        return;
    }
    for account in case.running() {
        let Some(cost) = cost(account, CostClass::EngineCalls).filter(|cost| is_sure(cost)) else { continue };
        let usual = case
            .state
            .usual(account.workload())
            .map_or(0.0, |usual| usual.mean(Quantity::EngineCalls) + usual.mean(Quantity::EngineExecs));
        let calls = cost.units_per_second;
        if cost.seconds < 2.0
            || calls < CALLS_MIN.max(USUAL_FACTOR * usual)
            || cost.attributed_cores < ATTRIBUTED_CORES_MIN
        {
            continue;
        }
        let claim = format!(
            "the container engine spent {:.2} cores on {calls:.0} calls a second that it made or that ran programs in it",
            cost.attributed_cores
        );
        // Calls beyond what anybody needs weigh by their number; the engine's own share of the cost is the lesser one.
        let bits = (5.0 + 2.0 * calls.log2()).clamp(8.0, 13.0);
        out.push(
            out_of_band::finding(case, account, ID, cost, bits)
                .claiming(claim)
                .with("calls_per_second", calls)
                .with("usual_calls_per_second", usual),
        );
    }
}
