//! Flags a container that makes the kernel write back data without end: everybody's (`sync`), or its own so often that
//! the disk has time for nothing else (`fsync`).
//!
//! Gao et al., "Houdini's Escape" (CCS 2019), the class of data synchronisation. The cost is time that others wait, not
//! CPU. Not here: a workload that always does that, which is what databases are.

use model::finding::Finding;
use state::{Account, Cost, CostClass, Quantity, Resource};

use crate::Case;
use crate::resource::out_of_band::{self, cost};

pub(crate) const ID: &str = "out_of_band_sync";

/// Calls of `sync` a second: it writes back the data of the whole host, and no program needs it more than now and then.
const WHOLE_SYNCS_MIN: f64 = 3.0;

/// Calls of `fsync` a second that keep a disk busy.
const FILE_SYNCS_MIN: f64 = 50.0;

/// Share of all such calls on the host that one container must make.
const SHARE_MIN: f64 = 0.5;

/// How many times its usual or highest known rate is still usual.
const USUAL_FACTOR: f64 = 3.0;

/// Shortest span judged, in seconds: an end of work is a burst of syncs, and over.
const SECONDS_MIN: f64 = 1.9;

/// Share of time in which some task on the host waited for I/O, in percent over 10 s, from which `fsync` harms.
const IO_SOME_PERCENT: f32 = 10.0;

/// Weight of `sync` without end, and of `fsync` while others wait for the disk.
const WHOLE_BITS: f64 = 9.0;
const FILE_BITS: f64 = 8.0;

/// Judges every container's syncs when the books of a second are closed.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    let Some(host) = case.closed_books() else { return };
    let io = host.pressures.io.map_or(0.0, |io| io.some_avg10_percent);
    for account in case.running() {
        let Some(cost) = cost(account, CostClass::DataSync) else { continue };
        let Some((what, rate, bits)) = driver(case, account, cost, io) else { continue };
        let claim = format!(
            "it made the kernel write back {what} {rate:.0} times a second; tasks on the host wait for the disk {io:.0} % of \
             the time"
        );
        let harm = if case.state.distress().is_some_and(|(resource, _)| resource == Resource::Io) {
            3.0
        } else {
            0.0
        };
        out.push(
            out_of_band::finding(case, account, ID, cost, bits + harm)
                .claiming(claim)
                .with("syncs_per_second", rate)
                .with("io_pressure_percent", f64::from(io))
                .with("writeback_cpu_cores", host.writeback_cores)
                .with("iowait_cores", host.iowait_cores),
        );
    }
}

fn driver(case: &Case, account: &Account, cost: &Cost, io: f32) -> Option<(&'static str, f64, f64)> {
    let spent = account.spent(5.0).filter(|spent| spent.seconds >= SECONDS_MIN)?;
    if cost.share < SHARE_MIN || !cost.goes_on {
        return None;
    }
    let is_usual = |quantity, rate: f64| {
        let usual = case.state.usual(account.workload());
        usual.is_some_and(|usual| rate <= USUAL_FACTOR * usual.high(quantity))
    };
    let whole = spent.rate(Quantity::WholeSyncs);
    if whole >= WHOLE_SYNCS_MIN && !is_usual(Quantity::WholeSyncs, whole) {
        return Some(("the whole host's data", whole, WHOLE_BITS));
    }
    let file = spent.rate(Quantity::FileSyncs);
    let harms = file >= FILE_SYNCS_MIN && io >= IO_SOME_PERCENT && !case.state.is_without_history(account);
    (harms && !is_usual(Quantity::FileSyncs, file)).then_some(("its files", file, FILE_BITS))
}
