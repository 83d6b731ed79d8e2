//! Flags a wall clock that was set while the host ran: times in logs, certificates and schedules follow it.
//!
//! T1070.006, T1562. A lead: time services step a clock, most of all after a boot. How long things last is counted without the
//! wall clock, so nothing is judged late for it. Not here: a suspended host (`stopped.rs`).

use std::time::Duration;

use model::finding::Finding;
use model::integrity::Integrity;

use crate::Case;
use crate::integrity::{fact, interference};

pub(crate) const ID: &str = "clock_stepped";

/// A step as time services make them: chrony and systemd-timesyncd step what is off by more than 1 s and 0.4 s, and by more
/// than moments only after a boot (literature: their manuals).
const SMALL_BITS: f64 = 1.0;
const SMALL_MS: u64 = 5_000;
/// The first step after a boot, of whatever size: many machines boot with a wrong clock. Prior.
const AT_BOOT_BITS: f64 = 2.0;
const AT_BOOT: Duration = Duration::from_secs(600);
/// Ahead, as after a pause of a virtual machine; back, as nothing but an operator does. Prior.
const AHEAD_BITS: f64 = 4.0;
const BACK_BITS: f64 = 8.0;

/// Judges what the rim tells of the clock.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    let Some(Integrity::ClockStepped { by_ms }) = fact(case) else { return };
    let is_at_boot = case.state.booted().is_some_and(|boot| case.at().since(boot) < AT_BOOT);
    let bits = match *by_ms {
        by if by.unsigned_abs() <= SMALL_MS => SMALL_BITS,
        _ if is_at_boot => AT_BOOT_BITS,
        0.. => AHEAD_BITS,
        _ => BACK_BITS,
    };
    let seconds = by_ms.unsigned_abs() as f64 / 1e3;
    let way = if *by_ms < 0 { "back" } else { "ahead" };
    let claim = format!("the host's clock was set {way} by {seconds:.1} s while Tidewatch ran");
    out.push(interference(case, ID, bits).claiming(claim).with("stepped_seconds", *by_ms as f64 / 1e3));
}
