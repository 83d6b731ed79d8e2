//! The judges: pure functions from an observation and the state to findings, grouped by what must tally.
//!
//! Not here: whether a finding matters (`triage`), and any memory of their own.

mod communication;

mod provenance;

mod resource;

mod integrity;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use model::event::Body;
use model::finding::{Family, Finding};
use model::identity::Observation;
use model::ids::WorkloadKey;
use model::novelty::Novelty;
use model::time::Time;
use serde::{Deserialize, Serialize};
use state::graph::Meeting;
use state::{Account, HostSpent, State};

/// What a judge looks at.
pub(crate) struct Case<'a> {
    pub(crate) seen: &'a Observation,
    pub(crate) novelty: &'a Novelty,
    pub(crate) state: &'a State,
}

impl<'a> Case<'a> {
    /// When the observation was made.
    pub(crate) fn at(&self) -> Time {
        self.seen.event.time
    }

    /// The books of the host, when the observation has just closed those of a second.
    pub(crate) fn closed_books(&self) -> Option<&'a HostSpent> {
        matches!(self.seen.event.body, Body::Host(_)).then(|| self.state.host()).flatten()
    }

    /// First contacts that the observation shows.
    pub(crate) fn meetings(&self) -> impl Iterator<Item = &'a Meeting> {
        self.state.graph().news().meetings.iter()
    }

    /// The books of all containers that run.
    pub(crate) fn running(&self) -> impl Iterator<Item = &'a Account> {
        self.state.accounts().filter(|account| account.is_running())
    }

    /// The container of a workload that takes most: the one to name when the workload is the culprit.
    pub(crate) fn head(&self, workload: &WorkloadKey) -> Option<&'a Account> {
        let of_workload = self.running().filter(|account| account.workload() == workload);
        let cores = |account: &Account| account.spent(2.0).map_or(0.0, |spent| spent.own_cores());
        of_workload.max_by(|a, b| cores(a).total_cmp(&cores(b)))
    }

    /// A claim about what a container spends, without evidence yet.
    pub(crate) fn resource(&self, account: &Account, judge: &'static str, bits: f64) -> Finding {
        Finding::about(account.container(), judge, Family::Resource, self.at(), bits)
    }
}

type JudgeFn = fn(&Case, &mut Vec<Finding>);

/// Every judge by the id that strategies name it by.
const JUDGES: [(&str, JudgeFn); 59] = [
    (resource::out_of_band_log::ID, resource::out_of_band_log::judge),
    (resource::out_of_band_calls::ID, resource::out_of_band_calls::judge),
    (resource::out_of_band_syslog::ID, resource::out_of_band_syslog::judge),
    (resource::out_of_band_sync::ID, resource::out_of_band_sync::judge),
    (resource::out_of_band_crash::ID, resource::out_of_band_crash::judge),
    (resource::out_of_band_packets::ID, resource::out_of_band_packets::judge),
    (resource::unbooked_engine::ID, resource::unbooked_engine::judge),
    (resource::excess::ID, resource::excess::judge),
    (resource::record::ID, resource::record::judge),
    (resource::ramp::ID, resource::ramp::judge),
    (resource::hijack::ID, resource::hijack::judge),
    (resource::hidden_burn::ID, resource::hidden_burn::judge),
    (resource::herd::ID, resource::herd::judge),
    (resource::fork_storm::ID, resource::fork_storm::judge),
    (resource::crash_loop::ID, resource::crash_loop::judge),
    (resource::memory_growth::ID, resource::memory_growth::judge),
    (resource::object_exhaustion::ID, resource::object_exhaustion::judge),
    (resource::disk_fill::ID, resource::disk_fill::judge),
    (resource::log_fill::ID, resource::log_fill::judge),
    (resource::service_flood::ID, resource::service_flood::judge),
    (resource::connection_flood::ID, resource::connection_flood::judge),
    (resource::saturation::ID, resource::saturation::judge),
    (communication::new_edge::ID, communication::new_edge::judge),
    (communication::new_external::ID, communication::new_external::judge),
    (communication::edge_outside_policy::ID, communication::edge_outside_policy::judge),
    (communication::new_listener::ID, communication::new_listener::judge),
    (communication::scan::ID, communication::scan::judge),
    (communication::beacon::ID, communication::beacon::judge),
    (communication::dns_tunnel::ID, communication::dns_tunnel::judge),
    (communication::volume::ID, communication::volume::judge),
    (communication::reverse_shell::ID, communication::reverse_shell::judge),
    (communication::foreign_namespace::ID, communication::foreign_namespace::judge),
    (communication::control_plane::ID, communication::control_plane::judge),
    (communication::unusual_protocol::ID, communication::unusual_protocol::judge),
    (provenance::unapproved_image::ID, provenance::unapproved_image::judge),
    (provenance::ghost::ID, provenance::ghost::judge),
    (provenance::swapped_tag::ID, provenance::swapped_tag::judge),
    (provenance::local_image::ID, provenance::local_image::judge),
    (provenance::second_engine::ID, provenance::second_engine::judge),
    (provenance::unmanaged::ID, provenance::unmanaged::judge),
    (provenance::masquerade::ID, provenance::masquerade::judge),
    (provenance::privilege::ID, provenance::privilege::judge),
    (provenance::drift::ID, provenance::drift::judge),
    (provenance::administration::ID, provenance::administration::judge),
    (provenance::namespace_entry::ID, provenance::namespace_entry::judge),
    (provenance::cgroup_escape::ID, provenance::cgroup_escape::judge),
    (provenance::unusual_start::ID, provenance::unusual_start::judge),
    (integrity::blind::ID, integrity::blind::judge),
    (integrity::stopped::ID, integrity::stopped::judge),
    (integrity::killed::ID, integrity::killed::judge),
    (integrity::flooded::ID, integrity::flooded::judge),
    (integrity::untracked::ID, integrity::untracked::judge),
    (integrity::dead_source::ID, integrity::dead_source::judge),
    (integrity::probe_detached::ID, integrity::probe_detached::judge),
    (integrity::clock_stepped::ID, integrity::clock_stepped::judge),
    (integrity::file_changed::ID, integrity::file_changed::judge),
    (integrity::store_changed::ID, integrity::store_changed::judge),
    (integrity::tampered::ID, integrity::tampered::judge),
    (integrity::refused::ID, integrity::refused::judge),
];

/// Id of the judge of sources that cannot be relied on; which strategies lack them is known to whoever has loaded them.
pub const BLIND: &str = integrity::blind::ID;

/// Id of the finding that says a judge failed and is no longer asked.
pub const JUDGE_FAILED: &str = "judge_failed";

/// Bits of a judge that failed: blindness is a finding, but our own bug alone does not open an incident.
const JUDGE_FAILED_BITS: f64 = 6.0;

/// The ids of all judges.
pub fn judge_ids() -> Vec<&'static str> {
    JUDGES.iter().map(|(id, _)| *id).collect()
}

/// The stage `judge`. Remembers only which judges failed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Detect {
    failed: BTreeSet<String>,
}

impl Detect {
    /// Asks every judge. One that panics has a bug: it is not asked again, and that is a finding too.
    pub fn judge(&mut self, seen: &Observation, novelty: &Novelty, state: &State) -> Vec<Finding> {
        let case = Case { seen, novelty, state };
        let mut findings = Vec::new();
        for (id, judge) in JUDGES {
            if !self.failed.is_empty() && self.failed.contains(id) {
                continue;
            }
            self.ask(id, judge, &case, &mut findings);
        }
        if !findings.is_empty() {
            let coverage = state.coverage();
            for finding in &mut findings {
                finding.coverage = coverage.clone();
                let account =
                    finding.container.as_ref().and_then(|container| state.account(container.cgroup_id));
                finding.provenance = account.map(|account| account.provenance()).unwrap_or_default();
            }
        }
        findings
    }

    /// The ids of the judges that failed and are no longer asked.
    pub fn failed(&self) -> impl Iterator<Item = &str> {
        self.failed.iter().map(String::as_str)
    }

    fn ask(&mut self, id: &str, judge: JudgeFn, case: &Case, findings: &mut Vec<Finding>) {
        let before = findings.len();
        if catch_unwind(AssertUnwindSafe(|| judge(case, findings))).is_ok() {
            return;
        }
        findings.truncate(before);
        self.failed.insert(id.to_owned());
        let event = &case.seen.event;
        let claim = format!("the judge {id} failed by a bug of ours and is not asked any more");
        findings.push(
            Finding::about_node(&event.node, JUDGE_FAILED, Family::Integrity, event.time, JUDGE_FAILED_BITS)
                .claiming(claim)
                .with("judge", id),
        );
    }
}

#[cfg(test)]
mod tests;
