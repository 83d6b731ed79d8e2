//! Flags a flood of events in which others were lost: names the container that makes it, and how many.
//!
//! T1562.006, T1499. A flood hides what its own container does, and in a queue that overflows what anybody does: it weighs
//! as much as what it can hide. Twins: a busy build stays within its budget; a burst that costs little is a lead. Not here:
//! tables that are full (`untracked.rs`).

use model::finding::{Family, Finding};
use state::Flood;

use crate::Case;
use crate::integrity::{ALONE_BITS, listed, unseen};

pub(crate) const ID: &str = "flooded";

/// More is lost than seen of it.
const FLOOD_BITS: f64 = ALONE_BITS;
/// Something is lost. Prior.
const LOSS_BITS: f64 = 6.0;

/// Events lost a second, for each core, from which a flood is no accident. Measured: `make -j` of a kernel makes 90 to 250
/// events a second of a core, a shell that does nothing but start programs 2,000 to 3,500; the budget of a cgroup is 2,000.
const FLOOD_PER_CORE: f64 = 400.0;

/// Judges floods when they are told.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    out.extend(case.state.floods().iter().map(|flood| flooded(case, flood)));
}

fn flooded(case: &Case, flood: &Flood) -> Finding {
    let cores = case.state.host_reading().map_or(1, |host| host.cores.max(1));
    let is_flood = flood.per_second >= FLOOD_PER_CORE * f64::from(cores);
    let bits = if is_flood { FLOOD_BITS } else { LOSS_BITS };
    // Where no cgroup is known, whoever sends most of all filled it.
    let culprit = flood.cgroup.or_else(|| case.state.loudest().filter(|_| flood.cgroups <= 1));
    let account = culprit.and_then(|cgroup| case.state.account(cgroup));
    let (finding, who) = match account {
        Some(account) => {
            let container = account.container();
            let finding = Finding::about(container, ID, Family::Integrity, case.at(), bits);
            (finding, format!("the container {}", container.name()))
        }
        None => (unseen(case, ID, bits), culprits(case, flood)),
    };
    let (count, since) = (flood.count, flood.since.rfc3339());
    let hidden = match flood.cgroup {
        Some(_) => "what it does meanwhile is seen in part",
        None => "what others do meanwhile is seen in part",
    };
    finding
        .on_topic(&flood.stage)
        .claiming(format!("sensor flooding by {who}: {count} events lost since {since}; {hidden}"))
        .with("lost_events", count)
        .with("lost_per_second", flood.per_second)
        .with("lost_at", &flood.stage)
        .with("cgroups_with_losses", u64::try_from(flood.cgroups).unwrap_or(u64::MAX))
}

fn culprits(case: &Case, flood: &Flood) -> String {
    if let Some(cgroup) = flood.cgroup {
        return case.state.name_of(cgroup).to_string();
    }
    let names: Vec<_> = case.state.losing().into_iter().map(|cgroup| case.state.name_of(cgroup)).collect();
    listed(names.iter()).unwrap_or_else(|| "an unknown sender".to_owned())
}
