//! Processes without end: a container that forks as fast as it can, one that fills its limit of tasks, one whose
//! containers start, fail and start again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::cases::Outcome;
use crate::docker::Docker;
use crate::host;
use crate::images::BUSYBOX;
use crate::scene::{Expected, Found, Scene, start_of};
use crate::tidewatch::Room;
use crate::wait;

const FORKS: &str = "tw-live-attack-forks";
const TASKS: &str = "tw-live-attack-tasks";
const LOOP: &str = "tw-live-attack-loop";
/// A subshell is a process.
const FORK: &str = "while :; do (:); done";

/// Forks, then tasks.
pub(crate) fn storm(room: &Room) -> Result<Outcome> {
    let mut scene = Scene::open(room)?;
    let forks = attack(&mut scene, FORKS, &["--pids-limit", "200"], &["sh", "-c", FORK])?;
    // Losses are told once a second: the last of them come after their container.
    wait::pause(Duration::from_secs(2))?;
    scene.close_all()?;
    let tasks = attack(&mut scene, TASKS, &["--pids-limit", "300"], &["load", "tasks", "1000"])?;
    let note = format!(
        "{:.0} forks a second; {:.0} tasks",
        forks.finding.figure("forks_per_second")?,
        tasks.finding.figure("tasks")?
    );
    Ok(Outcome { delays: vec![forks.delay, tasks.delay], note })
}

/// Containers that fail at once, started one after the other.
pub(crate) fn crash_loop(room: &Room) -> Result<Outcome> {
    let mut scene = Scene::open(room)?;
    let docker = scene.docker().clone();
    let stop = AtomicBool::new(false);
    let started = host::unix_now();
    let found = thread::scope(|threads| {
        let starter = threads.spawn(|| start_and_fail(&docker, &stop));
        let expected = Expected { container: LOOP, judge: "crash_loop", within: 10.0 };
        let found = scene.one_incident(&expected, started);
        stop.store(true, Ordering::Relaxed);
        let starts = starter.join();
        ensure!(matches!(starts, Ok(Ok(()))), "the loop ended: {starts:?}");
        found
    })?;
    let note = format!("{:.0} failures in a minute", found.finding.figure("failures")?);
    Ok(Outcome { delays: vec![found.delay], note })
}

fn attack(scene: &mut Scene, name: &str, options: &[&str], argv: &[&str]) -> Result<Found> {
    let args = [&["--network", "none"], options, &[BUSYBOX], argv].concat();
    let attack = scene.docker().start(name, &args)?;
    scene.one_incident(&Expected { container: name, judge: "fork_storm", within: 10.0 }, start_of(&attack)?)
}

fn start_and_fail(docker: &Docker, stop: &AtomicBool) -> Result<()> {
    while !stop.load(Ordering::Relaxed) {
        // The container is gone when its guard is: the next one may have its name.
        let failed = docker.attached(LOOP, &["--network", "none", BUSYBOX, "false"])?;
        failed.wait()?;
    }
    Ok(())
}
