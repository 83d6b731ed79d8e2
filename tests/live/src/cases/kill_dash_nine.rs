//! Killed without warning a second after an incident appeared: the incident is there after the restart, a container
//! started meanwhile is known, and the gap is admitted.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::cases::Outcome;
use crate::host;
use crate::incident::{array, time};
use crate::stage::{Stage, attack_until_incident, wait_for_name};
use crate::tidewatch::{Launch, Room, Tidewatch};
use crate::wait;

/// Readings are a second apart, so the last sign of life may be that old; one more second for a busy host.
const SIGN_OF_LIFE: f64 = 2.0;

/// One kill, one restart.
pub(crate) fn run(room: &Room) -> Result<Outcome> {
    let mut stage = Stage::set(1)?;
    let tidewatch = Tidewatch::start(room, Launch::default())?;
    stage.approve(&tidewatch)?;
    let (attack, incident, delay) = attack_until_incident(&stage, &tidewatch, "tw-live-attack-killed")?;
    wait::pause(Duration::from_secs(1))?;
    let killed = host::unix_now();
    tidewatch.kill_nine();
    attack.kill()?;
    stage.add_benign("tw-live-meanwhile")?;
    wait::pause(Duration::from_secs(2))?;
    let restarted = host::unix_now();
    let tidewatch = Tidewatch::start(room, Launch::default())?;

    let after = tidewatch.incidents()?;
    let same = after.iter().find(|found| found.id == incident.id);
    let same = same.with_context(|| format!("{} is lost; there are {after:?}", incident.id))?;
    ensure!(same.opened == incident.opened, "it changed: {same:?}");
    ensure!(same.subject.container_id == incident.subject.container_id, "it changed: {same:?}");
    wait_for_name(&tidewatch, "tw-live-meanwhile")?;
    let gap = gap_in_coverage(&tidewatch, killed, restarted)?;
    Ok(Outcome { delays: vec![delay], note: format!("gap of {gap:.1} s admitted") })
}

/// The length of the admitted gap that spans the dead time.
fn gap_in_coverage(tidewatch: &Tidewatch, killed: f64, restarted: f64) -> Result<f64> {
    let status = tidewatch.status()?;
    let blind = array(&status["coverage"], "blind")?;
    for entry in blind.iter().filter(|entry| entry["source"] == "engine" && !entry["until"].is_null()) {
        let (since, until) = (time(entry, "since")?, time(entry, "until")?);
        if (killed - SIGN_OF_LIFE..=killed).contains(&since) && until >= restarted {
            return Ok(until - since);
        }
    }
    anyhow::bail!("no gap from {killed:.1} to {restarted:.1} in {blind:?}")
}
