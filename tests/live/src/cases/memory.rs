//! Memory: a container that grows towards its limit, and one that is killed for it again and again.

use anyhow::Result;

use crate::cases::Outcome;
use crate::images::BUSYBOX;
use crate::scene::{Expected, Found, Scene, start_of};
use crate::tidewatch::Room;

/// Grows to just below its limit; then is killed at a smaller one. The limits keep the host out of it.
pub(crate) fn run(room: &Room) -> Result<Outcome> {
    let mut scene = Scene::open(room)?;
    let growth = attack(&mut scene, "tw-live-attack-memory", "256m", "load memory 25 240")?;
    scene.close_all()?;
    let killed = attack(&mut scene, "tw-live-attack-oom", "64m", "while :; do load memory 200 1000; done")?;
    let note = format!(
        "grew by {:.0} MB in {:.0} s; {:.0} killed",
        growth.finding.figure("grown_bytes")? / 1e6,
        growth.finding.figure("window_seconds")?,
        killed.finding.figure("oom_kills")?
    );
    Ok(Outcome { delays: vec![growth.delay, killed.delay], note })
}

fn attack(scene: &mut Scene, name: &str, limit: &str, script: &str) -> Result<Found> {
    let args = ["--network", "none", "--memory", limit, "--memory-swap", limit, BUSYBOX, "sh", "-c", script];
    let attack = scene.docker().start(name, &args)?;
    scene
        .one_incident(&Expected { container: name, judge: "memory_growth", within: 10.0 }, start_of(&attack)?)
}
