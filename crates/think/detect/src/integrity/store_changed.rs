//! Flags a store that is not what was left: corrupt, emptied, replaced, of another host; and one that takes nothing any more.
//!
//! T1070, T1565.001. Incidents, approvals and the audit trail are in it: whoever changes it changes what people believe. Twins:
//! a full disk is a lead. Not here: what fills the disk (`disk_fill.rs`).

use model::finding::Finding;
use model::integrity::Integrity;

use crate::Case;
use crate::integrity::{ALONE_BITS, fact, interference, unseen};

pub(crate) const ID: &str = "store_changed";

/// The database commits or does not: neither a crash nor a power cut leaves it corrupt or emptier than it was.
const CHANGED_BITS: f64 = ALONE_BITS;
/// The journal is written without being synced: a power cut may cost its end. Prior.
const JOURNAL_BITS: f64 = 6.0;
/// Nothing can be stored; something was given up for it. Prior.
const NOT_STORED_BITS: f64 = 4.0;
const DROPPED_BITS: f64 = 9.0;

/// Judges what the rim tells of the store.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    match fact(case) {
        Some(Integrity::StoreMovedAside { what, reason, kept_as }) => {
            let kept = if kept_as.is_empty() {
                "it could not be kept".to_owned()
            } else {
                format!("it is kept as {kept_as}")
            };
            let claim =
                format!("the {what} of Tidewatch was unusable ({reason}) and a new one was begun; {kept}");
            let finding = interference(case, ID, changed(what.raw())).on_topic(what).claiming(claim);
            out.push(finding.with("store", what).with("reason", reason).with("kept_as", kept_as));
        }
        Some(Integrity::StoreChanged { what, expected, found }) => {
            let claim = format!("the {what} of Tidewatch is not what was left: {found}, expected {expected}");
            let finding = interference(case, ID, changed(what.raw())).on_topic(what).claiming(claim);
            out.push(finding.with("store", what).with("expected", expected).with("found", found));
        }
        Some(Integrity::NotStored { what, waiting, dropped, reason }) => {
            let bits = if *dropped > 0 { DROPPED_BITS } else { NOT_STORED_BITS };
            let claim = format!(
                "{what} cannot be stored ({reason}): {waiting} wait in memory, {dropped} were given up"
            );
            let finding = unseen(case, ID, bits).on_topic(what).claiming(claim);
            out.push(finding.with("store", what).with("waiting", *waiting).with("given_up", *dropped));
        }
        _ => {}
    }
}

fn changed(what: &str) -> f64 {
    if what == "journal" { JOURNAL_BITS } else { CHANGED_BITS }
}
