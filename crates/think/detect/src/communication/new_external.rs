//! Flags a workload that reaches somebody outside whom it never reached, most of all one that never went outside at all,
//! or goes there without having asked for a name.
//!
//! T1071, T1041. Not here: how it behaves there (`beacon.rs`, `volume.rs`).

use model::finding::Finding;
use model::traffic::Endpoint;
use state::Authority;
use state::graph::Meeting;

use crate::Case;
use crate::communication::{BITS_MIN, about_meeting, novelty_bits};

pub(crate) const ID: &str = "new_external";

/// Added surprise, in powers of ten: an address that was not looked up, and a workload that stayed within so far. Both
/// count as far as the workload is known.
const NAMELESS: f64 = 1.0;
const FIRST_OUTSIDE: f64 = 2.0;

/// Judges every edge to the outside that was seen for the first time.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    for meeting in case.meetings().filter(|meeting| meeting.is_new) {
        let is_outward = matches!(meeting.edge.from, Endpoint::Workload(_)) && meeting.edge.to.is_outside();
        let score = surprise(meeting);
        let bits = novelty_bits(score);
        if !is_outward || bits < BITS_MIN || case.state.authority(meeting) == Authority::Approved {
            continue;
        }
        let first = if meeting.is_first_outside { ", and never went outside before" } else { "" };
        let nameless = if meeting.name.is_none() { " without asking for a name" } else { "" };
        let claim = format!("it reaches {} for the first time{nameless}{first}", meeting.edge.to);
        out.push(
            about_meeting(case, meeting, ID, bits)
                .claiming(claim)
                .explainable("surprise_powers_of_ten", score)
                .with("surprise_powers_of_ten", score)
                .with("known_by_workloads", u64::from(meeting.known_by)),
        );
    }
}

fn surprise(meeting: &Meeting) -> f64 {
    let nameless = if meeting.name.is_none() { NAMELESS } else { 0.0 };
    let first = if meeting.is_first_outside { FIRST_OUTSIDE } else { 0.0 };
    meeting.score + meeting.maturity * (nameless + first)
}
