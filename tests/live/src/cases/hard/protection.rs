//! What the kernel shows of every thread once the probes are loaded, and that detection still works with it.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::by_hand::{BURN, ByHand};
use crate::cases::Outcome;
use crate::host;
use crate::stage::wait_for_incident_in;
use crate::tidewatch::{Launch, Room, Tidewatch};
use crate::wait;

/// Bits of the capabilities that may be left: dac_override, dac_read_search, net_admin, sys_ptrace, sys_admin.
const KEPT: u64 = 1 << 1 | 1 << 2 | 1 << 12 | 1 << 19 | 1 << 21;
/// From the start until the probes are loaded and the filter is in force.
const SEALED_WITHIN: Duration = Duration::from_secs(10);

/// Restricted and sealed, and a container made by hand is found all the same.
pub(crate) fn run(room: &Room) -> Result<Outcome> {
    let tidewatch = Tidewatch::start(room, Launch::default())?;
    let pid = tidewatch.pid();
    wait::until(SEALED_WITHIN, "every thread has a filter of system calls", || {
        Ok(threads(pid)?.iter().all(|status| field(status, "Seccomp") == "2").then_some(()))
    })?;
    let threads = threads(pid)?;
    for status in &threads {
        ensure!(field(status, "NoNewPrivs") == "1", "a thread may gain rights:\n{status}");
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            let bits = u64::from_str_radix(field(status, set), 16).context(set)?;
            ensure!(bits & !KEPT == 0, "{set} holds {bits:x}:\n{status}");
        }
    }
    let limits = fs::read_to_string(format!("/proc/{pid}/limits"))?;
    let core = limits.lines().find(|line| line.starts_with("Max core")).unwrap_or_default().to_owned();
    ensure!(core.split_whitespace().nth(4) == Some("0"), "core files are allowed: {core}");
    let shown = tidewatch.status()?["hardening"].clone();
    ensure!(shown["seccomp"] == true && shown["undumpable"] == true, "status does not show it: {shown}");
    ensure!(tidewatch.ask(&["doctor"])?.text().contains("own protection"), "doctor does not show it");

    // What runs before the first look at the host is complete weighs less: it was there before.
    wait::pause(Duration::from_secs(3))?;
    let name = format!("tw-live-sealed-{}", std::process::id());
    let ghost = ByHand::start(&name, &["sh", "-c", BURN])?;
    let incident = wait_for_incident_in(&tidewatch, ghost.path())?;
    let delay = incident.opened - ghost.started;
    let score = fs::read_to_string(format!("/proc/{pid}/oom_score_adj"))?;
    let note =
        format!("{} threads; oom_score_adj {}; refused: {}", threads.len(), score.trim(), shown["refused"]);
    ensure!(host::unix_now() > incident.opened, "opened in the future");
    Ok(Outcome { delays: vec![delay], note })
}

/// The status of every thread of a process.
fn threads(pid: u32) -> Result<Vec<String>> {
    let entries = fs::read_dir(format!("/proc/{pid}/task")).context("it has ended")?.filter_map(Result::ok);
    // Threads end while we look.
    Ok(entries.filter_map(|entry| fs::read_to_string(entry.path().join("status")).ok()).collect())
}

fn field<'a>(status: &'a str, name: &str) -> &'a str {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_default().trim()
}
