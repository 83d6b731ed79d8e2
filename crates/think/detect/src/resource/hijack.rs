//! Flags a workload known here that starts to burn CPU as it never did, most of all right after a program it never ran.
//!
//! T1496.001, in a container that everybody trusts. Two things that do not depend on each other must be new at once: what
//! it spends and what it runs. Not here: workloads without history (`excess.rs`).

use std::time::Duration;

use model::finding::Finding;
use state::{Account, Quantity, Usual};

use crate::Case;

pub(crate) const ID: &str = "hijack";

/// CPU from which somebody has something of it, in cores, or as a share of the host.
const CORES_MIN: f64 = 0.7;
const HOST_SHARE_MIN: f64 = 0.3;

/// How many times its mean and its highest second it must use.
const MEAN_FACTOR: f64 = 6.0;
const PEAK_FACTOR: f64 = 1.5;

/// Shortest span judged, in seconds.
const SECONDS_MIN: f64 = 3.5;

/// How long before the burn a new program may have started to be its cause.
const STRANGER_WITHIN: Duration = Duration::from_secs(60);

/// Both new at once, and the burn alone.
const STRANGER_BITS: f64 = 13.0;
const BURN_BITS: f64 = 6.0;

/// Judges every container when the books of a second are closed.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    let Some(host) = case.closed_books() else { return };
    let cores_min = CORES_MIN.min(HOST_SHARE_MIN * f64::from(host.cores.max(1))).max(0.25);
    for account in case.running() {
        let is_trusted = account.provenance().is_approved();
        let Some(usual) = case.state.usual(account.workload()).filter(|_| is_trusted) else { continue };
        let Some(spent) = account.spent(SECONDS_MIN + 0.5) else { continue };
        let cores = spent.own_cores();
        if spent.seconds >= SECONDS_MIN && cores >= cores_min && is_unheard_of(cores, usual) {
            out.push(finding(case, account, usual, cores));
        }
    }
}

fn is_unheard_of(cores: f64, usual: &Usual) -> bool {
    cores >= MEAN_FACTOR * usual.mean(Quantity::OwnCpu) && cores >= PEAK_FACTOR * usual.peak(Quantity::OwnCpu)
}

fn finding(case: &Case, account: &Account, usual: &Usual, cores: f64) -> Finding {
    let (mean, peak) = (usual.mean(Quantity::OwnCpu), usual.peak(Quantity::OwnCpu));
    let stranger = account.stranger().filter(|(at, _)| case.at().since(*at) <= STRANGER_WITHIN);
    let burn = format!("a workload that takes {mean:.2} cores, {peak:.2} at most, uses {cores:.2}");
    let (bits, claim) = match stranger {
        Some((at, name)) => {
            let ago = case.at().since(at).as_secs();
            (STRANGER_BITS, format!("{burn}, {ago} s after it ran {name}, which it never did before"))
        }
        None => (BURN_BITS, burn),
    };
    let finding = case
        .resource(account, ID, bits)
        .claiming(claim)
        .explainable("own_cpu_cores", cores)
        .with("own_cpu_cores", cores)
        .with("usual_cpu_cores", mean)
        .with("peak_cpu_cores", peak)
        .with("history_seconds", usual.history().as_secs());
    match stranger {
        Some((_, name)) => finding.with("new_program", name),
        None => finding,
    }
}
