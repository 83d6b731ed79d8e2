//! Flags a port that a workload never served: somebody may have opened a way in.
//!
//! T1571, T1205. Not here: ports that only the container itself can reach.

use model::finding::Finding;
use model::graph::Mode;
use state::graph::Opening;

use crate::Case;
use crate::communication::{BITS_MIN, POLICY_BITS, contact};

pub(crate) const ID: &str = "new_listener";

/// What it weighs of a workload that is known well and served other ports so far.
const BITS: f64 = 6.0;
/// The same of one that served none.
const FIRST_BITS: f64 = 8.0;

/// Judges every port that somebody begins to serve.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    for opening in &case.state.graph().news().openings {
        let listener = &opening.listener;
        if case.state.is_approved_listener(opening) {
            continue;
        }
        let is_locked = case.state.mode() == Mode::Locked;
        let known = case.state.maturity(&opening.workload);
        let bits = match (is_locked, opening.is_new) {
            (true, _) => POLICY_BITS,
            (false, true) if opening.others == 0 => FIRST_BITS * known,
            (false, true) => BITS * known,
            (false, false) => 0.0,
        };
        if bits < BITS_MIN {
            continue;
        }
        out.push(
            contact(case, &opening.container, ID, bits)
                .claiming(claim(opening, is_locked))
                .with("port", u64::from(opening.port))
                .with("protocol", listener.protocol.to_string().as_str())
                .with("other_ports", opening.others as u64),
        );
    }
}

fn claim(opening: &Opening, is_locked: bool) -> String {
    let (port, protocol) = (opening.port, opening.listener.protocol);
    match (is_locked, opening.is_new) {
        (true, _) => format!("it listens on {port}/{protocol}, which nobody approved while edges are locked"),
        (false, _) => format!("it listens on {port}/{protocol}, which its workload never did"),
    }
}
