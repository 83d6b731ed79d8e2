//! A container that makes the kernel write back the data of the whole host, over and over.

use anyhow::Result;

use crate::cases::Outcome;
use crate::images::BUSYBOX;
use crate::scene::{Expected, Scene, start_of};
use crate::tidewatch::Room;

const NAME: &str = "tw-live-attack-sync";
/// Several at once: one that waits for the disk does not call again.
const SYNC: &str = "for i in 1 2 3 4; do mkdir /tmp/$i; load sync /tmp/$i & done; wait";

/// One attack.
pub(crate) fn run(room: &Room) -> Result<Outcome> {
    let mut scene = Scene::open(room)?;
    let attack = scene.docker().start(NAME, &["--network", "none", BUSYBOX, "sh", "-c", SYNC])?;
    let expected = Expected { container: NAME, judge: "out_of_band_sync", within: 10.0 };
    let found = scene.one_incident(&expected, start_of(&attack)?)?;
    let note = format!("{:.0} syncs a second", found.finding.figure("syncs_per_second")?);
    Ok(Outcome { delays: vec![found.delay], note })
}
