//! A service that people approved and that has a history starts to burn, right after a program it never ran; beside a
//! database that makes the disk keep every write, as it always does.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::cases::Outcome;
use crate::host;
use crate::images::WEB;
use crate::scene::{Expected, Scene};
use crate::stage::Stage;
use crate::tidewatch::Room;

const DATABASE: &str = "tw-live-database";
const VICTIM: &str = "tw-live-web-1";
/// Until what is usual is known: a minute, and what a second needs to be learned.
const HISTORY: Duration = Duration::from_secs(80);

/// Quiet while the history grows, then one incident.
pub(crate) fn run(room: &Room) -> Result<Outcome> {
    let mut stage = Stage::set(1)?;
    stage.add(DATABASE, &["--network", "none", WEB, "load", "fsync", "100", "/tmp"])?;
    let mut scene = Scene::open_with(room, stage, None)?;
    scene.stay_quiet(HISTORY).context("while the history grew")?;
    let started = host::unix_now();
    scene.stage.benign()[0].exec(&["load", "burn", "1"])?;
    let expected = Expected { container: VICTIM, judge: "hijack", within: 10.0 };
    let found = scene.one_incident(&expected, started)?;
    let note = format!("{:.2} cores", found.finding.figure("own_cpu_cores")?);
    Ok(Outcome { delays: vec![found.delay], note })
}
