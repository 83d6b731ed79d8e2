//! Flags a container that makes the engine spend CPU on copying its log, while its own cgroup looks idle.
//!
//! Gao et al., "Houdini's Escape" (CCS 2019), the container-engine class; `docker run busybox yes` is the case.
//! Not here: the other classes of out-of-band cost, and how fast the disk fills.

use model::event::Body;
use model::finding::{Family, Finding};
use state::{Account, LogCost};

use crate::Case;

pub(crate) const ID: &str = "out_of_band_log";

/// Engine CPU booked back to one container below which nobody is harmed, in cores (ALGORITHMS: materiality gate).
const ATTRIBUTED_CORES_MIN: f64 = 0.25;

/// How many times its own CPU others must spend for it: below, the cost is in band and container metrics show it.
const RATIO_MIN: f64 = 3.0;

/// Share of all log bytes below which the booking is a guess.
const SHARE_MIN: f64 = 0.3;

/// Shortest span judged, in seconds: `/proc/PID/stat` counts in 10 ms ticks, so half a second is good to 4 %.
const SECONDS_MIN: f64 = 0.5;

/// Judges every container's log cost when the books of a second are closed.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    if !matches!(case.seen.event.body, Body::Host(_)) {
        return;
    }
    for account in case.state.accounts().filter(|account| account.is_running()) {
        let Some(cost) = case.state.log_cost(account.container().key.cgroup) else { continue };
        if is_out_of_band(&cost) {
            out.push(finding(case, account, &cost));
        }
    }
}

fn is_out_of_band(cost: &LogCost) -> bool {
    cost.seconds >= SECONDS_MIN
        && cost.log_bytes_last_second > 0.0
        && cost.share >= SHARE_MIN
        && cost.attributed_cores >= ATTRIBUTED_CORES_MIN
        && cost.attributed_cores >= RATIO_MIN * cost.own_cores
}

/// Material cost weighs up to 8 bits (at half a core or more), its disproportion to the container's own CPU up to
/// 5: together above what one incident needs, for a container that metrics call idle while a core burns.
fn bits(cost: &LogCost) -> f64 {
    let material = 8.0 * (cost.attributed_cores / 0.5).min(1.0);
    let ratio = cost.attributed_cores / cost.own_cores.max(0.01);
    material + (ratio.log2() / 1.3).clamp(0.0, 5.0)
}

fn finding(case: &Case, account: &Account, cost: &LogCost) -> Finding {
    let claim = format!(
        "its own cgroup used {:.3} of a core, while the container engine spent {:.2} cores copying its output \
         and its log grew by {:.1} MB a second",
        cost.own_cores,
        cost.attributed_cores,
        cost.log_bytes_per_second / 1e6
    );
    let engine_idle = case.state.host().map_or(0.0, |host| host.engine_idle_cores);
    let facts = account.container().facts.known();
    let mut finding =
        Finding::about(account.container(), ID, Family::Resource, case.seen.event.time, bits(cost))
            .claiming(claim)
            .with("own_cpu_cores", cost.own_cores)
            .with("engine_cpu_cores", cost.engine_cores)
            .with("engine_idle_cpu_cores", engine_idle)
            .with("attributed_cpu_cores", cost.attributed_cores)
            .with("attribution_share", cost.share)
            .with("log_bytes_per_second", cost.log_bytes_per_second.round())
            .with("window_seconds", cost.seconds);
    if let Some(facts) = facts {
        finding = finding.with("log_driver", &facts.log_driver);
        if let Some(path) = &facts.log_path {
            finding = finding.with("log_path", path);
        }
    }
    // Cost that others pay is harm by itself: it is not an oddity of the container but a loss of theirs.
    finding.harm = true;
    finding
}
