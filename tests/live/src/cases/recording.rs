//! What was recorded during an attack replays to what was found live, and twice to the same bytes.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::cases::Outcome;
use crate::host;
use crate::images::BUSYBOX;
use crate::incident::{Incident, Subject};
use crate::stage::{OUT_OF_BAND_LOG, Stage};
use crate::tidewatch::{self, Launch, Room, Tidewatch};
use crate::wait;

const ATTACK: &str = "tw-live-attack-recorded";

/// Recorded beside a running Tidewatch, then without one.
pub(crate) fn run(room: &Room) -> Result<Outcome> {
    let stage = Stage::set(1)?;
    let same_ids = beside_a_running_one(room, &stage)?;
    alone(room, &stage)?;
    let ids = if same_ids { "incident ids equal too" } else { "incident ids differ" };
    Ok(Outcome { note: format!("replays byte for byte equal; {ids}"), ..Outcome::default() })
}

fn beside_a_running_one(room: &Room, stage: &Stage) -> Result<bool> {
    let mut tidewatch = Tidewatch::start(room, Launch::default())?;
    stage.approve(&tidewatch)?;
    let file = room.path("beside.recording");
    record_an_attack(room, stage, &file, tidewatch.data())?;
    let live = tidewatch.incidents()?;
    tidewatch.check_alive()?;
    let first = replay(room, &file)?;
    let second = replay(room, &file)?;
    ensure!(first == second, "two replays differ: {} and {} bytes", first.len(), second.len());
    let replayed = tidewatch::incidents_of(&tidewatch::parse(&first)?)?;
    ensure!(live.len() == 1, "{} live incidents: {:?}", live.len(), live);
    check_same(&live, &replayed)?;
    Ok(live[0].id == replayed[0].id)
}

fn alone(room: &Room, stage: &Stage) -> Result<()> {
    let file = room.path("alone.recording");
    record_an_attack(room, stage, &file, &room.path("nobody-runs-here"))?;
    let replayed = tidewatch::incidents_of(&tidewatch::parse(&replay(room, &file)?)?)?;
    let found = replayed.iter().find(|incident| incident.subject.container == ATTACK);
    let found = found.with_context(|| format!("recorded alone, the attack is not among {replayed:?}"))?;
    found.latest(OUT_OF_BAND_LOG).map(drop)
}

/// Twelve seconds of recording; from the second to the eighth the attack runs, so that both have settled at the end.
fn record_an_attack(room: &Room, stage: &Stage, file: &Path, data: &Path) -> Result<()> {
    let out = file.display().to_string();
    let words = ["record", "--out", &out, "--for", "12s"];
    let log = std::fs::File::create(file.with_extension("log"))?;
    let recorder = tidewatch::command(&Launch::default(), room.bin(), &words, data)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn();
    let mut recorder = Recorder(recorder.context("cannot run tidewatch record")?);
    wait::pause(Duration::from_secs(2))?;
    let mut attack = stage.docker.sample_attack(ATTACK, BUSYBOX)?;
    attack.start()?;
    wait::pause(Duration::from_secs(6))?;
    attack.kill()?;
    let status = host::wait_for(&mut recorder.0, Duration::from_secs(20));
    let status = status.context("tidewatch record --for 12s still runs after 20 s more")?;
    ensure!(status.success(), "tidewatch record: {status}");
    Ok(())
}

struct Recorder(Child);

impl Drop for Recorder {
    fn drop(&mut self) {
        host::end(&mut self.0, Duration::from_secs(3));
    }
}

fn replay(room: &Room, file: &Path) -> Result<Vec<u8>> {
    let mut command = std::process::Command::new(room.bin());
    let output = host::run(command.arg("replay").arg(file).arg("--json"), Duration::from_secs(60))?;
    // Incidents are bad news: exit code 1.
    ensure!(output.status.code() == Some(1), "tidewatch replay: {}: {}", output.status, output.text());
    Ok(output.stdout)
}

fn check_same(live: &[Incident], replayed: &[Incident]) -> Result<()> {
    let (live, replayed) = (comparable(live), comparable(replayed));
    ensure!(live == replayed, "live:\n  {live:#?}\nreplayed:\n  {replayed:#?}");
    Ok(())
}

/// Subject, judges and the bits of each judge's last finding.
fn comparable(incidents: &[Incident]) -> BTreeSet<String> {
    let line = |incident: &Incident| {
        let Subject { kind, node, workload, container_id, .. } = &incident.subject;
        format!("{kind} {node} {workload} {container_id} {:?}", incident.weights())
    };
    incidents.iter().map(line).collect()
}
