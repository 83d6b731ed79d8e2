//! Flags harm: the host's tasks wait for CPU, memory or I/O, says which container causes it, if one does, and who of the
//! others waits.
//!
//! Levels are those of ALGORITHMS §1.3. A spike with harm and a clear culprit is a denial of service, one without harm is
//! busy. Not here: throttling below a container's own limit, which pressure cannot tell from starvation by neighbours.

use std::time::Duration;

use model::finding::{Family, Finding};
use model::untrusted::Untrusted;
use state::{Account, HostSpent, Quantity, Resource};

use crate::Case;

pub(crate) const ID: &str = "saturation";

/// Share of what is spent above usual that makes one container the culprit.
const CULPRIT_SHARE_MIN: f64 = 0.5;
/// CPU above usual below which nobody is a culprit, in cores.
const CULPRIT_CORES_MIN: f64 = 0.25;
/// The same of operations on disks a second, and of memory taken within the window, in bytes.
const CULPRIT_OPERATIONS_MIN: f64 = 50.0;
const CULPRIT_BYTES_MIN: f64 = 64e6;
const MEMORY_WINDOW: Duration = Duration::from_secs(60);

/// A victim waits for this share of time, and so many times and so much longer than usual. The scheduler is fair: measured,
/// a service that needs a fifth of a core waits 0.1 % of the time alone and 10 % beside a neighbour that takes all.
const VICTIM_SHARE_MIN: f64 = 0.05;
const VICTIM_FACTOR: f64 = 4.0;
const VICTIM_ABOVE: f64 = 0.04;
/// Victims listed by name.
const VICTIMS_MAX: usize = 8;

/// Harm with a clear culprit; more when others are seen to wait for it.
const CULPRIT_BITS: f64 = 3.0;
const VICTIMS_BITS: f64 = 3.0;
/// And more once it has lasted so long with the same picture: a denial of service, whoever approved its cause.
const LASTING: Duration = Duration::from_secs(30);
const LASTING_BITS: f64 = 3.0;
/// Harm that no container is to blame for: told, weighed little.
const NODE_BITS: f64 = 2.0;

/// Judges the host's pressure when the books of a second are closed.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    let Some(host) = case.closed_books() else { return };
    let Some((resource, percent)) = case.state.distress() else { return };
    let culprit = culprit(case, host, resource);
    let victims = victims(case, resource, culprit.map(|(account, _)| account));
    let waits = format!("tasks on the host wait for {} {percent:.0} % of the time", resource.name());
    let finding = match culprit {
        Some((account, share)) => {
            let bits = CULPRIT_BITS + victims_bits(case, &victims);
            let claim = format!(
                "{waits}, and it causes {:.0} % of what is spent above usual{}",
                share * 100.0,
                harmed(&victims)
            );
            case.resource(account, ID, bits)
                .claiming(claim)
                .with("true_cpu_cores", account.true_cores())
                .with("culprit_share", share)
        }
        None => Finding::about_node(&case.seen.event.node, ID, Family::Resource, case.at(), NODE_BITS)
            .claiming(format!("{waits}; no single container causes it{}", harmed(&victims))),
    };
    out.push(told(finding, host, (resource, percent), &victims));
}

fn victims_bits(case: &Case, victims: &[(&Account, f64)]) -> f64 {
    match victims {
        [] => 0.0,
        _ if case.state.distressed_for() >= LASTING => VICTIMS_BITS + LASTING_BITS,
        _ => VICTIMS_BITS,
    }
}

fn told(
    mut finding: Finding,
    host: &HostSpent,
    (resource, percent): (Resource, f32),
    victims: &[(&Account, f64)],
) -> Finding {
    finding.harm = true;
    finding = finding
        .with("resource", resource.name())
        .with("pressure_percent", f64::from(percent))
        .with("host_busy_cores", host.busy_cores)
        .with("victims", victims.len() as u64);
    if !victims.is_empty() {
        finding = finding.with("victim_names", &Untrusted::new(&names(victims)));
    }
    finding
}

fn harmed(victims: &[(&Account, f64)]) -> String {
    match victims {
        [] => String::new(),
        [(_, share), ..] => format!(
            "; {} wait{} for it, up to {:.0} % of the time",
            names(victims),
            if victims.len() == 1 { "s" } else { "" },
            share * 100.0
        ),
    }
}

fn names(victims: &[(&Account, f64)]) -> String {
    let mut names: Vec<String> =
        victims.iter().take(VICTIMS_MAX).map(|(account, _)| account.container().name().to_string()).collect();
    if victims.len() > VICTIMS_MAX {
        names.push(format!("{} more", victims.len() - VICTIMS_MAX));
    }
    names.join(", ")
}

/// The container that takes most above its usual, if that is most of it all.
fn culprit<'a>(case: &Case<'a>, host: &HostSpent, resource: Resource) -> Option<(&'a Account, f64)> {
    let above = |account: &'a Account| match resource {
        Resource::Cpu => (account.true_cores() - case.state.usual_cores(account).unwrap_or(0.0)).max(0.0),
        Resource::Io => operations_above(case, account),
        Resource::Memory => account.memory().growth(MEMORY_WINDOW).map_or(0.0, |growth| growth.by.max(0.0)),
    };
    let (others, least) = match resource {
        // What no container accounts for competes too: a compiler on the host must not make a container the culprit.
        Resource::Cpu => {
            let booked: f64 = case.running().map(Account::true_cores).sum();
            ((host.busy_cores - booked).max(0.0), CULPRIT_CORES_MIN)
        }
        Resource::Io => (0.0, CULPRIT_OPERATIONS_MIN),
        Resource::Memory => (0.0, CULPRIT_BYTES_MIN),
    };
    let in_all: f64 = others + case.running().map(above).sum::<f64>();
    let most = case.running().max_by(|a, b| above(a).total_cmp(&above(b)))?;
    let share = above(most) / in_all.max(1e-6);
    (above(most) >= least && share >= CULPRIT_SHARE_MIN).then_some((most, share))
}

/// Operations on disks a second above usual; a call that writes data back is at least one.
fn operations_above(case: &Case, account: &Account) -> f64 {
    let Some(spent) = account.spent(5.0) else { return 0.0 };
    let usual = case.state.usual(account.workload());
    let rate = |quantity| (spent.rate(quantity) - usual.map_or(0.0, |usual| usual.mean(quantity))).max(0.0);
    rate(Quantity::IoOperations) + rate(Quantity::WholeSyncs) * 10.0 + rate(Quantity::FileSyncs)
}

/// Containers that wait for the resource far longer than usual, the longest first. A container waits for its own
/// siblings' turn on a CPU as well, so that the culprit is none of them.
fn victims<'a>(case: &Case<'a>, resource: Resource, culprit: Option<&Account>) -> Vec<(&'a Account, f64)> {
    let culprit = culprit.map(Account::workload);
    let mut victims: Vec<(&Account, f64)> = case
        .running()
        .filter(|account| Some(account.workload()) != culprit)
        .filter_map(|account| Some((account, harm_done(account, resource)?)))
        .collect();
    victims.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    victims
}

fn harm_done(account: &Account, resource: Resource) -> Option<f64> {
    let now = account.waits().now(resource);
    let usual = account.waits().usual(resource)?;
    let is_harmed = now >= VICTIM_SHARE_MIN && now >= VICTIM_FACTOR * usual && now >= usual + VICTIM_ABOVE;
    is_harmed.then_some(now)
}
