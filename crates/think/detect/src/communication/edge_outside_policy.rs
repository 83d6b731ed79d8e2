//! Flags contacts that nobody approved or declared, where somebody asked to know of all of them: everywhere when edges are
//! locked, else of workloads that a network policy isolates.
//!
//! Not here: how unusual they are.

use model::finding::Finding;
use model::graph::Mode;
use state::Authority;

use crate::Case;
use crate::communication::{POLICY_BITS, about_meeting};

pub(crate) const ID: &str = "edge_outside_policy";

/// Judges every contact that begins.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    for meeting in case.meetings() {
        let why = match case.state.authority(meeting) {
            Authority::Isolated(id) => format!("{id} allows it nothing like that"),
            Authority::Unsaid if case.state.mode() == Mode::Locked => {
                "edges are locked, and nobody approved or declared it".to_owned()
            }
            Authority::Unsaid | Authority::Approved | Authority::Expected(_) => continue,
        };
        let claim = format!("{} is outside policy: {why}", meeting.edge);
        out.push(about_meeting(case, meeting, ID, POLICY_BITS).claiming(claim));
    }
}
