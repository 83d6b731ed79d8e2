//! A host with benign containers that are approved, Tidewatch beside them, and what must be said of an attack or must not
//! be said of its twin.
//!
//! Not here: attacks and twins; each case has its own.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};

use crate::docker::{Container, Docker};
use crate::host;
use crate::incident::{Finding, Incident};
use crate::stage::Stage;
use crate::tidewatch::{Launch, Room, Tidewatch};
use crate::wait;

/// What an attack must lead to.
pub(crate) struct Expected<'a> {
    /// The container that must be named.
    pub(crate) container: &'a str,
    /// A judge that must be among the findings.
    pub(crate) judge: &'a str,
    /// Longest time from the attack's start to the incident, in seconds.
    pub(crate) within: f64,
}

/// What it led to.
pub(crate) struct Found {
    /// Seconds from the attack's start to the incident.
    pub(crate) delay: f64,
    /// The expected judge's latest finding.
    pub(crate) finding: Finding,
}

/// How long after an incident another one would have shown.
const SETTLING: Duration = Duration::from_secs(3);

/// Found too late is told as such, with how late; this is how much later than allowed is waited for.
const GRACE: f64 = 10.0;

/// Tidewatch on a stage. Fields end in this order.
pub(crate) struct Scene {
    /// Tidewatch, which has approved what runs on the stage.
    pub(crate) tidewatch: Tidewatch,
    /// Benign containers and images.
    pub(crate) stage: Stage,
}

impl Scene {
    /// A stage with one benign container, approved.
    pub(crate) fn open(room: &Room) -> Result<Self> {
        Self::open_with(room, Stage::set(1)?, None)
    }

    /// A stage that is already set; whatever runs on it is approved.
    pub(crate) fn open_with(room: &Room, stage: Stage, config: Option<PathBuf>) -> Result<Self> {
        let tidewatch = Tidewatch::start(room, Launch { config, ..Launch::default() })?;
        stage.approve(&tidewatch)?;
        Ok(Self { tidewatch, stage })
    }

    /// A stage that is already set, watched for a while before whatever runs on it is approved, edges included.
    pub(crate) fn learned(
        room: &Room,
        stage: Stage,
        config: Option<PathBuf>,
        span: Duration,
    ) -> Result<Self> {
        let scene = Self::started(room, stage, config)?;
        scene.learn(span)?;
        Ok(scene)
    }

    /// A stage that is already set and watched; nothing is approved yet.
    pub(crate) fn started(room: &Room, stage: Stage, config: Option<PathBuf>) -> Result<Self> {
        let tidewatch = Tidewatch::start(room, Launch { config, ..Launch::default() })?;
        Ok(Self { tidewatch, stage })
    }

    /// Watches for a while, then approves what runs.
    pub(crate) fn learn(&self, span: Duration) -> Result<()> {
        wait::pause(span)?;
        self.stage.approve(&self.tidewatch)
    }

    /// The engine.
    pub(crate) fn docker(&self) -> &Docker {
        &self.stage.docker
    }

    /// Waits for the one incident that an attack which began at `started` (Unix seconds) must lead to, and checks it.
    pub(crate) fn one_incident(&mut self, expected: &Expected, started: f64) -> Result<Found> {
        self.one_incident_of(&[expected.container], expected, started)
    }

    /// The same, when any of several containers may be named.
    pub(crate) fn one_incident_of(
        &mut self,
        names: &[&str],
        expected: &Expected,
        started: f64,
    ) -> Result<Found> {
        let incident = self.wait_for(names, expected, started)?;
        let delay = incident.opened - started;
        ensure!(
            (-0.1..=expected.within).contains(&delay),
            "opened {delay:.2} s after the attack's start, later than {} s: {}",
            expected.within,
            incident.summary
        );
        wait::pause(SETTLING)?;
        let incident = self.check_only_of(names)?;
        let finding = incident.latest(expected.judge)?.clone();
        self.tidewatch.check_alive()?;
        Ok(Found { delay, finding })
    }

    /// Closes every open incident, so that the next attack's is the only open one.
    pub(crate) fn close_all(&self) -> Result<()> {
        for incident in self.open_incidents()? {
            self.tidewatch.close(&incident.id)?;
        }
        Ok(())
    }

    /// Lets some time pass in which nothing may be found.
    pub(crate) fn stay_quiet(&mut self, span: Duration) -> Result<()> {
        wait::pause(span)?;
        self.check_quiet()
    }

    /// Fails when anything was found.
    pub(crate) fn check_quiet(&mut self) -> Result<()> {
        self.tidewatch.check_alive()?;
        let incidents = self.tidewatch.incidents()?;
        ensure!(incidents.is_empty(), "{} incidents:\n{}", incidents.len(), told(&incidents));
        Ok(())
    }

    /// Incidents that are open.
    pub(crate) fn open_incidents(&self) -> Result<Vec<Incident>> {
        let all = self.tidewatch.incidents()?;
        Ok(all.into_iter().filter(|incident| incident.state == "open").collect())
    }

    fn wait_for(&self, names: &[&str], expected: &Expected, started: f64) -> Result<Incident> {
        let left = started + expected.within + GRACE - host::unix_now();
        let what = format!("judge {} speaks in an incident about {}", expected.judge, expected.container);
        wait::until(Duration::from_secs_f64(left.max(1.0)), &what, || {
            let about = names.iter().map(|name| self.tidewatch.incidents_about(name));
            let about = about.collect::<Result<Vec<_>>>()?.into_iter().flatten();
            let is_it =
                |incident: &Incident| incident.state == "open" && incident.latest(expected.judge).is_ok();
            Ok(about.into_iter().find(is_it))
        })
        .map_err(|error| anyhow!("{error:#}; it sees:\n{}{}", self.tidewatch.picture(), self.told_so_far()))
    }

    /// The latest finding of a judge about a container.
    pub(crate) fn latest(&self, container: &str, judge: &str) -> Result<Finding> {
        let about = self.tidewatch.incidents_about(container)?;
        let incident = about.first().with_context(|| format!("no incident about {container}"))?;
        incident.latest(judge).cloned()
    }

    /// The only open incident, which must be about that container.
    pub(crate) fn check_only(&self, container: &str) -> Result<Incident> {
        self.check_only_of(&[container])
    }

    fn check_only_of(&self, names: &[&str]) -> Result<Incident> {
        let mut open = self.open_incidents()?;
        if open.len() != 1 {
            bail!("{} open incidents instead of one:\n{}", open.len(), told(&open));
        }
        let incident = open.pop().context("just counted")?;
        ensure!(names.contains(&&*incident.subject.container), "it names {:?}", incident.subject);
        Ok(incident)
    }

    /// What it found so far, for a test that fails.
    pub(crate) fn told_so_far(&self) -> String {
        self.tidewatch.incidents().map_or_else(|error| format!("{error:#}"), |all| told(&all))
    }
}

/// When a container's first process started, in Unix seconds, by the earlier of two views: the engine's, the kernel's.
pub(crate) fn start_of(container: &Container) -> Result<f64> {
    let facts = container.running()?;
    Ok(host::process_start(facts.pid)?.min(facts.started))
}

/// Incidents in a few lines, for a test that fails.
pub(crate) fn told(incidents: &[Incident]) -> String {
    let lines = incidents.iter().map(|incident| {
        let weights = incident.weights();
        format!("  {} ({}): {} {weights:?}\n", incident.id, incident.subject.container, incident.summary)
    });
    lines.collect()
}
