//! Flags a container whose memory grows towards its limit or towards what the host has left, or that is killed for it.
//!
//! Not here: page cache, which the kernel takes back (only what it cannot is counted), and a workload at its usual level.

use std::time::Duration;

use model::finding::Finding;
use state::{Account, HostSpent, Quantity};

use crate::Case;

pub(crate) const ID: &str = "memory_growth";

/// Span over which growth is measured.
const WINDOW: Duration = Duration::from_secs(20);

/// Growth within the window from which it is material, in bytes and as a share of the limit.
const GROWN_BYTES_MIN: f64 = 64e6;
const GROWN_SHARE_MIN: f64 = 0.25;

/// Time left until the limit from which it is told.
const LEFT_MAX: Duration = Duration::from_secs(120);

/// Share of a limit in use from which a container is at it.
const FULL_SHARE: f64 = 0.92;

/// Share of the host's memory left from which growth without a limit harms all.
const HOST_LEFT_MIN: f64 = 0.15;

/// Killed for its memory; growing towards a limit of its own; growing into the host's last memory.
const KILLED_BITS: f64 = 9.0;
const OWN_LIMIT_BITS: f64 = 8.0;
const HOST_BITS: f64 = 10.0;

/// Judges every container when the books of a second are closed.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    let Some(host) = case.closed_books() else { return };
    for account in case.running() {
        if let Some(mut finding) = killed(case, account).or_else(|| growing(case, account, host)) {
            if let Some(limit) = limit(account) {
                finding = finding.with("memory_limit_bytes", limit);
            }
            out.push(
                finding
                    .with("memory_bytes", account.memory().now().unwrap_or_default().round())
                    .with("host_memory_available_bytes", host.memory_available_bytes),
            );
        }
    }
}

fn limit(account: &Account) -> Option<f64> {
    account.usage().and_then(|usage| usage.memory_limit_bytes).map(|bytes| bytes as f64)
}

fn killed(case: &Case, account: &Account) -> Option<Finding> {
    let spent = account.spent(5.0)?;
    let kills = spent.of(Quantity::OomKills);
    let claim = format!("the kernel killed {kills:.0} of its processes for want of memory");
    (kills >= 1.0).then(|| case.resource(account, ID, KILLED_BITS).claiming(claim).with("oom_kills", kills))
}

fn growing(case: &Case, account: &Account, host: &HostSpent) -> Option<Finding> {
    let growth = account.memory().growth(WINDOW)?;
    let (end, is_own) = match limit(account) {
        Some(limit) if limit <= host.memory_total_bytes as f64 => (limit, true),
        _ => (growth.now + host.memory_available_bytes as f64, false),
    };
    let is_material = growth.by >= GROWN_BYTES_MIN.min(GROWN_SHARE_MIN * end) && growth.by >= 8e6;
    let left = growth.seconds_to(end).filter(|_| is_material && growth.rising_share >= 0.5)?;
    let is_full = growth.now >= FULL_SHARE * end;
    if left > LEFT_MAX.as_secs_f64() && !is_full {
        return None;
    }
    let is_last = (host.memory_available_bytes as f64) < HOST_LEFT_MIN * host.memory_total_bytes as f64;
    let bits = if is_own && !is_last { OWN_LIMIT_BITS } else { HOST_BITS };
    let whose = if is_own { "its limit" } else { "all that the host has left" };
    let claim = format!(
        "its memory grew by {:.0} MB in {:.0} s and reaches {whose} in {left:.0} s",
        growth.by / 1e6,
        growth.seconds
    );
    let mut finding = case
        .resource(account, ID, bits)
        .claiming(claim)
        .explainable("memory_bytes", growth.now)
        .with("grown_bytes", growth.by.round())
        .with("window_seconds", growth.seconds)
        .with("seconds_left", left.round());
    finding.harm = is_last;
    Some(finding)
}
