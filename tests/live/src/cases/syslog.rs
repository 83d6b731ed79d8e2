//! A container that writes to the host's log, through its socket, without end.

use anyhow::Result;

use crate::cases::Outcome;
use crate::images::BUSYBOX;
use crate::journal::{Journal, SYSLOG_SOCKET};
use crate::scene::{Expected, Scene, start_of};
use crate::tidewatch::Room;

const NAME: &str = "tw-live-attack-syslog";

/// One attack.
pub(crate) fn run(room: &Room) -> Result<Outcome> {
    let _journal = Journal::running()?;
    let mut scene = Scene::open(room)?;
    let socket = format!("{SYSLOG_SOCKET}:/dev/log");
    let args = ["--network", "none", "-v", &socket, BUSYBOX, "sh", "-c", "yes | logger"];
    let attack = scene.docker().start(NAME, &args)?;
    let expected = Expected { container: NAME, judge: "out_of_band_syslog", within: 10.0 };
    let found = scene.one_incident(&expected, start_of(&attack)?)?;
    let note = format!("{:.2} cores of the host's logger", found.finding.figure("attributed_cpu_cores")?);
    Ok(Outcome { delays: vec![found.delay], note })
}
