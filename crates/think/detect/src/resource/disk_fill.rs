//! Flags a disk of the container runtimes that fills up, in bytes or in inodes, and the container that writes most.
//!
//! Not here: growth of a log file, whose writer is known without doubt (`log_fill.rs`).

use std::time::Duration;

use model::finding::{Family, Finding};
use model::untrusted::Untrusted;
use state::{Account, Course, Growth, Quantity};

use crate::Case;

pub(crate) const ID: &str = "disk_fill";

/// Span over which growth is measured.
const WINDOW: Duration = Duration::from_secs(30);

/// Time left until the disk is full from which it is told.
const LEFT_MAX: Duration = Duration::from_secs(3600);

/// Growth within the window that is told only then, as a share of what the disk holds.
const GROWN_SHARE_MIN: f64 = 0.005;

/// Share of a disk in use from which any lasting growth is told (ALGORITHMS §1.3).
const HIGH_SHARE: f64 = 0.9;

/// Share of all that containers write that makes one of them the culprit.
const CULPRIT_SHARE_MIN: f64 = 0.5;
/// Bytes it must have written for that, as a share of the growth: what a container does not write, it does not fill.
const CULPRIT_GROWTH_MIN: f64 = 0.3;

/// With a culprit, and without one.
const CULPRIT_BITS: f64 = 8.0;
const NODE_BITS: f64 = 4.0;

/// Judges every disk when the books of a second are closed.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    if case.closed_books().is_none() {
        return;
    }
    for (path, disk) in case.state.disks() {
        for (what, course) in [("bytes", &disk.bytes), ("inodes", &disk.inodes)] {
            if let Some((growth, left)) = filling(course) {
                out.push(finding(case, (path, what, course), &growth, left));
            }
        }
    }
}

fn filling(course: &Course) -> Option<(Growth, f64)> {
    let growth = course.growth(WINDOW).filter(|growth| growth.seconds >= 4.0)?;
    let limit = course.limit()?;
    let left = growth.seconds_to(limit)?;
    let is_fast = left <= LEFT_MAX.as_secs_f64() && growth.by >= GROWN_SHARE_MIN * limit;
    let is_high = growth.now >= HIGH_SHARE * limit && growth.by >= 0.001 * limit;
    (growth.rising_share >= 0.4 && (is_fast || is_high)).then_some((growth, left))
}

fn finding(
    case: &Case,
    (path, what, course): (&Untrusted, &str, &Course),
    growth: &Growth,
    left: f64,
) -> Finding {
    let share = course.share().unwrap_or_default();
    let full = format!(
        "the disk at {path} is {:.0} % full of {what} and will be full in {left:.0} s",
        100.0 * share
    );
    let mut finding = match culprit(case, growth, what) {
        Some((account, written)) => case
            .resource(account, ID, CULPRIT_BITS)
            .claiming(format!("{full}; of what containers write there it writes {:.0} %", 100.0 * written))
            .with("written_share", written),
        None => Finding::about_node(&case.seen.event.node, ID, Family::Resource, case.at(), NODE_BITS)
            .claiming(format!("{full}; no single container writes most of it")),
    };
    finding.harm = true;
    finding
        .with("disk", path)
        .with("what", what)
        .with("used_share", share)
        .with("grown", growth.by.round())
        .with("window_seconds", growth.seconds)
        .with("seconds_left", left.round())
}

/// Who writes most. Data in the page cache is written for a container later and by others, so that operations, which
/// making files takes, count for inodes, and bytes with the log's for bytes.
fn culprit<'a>(case: &Case<'a>, growth: &Growth, what: &str) -> Option<(&'a Account, f64)> {
    let written = |account: &Account| {
        let spent = account.spent(10.0).unwrap_or_default();
        match what {
            "bytes" => {
                spent.rate(Quantity::IoBytes)
                    + spent.rate(Quantity::LogBytes)
                    + spent.rate(Quantity::WrittenBytes)
            }
            _ => spent.rate(Quantity::IoOperations) + spent.rate(Quantity::OwnCpu) * 1e3,
        }
    };
    let all: f64 = case.running().map(written).sum();
    let most = case.running().max_by(|a, b| written(a).total_cmp(&written(b)))?;
    let share = written(most) / all.max(1e-9);
    let explains = what != "bytes" || written(most) >= CULPRIT_GROWTH_MIN * growth.rate();
    (share >= CULPRIT_SHARE_MIN && explains).then_some((most, share))
}
