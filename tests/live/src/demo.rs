//! The demonstration for people: a benign service, the sample attack beside it, and what Tidewatch says.
//!
//! Not here: proof; the live tests have that.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::docker::Docker;
use crate::images::{Images, WEB};
use crate::stage::{start_benign, wait_for_incident, wait_for_name};
use crate::tidewatch::{Launch, Room, Tidewatch};
use crate::wait;

/// The image that the strategy's sample names.
const SAMPLE_IMAGE: &str = "busybox";
const BENIGN: &str = "tw-live-demo-web";
const ATTACK: &str = "tw-live-demo-attack";

/// Shows one catch. Fails when the attack was not found or the benign service was named.
pub(crate) fn run(room: &Room) -> Result<()> {
    let result = show(room);
    if result.is_err() {
        print!("{}", room.logs());
    }
    result
}

fn show(room: &Room) -> Result<()> {
    let docker = Docker::of_host()?;
    let mut images = Images::none(&docker);
    images.add(WEB, "hello\n", &[])?;
    images.add_if_missing(SAMPLE_IMAGE, "sample\n")?;
    step("A small benign web service runs.");
    let _benign = start_benign(&docker, BENIGN)?;
    step("Tidewatch starts, knowing nothing of this host.");
    let tidewatch = Tidewatch::start(room, Launch::default())?;
    wait_for_name(&tidewatch, BENIGN)?;
    step("What runs is accepted: tidewatch approve --running");
    tidewatch.approve_running()?;
    step("The attack: docker run --rm busybox yes > /dev/null");
    let mut attack = docker.sample_attack(ATTACK, SAMPLE_IMAGE)?;
    let (_, started) = attack.start()?;
    let incident = wait_for_incident(&tidewatch, ATTACK)?;
    step(&format!(
        "An incident opened {:.1} s after the container's first process.",
        incident.opened - started
    ));
    // A few readings more, so that the figures shown are those of the attack at full speed.
    wait::pause(Duration::from_secs(4))?;
    step("The attack is ended: docker kill");
    attack.kill()?;
    step(&format!("What a person sees: tidewatch incidents show {}", incident.id));
    println!("{}", tidewatch.ask(&["incidents", "show", &incident.id])?.text());
    let accused = tidewatch.incidents_about(BENIGN)?;
    ensure!(accused.is_empty(), "the benign service was named: {accused:?}");
    step("The benign service was not named. Everything started here is removed.");
    Ok(())
}

fn step(text: &str) {
    println!("\n== {text}");
}
