//! Flags interference with Tidewatch's own process: a debugger, a foreign library, protection that was taken away.
//!
//! T1055.008, T1574.006. Only root can, and nothing does it by itself. Not here: a stop (`stopped.rs`), probes
//! (`probe_detached.rs`), files (`file_changed.rs`).

use model::finding::Finding;
use model::integrity::Integrity;

use crate::Case;
use crate::integrity::{ALONE_BITS, fact, interference};

pub(crate) const ID: &str = "tampered";

const BITS: f64 = ALONE_BITS;

/// Judges what the rim tells of its own process.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    if let Some(Integrity::Tampered { what, how }) = fact(case) {
        let claim = format!("the {what} of Tidewatch was interfered with: {how}");
        out.push(
            interference(case, ID, BITS).on_topic(what).claiming(claim).with("what", what).with("how", how),
        );
    }
}
