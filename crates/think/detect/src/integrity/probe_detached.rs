//! Flags a probe of ours that is no longer attached, or another one in its place.
//!
//! T1562.001, T1014. Nothing but root detaches a program of another process, and nothing detaches it by itself. Not here:
//! probes that this kernel never took (`blind.rs`).

use model::finding::Finding;
use model::integrity::Integrity;

use crate::Case;
use crate::integrity::{ALONE_BITS, fact, interference};

pub(crate) const ID: &str = "probe_detached";

const BITS: f64 = ALONE_BITS;

/// Judges what the rim tells of its probes.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    if let Some(Integrity::ProbeDetached { program }) = fact(case) {
        let claim = format!("the kernel probe {program} was detached or replaced while Tidewatch ran");
        let finding = interference(case, ID, BITS).on_topic(program).claiming(claim);
        out.push(finding.with("program", program));
    }
}
