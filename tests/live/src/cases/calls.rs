//! A container with the engine's socket that asks it to run and to inspect, over and over.

use anyhow::Result;

use crate::cases::Outcome;
use crate::images::BUSYBOX;
use crate::scene::{Expected, Scene, start_of};
use crate::tidewatch::Room;

const NAME: &str = "tw-live-attack-calls";
const SOCKET: &str = "/var/run/docker.sock:/var/run/docker.sock";
const CALL: &str = "exec load calls /var/run/docker.sock $(hostname)";

/// One attack.
pub(crate) fn run(room: &Room) -> Result<Outcome> {
    let mut scene = Scene::open(room)?;
    let args = ["--network", "none", "-v", SOCKET, BUSYBOX, "sh", "-c", CALL];
    let attack = scene.docker().start(NAME, &args)?;
    let expected = Expected { container: NAME, judge: "out_of_band_calls", within: 10.0 };
    let found = scene.one_incident(&expected, start_of(&attack)?)?;
    let note = format!(
        "{:.0} calls a second, {:.2} cores of the engine",
        found.finding.figure("calls_per_second")?,
        found.finding.figure("attributed_cpu_cores")?
    );
    Ok(Outcome { delays: vec![found.delay], note })
}
