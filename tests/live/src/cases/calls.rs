//! Calls of the engine's API without end: by a container that has its socket, and by somebody on the host who has programs
//! run in one.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::cases::Outcome;
use crate::host;
use crate::images::{BUSYBOX, WEB};
use crate::scene::{Expected, Scene, start_of};
use crate::stage::Stage;
use crate::tidewatch::Room;

const JUDGE: &str = "out_of_band_calls";
const SOCKET: &str = "/var/run/docker.sock:/var/run/docker.sock";
const CALL: &str = "exec load calls /var/run/docker.sock $(hostname)";

/// A container that asks the engine to run and to inspect, over and over.
pub(crate) fn from_inside(room: &Room) -> Result<Outcome> {
    const NAME: &str = "tw-live-attack-calls";
    let mut scene = Scene::open(room)?;
    let args = ["--network", "none", "-v", SOCKET, BUSYBOX, "sh", "-c", CALL];
    let attack = scene.docker().start(NAME, &args)?;
    let expected = Expected { container: NAME, judge: JUDGE, within: 10.0 };
    let found = scene.one_incident(&expected, start_of(&attack)?)?;
    let note = format!(
        "{:.0} calls a second, {:.2} cores of the engine",
        found.finding.figure("calls_per_second")?,
        found.finding.figure("attributed_cpu_cores")?
    );
    Ok(Outcome { delays: vec![found.delay], note })
}

/// Programs run in a container from outside, over and over; beside it a service whose health is checked every second.
pub(crate) fn from_outside(room: &Room) -> Result<Outcome> {
    const NAME: &str = "tw-live-attack-execs";
    let mut stage = Stage::set(1)?;
    let checked =
        ["--network", "none", "--health-cmd", "true", "--health-interval", "1s", WEB, "sleep", "1000"];
    stage.add("tw-live-checked", &checked)?;
    let mut scene = Scene::open_with(room, stage, None)?;
    scene.stay_quiet(Duration::from_secs(12))?;
    let target = scene.docker().start(NAME, &["--network", "none", BUSYBOX, "sleep", "1000"])?;
    target.running()?;
    let started = host::unix_now();
    let _loops = [Loop::start(NAME)?, Loop::start(NAME)?, Loop::start(NAME)?];
    let found = scene.one_incident(&Expected { container: NAME, judge: JUDGE, within: 10.0 }, started)?;
    let note = format!(
        "{:.1} programs a second, {:.2} cores of the engine",
        found.finding.figure("calls_per_second")?,
        found.finding.figure("attributed_cpu_cores")?
    );
    Ok(Outcome { delays: vec![found.delay], note })
}

/// A shell that runs a program in a container again and again; ended on drop.
struct Loop(Child);

impl Loop {
    fn start(container: &str) -> Result<Self> {
        let script = format!("while docker exec {container} true; do :; done");
        let shell =
            Command::new("sh").args(["-c", &script]).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        shell.map(Self).context("cannot run sh")
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        host::end(&mut self.0, Duration::ZERO);
    }
}
