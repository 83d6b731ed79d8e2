//! Edges that nobody approved, in a host whose edges are locked: between two workloads that never talked, to the outside from
//! a workload that stayed within, and a port that was never served. All of them from a container that everybody trusts.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::cases::Outcome;
use crate::docker::{Container, Network};
use crate::host;
use crate::images::WEB;
use crate::outside::{HOSTS, Outside, PORT};
use crate::scene::{Expected, Scene};
use crate::stage::Stage;
use crate::tidewatch::Room;

/// How long edges are learned before what runs is approved.
pub(crate) const LEARN: Duration = Duration::from_secs(8);

/// Who asks a server.
pub(crate) const CLIENT: &str = "tw-live-client";

/// Settings under which whatever nobody approved or declared is a finding.
pub(crate) const LOCKED: &str = "[communication]\nmode = \"locked\"\n";

/// A container on a network that serves on all its addresses.
pub(crate) fn server<'a>(
    stage: &'a mut Stage,
    network: &Network,
    name: &str,
    port: u16,
) -> Result<&'a Container> {
    let at = format!("0.0.0.0:{port}");
    stage.add(name, &["--network", &network.name, WEB, "load", "serve", &at])
}

/// Quiet on the edge that was learned, then one incident for each that was not.
pub(crate) fn run(room: &Room) -> Result<Outcome> {
    let outside = Outside::open()?;
    let mut stage = Stage::set(0)?;
    let network = stage.docker.network("tw-live-edges")?;
    let database = server(&mut stage, &network, "tw-live-database", 5432)?.address(&network)?;
    let cache = server(&mut stage, &network, "tw-live-cache", 6379)?.address(&network)?;
    let asks = ["--network", &network.name, WEB, "load", "ask", &format!("{database}:5432"), "1000", "0"];
    stage.add(CLIENT, &asks)?;
    let mut scene = Scene::learned(room, stage, Some(room.settings(LOCKED)?), LEARN)?;
    scene.stay_quiet(Duration::from_secs(8)).context("while it asks its database, as it always did")?;
    let delays = vec![
        provoke(&mut scene, "edge_outside_policy", &["load", "ask", &format!("{cache}:6379")])?,
        provoke(&mut scene, "edge_outside_policy", &["load", "ask", &format!("{}:{PORT}", HOSTS[0])])?,
        provoke(&mut scene, "new_listener", &["load", "accept", "0.0.0.0:31337"])?,
    ];
    drop(scene);
    drop((network, outside));
    Ok(Outcome { delays, note: "an edge within, one to the outside, a port".to_owned() })
}

/// Runs a program in the client, in the background.
pub(crate) fn in_client(scene: &Scene, argv: &[&str]) -> Result<()> {
    let client = scene.stage.benign().iter().find(|container| container.name == CLIENT);
    client.context("the client is gone")?.exec(argv)
}

/// Runs a program in the client and waits for the incident; how late it came.
fn provoke(scene: &mut Scene, judge: &str, argv: &[&str]) -> Result<f64> {
    let started = host::unix_now();
    in_client(scene, argv)?;
    let expected = Expected { container: CLIENT, judge, within: 10.0 };
    let found = scene.one_incident(&expected, started).with_context(|| argv.join(" "))?;
    scene.close_all()?;
    Ok(found.delay)
}
