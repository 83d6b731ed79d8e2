//! Flags a stop of Tidewatch while its host ran: `SIGSTOP`, a debugger, a frozen cgroup.
//!
//! T1562.001. Twins that are told apart: a suspended laptop and a paused virtual machine (the host's CPU time stood still as
//! well), a loaded host (we were ready and waited for a CPU), a host on which nothing happened meanwhile. Not here: an end
//! (`killed.rs`).

use std::time::Duration;

use model::finding::Finding;
use state::Stop;

use crate::Case;
use crate::integrity::{ALONE_BITS, interference, listed, span, unseen};

pub(crate) const ID: &str = "stopped";

/// The host ran and things happened on it, and we neither ran nor waited for a CPU.
const STOPPED_BITS: f64 = ALONE_BITS;
/// The same, and nothing happened that could have been hidden; or nobody read the host. Prior.
const UNSEEN_BITS: f64 = 8.0;
/// The host is loaded, and nobody measured how long we waited. Prior.
const LOADED_BITS: f64 = 6.0;
/// We waited for a CPU: how long is measured by the kernel, and a stopped process does not wait. Measured: `SIGSTOP` of 20 s
/// adds nothing to `run_delay` of `/proc/PID/schedstat`.
const STARVED_BITS: f64 = 3.0;
/// The host stood still as well.
const STILL_BITS: f64 = 1.0;
/// Stops too short to be told one by one, for most of half a minute; for a quarter of it. Prior.
const MOSTLY_LATE_BITS: f64 = ALONE_BITS;
const OFTEN_LATE_BITS: f64 = 8.0;
const MOSTLY_LATE: Duration = Duration::from_secs(18);

/// Pressure beyond which a host counts as loaded, in percent of the last ten seconds.
const LOADED_PERCENT: f32 = 50.0;

/// Judges stops once it is known what the host did meanwhile.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    out.extend(case.state.stops().iter().map(|stop| stopped(case, stop)));
    if let Some(late) = case.state.lateness() {
        out.push(often_late(case, late));
    }
}

fn stopped(case: &Case, stop: &Stop) -> Finding {
    let (bits, why) = weight(case, stop);
    let seconds = stop.lasted().as_secs_f64();
    let sentence =
        format!("Tidewatch did not run for {seconds:.1} s, {}: {why}", span(stop.from, stop.until));
    let finding = match bits >= ALONE_BITS {
        true => interference(case, ID, bits),
        false => unseen(case, ID, bits),
    };
    let finding =
        finding.claiming(sentence).with("stopped_seconds", seconds).with("events_meanwhile", stop.events);
    let finding = match stop.starved_ms {
        Some(ms) => finding.with("waited_for_cpu_seconds", ms as f64 / 1e3),
        None => finding,
    };
    match listed(case.state.started_within(|at| stop.spans(at))) {
        Some(names) => finding.with("started_meanwhile", names.as_str()),
        None => finding,
    }
}

fn weight(case: &Case, stop: &Stop) -> (f64, String) {
    let half_ms = u64::try_from(stop.lasted().as_millis() / 2).unwrap_or(u64::MAX);
    if stop.suspended_ms.is_some_and(|ms| ms >= half_ms) {
        return (STILL_BITS, "the host was suspended".to_owned());
    }
    if stop.host_ran == Some(false) {
        return (STILL_BITS, "the host stood still as well, as a paused virtual machine does".to_owned());
    }
    if stop.starved_ms.is_some_and(|ms| ms >= half_ms) {
        return (STARVED_BITS, "it was ready to run and got no CPU".to_owned());
    }
    if stop.starved_ms.is_none() && is_loaded(case) {
        return (LOADED_BITS, "the host is loaded, and how long it waited for a CPU is not known".to_owned());
    }
    match (stop.host_ran, stop.events) {
        (Some(true), events @ 1..) => {
            let why =
                format!("the host ran all the while ({events} events), so something stopped the process");
            (STOPPED_BITS, why)
        }
        (Some(true), 0) => {
            (UNSEEN_BITS, "the host ran, and nothing is known to have happened on it".to_owned())
        }
        _ => (UNSEEN_BITS, "the host was not read meanwhile".to_owned()),
    }
}

fn often_late(case: &Case, late: Duration) -> Finding {
    let seconds = late.as_secs_f64();
    let (bits, why) = match (is_loaded(case), late >= MOSTLY_LATE) {
        (true, _) => (LOADED_BITS, "the host is loaded"),
        (false, true) => {
            (MOSTLY_LATE_BITS, "the host is not loaded, so something stops the process again and again")
        }
        (false, false) => (OFTEN_LATE_BITS, "the host is not loaded"),
    };
    let finding = if bits >= ALONE_BITS { interference(case, ID, bits) } else { unseen(case, ID, bits) };
    finding
        .on_topic(&"short stops".into())
        .claiming(format!(
            "Tidewatch did not run for {seconds:.1} s in all, in stops of less than 3 s: {why}"
        ))
        .with("late_seconds", seconds)
}

fn is_loaded(case: &Case) -> bool {
    let pressure = case.state.host_reading().and_then(|host| host.pressures.cpu.as_ref());
    pressure.is_some_and(|pressure| pressure.some_avg10_percent >= LOADED_PERCENT)
}
