//! Services with a quarter of an hour of history, one of which after the other does more than it ever did.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::cases::Outcome;
use crate::host;
use crate::images::{SERVE, WEB};
use crate::scene::{Expected, Scene};
use crate::stage::Stage;
use crate::tidewatch::Room;

/// So many services, each a workload of its own: one history serves as many attacks.
const SERVICES: usize = 5;

/// Fifty slots of 15 seconds, and what the first and the last may lack.
const HISTORY: Duration = Duration::from_secs(53 * 15);

/// Quiet while the histories grow, then one incident for each service.
pub(crate) fn run(room: &Room) -> Result<Outcome> {
    let mut stage = Stage::set(0)?;
    for number in 1..=SERVICES {
        let service = format!("com.docker.compose.service=s{number}");
        let project = "com.docker.compose.project=tw-live";
        let args = ["--network", "none", "--label", project, "--label", &service, WEB, "sh", "-c", SERVE];
        stage.add(&name(number), &args)?;
    }
    let mut scene = Scene::open_with(room, stage, None)?;
    scene.stay_quiet(HISTORY).context("while the histories grew")?;
    let mut outcome = Outcome::default();
    for number in 1..=SERVICES {
        let service = name(number);
        let started = host::unix_now();
        scene.stage.benign()[number - 1].exec(&["load", "burn", "1"])?;
        let expected = Expected { container: &service, judge: "record", within: 60.0 };
        let found = scene.one_incident(&expected, started).with_context(|| service.clone())?;
        scene.stage.benign()[number - 1].restart()?;
        scene.close_all()?;
        // A burn is found by other judges long before it is a record.
        outcome.delays.push(found.finding.at - started);
        let (value, usual) = (found.finding.figure("value")?, found.finding.figure("usual")?);
        outcome.note.push_str(&format!("{value:.2} after {usual:.2}; "));
    }
    Ok(outcome)
}

fn name(number: usize) -> String {
    format!("tw-live-service-{number}")
}
