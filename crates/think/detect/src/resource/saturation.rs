//! Flags harm: the host's tasks wait for CPU, memory or I/O, and says which container causes it, if one does.
//!
//! Levels are those of ALGORITHMS §1.3, untested defaults. Not here: throttling below a container's own limit,
//! which pressure cannot tell from starvation by neighbours.

use model::event::Body;
use model::finding::{Family, Finding};
use model::usage::{Pressure, Pressures};
use state::{Account, HostSpent};

use crate::Case;

pub(crate) const ID: &str = "saturation";

/// Share of time in which some task waited for CPU, in percent over 10 s.
const CPU_SOME_PERCENT: f32 = 20.0;
/// Share of time in which all tasks waited for memory, in percent over 10 s.
const MEMORY_FULL_PERCENT: f32 = 5.0;
/// Share of time in which all tasks waited for I/O, in percent over 10 s.
const IO_FULL_PERCENT: f32 = 20.0;

/// Share of what is spent above usual that makes one container the culprit.
const CULPRIT_SHARE_MIN: f64 = 0.5;
/// CPU above usual below which nobody is a culprit, in cores.
const CULPRIT_CORES_MIN: f64 = 0.25;

/// Harm with a clear culprit.
const CULPRIT_BITS: f64 = 3.0;
/// Harm that no container is to blame for: told, weighed little.
const NODE_BITS: f64 = 2.0;

/// Judges the host's pressure when the books of a second are closed.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    if !matches!(case.seen.event.body, Body::Host(_)) {
        return;
    }
    let Some(host) = case.state.host() else { return };
    let Some((resource, percent)) = harm(&host.pressures) else { return };
    let at = case.seen.event.time;
    let mut finding = match culprit(case, host) {
        Some((account, cores, share)) => {
            let claim = format!(
                "tasks on the host wait for {resource} {percent:.0} % of the time, and it causes {:.0} % of what is \
                 spent above usual",
                share * 100.0
            );
            Finding::about(account.container(), ID, Family::Resource, at, CULPRIT_BITS)
                .claiming(claim)
                .with("true_cpu_cores", cores)
                .with("culprit_share", share)
        }
        None => {
            let claim = format!(
                "tasks on the host wait for {resource} {percent:.0} % of the time; no single container causes it"
            );
            Finding::about_node(&case.seen.event.node, ID, Family::Resource, at, NODE_BITS).claiming(claim)
        }
    };
    finding.harm = true;
    out.push(
        finding
            .with("resource", resource)
            .with("pressure_percent", f64::from(percent))
            .with("host_busy_cores", host.busy_cores),
    );
}

fn harm(pressures: &Pressures) -> Option<(&'static str, f32)> {
    let above = |pressure: &Option<Pressure>, pick: fn(&Pressure) -> f32, level: f32| {
        pressure.as_ref().map(pick).filter(|percent| *percent >= level)
    };
    let memory = above(&pressures.memory, |p| p.full_avg10_percent, MEMORY_FULL_PERCENT);
    let io = above(&pressures.io, |p| p.full_avg10_percent, IO_FULL_PERCENT);
    let cpu = above(&pressures.cpu, |p| p.some_avg10_percent, CPU_SOME_PERCENT);
    memory
        .map(|percent| ("memory", percent))
        .or(io.map(|percent| ("block I/O", percent)))
        .or(cpu.map(|percent| ("CPU", percent)))
}

/// The container that spends most above its usual, with what it makes others spend, if that is most of it all.
fn culprit<'a>(case: &Case<'a>, host: &HostSpent) -> Option<(&'a Account, f64, f64)> {
    let mut in_all = 0.0;
    let mut most: Option<(&Account, f64, f64)> = None;
    let mut booked = 0.0;
    for account in case.state.accounts().filter(|account| account.is_running()) {
        let Some(cost) = case.state.log_cost(account.container().key.cgroup) else { continue };
        let cores = cost.own_cores + cost.attributed_cores;
        booked += cores;
        let above = (cores - case.state.usual_cores(account).unwrap_or(0.0)).max(0.0);
        in_all += above;
        if most.as_ref().is_none_or(|(_, _, most)| above > *most) {
            most = Some((account, cores, above));
        }
    }
    // What no container accounts for competes too: a compiler on the host must not make a container the culprit.
    in_all += (host.busy_cores - booked).max(0.0);
    let (account, cores, above) = most?;
    let share = above / in_all.max(1e-6);
    (above >= CULPRIT_CORES_MIN && share >= CULPRIT_SHARE_MIN).then_some((account, cores, share))
}
