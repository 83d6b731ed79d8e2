//! A busy neighbour: one container takes all CPU, six others wait for it. The one is named, the six are listed as
//! harmed and not blamed.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::cases::Outcome;
use crate::images::{BUSYBOX, WEB};
use crate::scene::{Expected, Scene, start_of};
use crate::stage::Stage;
use crate::tidewatch::Room;
use crate::wait;

const NAME: &str = "tw-live-attack-neighbour";
const VICTIMS: usize = 6;
/// From the incident until all of them are seen to wait: how long they wait is averaged over seconds.
const LISTED_WITHIN: Duration = Duration::from_secs(10);
/// Until it is known how long the victims usually wait. Ten seconds, but nothing is learned while the host still suffers
/// from whatever ran before.
const HISTORY: Duration = Duration::from_secs(60);

/// One culprit, six victims.
pub(crate) fn run(room: &Room) -> Result<Outcome> {
    let mut stage = Stage::set(0)?;
    let cores = std::thread::available_parallelism()?.get();
    // All six need more than half of the host, and get it until the neighbour comes.
    let share = (10 * cores).min(100).to_string();
    for number in 1..=VICTIMS {
        let service = ["--network", "none", WEB, "load", "ramp", "1", &share];
        stage.add(&format!("tw-live-victim-{number}"), &service)?;
    }
    let mut scene = Scene::open_with(room, stage, None)?;
    wait::until(HISTORY, "it is known how long the victims usually wait", || {
        let status = scene.tidewatch.status()?;
        let containers = status["containers"].as_array().context("status tells no containers")?;
        let is_known = |it: &&Value| it["waiting"]["cpu"]["usual_share"].is_number();
        Ok((containers.iter().filter(is_known).count() >= VICTIMS).then_some(()))
    })?;
    scene.check_quiet()?;
    let threads = (4 * cores).to_string();
    let attack = scene.docker().start(NAME, &["--network", "none", BUSYBOX, "load", "burn", &threads])?;
    let expected = Expected { container: NAME, judge: "saturation", within: 10.0 };
    let found = scene.one_incident(&expected, start_of(&attack)?)?;
    let listed = wait::until(LISTED_WITHIN, "all victims are listed", || {
        let finding = scene.latest(NAME, "saturation")?;
        let names = finding.evidence.get("victim_names").and_then(|names| names.as_str()).unwrap_or_default();
        let is_listed = |number: &usize| names.contains(&format!("tw-live-victim-{number}"));
        Ok((1..=VICTIMS).all(|number| is_listed(&number)).then_some(VICTIMS))
    })?;
    // The victims are none of the incident's subjects: only the culprit has one.
    scene.check_only(NAME)?;
    Ok(Outcome { delays: vec![found.delay], note: format!("{listed} listed as harmed") })
}
