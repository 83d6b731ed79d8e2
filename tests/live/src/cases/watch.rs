//! Tidewatch under attack: stopped, killed and flooded while something starts that must not be seen.
//!
//! Not here: what a kill leaves of what was shown before, see `kill_dash_nine.rs`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use crate::by_hand::{ByHand, CONTAINER};
use crate::cases::{Case, Outcome};
use crate::host;
use crate::images::{BUSYBOX, service_tree};
use crate::incident::{Incident, array};
use crate::stage::{GIVE_UP, Stage, wait_for_incident};
use crate::tidewatch::{Launch, Room, Tidewatch};
use crate::wait;

/// The tests of this file.
pub(crate) const CASES: [Case; 3] = [
    Case { name: "a_stop_by_a_signal_with_a_ghost_meanwhile_is_found", run: stopped },
    Case { name: "a_kill_with_containers_started_meanwhile_is_found", run: killed },
    Case { name: "a_flood_names_its_container_and_hides_no_ghost", run: flooded },
];

/// How long it is stopped.
const STOPPED: Duration = Duration::from_secs(12);
/// From when it runs again, or is flooded, to the incident.
const WITHIN: f64 = 5.0;

const HELPER: &str = "tw-live-attack-helper";
const FLOOD: &str = "tw-live-attack-flood";
/// Programs, not subshells: each is a fork, an exec and an exit.
const PROGRAMS: &str =
    "while :; do /bin/true; done & while :; do /bin/true; done & while :; do /bin/true; done";

/// Stopped by a signal; a ghost begins; it goes on.
fn stopped(room: &Room) -> Result<Outcome> {
    let stage = Stage::set(1)?;
    let tidewatch = Tidewatch::start(room, Launch::default())?;
    stage.approve(&tidewatch)?;
    wait::pause(Duration::from_secs(3))?;
    host::signal(tidewatch.pid(), Signal::STOP);
    // What happens at the edge of a stop may have been before it.
    let begun = wait::pause(Duration::from_secs(1));
    let ghost = begun.and_then(|()| ghost(room));
    let paused = wait::pause(STOPPED);
    host::signal(tidewatch.pid(), Signal::CONT);
    let (ghost, resumed) = (ghost?, host::unix_now());
    paused?;
    let stop = about_node(&tidewatch, "stopped")?;
    let made = about_pid(&tidewatch, ghost.pid)?;
    let delays = vec![stop.opened - resumed, made.opened - resumed];
    ensure!(delays.iter().all(|delay| *delay <= WITHIN), "found {delays:?} s after it ran again");
    let seconds = stop.latest("stopped")?.evidence["stopped_seconds"].as_f64().unwrap_or_default();
    ensure!((seconds - STOPPED.as_secs_f64()).abs() < 3.0, "it says that it was stopped for {seconds} s");
    Ok(Outcome { delays, note: format!("stopped for {seconds:.1} s") })
}

/// Killed; a ghost and a container with the host's root begin; it is started again.
fn killed(room: &Room) -> Result<Outcome> {
    let stage = Stage::set(1)?;
    let tidewatch = Tidewatch::start(room, Launch::default())?;
    stage.approve(&tidewatch)?;
    wait::pause(Duration::from_secs(3))?;
    tidewatch.kill_nine();
    wait::pause(Duration::from_secs(1))?;
    let ghost = ghost(room)?;
    let args = ["--network", "none", "--volume", "/:/host", BUSYBOX, "sleep", "300"];
    let _helper = stage.docker.start(HELPER, &args)?;
    wait::pause(Duration::from_secs(2))?;
    let restarted = host::unix_now();
    let tidewatch = Tidewatch::start(room, Launch::default())?;
    let helper = wait_for_incident(&tidewatch, HELPER)?;
    helper.latest("privilege")?;
    let made = about_pid(&tidewatch, ghost.pid)?;
    let kill = about_node(&tidewatch, "killed")?;
    let delays = [&helper, &made, &kill].map(|incident| incident.opened - restarted).to_vec();
    ensure!(delays.iter().all(|delay| *delay <= 2.0 * WITHIN), "found {delays:?} s after the restart");
    Ok(Outcome { delays, note: kill.latest("killed")?.claim.clone() })
}

/// A container starts programs without end; a ghost begins beside it.
fn flooded(room: &Room) -> Result<Outcome> {
    let stage = Stage::set(1)?;
    // A budget that two cores exceed by far, whatever else they do.
    let settings = room.settings("[probes]\nbudget_per_second = 100\nbudget_burst = 200\n")?;
    let tidewatch = Tidewatch::start(room, Launch { config: Some(settings), ..Launch::default() })?;
    stage.approve(&tidewatch)?;
    let _flood = stage.docker.start(FLOOD, &["--network", "none", BUSYBOX, "sh", "-c", PROGRAMS])?;
    let begun = host::unix_now();
    let flood = wait::until(GIVE_UP, "an incident names the flood", || {
        let all = tidewatch.incidents_about(FLOOD)?;
        Ok(all.into_iter().find(|incident| incident.latest("flooded").is_ok()))
    })?;
    let found = flood.latest("flooded")?;
    let delay = found.at - begun;
    ensure!(delay <= WITHIN, "the flood was found after {delay:.1} s");
    let ghost = ghost(room)?;
    let made = about_pid(&tidewatch, ghost.pid)?;
    let lost = tidewatch.status()?;
    let lost = array(&lost["coverage"], "lost")?;
    ensure!(lost.iter().any(|lost| lost["about"] == FLOOD), "nobody says what was lost: {lost:?}");
    Ok(Outcome { delays: vec![delay, made.opened - ghost.started], note: found.claim.clone() })
}

/// A container made by hand with files of its own.
fn ghost(room: &Room) -> Result<ByHand> {
    let root: PathBuf = room.path("root");
    service_tree(&root, "made by hand\n")?;
    let directory = root.display().to_string();
    ByHand::unshared(None, CONTAINER, &["chroot", &directory, "/bin/busybox", "sleep", "300"])
}

fn about_node(tidewatch: &Tidewatch, judge: &str) -> Result<Incident> {
    wait::until(GIVE_UP, &format!("an incident about the node has {judge}"), || {
        let all = tidewatch.incidents()?.into_iter().filter(|incident| incident.subject.kind == "node");
        Ok(all.into_iter().find(|incident| incident.latest(judge).is_ok()))
    })
    .with_context(|| tidewatch.picture())
}

fn about_pid(tidewatch: &Tidewatch, pid: u32) -> Result<Incident> {
    let names = |incident: &Incident| {
        incident.findings.iter().any(|finding| {
            finding.evidence.get("pid").and_then(serde_json::Value::as_u64) == Some(u64::from(pid))
                && finding.judge == "ghost"
        })
    };
    wait::until(GIVE_UP, &format!("an incident names the ghost with pid {pid}"), || {
        Ok(tidewatch.incidents()?.into_iter().find(names))
    })
    .with_context(|| tidewatch.picture())
}
