//! Without the rights that BPF needs, Tidewatch polls: it says what it cannot see and how to change that, and the
//! sample attack is found all the same.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::cases::Outcome;
use crate::host;
use crate::stage::{Stage, attack_until_incident, check_judges};
use crate::tidewatch::{Launch, Room, Tidewatch};
use crate::wait;

/// Polling sees a container a second later than the kernel tells, and its image a moment after that.
const DELAY_MAX: f64 = 6.0;

/// One attack with capabilities dropped.
pub(crate) fn run(room: &Room) -> Result<Outcome> {
    host::require("setpriv", "util-linux")?;
    let stage = Stage::set(1)?;
    let under = ["setpriv", "--bounding-set", "-bpf,-perfmon,-sys_admin"].map(str::to_owned).to_vec();
    let mut tidewatch = Tidewatch::start(room, Launch { under, config: None })?;
    let (health, reason) = tidewatch.source("kernel")?;
    ensure!(health != "up", "source kernel claims to be up without the right to load BPF programs");
    ensure!(!reason.is_empty(), "source kernel is {health} without a reason");
    let doctor = tidewatch.ask(&["doctor"])?.text();
    ensure!(doctor.contains("CAP_BPF"), "doctor does not name the remedy (CAP_BPF):\n{doctor}");
    ensure!(tidewatch.ask_json(&["doctor", "--json"])?.is_object(), "doctor --json gives no object");
    stage.approve(&tidewatch)?;
    let (attack, _, delay) = attack_until_incident(&stage, &tidewatch, "tw-live-attack-unprivileged")?;
    ensure!(delay <= DELAY_MAX, "opened {delay:.2} s after the first process");
    wait::until(Duration::from_secs(5), "both judges agree", || {
        let incidents = tidewatch.incidents_about("tw-live-attack-unprivileged")?;
        incidents.iter().try_for_each(check_judges).map(Some)
    })?;
    attack.kill()?;
    tidewatch.check_alive()?;
    Ok(Outcome { delays: vec![delay], note: format!("kernel {health}: {reason}") })
}
