//! Two services that take each other's address with every restart, fifty times, while a client talks to one of them only.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::cases::Outcome;
use crate::cases::edges::{CLIENT, LEARN, LOCKED, in_client};
use crate::docker::Network;
use crate::images::WEB;
use crate::scene::Scene;
use crate::stage::Stage;
use crate::tidewatch::Room;

const RESTARTS: u32 = 50;
const SERVICES: [&str; 2] = ["tw-live-shop", "tw-live-till"];

/// One edge, to the service that was meant, and nobody is blamed, though edges are locked.
pub(crate) fn run(room: &Room) -> Result<Outcome> {
    let mut stage = Stage::set(0)?;
    let network = stage.docker.network("tw-live-restarts")?;
    let shop = service(&mut stage, &network, SERVICES[0], 8001)?;
    service(&mut stage, &network, SERVICES[1], 8002)?;
    stage
        .add(CLIENT, &["--network", &network.name, WEB, "sh", "-c", "sleep 2; while sleep 3; do :; done"])?;
    let ask = |scene: &Scene, address: &str| in_client(scene, &["load", "ask", &format!("{address}:8001")]);
    let mut scene = Scene::started(room, stage, Some(room.settings(LOCKED)?))?;
    ask(&scene, &shop)?;
    scene.learn(LEARN)?;
    let mut swaps = 0;
    let mut last = shop;
    for round in 0..RESTARTS / 2 {
        restart_in_turn(&scene, round)?;
        let address = scene.stage.benign()[0].address(&network)?;
        swaps += u32::from(address != last);
        ask(&scene, &address)?;
        last = address;
    }
    scene.stay_quiet(Duration::from_secs(5))?;
    check_edges(&scene)?;
    ensure!(swaps >= RESTARTS / 4, "the addresses changed hands only {swaps} times");
    drop(scene);
    drop(network);
    Ok(Outcome { note: format!("{RESTARTS} restarts, {swaps} new addresses"), ..Outcome::default() })
}

/// A server that ends well when it is stopped: one that had to be killed so often would be a crash loop. Its address.
fn service(stage: &mut Stage, network: &Network, name: &str, port: u16) -> Result<String> {
    let script = format!("trap 'exit 0' TERM; load serve 0.0.0.0:{port} & wait");
    stage.add(name, &["--network", &network.name, WEB, "sh", "-c", &script])?.address(network)
}

/// Stops both and starts them in another order: the engine gives the lowest free address to who comes first.
fn restart_in_turn(scene: &Scene, round: u32) -> Result<()> {
    let docker = scene.docker();
    docker.call(&["stop", "-t", "2", SERVICES[0], SERVICES[1]])?;
    let first = usize::from(round.is_multiple_of(2));
    docker.call(&["start", SERVICES[first]])?;
    docker.call(&["start", SERVICES[1 - first]])?;
    Ok(())
}

fn check_edges(scene: &Scene) -> Result<()> {
    let edges = scene.tidewatch.edges()?;
    let of_client = |edge: &&Value| edge["from"].to_string().contains("while sleep");
    let from_client: Vec<&Value> = edges.iter().filter(of_client).collect();
    ensure!(from_client.len() == 1, "not one edge: {from_client:?}");
    ensure!(from_client[0]["port"] == 8001, "{from_client:?}");
    Ok(())
}
