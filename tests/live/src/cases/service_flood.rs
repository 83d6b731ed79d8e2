//! A container that opens connections to another without end; the one that accepts them is not blamed.

use std::time::Duration;

use anyhow::Result;

use crate::cases::Outcome;
use crate::images::{BUSYBOX, WEB};
use crate::scene::{Expected, Scene, start_of};
use crate::stage::Stage;
use crate::tidewatch::Room;

const NAME: &str = "tw-live-attack-flood";

/// One flood.
pub(crate) fn run(room: &Room) -> Result<Outcome> {
    let stage = Stage::set(1)?;
    let network = stage.docker.network("tw-live-flood")?;
    let mut scene = Scene::open_with(room, stage, None)?;
    // Started under our eyes: of a service that ran before nothing is usual yet.
    let server = ["--network", &network.name, WEB, "load", "accept", "0.0.0.0:9000"];
    let address = scene.stage.add("tw-live-server", &server)?.address(&network)?;
    scene.stage.approve(&scene.tidewatch)?;
    scene.stay_quiet(Duration::from_secs(5))?;
    let flood = ["--network", &network.name, BUSYBOX, "load", "connect", &format!("{address}:9000"), "1500"];
    let attack = scene.docker().start(NAME, &flood)?;
    let expected = Expected { container: NAME, judge: "service_flood", within: 10.0 };
    let found = scene.one_incident(&expected, start_of(&attack)?)?;
    let note = format!("{:.0} connections a second", found.finding.figure("accepts_per_second")?);
    drop(attack);
    drop(scene);
    drop(network);
    Ok(Outcome { delays: vec![found.delay], note })
}
