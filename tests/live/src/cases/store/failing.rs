//! The store fails while Tidewatch runs: the sample attack is shown all the same, and decisions hold.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::disk::DataDisk;
use crate::cases::Outcome;
use crate::host;
use crate::images::BUSYBOX;
use crate::stage::Stage;
use crate::tidewatch::{Launch, Room, Tidewatch};
use crate::wait;

/// An incident is shown within that time of its container's start, whatever the store does: what it is without (2 s), and a
/// second that it waits for the store.
const SHOWN_WITHIN: f64 = 3.0;

const DISK_MB: u64 = 24;

/// No room: first the reserve is used, then nothing is stored any more. A restart in between works.
pub(crate) fn full(room: &Room) -> Result<Outcome> {
    let mut disk = DataDisk::mount(room, DISK_MB, 0)?;
    let stage = Stage::set(1)?;
    let tidewatch = Tidewatch::start(room, Launch::default())?;
    stage.approve(&tidewatch)?;
    disk.fill()?;
    let (delay, id) = shown(&stage, &tidewatch, "tw-live-attack-full")?;
    decide(&tidewatch, "full/one")?;
    // What the reserve gave is taken as well, by whoever fills the disk.
    disk.fill()?;
    decide(&tidewatch, "full/two")?;
    tidewatch.close(&id)?;
    drop(tidewatch);
    let tidewatch = Tidewatch::start(room, Launch::default())?;
    ensure!(approvals(&tidewatch)?.iter().any(|one| one.contains("full/one")), "an approval was lost");
    decide(&tidewatch, "full/three")?;
    disk.empty()?;
    wait_until_stored(&tidewatch)?;
    drop(tidewatch);
    Ok(Outcome { delays: vec![delay], note: "restarted on the full disk".to_owned() })
}

/// Writes that never return.
pub(crate) fn frozen(room: &Room) -> Result<Outcome> {
    let disk = DataDisk::mount(room, DISK_MB, 0)?;
    let stage = Stage::set(1)?;
    let tidewatch = Tidewatch::start(room, Launch::default())?;
    stage.approve(&tidewatch)?;
    disk.freeze()?;
    let result = shown(&stage, &tidewatch, "tw-live-attack-frozen");
    let decided = decide(&tidewatch, "frozen/one");
    let unstored = is_stored(&tidewatch);
    disk.thaw()?;
    let (delay, _) = result?;
    decided?;
    ensure!(!unstored?, "status says that all is stored on a frozen disk");
    wait_until_stored(&tidewatch)?;
    Ok(Outcome { delays: vec![delay], note: String::new() })
}

/// Writes that fail.
pub(crate) fn read_only(room: &Room) -> Result<Outcome> {
    let disk = DataDisk::mount(room, DISK_MB, 0)?;
    let stage = Stage::set(1)?;
    let tidewatch = Tidewatch::start(room, Launch::default())?;
    stage.approve(&tidewatch)?;
    disk.set_read_only()?;
    let (delay, id) = shown(&stage, &tidewatch, "tw-live-attack-read-only")?;
    decide(&tidewatch, "read-only/one")?;
    ensure!(!is_stored(&tidewatch)?, "status says that all is stored on a read-only disk");
    let listed = tidewatch.ask_json(&["incidents", "list", "--json"])?;
    let entry = listed.as_array().and_then(|all| all.iter().find(|one| one["id"] == id.as_str()));
    ensure!(entry.context("it is not listed")?["stored"] == false, "it is not marked: {entry:?}");
    tidewatch.close(&id)?;
    Ok(Outcome { delays: vec![delay], note: String::new() })
}

/// Seconds from the attack's first process until its incident is listed, and the incident's name.
fn shown(stage: &Stage, tidewatch: &Tidewatch, name: &str) -> Result<(f64, String)> {
    let mut attack = stage.docker.sample_attack(name, BUSYBOX)?;
    let (_, started) = attack.start()?;
    let incident = crate::stage::wait_for_incident(tidewatch, name)?;
    let delay = host::unix_now() - started;
    attack.kill()?;
    ensure!(delay <= SHOWN_WITHIN, "shown after {delay:.2} s, not within {SHOWN_WITHIN} s");
    Ok((delay, incident.id))
}

/// Approves something, and sees that it holds: listed, whether stored or not.
fn decide(tidewatch: &Tidewatch, image: &str) -> Result<()> {
    tidewatch.ask(&["approve", "image", image])?;
    ensure!(
        approvals(tidewatch)?.iter().any(|one| one.contains(image)),
        "{image} was approved and is not listed"
    );
    Ok(())
}

fn approvals(tidewatch: &Tidewatch) -> Result<Vec<String>> {
    let listed = tidewatch.ask_json(&["approve", "list", "--json"])?;
    Ok(listed.as_array().context("no list")?.iter().map(Value::to_string).collect())
}

fn is_stored(tidewatch: &Tidewatch) -> Result<bool> {
    let status = tidewatch.status()?;
    status["store"]["stored"].as_bool().context("status has no store.stored")
}

fn wait_until_stored(tidewatch: &Tidewatch) -> Result<()> {
    wait::until(Duration::from_secs(15), "everything is stored", || {
        let status = tidewatch.status()?;
        let store = &status["store"];
        Ok((store["stored"] == true && store["waiting"].as_u64().is_some_and(|count| count < 5))
            .then_some(()))
    })
}
