//! The strategy's own sample beside eight benign containers, ten times in a row: one incident each time, in time,
//! with figures that agree with our own measurement.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::cases::Outcome;
use crate::docker::Docker;
use crate::host;
use crate::images::BUSYBOX;
use crate::incident::{Finding, Incident};
use crate::measure::{Measurement, Rates, Series, idle_cores};
use crate::stage::{OUT_OF_BAND_LOG, Stage, check_judges, wait_for_incident};
use crate::tidewatch::{Launch, Room, Tidewatch};
use crate::wait;

const BENIGN: usize = 8;
const REPETITIONS: usize = 10;
/// From the container's first process to the opening of its incident.
const DELAY_MAX: f64 = 3.0;
/// How long each attack lasts, in seconds: a window of five and the readings on either side of it.
const ATTACK: f64 = 7.0;
/// How far a figure may be from our own measurement.
const TOLERANCE: f64 = 0.2;
/// The container's own CPU is of the order of 0.01 cores, where 20 % is less than the clock tick: this much is
/// allowed in any case.
const OWN_CORES_TOLERANCE: f64 = 0.01;

/// Ten attacks against one Tidewatch.
pub(crate) fn run(room: &Room) -> Result<Outcome> {
    let stage = Stage::set(BENIGN)?;
    let mut tidewatch = Tidewatch::start(room, Launch::default())?;
    stage.approve(&tidewatch)?;
    let idle = idle_cores(Duration::from_secs(3))?;
    let mut outcome = Outcome::default();
    let mut worst: f64 = 0.0;
    for number in 1..=REPETITIONS {
        let shown = attack_once(&stage.docker, &tidewatch, number, idle)
            .with_context(|| format!("attack {number}"))?;
        println!("  {number} of {REPETITIONS}: {}", shown.line);
        outcome.delays.push(shown.delay);
        worst = worst.max(shown.deviation);
    }
    tidewatch.check_alive()?;
    let count = tidewatch.incidents()?.len();
    ensure!(count == REPETITIONS, "{count} incidents after {REPETITIONS} attacks");
    outcome.note =
        format!("{REPETITIONS} of {REPETITIONS} attacks; figures off by at most {:.0} %", worst * 100.0);
    Ok(outcome)
}

struct Shown {
    delay: f64,
    /// Largest relative deviation of the engine's CPU and the log's growth.
    deviation: f64,
    line: String,
}

fn attack_once(docker: &Docker, tidewatch: &Tidewatch, number: usize, idle: f64) -> Result<Shown> {
    let name = format!("tw-live-attack-{number}");
    let known = ids(&tidewatch.incidents()?);
    let mut attack = docker.sample_attack(&name, BUSYBOX)?;
    let (facts, started) = attack.start()?;
    let measurement = Measurement::start(&facts)?;
    let opened = wait_for_incident(tidewatch, &name)?.opened;
    wait::pause(Duration::from_secs_f64((started + ATTACK - host::unix_now()).max(0.0)))?;
    let incidents = tidewatch.incidents()?;
    // The latest finding may be younger than our last reading.
    wait::pause(Duration::from_millis(300))?;
    let series = measurement.finish()?;
    attack.kill()?;

    let fresh: Vec<&Incident> = incidents.iter().filter(|incident| !known.contains(&incident.id)).collect();
    let subjects: Vec<_> = fresh.iter().map(|incident| &incident.subject).collect();
    ensure!(fresh.len() == 1, "{} incidents instead of one: {subjects:?}", fresh.len());
    let incident = fresh[0];
    ensure!(incident.subject.container == name, "it names {:?}", incident.subject);
    ensure!(
        incident.subject.container_id == facts.id,
        "it names the wrong container id: {:?}",
        incident.subject
    );
    check_judges(incident)?;
    tidewatch.check_announced(&incident.id)?;
    let delay = opened - started;
    ensure!((-0.05..=DELAY_MAX).contains(&delay), "opened {delay:.2} s after the first process");
    let (line, deviation) = compare(incident.latest(OUT_OF_BAND_LOG)?, &series, idle)?;
    tidewatch.close(&incident.id)?;
    check_only_closed(tidewatch)?;
    Ok(Shown { delay, deviation, line: format!("opened after {delay:.2} s; {line}") })
}

/// Compares the incident's figures with our own over the same seconds.
fn compare(finding: &Finding, series: &Series, idle: f64) -> Result<(String, f64)> {
    let window = finding.figure("window_seconds")?;
    let ours: Rates = series.between(finding.at - window, finding.at)?;
    let (own, attributed) = (finding.figure("own_cpu_cores")?, finding.figure("attributed_cpu_cores")?);
    let (engine, log) = (finding.figure("engine_cpu_cores")?, finding.figure("log_bytes_per_second")?);
    let spent = ours.engine_cores - idle;
    let line = format!(
        "own {own:.3} (ours {:.3}), attributed {attributed:.2} (ours {spent:.2}), engine {engine:.2} (ours {:.2}), \
         log {:.0} (ours {:.0}) MB/s over {window:.1} s",
        ours.own_cores,
        ours.engine_cores,
        log / 1e6,
        ours.log_bytes_per_second / 1e6,
    );
    let off = |theirs: f64, ours: f64| (theirs - ours).abs() / ours.abs().max(f64::MIN_POSITIVE);
    let own_off = (own - ours.own_cores).abs();
    ensure!(own_off <= OWN_CORES_TOLERANCE.max(ours.own_cores * TOLERANCE), "own CPU does not tally: {line}");
    let deviation = off(attributed, spent).max(off(log, ours.log_bytes_per_second));
    ensure!(deviation <= TOLERANCE, "figures do not tally: {line}");
    Ok((line, deviation))
}

fn ids(incidents: &[Incident]) -> BTreeSet<String> {
    incidents.iter().map(|incident| incident.id.clone()).collect()
}

/// The end of an attack must not open anything again.
fn check_only_closed(tidewatch: &Tidewatch) -> Result<()> {
    wait::pause(Duration::from_secs(2))?;
    let open: Vec<String> =
        tidewatch.incidents()?.into_iter().filter(|i| i.state == "open").map(|i| i.summary).collect();
    ensure!(open.is_empty(), "open after the attack ended and its incident was closed: {open:?}");
    Ok(())
}
