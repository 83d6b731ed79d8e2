//! Flags a container that takes a large share of the host's CPU without any history that makes it usual.
//!
//! The cold start: judged by the share of the host and by provenance, so it needs no history. Not here: records
//! against a workload's own baseline (`record.rs`), and a known workload that starts burning (`hijack.rs`). Excess
//! alone never opens an incident; busy is not an attack.

use model::event::Body;
use model::finding::{Family, Finding};
use model::novelty::{Provenance, Rate};

use crate::Case;

pub(crate) const ID: &str = "excess";

/// CPU below which nothing is said, in cores: nine tenths of one core, what one busy loop takes.
const CORES_MIN: f64 = 0.85;

/// The same as a share of the host, for hosts where a core is much.
const HOST_SHARE_MIN: f64 = 0.4;

/// Where the host has next to nothing left, a busy loop gets less than a core: it must do for this many cores and
/// this share of the host.
const CONTENDED_CORES_MIN: f64 = 0.4;
const CONTENDED_HOST_SHARE_MIN: f64 = 0.2;

/// Share of the host's cores in use from which it has next to nothing left.
const CONTENDED_FROM: f64 = 0.9;

/// Shortest span judged, in seconds: starting up is busy, and over.
const SECONDS_MIN: f64 = 4.5;

/// How many times the usual CPU is still usual.
const USUAL_FACTOR: f64 = 1.5;

/// Judges a reading of a container's cgroup.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    let Body::Usage(usage) = &case.seen.event.body else { return };
    let Some(rate) = case.novelty.cpu_cores else { return };
    let Some(account) = case.state.account(usage.cgroup) else { return };
    let host_cores = case.state.host().map_or(1.0, |host| f64::from(host.cores.max(1)));
    let busy_cores = case.state.host().map_or(0.0, |host| host.busy_cores);
    if !is_large(rate.now, busy_cores, host_cores) || !account.is_running() || is_usual(&rate) {
        return;
    }
    let Some(spent) = account.spent(SECONDS_MIN + 0.5) else { return };
    let Some(bits) = bits(case.novelty.provenance).filter(|_| spent.seconds >= SECONDS_MIN) else { return };
    let share = rate.now / host_cores;
    let claim = format!(
        "it used {:.2} of the host's {host_cores} cores for {:.0} seconds; {}",
        rate.now,
        spent.seconds,
        history(&rate)
    );
    let limit = usage.cpu_limit_cores.map(f64::from);
    let mut finding = Finding::about(account.container(), ID, Family::Resource, case.seen.event.time, bits)
        .claiming(claim)
        .explainable("own_cpu_cores", rate.now)
        .with("own_cpu_cores", rate.now)
        .with("host_cores", host_cores)
        .with("host_share", share)
        .with("window_seconds", spent.seconds);
    if let Some(usual) = rate.usual {
        finding = finding.with("usual_cpu_cores", usual);
    }
    out.push(
        finding.with("cpu_limit_cores", limit.map_or_else(|| "none".into(), model::finding::Value::from)),
    );
}

fn is_large(cores: f64, busy_cores: f64, host_cores: f64) -> bool {
    let share = cores / host_cores;
    let is_contended = busy_cores >= CONTENDED_FROM * host_cores;
    cores >= CORES_MIN
        || share >= HOST_SHARE_MIN
        || (is_contended && cores >= CONTENDED_CORES_MIN && share >= CONTENDED_HOST_SHARE_MIN)
}

fn is_usual(rate: &Rate) -> bool {
    rate.usual.is_some_and(|usual| rate.now <= usual * USUAL_FACTOR)
}

/// Provenance decides what a busy loop is worth: what nobody approved has no reason to be busy. `None` while
/// provenance is not known.
fn bits(provenance: Provenance) -> Option<f64> {
    match provenance {
        Provenance::Pending => None,
        Provenance::Unclaimed | Provenance::Unapproved => Some(8.0),
        Provenance::ImageApproved => Some(4.0),
        Provenance::Approved => Some(2.0),
    }
}

fn history(rate: &Rate) -> String {
    match rate.usual {
        Some(usual) => format!("its workload usually takes {usual:.2}"),
        None => "its workload has no history here".to_owned(),
    }
}
