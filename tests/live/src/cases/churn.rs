//! A container that opens and closes twenty thousand connections a second, beside one that opens twenty.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::cases::Outcome;
use crate::cases::edges::server;
use crate::host;
use crate::images::{BUSYBOX, WEB};
use crate::scene::{Expected, Scene, start_of};
use crate::stage::Stage;
use crate::tidewatch::Room;
use crate::wait;

const NAME: &str = "tw-live-attack-churn";
const SPAN: Duration = Duration::from_secs(10);
/// Connections that the other container opens in that time.
const OPENED: f64 = 200.0;

/// The flood is found, and of the other nothing is lost.
pub(crate) fn run(room: &Room) -> Result<Outcome> {
    let mut stage = Stage::set(0)?;
    let network = stage.docker.network("tw-live-churn")?;
    let service =
        format!("{}:8080", server(&mut stage, &network, "tw-live-service", 8080)?.address(&network)?);
    stage.add("tw-live-client", &["--network", &network.name, WEB, "load", "ask", &service, "50", "0"])?;
    let mut scene = Scene::open_with(room, stage, None)?;
    let attack =
        scene.docker().start(NAME, &["--network", "none", BUSYBOX, "load", "churn", "20000", "2"])?;
    let expected = Expected { container: NAME, judge: "connection_flood", within: 10.0 };
    let found = scene.one_incident(&expected, start_of(&attack)?)?;
    let pid = scene.tidewatch.pid();
    let (before, spent) = (opened(&scene)?, host::cpu_seconds(pid)?);
    wait::pause(SPAN)?;
    let counted = (opened(&scene)? - before) as f64;
    ensure!(counted >= 0.5 * OPENED, "{counted} of some {OPENED} connections of the other were counted");
    let note = format!(
        "{:.0} connections a second; {counted:.0} of the other in {} s; {:.1} % of a core",
        found.finding.figure("connects_per_second")?,
        SPAN.as_secs(),
        (host::cpu_seconds(pid)? - spent) / SPAN.as_secs_f64() * 100.0
    );
    drop(attack);
    drop(scene);
    drop(network);
    Ok(Outcome { delays: vec![found.delay], note })
}

/// Connections that were counted on the edge of the other two.
fn opened(scene: &Scene) -> Result<u64> {
    let graph = scene.tidewatch.ask_json(&["graph", "--json"])?;
    let edges = graph["edges"].as_array().context("graph has no edges")?;
    let edge = edges.iter().find(|edge: &&Value| edge["port"] == 8080).context("no edge of the other")?;
    edge["opened"].as_u64().context("an edge without a count")
}
