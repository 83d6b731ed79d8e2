//! Flags a container that makes the host's logger (journald, syslog) spend CPU on what it writes.
//!
//! Gao et al., "Houdini's Escape" (CCS 2019), the class of system logging. Not here: the engine's part in it
//! (`out_of_band_log.rs`).

use model::finding::Finding;
use state::CostClass;

use crate::Case;
use crate::resource::out_of_band::{self, ATTRIBUTED_CORES_MIN, bits, cost, is_sure};

pub(crate) const ID: &str = "out_of_band_syslog";

/// How many times its own CPU the logger must spend for it: below, the cost is in band.
const RATIO_MIN: f64 = 1.2;

/// Judges every container's cost to the logger when the books of a second are closed.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    if case.closed_books().is_none() {
        return;
    }
    for account in case.running() {
        let Some(cost) = cost(account, CostClass::SystemLog).filter(|cost| is_sure(cost)) else { continue };
        if cost.attributed_cores < ATTRIBUTED_CORES_MIN || cost.attributed_cores < RATIO_MIN * cost.own_cores
        {
            continue;
        }
        let claim = format!(
            "its own cgroup used {:.3} of a core, while the host's logger spent {:.2} cores on what it wrote, {:.2} MB a \
             second",
            cost.own_cores,
            cost.attributed_cores,
            cost.units_per_second / 1e6
        );
        let bits = bits(cost.attributed_cores, cost.own_cores);
        out.push(
            out_of_band::finding(case, account, ID, cost, bits)
                .claiming(claim)
                .with("written_bytes_per_second", cost.units_per_second.round()),
        );
    }
}
