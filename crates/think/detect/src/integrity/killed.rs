//! Flags that the run before this one was killed, most of all when something appeared on the host while it was down.
//!
//! T1562.001. Twins: an end in order (`systemctl restart`, a package upgrade) is no kill and not told here; a reboot ends
//! everything. Not here: what appeared is judged for itself as well, like anything that starts.

use model::finding::{Family, Finding};
use model::identity::Container;
use model::integrity::Integrity;

use crate::Case;
use crate::integrity::{ALONE_BITS, fact, interference, span};
use crate::provenance::settled;

pub(crate) const ID: &str = "killed";

/// Killed or crashed, and nothing more is known: an out-of-memory kill, a bug of ours. Prior.
const KILLED_BITS: f64 = 5.0;
/// With the host: power was lost, or it hung. Prior.
const REBOOTED_BITS: f64 = 2.0;
/// Killed, and a container that the judges of provenance do not let pass began before we were back.
const COVERED_BITS: f64 = ALONE_BITS;
/// For each time within a day beyond the second: what is killed again and again is kept from adding up anything. A crash of
/// ours that comes back does the same, and is worth the same attention. Prior.
const AGAIN_BITS: f64 = 2.0;
const AGAIN_AFTER: u64 = 2;

/// What the judges of provenance must say of a container for it to be what the kill was for: a ghost, power over the host; on
/// a host where images were approved, one of another image.
const SUSPECT_BITS: f64 = 6.0;
const UNAPPROVED_BITS: f64 = 4.0;

/// Judges the kill when it is told, and containers that began in the gap when their facts are settled. The judges of
/// provenance have been asked about the same observation before.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    if let Some(Integrity::Killed { last, rebooted, times }) = fact(case) {
        let again = times.saturating_sub(AGAIN_AFTER).min(4) as f64 * AGAIN_BITS;
        let (bits, how) = match rebooted {
            true => (REBOOTED_BITS, "ended with its host"),
            false => ((KILLED_BITS + again).min(ALONE_BITS), "was killed, or crashed"),
        };
        let (down, count) = (span(*last, case.at()), (*times).max(1));
        let again = if *times > 1 { format!(", {times} times within a day") } else { String::new() };
        out.push(
            interference(case, ID, bits)
                .claiming(format!("the run before {how}{again}; nothing was seen {down}"))
                .with("down_seconds", case.at().since(*last).as_secs_f64())
                .with("times_within_a_day", count)
                .with("host_rebooted", if *rebooted { "yes" } else { "no" }),
        );
    }
    let Some(unclean) = case.state.unclean().filter(|unclean| !unclean.rebooted) else { return };
    let covered: Vec<Finding> = settled(case)
        .filter(|container| case.state.is_from_the_gap(container) && is_suspect(case, container, out))
        .filter_map(|container| covered(case, container, unclean.times))
        .collect();
    out.extend(covered);
}

fn is_suspect(case: &Case, container: &Container, said: &[Finding]) -> bool {
    let least = if case.state.has_approvals() { UNAPPROVED_BITS } else { SUSPECT_BITS };
    said.iter().any(|finding| {
        let is_about = finding.container.as_ref().is_some_and(|it| it.cgroup_id == container.key.cgroup);
        is_about && finding.family == Family::Provenance && finding.bits >= least
    })
}

fn covered(case: &Case, container: &Container, times: u64) -> Option<Finding> {
    let down = case.state.down()?;
    let name = container.name();
    let finding = interference(case, ID, COVERED_BITS)
        .claiming(format!(
            "Tidewatch was killed, and the container {name} was started while it was down, {}",
            span(down.last, down.until)
        ))
        .with("container", name)
        .with("cgroup", &container.cgroup_path)
        .with("down_seconds", down.until.since(down.last).as_secs_f64())
        .with("times_within_a_day", times.max(1));
    Some(match container.init {
        Some(init) => finding.with("pid", u64::from(init.pid)),
        None => finding,
    })
}
