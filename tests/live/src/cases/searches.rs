//! Searches: one port of a neighbour after the other, and one address of a network after the other.

use anyhow::{Context, Result};

use crate::cases::Outcome;
use crate::docker::Network;
use crate::images::{BUSYBOX, WEB};
use crate::scene::{Expected, Scene, start_of};
use crate::stage::Stage;
use crate::tidewatch::Room;

/// A scan of ports and a sweep of the engine's own network, one after the other.
pub(crate) fn run(room: &Room) -> Result<Outcome> {
    let mut stage = Stage::set(1)?;
    let network = stage.docker.network("tw-live-searches")?;
    let serves = ["--network", &network.name, WEB, "load", "serve", "0.0.0.0:8080"];
    let victim = stage.add("tw-live-victim", &serves)?.address(&network)?;
    let (base, _) = victim.rsplit_once('.').context("no IPv4 address")?;
    let base = format!("{base}.0");
    let mut scene = Scene::open_with(room, stage, None)?;
    let mut delays = Vec::new();
    let mut note = String::new();
    for (name, argv) in [
        ("tw-live-attack-scan", ["load", "scan", &victim, "1", "400"].as_slice()),
        ("tw-live-attack-sweep", ["load", "sweep", &base, "8080"].as_slice()),
    ] {
        let (delay, told) = search(&mut scene, &network, name, argv)?;
        delays.push(delay);
        note = told;
    }
    drop(scene);
    drop(network);
    Ok(Outcome { delays, note })
}

fn search(scene: &mut Scene, network: &Network, name: &str, argv: &[&str]) -> Result<(f64, String)> {
    let words = [&["--network", &network.name, BUSYBOX], argv].concat();
    let attack = scene.docker().start(name, &words)?;
    let expected = Expected { container: name, judge: "scan", within: 10.0 };
    let found = scene.one_incident(&expected, start_of(&attack)?)?;
    scene.close_all()?;
    Ok((found.delay, found.finding.claim))
}
