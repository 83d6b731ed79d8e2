//! Flags tables of ours that are full, and readings that were cut by a limit: what came after is not told apart.
//!
//! T1562.006, T1499. Not here: events that were lost (`flooded.rs`).

use model::finding::Finding;
use model::integrity::Integrity;
use model::untrusted::Untrusted;

use crate::Case;
use crate::integrity::{ALONE_BITS, fact, unseen};

pub(crate) const ID: &str = "untracked";

/// Containers that come now are not told apart. The limits are ten times those of a large host: nothing but a flood gets
/// there.
const CONTAINERS_BITS: f64 = ALONE_BITS;
/// Lines of traffic, labels, names: a part of what is known of some. Prior.
const PART_BITS: f64 = 6.0;
/// A reading of something was cut. Prior.
const CUT_BITS: f64 = 4.0;

/// Judges what the rim tells of its tables and readings.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    if let Some(Integrity::Untracked { table, count, by }) = fact(case) {
        let bits = if ["cgroups", "containers"].contains(&table.raw()) { CONTAINERS_BITS } else { PART_BITS };
        let who = if by.is_empty() { String::new() } else { format!(", filled by {by}") };
        let claim = format!("the table of {table} is full{who}: {count} entries were not taken in");
        let finding = unseen(case, ID, bits).on_topic(table).claiming(claim);
        out.push(finding.with("table", table).with("not_taken_in", *count).with("filled_by", by));
    }
    if let Some(loss) = case.state.cut() {
        let name = loss.cgroup.map(|cgroup| case.state.name_of(cgroup)).unwrap_or_default();
        let about = if name.is_empty() { String::new() } else { format!(" of {name}") };
        let claim = format!(
            "a reading{about} was cut: the source {} left out {} ({})",
            loss.source, loss.count, loss.stage
        );
        let topic = Untrusted::new(&format!("{} {}", loss.stage.raw(), name.raw()));
        let finding = unseen(case, ID, CUT_BITS).on_topic(&topic).claiming(claim);
        out.push(
            finding
                .with("source", loss.source.name())
                .with("left_out", loss.count)
                .with("limit", &loss.stage),
        );
    }
}
