//! Flags a container whose crashes, or requests for what the kernel lacks, make the kernel start helpers on the host.
//!
//! Gao et al., "Houdini's Escape" (CCS 2019), the class of exceptions: a core-dump handler or `modprobe` runs as root
//! outside every container. Not here: containers that crash and are restarted (`crash_loop.rs`).

use model::finding::Finding;
use state::{CostClass, Quantity};

use crate::Case;
use crate::resource::out_of_band::{self, SHARE_MIN, cost};

pub(crate) const ID: &str = "out_of_band_crash";

/// Crashes or module requests a second that no program in order makes.
const RATE_MIN: f64 = 2.0;

/// Shortest span judged, in seconds.
const SECONDS_MIN: f64 = 1.9;

/// CPU of helpers booked back to it from which somebody is harmed, in cores.
const ATTRIBUTED_CORES_MIN: f64 = 0.1;

/// Judges every container's crashes when the books of a second are closed.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    if case.closed_books().is_none() {
        return;
    }
    for account in case.running() {
        let Some(cost) = cost(account, CostClass::CrashHelpers) else { continue };
        let is_over = !cost.goes_on || cost.units_per_second < RATE_MIN;
        if is_over
            || cost.seconds < SECONDS_MIN
            || cost.share < SHARE_MIN
            || cost.attributed_cores < ATTRIBUTED_CORES_MIN
        {
            continue;
        }
        let spent = account.spent(5.0).unwrap_or_default();
        let claim = format!(
            "its crashes made the kernel start helpers on the host that used {:.2} cores, {:.1} times a second",
            cost.attributed_cores, cost.units_per_second
        );
        let bits = (9.0 + 8.0 * cost.attributed_cores).min(13.0);
        out.push(
            out_of_band::finding(case, account, ID, cost, bits)
                .claiming(claim)
                .with("crashes_per_second", spent.rate(Quantity::Crashes))
                .with("module_requests_per_second", spent.rate(Quantity::ModuleRequests)),
        );
    }
}
