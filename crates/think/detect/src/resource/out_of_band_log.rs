//! Flags a container that makes the engine, its shim or an attached client spend CPU on copying its output.
//!
//! Gao et al., "Houdini's Escape" (CCS 2019), the container-engine class; `docker run busybox yes` is the case. Every
//! log driver counts: with a log file the bytes are read from it, else from what the container's processes write.
//! Not here: the host's logger (`out_of_band_syslog.rs`), and how fast the disk fills (`log_fill.rs`).

use model::finding::Finding;
use state::{Account, Cost, CostClass};

use crate::Case;
use crate::resource::out_of_band::{ATTRIBUTED_CORES_MIN, bits, cost, is_sure};

pub(crate) const ID: &str = "out_of_band_log";

/// How many times its own CPU others must spend for it: below, the cost is in band and container metrics show it.
const RATIO_MIN: f64 = 3.0;

/// Without a file to write to, a reader keeps up with a container that writes without end, which is then busy itself.
/// From half a core of others' time on, this many times its own is enough (measured: 0.7 to 1.7 times, by who gets more
/// of a contended host).
const LARGE_CORES: f64 = 0.5;
const LARGE_RATIO_MIN: f64 = 0.7;

/// Judges every container's log cost when the books of a second are closed.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    if case.closed_books().is_none() {
        return;
    }
    for account in case.running() {
        let Some(engine) = cost(account, CostClass::EngineLog) else { continue };
        let client = cost(account, CostClass::AttachedClient).map_or(0.0, |client| client.attributed_cores);
        if is_out_of_band(engine, engine.attributed_cores + client, account.has_log_file()) {
            out.push(finding(case, account, engine, client));
        }
    }
}

fn is_out_of_band(engine: &Cost, cores: f64, has_log_file: bool) -> bool {
    let is_large = !has_log_file && cores >= LARGE_CORES && cores >= LARGE_RATIO_MIN * engine.own_cores;
    is_sure(engine) && cores >= ATTRIBUTED_CORES_MIN && (cores >= RATIO_MIN * engine.own_cores || is_large)
}

fn finding(case: &Case, account: &Account, engine: &Cost, client_cores: f64) -> Finding {
    let cores = engine.attributed_cores + client_cores;
    let what = if account.has_log_file() { "its log grew by" } else { "it wrote" };
    let claim = format!(
        "its own cgroup used {:.3} of a core, while the container engine spent {:.2} cores copying its output and {what} \
         {:.1} MB a second",
        engine.own_cores,
        engine.attributed_cores,
        engine.units_per_second / 1e6
    );
    let engine_idle = case.state.host().map_or(0.0, |host| host.engine_idle_cores);
    let mut finding = case
        .resource(account, ID, bits(cores, engine.own_cores))
        .claiming(claim)
        .with("own_cpu_cores", engine.own_cores)
        .with("engine_cpu_cores", engine.pool_cores)
        .with("engine_idle_cpu_cores", engine_idle)
        .with("attributed_cpu_cores", engine.attributed_cores)
        .with("client_cpu_cores", client_cores)
        .with("attribution_share", engine.share)
        .with("log_bytes_per_second", engine.units_per_second.round())
        .with("window_seconds", engine.seconds);
    if let Some(facts) = account.container().facts.known() {
        finding = finding.with("log_driver", &facts.log_driver);
        if let Some(path) = &facts.log_path {
            finding = finding.with("log_path", path);
        }
    }
    // Cost that others pay is harm by itself: it is not an oddity of the container but a loss of theirs.
    finding.harm = true;
    finding
}
