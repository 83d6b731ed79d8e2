//! Containers that nobody expects, that no engine admits to, or that lie about who they are; and what only looks so.
//!
//! Not here: what containers consume and whom they talk to.

pub(crate) mod by_hand;
pub(crate) mod engines;
pub(crate) mod images;
pub(crate) mod inside;
pub(crate) mod labels;
pub(crate) mod many;
pub(crate) mod pods;
pub(crate) mod rights;
pub(crate) mod twins;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};

use crate::docker::Container;
use crate::host;
use crate::incident::{Finding, Incident};
use crate::scene::{Scene, told};
use crate::{cgroups, wait};

/// Longest time from an attack's first process to its incident, in seconds.
const WITHIN: f64 = 3.0;
/// Found too late is told as such, with how late; this is how much later is waited for.
const GRACE: f64 = 7.0;
/// How far two clocks may be apart, in seconds.
const CLOCKS: f64 = 0.1;
/// How long after an incident another one would have shown.
const SETTLING: Duration = Duration::from_secs(3);

/// What a container is made of, by whatever view tells.
#[derive(Clone, Copy)]
pub(crate) enum MadeOf<'a> {
    /// This image.
    Image(&'a str),
    /// This directory of the host.
    Root(&'a Path),
    /// What it was made of long before the attack; that need only be told.
    Known,
}

/// What an attack must lead to.
pub(crate) struct Culprit<'a> {
    /// Judges of which one at least must be among the findings.
    judges: &'a [&'a str],
    /// The name that some view has for it; empty when none has.
    name: &'a str,
    /// Its first process.
    pid: u32,
    /// When the attack's first process started, in Unix seconds.
    started: f64,
    /// Before which no incident can be about it, in Unix seconds.
    earliest: f64,
    /// What it is made of.
    made_of: MadeOf<'a>,
    /// Its control group, when its first process is no longer there.
    cgroup: Option<&'a str>,
}

/// A container that everybody trusts.
struct Victim {
    name: String,
    /// Its first process.
    pid: u32,
}

impl Victim {
    fn of(container: &Container) -> Result<Self> {
        Ok(Self { name: container.name.clone(), pid: container.running()?.pid })
    }
}

impl<'a> Culprit<'a> {
    /// One whose first process is the attack.
    pub(crate) fn new(judges: &'a [&'a str], name: &'a str, pid: u32, made_of: MadeOf<'a>) -> Result<Self> {
        let started = host::process_start(pid)?;
        Ok(Self { judges, name, pid, started, earliest: started, made_of, cgroup: None })
    }

    /// A container of Docker's that is the attack.
    fn of_docker(judges: &'a [&'a str], container: &'a Container, image: &'a str) -> Result<Self> {
        Self::new(judges, &container.name, container.running()?.pid, MadeOf::Image(image))
    }

    /// A container that was there before the attack on it, which began at `started`.
    fn known(judges: &'a [&'a str], victim: &'a Victim, started: f64) -> Self {
        let (name, pid) = (victim.name.as_str(), victim.pid);
        Self { judges, name, pid, started, earliest: started, made_of: MadeOf::Known, cgroup: None }
    }

    /// The finding of one of the judges in an incident that is open.
    fn accused_in<'i>(&self, incident: &'i Incident) -> Option<&'i Finding> {
        let found = self.judges.iter().find_map(|judge| incident.latest(judge).ok());
        found.filter(|_| incident.state == "open")
    }

    /// Fails unless an incident names it by everything that is known of it.
    fn check_named(&self, incident: &Incident, cgroup: &str) -> Result<()> {
        let subject = &incident.subject;
        ensure!(self.name.is_empty() || subject.container == self.name, "it names {subject:?}");
        ensure!(
            trimmed(&subject.cgroup) == trimmed(cgroup),
            "it names the control group {:?} instead of {cgroup:?}",
            subject.cgroup
        );
        let words = |name| incident.findings.iter().map(move |finding| finding.word(name));
        let pid = self.pid.to_string();
        ensure!(words("pid").any(|word| word == pid), "no finding has the evidence pid {pid}: {incident:?}");
        let has_root = |root: &str| words("root").any(|word| word == root);
        match self.made_of {
            MadeOf::Image(image) => ensure!(subject.image == image, "it names the image {:?}", subject.image),
            MadeOf::Root(root) => {
                let root = root.display().to_string();
                ensure!(has_root(&root), "no finding has the evidence root {root}: {incident:?}");
            }
            MadeOf::Known => ensure!(
                !subject.image.is_empty() || words("root").any(|word| !word.is_empty()),
                "it names neither image nor root: {incident:?}"
            ),
        }
        Ok(())
    }
}

/// Waits for the one incident that the attack must lead to and checks whom it names; how late it came, in seconds.
pub(crate) fn caught(scene: &mut Scene, culprit: &Culprit<'_>) -> Result<f64> {
    let left = culprit.started + WITHIN + GRACE - host::unix_now();
    let cgroup = culprit.cgroup.map_or_else(|| cgroups::path_of(culprit.pid), |path| Ok(path.to_owned()))?;
    let what = format!("one of {:?} speaks about {}", culprit.judges, described(culprit, &cgroup));
    let incident = wait::until(Duration::from_secs_f64(left.max(1.0)), &what, || {
        Ok(scene.open_incidents()?.into_iter().find(|incident| culprit.accused_in(incident).is_some()))
    })
    .map_err(|error| {
        anyhow!("{error:#}; it sees:\n{}\n{}", scene.tidewatch.picture(), scene.told_so_far())
    })?;
    let delay = incident.opened - culprit.started;
    let is_timely = incident.opened >= culprit.earliest - CLOCKS && delay <= WITHIN;
    ensure!(is_timely, "opened {delay:.2} s after its start: {}", incident.summary);
    wait::pause(SETTLING)?;
    let open = scene.open_incidents()?;
    let [incident] = open.as_slice() else {
        bail!("{} open incidents instead of one:\n{}", open.len(), told(&open));
    };
    culprit
        .accused_in(incident)
        .with_context(|| format!("another incident is left: {}", incident.summary))?;
    culprit.check_named(incident, &cgroup)?;
    scene.tidewatch.check_alive()?;
    Ok(delay)
}

fn described(culprit: &Culprit<'_>, cgroup: &str) -> String {
    format!("{:?} (pid {}, control group {cgroup})", culprit.name, culprit.pid)
}

fn trimmed(path: &str) -> &str {
    path.trim_matches('/')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn incident() -> Incident {
        let finding = json!({
            "at": "2026-01-31T12:00:01.000Z", "judge": "ghost", "family": "provenance", "strategy": "s", "claim": "c",
            "bits": 13.0, "evidence": {"pid": 77, "root": "/srv/root"},
        });
        Incident::from_json(&json!({
            "id": "TW-0", "state": "open", "opened": "2026-01-31T12:00:01.000Z", "updated": "2026-01-31T12:00:01.000Z",
            "severity": "high", "bits": 13.0, "summary": "s", "families": ["provenance"], "coverage": {},
            "subject": {"kind": "container", "node": "n", "workload": "w",
                        "container": {"name": "c", "id": "", "image": "", "digest": "", "cgroup": "/g"}},
            "findings": [finding],
        }))
        .unwrap()
    }

    fn culprit<'a>(pid: u32, made_of: MadeOf<'a>) -> Culprit<'a> {
        Culprit { judges: &["ghost"], name: "", pid, started: 0.0, earliest: 0.0, made_of, cgroup: None }
    }

    #[test]
    fn an_incident_has_to_name_control_group_process_and_root() {
        let root = MadeOf::Root(Path::new("/srv/root"));
        culprit(77, root).check_named(&incident(), "/g").unwrap();
        culprit(77, MadeOf::Known).check_named(&incident(), "/g").unwrap();
        for (culprit, cgroup, complaint) in [
            (culprit(77, root), "/other", "control group"),
            (culprit(7, root), "/g", "evidence pid"),
            (culprit(77, MadeOf::Root(Path::new("/srv"))), "/g", "evidence root"),
            (culprit(77, MadeOf::Image("i")), "/g", "names the image"),
            (Culprit { name: "other", ..culprit(77, root) }, "/g", "it names"),
        ] {
            let error = culprit.check_named(&incident(), cgroup).unwrap_err().to_string();
            assert!(error.contains(complaint), "{error}");
        }
    }

    #[test]
    fn closed_incidents_and_other_judges_accuse_nobody() {
        let culprit = culprit(77, MadeOf::Known);
        assert!(culprit.accused_in(&incident()).is_some());
        assert!(culprit.accused_in(&Incident { state: "closed".to_owned(), ..incident() }).is_none());
        assert!(Culprit { judges: &["drift"], ..culprit }.accused_in(&incident()).is_none());
    }
}
