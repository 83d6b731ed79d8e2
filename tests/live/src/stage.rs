//! The scene most tests start from: images, benign containers that are approved, and waiting for an incident.
//!
//! Not here: what each test then does.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};

use crate::docker::{Container, Docker};
use crate::images::{BUSYBOX, Images, SERVE, WEB};
use crate::incident::Incident;
use crate::tidewatch::Tidewatch;
use crate::wait;

/// Judge of what the engine spends copying a container's output to its log.
pub(crate) const OUT_OF_BAND_LOG: &str = "out_of_band_log";
/// Judge of images that nobody approved.
pub(crate) const UNAPPROVED_IMAGE: &str = "unapproved_image";

/// Longest wait for an incident before the test gives up; what is promised is shorter and checked.
pub(crate) const GIVE_UP: Duration = Duration::from_secs(15);

/// Benign containers beside which an attack has to stand out. Fields end in this order: containers before images.
pub(crate) struct Stage {
    benign: Vec<Container>,
    _images: Images,
    /// The engine they run in.
    pub(crate) docker: Docker,
}

impl Stage {
    /// Images made and `count` benign containers running on the host's engine.
    pub(crate) fn set(count: usize) -> Result<Self> {
        let docker = Docker::of_host()?;
        let images = Images::make(&docker)?;
        let mut stage = Self { benign: Vec::new(), _images: images, docker };
        for number in 1..=count {
            stage.add_benign(&format!("tw-live-web-{number}"))?;
        }
        Ok(stage)
    }

    /// One more benign container.
    pub(crate) fn add_benign(&mut self, name: &str) -> Result<&Container> {
        self.benign.push(start_benign(&self.docker, name)?);
        self.benign.last().context("just added")
    }

    /// One more benign container that does what the test says; `args` come after `docker run -d --name NAME`.
    pub(crate) fn add(&mut self, name: &str, args: &[&str]) -> Result<&Container> {
        self.benign.push(self.docker.start(name, args)?);
        self.benign.last().context("just added")
    }

    /// The benign containers.
    pub(crate) fn benign(&self) -> &[Container] {
        &self.benign
    }

    /// Waits until Tidewatch knows every benign container by name, then approves what runs.
    pub(crate) fn approve(&self, tidewatch: &Tidewatch) -> Result<()> {
        for container in &self.benign {
            wait_for_name(tidewatch, &container.name)?;
        }
        tidewatch.approve_running()
    }
}

/// Starts a benign container.
pub(crate) fn start_benign(docker: &Docker, name: &str) -> Result<Container> {
    docker.start(name, &["--network", "none", WEB, "sh", "-c", SERVE])
}

/// Waits until the inventory holds a managed container of that name.
pub(crate) fn wait_for_name(tidewatch: &Tidewatch, name: &str) -> Result<()> {
    let is_it = |entry: &serde_json::Value| entry["name"] == name && entry["kind"] == "managed";
    tidewatch.inventoried(Duration::from_secs(10), name, is_it).map(drop)
}

/// Waits until an incident names the container, and gives it.
pub(crate) fn wait_for_incident(tidewatch: &Tidewatch, container: &str) -> Result<Incident> {
    wait::until(GIVE_UP, &format!("an incident names {container}"), || {
        Ok(tidewatch.incidents_about(container)?.into_iter().next())
    })
    .map_err(|error| anyhow!("{error:#}; it sees:\n{}", tidewatch.picture()))
}

/// Waits until an incident names a container in that control group, and gives it.
pub(crate) fn wait_for_incident_in(tidewatch: &Tidewatch, cgroup: &str) -> Result<Incident> {
    wait::until(GIVE_UP, &format!("an incident names {cgroup}"), || {
        Ok(tidewatch.incidents()?.into_iter().find(|incident| incident.subject.cgroup.ends_with(cgroup)))
    })
    .map_err(|error| anyhow!("{error:#}; it sees:\n{}", tidewatch.picture()))
}

/// Checks that both judges of the sample attack agree, each in its family.
pub(crate) fn check_judges(incident: &Incident) -> Result<()> {
    for (judge, family) in [(OUT_OF_BAND_LOG, "resource"), (UNAPPROVED_IMAGE, "provenance")] {
        let finding = incident.latest(judge)?;
        ensure!(finding.family == family, "{judge} is of family {}, not {family}", finding.family);
        ensure!(
            incident.families.iter().any(|name| name == family),
            "{family} not in {:?}",
            incident.families
        );
    }
    Ok(())
}

/// Runs the sample attack until its incident is there; the attack goes on.
pub(crate) fn attack_until_incident(
    stage: &Stage,
    tidewatch: &Tidewatch,
    name: &str,
) -> Result<(crate::docker::Attack, Incident, f64)> {
    let mut attack = stage.docker.sample_attack(name, BUSYBOX)?;
    let (_, started) = attack.start()?;
    let incident = wait_for_incident(tidewatch, name)?;
    let delay = incident.opened - started;
    Ok((attack, incident, delay))
}
