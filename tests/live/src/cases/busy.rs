//! CPU for no reason: several containers at full speed, one under a small quota, many small ones together.

use anyhow::{Context, Result, ensure};

use crate::cases::Outcome;
use crate::cgroups::CpuMeter;
use crate::docker::Container;
use crate::host;
use crate::images::BUSYBOX;
use crate::incident::Finding;
use crate::scene::{Expected, Scene, start_of};
use crate::tidewatch::Room;
use crate::wait;

/// How far a figure may be from our own measurement, in cores: a busy host shares out its time unevenly.
const CORES_TOLERANCE: f64 = 0.25;
/// Several, and each of its own kind: containers of one kind are one workload, and one incident.
const SEVERAL: [(&str, &[&str]); 3] = [
    ("tw-live-attack-busy-1", &["load", "burn", "1"]),
    ("tw-live-attack-busy-2", &["md5sum", "/dev/zero"]),
    ("tw-live-attack-busy-3", &["sh", "-c", "while :; do :; done"]),
];
const HIDDEN: &str = "tw-live-attack-hidden";
const HERD: usize = 6;

/// Three at once: one incident each.
pub(crate) fn several(room: &Room) -> Result<Outcome> {
    let scene = Scene::open(room)?;
    let mut attacks = Vec::new();
    for (name, argv) in SEVERAL {
        let attack = start(&scene, name, &[], argv)?;
        attacks.push((start_of(&attack)?, attack));
    }
    let mut outcome = Outcome::default();
    for (started, attack) in &attacks {
        let incident = crate::stage::wait_for_incident(&scene.tidewatch, &attack.name)?;
        let delay = incident.opened - started;
        ensure!(delay <= 10.0, "{} opened after {delay:.2} s", attack.name);
        compare(incident.latest("excess")?, attack)?;
        outcome.delays.push(delay);
    }
    let open = scene.open_incidents()?;
    ensure!(open.len() == SEVERAL.len(), "{} incidents instead of {}: {open:?}", open.len(), SEVERAL.len());
    outcome.note = format!("{} containers, one incident each", SEVERAL.len());
    Ok(outcome)
}

/// A miner that a quota keeps small.
pub(crate) fn hidden(room: &Room) -> Result<Outcome> {
    let mut scene = Scene::open(room)?;
    let attack = start(&scene, HIDDEN, &["--cpus", "0.3"], &["load", "burn", "1"])?;
    let expected = Expected { container: HIDDEN, judge: "hidden_burn", within: 10.0 };
    let found = scene.one_incident(&expected, start_of(&attack)?)?;
    let cores = found.finding.figure("own_cpu_cores")?;
    ensure!((0.2..=0.4).contains(&cores), "it used {cores:.2} cores of 0.3");
    Ok(Outcome { delays: vec![found.delay], note: format!("{cores:.2} cores") })
}

/// Six small ones of one image.
pub(crate) fn herd(room: &Room) -> Result<Outcome> {
    let scene = Scene::open(room)?;
    let mut attacks = Vec::new();
    for number in 1..=HERD {
        let name = format!("tw-live-attack-herd-{number}");
        attacks.push(start(&scene, &name, &["--cpus", "0.2"], &["load", "burn", "1"])?);
    }
    // A herd is one from its fourth member on.
    let started = start_of(&attacks[3])?;
    let incident = wait::until(std::time::Duration::from_secs(15), "an incident tells of a herd", || {
        Ok(scene.open_incidents()?.into_iter().find(|incident| incident.latest("herd").is_ok()))
    })
    .with_context(|| scene.tidewatch.picture())?;
    let delay = incident.opened - started;
    ensure!(delay <= 10.0, "opened {delay:.2} s after its fourth member's start");
    ensure!(
        incident.subject.container.starts_with("tw-live-attack-herd-"),
        "it names {:?}",
        incident.subject
    );
    let open = scene.open_incidents()?;
    ensure!(open.len() == 1, "{} incidents instead of one: {open:?}", open.len());
    let members = open[0].latest("herd")?.figure("members")?;
    Ok(Outcome { delays: vec![delay], note: format!("{members} members") })
}

fn start(scene: &Scene, name: &str, options: &[&str], argv: &[&str]) -> Result<Container> {
    scene.docker().start(name, &[&["--network", "none"], options, &[BUSYBOX], argv].concat())
}

/// Compares a finding with the same container's CPU over the next two seconds.
fn compare(finding: &Finding, attack: &Container) -> Result<()> {
    let meter = CpuMeter::of(attack.facts()?.pid)?;
    let (at, before) = (host::unix_now(), meter.seconds()?);
    wait::pause(std::time::Duration::from_secs(2))?;
    let ours = (meter.seconds()? - before) / (host::unix_now() - at);
    let theirs = finding.figure("own_cpu_cores")?;
    ensure!((theirs - ours).abs() <= CORES_TOLERANCE, "{theirs:.2} cores told, {ours:.2} measured");
    Ok(())
}
