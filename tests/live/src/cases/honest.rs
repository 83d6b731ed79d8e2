//! Honest traffic while edges are locked: health checks, scrapes, a backup that was declared, another replica, a restart,
//! software that asks for names all day.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::cases::Outcome;
use crate::cases::edges::{LEARN, LOCKED, server};
use crate::images::WEB;
use crate::outside::{HOSTS, NAME_SERVER, Outside, PORT};
use crate::scene::Scene;
use crate::stage::Stage;
use crate::tidewatch::Room;

/// Nothing may be found.
pub(crate) fn run(room: &Room) -> Result<Outcome> {
    let outside = Outside::open()?;
    let mut stage = Stage::set(0)?;
    let network = stage.docker.network("tw-live-honest")?;
    let database = server(&mut stage, &network, "tw-live-database", 5432)?.address(&network)?;
    let to = format!("{database}:5432");
    let on = ["--network", &network.name, WEB, "load"];
    stage.add("tw-live-health", &[&on[..], &["ask", &to, "5000", "0"]].concat())?;
    stage.add("tw-live-scrape", &[&on[..], &["ask", &to, "1000", "0"]].concat())?;
    let names = format!("{NAME_SERVER}:53");
    stage.add("tw-live-names", &[&on[..], &["lookups", &names, "20"]].concat())?;
    stage.add("tw-live-backup", &["--network", &network.name, WEB, "sleep", "600"])?;
    let mut scene = Scene::learned(room, stage, Some(room.settings(LOCKED)?), LEARN)?;
    scene.tidewatch.ask(&[
        "expect",
        "add",
        "--edge",
        &format!("tw-live-web -> {}/32:{PORT}", HOSTS[0]),
        "--reason",
        "nightly backup",
        "--owner",
        "live tests",
    ])?;
    let backup = scene.stage.benign().iter().find(|it| it.name == "tw-live-backup");
    backup.context("no backup")?.exec(&["load", "upload", &format!("{}:{PORT}", HOSTS[0]), "100"])?;
    scene.stay_quiet(Duration::from_secs(12)).context("backup, health checks, scrapes, names")?;
    let replica = [&on[..], &["ask", &to, "1000", "0"]].concat();
    let second = scene.docker().start("tw-live-scrape-2", &replica)?;
    scene.stay_quiet(Duration::from_secs(12)).context("a second replica")?;
    scene.stage.benign()[0].restart()?;
    scene.stay_quiet(Duration::from_secs(15)).context("a restart of the database")?;
    check_graph(&scene)?;
    drop(second);
    drop(scene);
    drop((network, outside));
    Ok(Outcome { note: "39 s, edges locked".to_owned(), ..Outcome::default() })
}

/// Both replicas are one edge, and no edge is unexpected.
fn check_graph(scene: &Scene) -> Result<()> {
    let edges = scene.tidewatch.edges()?;
    let to_database = |edge: &&serde_json::Value| edge["port"] == 5432 && edge["from"]["kind"] == "workload";
    let asking: Vec<_> = edges.iter().filter(to_database).collect();
    ensure!(asking.len() == 2, "health checks and scrapes are not one edge each: {asking:?}");
    let unexpected: Vec<_> = edges.iter().filter(|edge| edge["standing"] == "unexpected").collect();
    ensure!(unexpected.is_empty(), "{unexpected:?}");
    Ok(())
}
