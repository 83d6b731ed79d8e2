//! A container that everybody trusts and that was watched for a while, with edges open, as they are by default: it steps
//! sideways to a workload it never talked to, then outside, where it never was, and calls home.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::Value;

use crate::cases::Outcome;
use crate::cases::edges::{CLIENT, in_client, server};
use crate::host;
use crate::images::WEB;
use crate::outside::{HOSTS, Outside, PORT};
use crate::scene::{Expected, Scene};
use crate::stage::Stage;
use crate::tidewatch::Room;
use crate::wait;

/// Long enough to know a workload by, with these settings: four times what makes 0.63 of it.
const LEARN: Duration = Duration::from_secs(45);
const KNOWN_AFTER: &str = "[communication]\nmature_after_seconds = 10\n";

/// Within which a first contact is marked, and calls every two seconds are found, in seconds.
const MARKED: Duration = Duration::from_secs(10);
const CALLS_WITHIN: f64 = 48.0;

/// Each first contact is marked by its judge and no incident by itself; with calls home it is one.
pub(crate) fn run(room: &Room) -> Result<Outcome> {
    let outside = Outside::open()?;
    let mut stage = Stage::set(0)?;
    let network = stage.docker.network("tw-live-steps")?;
    let database = server(&mut stage, &network, "tw-live-database", 5432)?.address(&network)?;
    let cache = server(&mut stage, &network, "tw-live-cache", 6379)?.address(&network)?;
    let asks = ["--network", &network.name, WEB, "load", "ask", &format!("{database}:5432"), "10", "0"];
    stage.add(CLIENT, &asks)?;
    let mut scene = Scene::learned(room, stage, Some(room.settings(KNOWN_AFTER)?), LEARN)?;
    in_client(&scene, &["load", "ask", &format!("{cache}:6379")])?;
    let sideways = marked(&scene, 6379, "new_edge")?;
    scene.stay_quiet(Duration::from_secs(2)).context("a first contact within is no incident by itself")?;
    let home = format!("{}:{PORT}", HOSTS[0]);
    let started = host::unix_now();
    in_client(&scene, &["load", "ask", &home, "2000", "30"])?;
    let outward = marked(&scene, u64::from(PORT), "new_external")?;
    let found = scene
        .one_incident(&Expected { container: CLIENT, judge: "beacon", within: CALLS_WITHIN }, started)
        .context("calls home")?;
    scene.latest(CLIENT, "new_external")?;
    drop(scene);
    drop((network, outside));
    Ok(Outcome {
        delays: vec![found.delay],
        note: format!("marked: to {sideways}, to {outward}; {}", found.finding.claim),
    })
}

/// Waits until the graph shows the client's edge to that port as new, with what that judge said; where it leads.
fn marked(scene: &Scene, port: u64, judge: &str) -> Result<String> {
    let what = format!("the graph marks an edge to port {port} by {judge}");
    let edge = wait::until(MARKED, &what, || {
        let is_it = |edge: &Value| {
            let judges = edge["judges"].as_array();
            edge["port"] == port && judges.is_some_and(|judges| judges.iter().any(|it| it == judge))
        };
        Ok(scene.tidewatch.edges()?.into_iter().find(is_it))
    })
    .map_err(|error| anyhow!("{error:#}; it sees:\n{}", scene.tidewatch.picture()))?;
    ensure!(edge["standing"] == "new" && edge["from"]["kind"] == "workload", "{edge}");
    Ok(edge["to"]["name"].as_str().unwrap_or_default().to_owned())
}
