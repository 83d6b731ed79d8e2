//! Flags that more is asked of Tidewatch than it can take: control clients that keep everybody else out.
//!
//! T1499. Root's place is kept free, so this locks nobody out who may act. Not here: events (`flooded.rs`).

use model::finding::Finding;
use model::integrity::Integrity;

use crate::Case;
use crate::integrity::{fact, unseen};

pub(crate) const ID: &str = "refused";

/// A few at once: a script that polls too eagerly. Prior.
const FEW_BITS: f64 = 2.0;
/// Many since the last time this was told. Prior.
const MANY_BITS: f64 = 6.0;
const MANY: u64 = 20;

/// Judges what the rim tells of what it refused.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    if let Some(Integrity::Refused { what, count }) = fact(case) {
        let bits = if *count >= MANY { MANY_BITS } else { FEW_BITS };
        let claim = format!("Tidewatch refused {count} {what}: more was asked than it takes at once");
        out.push(unseen(case, ID, bits).on_topic(what).claiming(claim).with("refused", *count));
    }
}
