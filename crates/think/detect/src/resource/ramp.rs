//! Flags what rises so slowly that no second of it stands out: CPU within a minute, anything within minutes to weeks.
//!
//! Slow ramps are invisible at 15 s to every detector and near-certain at an hour (ALGORITHMS §2.5), so each resolution of a
//! series has its own record bank, and the first week stays as an anchor. Not here: spikes (`record.rs`, `excess.rs`).

use std::time::Duration;

use model::finding::Finding;
use model::novelty::Provenance;
use state::series::resolution::Resolution;
use state::{Account, Growth, Quantity};

use crate::Case;
use crate::resource::record;

pub(crate) const ID: &str = "ramp";

/// Span of the fast ramp, the least of it that must have been seen, and the parts it is cut into.
const WINDOW: Duration = Duration::from_secs(60);
const SECONDS_MIN: f64 = 24.0;
const PARTS: usize = 5;

/// Rise of own CPU within it, in cores or as a share of the host.
const CORES_MIN: f64 = 0.4;
const HOST_SHARE_MIN: f64 = 0.2;

/// Most of the rise that one step from part to part may be: more is no ramp but a start.
const STEP_SHARE_MAX: f64 = 0.5;

/// How many times the highest known second of the workload it must reach.
const PEAK_FACTOR: f64 = 1.5;

/// What nobody approved has no reason to rise; what rises over hours has had the time to be explained.
const UNAPPROVED_BITS: f64 = 8.0;
const APPROVED_BITS: f64 = 3.0;
const SLOW_BITS: f64 = 2.0;

/// Judges every container, and every record of the slower resolutions, when the books of a second are closed.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    let Some(host) = case.closed_books() else { return };
    let cores_min = CORES_MIN.min(HOST_SHARE_MIN * f64::from(host.cores.max(1)));
    for account in case.running() {
        if let Some(growth) = rising(case, account, cores_min) {
            out.extend(fast(case, account, &growth));
        }
    }
    for record in case.state.records().iter().filter(|record| record.excess.resolution != Resolution::Fast) {
        if let Some((account, bits)) = record::culprit(case, record) {
            out.push(record::finding(case, account, record, (ID, bits + SLOW_BITS)));
        }
    }
}

/// A rise in every part of the last minute.
fn rising(case: &Case, account: &Account, cores_min: f64) -> Option<Growth> {
    let parts: [f64; PARTS] = account.cpu().parts(WINDOW)?;
    let rise = parts[PARTS - 1] - parts[0];
    let steps = || parts.windows(2).map(|pair| pair[1] - pair[0]);
    let is_steady = steps().all(|step| step > 0.0 && step <= STEP_SHARE_MAX * rise);
    let peak = case.state.usual(account.workload()).map_or(0.0, |usual| usual.peak(Quantity::OwnCpu));
    let is_ramp = rise >= cores_min && is_steady && parts[PARTS - 1] >= PEAK_FACTOR * peak;
    let growth = account.cpu().growth(WINDOW).filter(|growth| growth.seconds >= SECONDS_MIN)?;
    is_ramp.then_some(Growth { by: rise, ..growth })
}

fn fast(case: &Case, account: &Account, growth: &Growth) -> Option<Finding> {
    let bits = match account.provenance() {
        Provenance::Pending => return None,
        Provenance::Unclaimed | Provenance::Unapproved => UNAPPROVED_BITS,
        Provenance::ImageApproved | Provenance::Approved => APPROVED_BITS,
    };
    let claim = format!(
        "its CPU rose by {:.2} cores within {:.0} seconds, step by step, to {:.2}",
        growth.by, growth.seconds, growth.now
    );
    let finding = case
        .resource(account, ID, bits)
        .claiming(claim)
        .explainable("own_cpu_cores", growth.now)
        .with("own_cpu_cores", growth.now);
    Some(finding.with("risen_cores", growth.by).with("window_seconds", growth.seconds))
}
