//! A container whose CPU rises from nothing to a core, so slowly that no second of it stands out.

use anyhow::Result;

use crate::cases::Outcome;
use crate::images::BUSYBOX;
use crate::scene::{Expected, Scene, start_of};
use crate::tidewatch::Room;

const NAME: &str = "tw-live-attack-ramp";

/// One ramp to three quarters of a core: what a whole one would be is for others to find.
pub(crate) fn run(room: &Room) -> Result<Outcome> {
    let mut scene = Scene::open(room)?;
    let args = ["--network", "none", BUSYBOX, "load", "ramp", "45", "75"];
    let attack = scene.docker().start(NAME, &args)?;
    let expected = Expected { container: NAME, judge: "ramp", within: 60.0 };
    let found = scene.one_incident(&expected, start_of(&attack)?)?;
    let note = format!("rose by {:.2} cores", found.finding.figure("risen_cores")?);
    Ok(Outcome { delays: vec![found.delay], note })
}
