//! A container that floods another with small packets over a network of the engine.

use anyhow::Result;

use crate::cases::Outcome;
use crate::images::{BUSYBOX, WEB};
use crate::scene::{Expected, Scene, start_of};
use crate::stage::Stage;
use crate::tidewatch::Room;

const NAME: &str = "tw-live-attack-packets";

/// One flood; whoever takes it is approved and not blamed.
pub(crate) fn run(room: &Room) -> Result<Outcome> {
    let mut stage = Stage::set(1)?;
    let network = stage.docker.network("tw-live-packets")?;
    let drain = ["--network", &network.name, WEB, "load", "drain", "0.0.0.0:9000"];
    let address = stage.add("tw-live-drain", &drain)?.address(&network)?;
    let mut scene = Scene::open_with(room, stage, None)?;
    let flood = ["--network", &network.name, BUSYBOX, "load", "udp", &format!("{address}:9000")];
    let attack = scene.docker().start(NAME, &flood)?;
    let expected = Expected { container: NAME, judge: "out_of_band_packets", within: 10.0 };
    let found = scene.one_incident(&expected, start_of(&attack)?)?;
    let note = format!(
        "{:.0} packets a second, {:.2} cores in softirq",
        found.finding.figure("packets_per_second")?,
        found.finding.figure("attributed_cpu_cores")?
    );
    drop(attack);
    drop(scene);
    drop(network);
    Ok(Outcome { delays: vec![found.delay], note })
}
