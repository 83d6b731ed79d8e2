//! The container engine stops while Tidewatch runs: the kernel's view goes on, the loss is said, and the engine's
//! view is complete again once it is back.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::bundle::Bundle;
use crate::cases::Outcome;
use crate::host;
use crate::images::Images;
use crate::private_engine::PrivateEngine;
use crate::stage::{start_benign, wait_for_name};
use crate::tidewatch::{Launch, Room, Tidewatch};
use crate::wait;

/// One stop, one start, on an engine of our own.
pub(crate) fn run(room: &Room) -> Result<Outcome> {
    let mut engine = PrivateEngine::start(room)?;
    let docker = engine.docker();
    let _images = Images::make(&docker)?;
    let _survivor = start_benign(&docker, "tw-live-survivor")?;
    let config =
        room.settings(&format!("[containers.docker]\nsocket = \"{}\"\n", engine.socket().display()))?;
    let mut tidewatch = Tidewatch::start(room, Launch { config: Some(config), ..Launch::default() })?;
    wait_for_name(&tidewatch, "tw-live-survivor")?;
    wait_for_health(&tidewatch, |health, _| health == "up", "up at first")?;
    tidewatch.approve_running()?;

    engine.down();
    let said = |health: &str, reason: &str| health == "down" && !reason.is_empty();
    wait_for_health(&tidewatch, said, "down with a reason")?;
    let ghost = Bundle::run(room, "tw-live-outage", &["/bin/busybox", "sleep", "300"])?;
    let incident = wait::until(Duration::from_secs(10), "the container of runc is an incident", || {
        let open = tidewatch.incidents()?.into_iter().find(|incident| incident.latest("ghost").is_ok());
        Ok(open.filter(|incident| incident.state == "open"))
    })?;
    let delay = incident.opened - host::process_start(ghost.pid)?;
    drop(ghost);

    engine.up()?;
    wait_for_health(&tidewatch, |health, _| health == "up", "up again")?;
    let _fresh = start_benign(&docker, "tw-live-fresh")?;
    wait_for_name(&tidewatch, "tw-live-fresh")?;
    wait_for_name(&tidewatch, "tw-live-survivor")?;
    tidewatch.check_alive()?;
    let accused = tidewatch.incidents()?.into_iter().find(|incident| {
        ["tw-live-survivor", "tw-live-fresh"].contains(&incident.subject.container.as_str())
    });
    ensure!(accused.is_none(), "a benign container is accused: {accused:?}");
    Ok(Outcome { delays: vec![delay], note: "found through the kernel while the engine was down".to_owned() })
}

fn wait_for_health(tidewatch: &Tidewatch, is_it: impl Fn(&str, &str) -> bool, what: &str) -> Result<()> {
    wait::until(Duration::from_secs(20), &format!("source docker is {what}"), || {
        let (health, reason) = tidewatch.source("docker")?;
        Ok(is_it(&health, &reason).then_some(()))
    })
}
