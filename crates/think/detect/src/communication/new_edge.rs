//! Flags a workload that talks to another, to the host or to an inner network for the first time, by how surprising that
//! is for it and how few others do (ALGORITHMS §3.1).
//!
//! T1021, T1210: moving on. Not here: the outside (`new_external.rs`), and edges that a policy forbids.

use model::finding::Finding;
use model::traffic::{EdgeKey, Endpoint};
use state::Authority;

use crate::Case;
use crate::communication::{BITS_MIN, about_meeting, novelty_bits};

pub(crate) const ID: &str = "new_edge";

/// Judges every edge that was seen for the first time.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    for meeting in case.meetings().filter(|meeting| meeting.is_new) {
        let bits = novelty_bits(meeting.score);
        if meeting.edge.to.is_outside() || bits < BITS_MIN || !leads_from_a_workload(&meeting.edge) {
            continue;
        }
        if case.state.authority(meeting) == Authority::Approved {
            continue;
        }
        let claim = format!(
            "it talks to {} for the first time; {} other workloads do",
            meeting.edge.to,
            if meeting.known_by == 0 { "no".to_owned() } else { meeting.known_by.to_string() }
        );
        out.push(
            about_meeting(case, meeting, ID, bits)
                .claiming(claim)
                .explainable("surprise_powers_of_ten", meeting.score)
                .with("surprise_powers_of_ten", meeting.score)
                .with("known_by_workloads", u64::from(meeting.known_by)),
        );
    }
}

fn leads_from_a_workload(edge: &EdgeKey) -> bool {
    matches!(edge.from, Endpoint::Workload(_))
}
