//! Flags a container whose log will fill the disk it is on, whatever that costs anybody in CPU.
//!
//! Not here: the CPU of copying it (`out_of_band_log.rs`), and the disk as a whole (`disk_fill.rs`).

use std::time::Duration;

use model::finding::Finding;
use state::Quantity;

use crate::Case;

pub(crate) const ID: &str = "log_fill";

/// Span over which growth is measured: a burst is over before.
const WINDOW: Duration = Duration::from_secs(20);
const SECONDS_MIN: f64 = 5.5;

/// Growth from which a log is no log any more, in bytes a second.
const BYTES_PER_SECOND_MIN: f64 = 2e6;

/// How many times its usual growth is still usual.
const USUAL_FACTOR: f64 = 4.0;

/// Time left until the disk is full from which it weighs more.
const LEFT_SHORT: Duration = Duration::from_secs(6 * 3600);

/// A log that grows without end; one that fills the disk soon.
const BITS: f64 = 5.0;
const SHORT_BITS: f64 = 8.0;

/// Judges every container with a log file when the books of a second are closed.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    if case.closed_books().is_none() {
        return;
    }
    for account in case.running() {
        let Some(growth) = account.log().growth(WINDOW).filter(|growth| growth.seconds >= SECONDS_MIN) else {
            continue;
        };
        let usual = case.state.usual(account.workload()).map_or(0.0, |usual| usual.mean(Quantity::LogBytes));
        if case.state.is_without_history(account)
            || growth.rate() < BYTES_PER_SECOND_MIN.max(USUAL_FACTOR * usual)
            || growth.rising_share < 0.9
        {
            continue;
        }
        let left = seconds_left(case, growth.rate());
        let bits = if left.is_some_and(|left| left <= LEFT_SHORT.as_secs_f64()) { SHORT_BITS } else { BITS };
        let mut claim =
            format!("its log grew by {:.1} MB a second for {:.0} s", growth.rate() / 1e6, growth.seconds);
        if let Some(left) = left {
            claim.push_str(&format!("; at that rate the disk is full in {:.1} hours", left / 3600.0));
        }
        let mut finding = case
            .resource(account, ID, bits)
            .claiming(claim)
            .explainable("log_bytes_per_second", growth.rate())
            .with("log_bytes_per_second", growth.rate().round())
            .with("usual_log_bytes_per_second", usual.round())
            .with("log_bytes", growth.now.round())
            .with("window_seconds", growth.seconds);
        if let Some(left) = left {
            finding = finding.with("seconds_left", left.round());
        }
        out.push(finding);
    }
}

/// Until the first of the runtimes' disks is full, at this rate.
fn seconds_left(case: &Case, bytes_per_second: f64) -> Option<f64> {
    let left =
        |disk: &state::Disk| Some((disk.bytes.limit()? - disk.bytes.used()).max(0.0) / bytes_per_second);
    case.state.disks().filter_map(|(_, disk)| left(disk)).min_by(f64::total_cmp)
}
