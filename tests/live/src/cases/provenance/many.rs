//! Many containers: two hundred that come and go within twenty seconds, and a hundred that were there before.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::Value;

use crate::cases::Outcome;
use crate::docker::{Container, Docker};
use crate::images::WEB;
use crate::scene::Scene;
use crate::stage::Stage;
use crate::tidewatch::{Launch, Room, Tidewatch};
use crate::{host, wait};

/// Containers that come and go.
const FLEETING: usize = 200;
/// Within which they do, in seconds, on a host that is not shared. One that takes three times as long is not a test of this.
const SPAN: f64 = 20.0;
/// Clients at once: more than one, and no more than an engine starts side by side.
const CLIENTS: usize = 8;
/// How many may end without anybody having said whose they were.
const UNRESOLVED_MAX: usize = FLEETING / 100;

/// Containers that run when Tidewatch starts.
const STANDING: usize = 100;
/// From the start of Tidewatch until all of them are in its inventory, in seconds.
const COMPLETE_WITHIN: f64 = 2.0;

/// Each of them is in the inventory with its facts or with a reason why not, and none is called a ghost.
pub(crate) fn fleeting(room: &Room) -> Result<Outcome> {
    let mut scene = Scene::open(room)?;
    let docker = scene.docker().clone();
    let ids = all_at_once(FLEETING, |number| make(&docker, number))?;
    let passed = thread::scope(|threads| -> Result<_> {
        let coming = threads.spawn(|| {
            let began = Instant::now();
            all_at_once(CLIENTS, |client| pass(&docker, client)).map(|_| began.elapsed().as_secs_f64())
        });
        let mut seen = BTreeMap::new();
        while !coming.is_finished() {
            look(&scene.tidewatch, &mut seen)?;
            // Ended ones are kept for a minute: looking more often only costs what the engine needs.
            wait::pause(Duration::from_secs(4))?;
        }
        let took = coming.join().map_err(|_| anyhow!("starting containers panicked"))??;
        Ok((took, seen))
    });
    // Whatever came of it: an image that still runs would not be removed with its name.
    wait::pause(Duration::from_secs(4))?;
    let (took, mut seen) = passed?;
    look(&scene.tidewatch, &mut seen)?;
    ensure!(
        took <= 3.0 * SPAN,
        "{FLEETING} containers took {took:.0} s: this host is too slow for this test"
    );
    let (mut missing, mut unresolved) = (Vec::new(), Vec::new());
    for id in &ids {
        match seen.iter().find(|(cgroup, _)| cgroup.contains(id.as_str())) {
            None => missing.push(id),
            Some((_, entry)) => {
                ensure!(entry["kind"] != "ghost", "called a ghost: {entry}");
                if entry["kind"] != "managed" || entry["image"] != WEB {
                    let why = entry["facts"]["failed"].as_str().unwrap_or_default();
                    ensure!(!why.is_empty(), "neither facts nor a reason: {entry}");
                    unresolved.push(why.to_owned());
                }
            }
        }
    }
    ensure!(missing.is_empty(), "{} of {FLEETING} are not in the inventory: {missing:?}", missing.len());
    ensure!(unresolved.len() <= UNRESOLVED_MAX, "{} are unresolved: {unresolved:?}", unresolved.len());
    scene.check_quiet()?;
    let note = format!("{FLEETING} in {took:.0} s, {} unresolved", unresolved.len());
    Ok(Outcome { note, ..Outcome::default() })
}

/// The inventory is whole two seconds after the start, and what was approved then is no incident after a restart.
pub(crate) fn standing(room: &Room) -> Result<Outcome> {
    let stage = Stage::set(0)?;
    let start = |number| {
        let args = ["--network", "none", WEB, "sleep", "600"];
        stage.docker.start(&format!("tw-live-standing-{number}"), &args)
    };
    let standing = Fleet(all_at_once(STANDING, start)?);
    let (first, mut tidewatch) = complete(room, &standing.0)?;
    tidewatch.approve_running()?;
    tidewatch.check_alive()?;
    drop(tidewatch);
    let (second, mut tidewatch) = complete(room, &standing.0)?;
    wait::pause(Duration::from_secs(6))?;
    tidewatch.check_alive()?;
    let incidents = tidewatch.incidents()?;
    ensure!(incidents.is_empty(), "after a restart:\n{}", crate::scene::told(&incidents));
    let note = format!("{STANDING} in the inventory after {first:.1} s, {second:.1} s after a restart");
    Ok(Outcome { note, ..Outcome::default() })
}

/// Starts Tidewatch and waits until its inventory has all of them with their facts; how many seconds after its start.
fn complete(room: &Room, standing: &[Container]) -> Result<(f64, Tidewatch)> {
    let tidewatch = Tidewatch::start(room, Launch::default())?;
    let started = host::process_start(tidewatch.pid())?;
    let took = wait::until(Duration::from_secs(10), "every container is in the inventory", || {
        let all = tidewatch.inventory(false)?;
        let named = all.iter().filter(|entry| entry["kind"] == "managed" && entry["image"] == WEB);
        let names: BTreeSet<&str> = named.filter_map(|entry| entry["name"].as_str()).collect();
        let is_whole = standing.iter().all(|container| names.contains(container.name.as_str()));
        Ok(is_whole.then(|| host::unix_now() - started))
    })?;
    ensure!(took <= COMPLETE_WITHIN, "the inventory is complete only {took:.1} s after the start");
    Ok((took, tidewatch))
}

/// One container that ends and goes by itself half a second after its start; its id. Made before: a client of the
/// command line for each would be most of the work.
fn make(docker: &Docker, number: usize) -> Result<String> {
    let name = fleeting_name(number);
    docker.call(&["create", "--rm", "--network", "none", "--name", &name, WEB, "sleep", "0.5"])
}

/// Starts a client's share of them, one after the other.
fn pass(docker: &Docker, client: usize) -> Result<()> {
    let names: Vec<String> = (client..FLEETING).step_by(CLIENTS).map(fleeting_name).collect();
    let args: Vec<&str> = std::iter::once("start").chain(names.iter().map(String::as_str)).collect();
    docker.call(&args).map(drop)
}

fn fleeting_name(number: usize) -> String {
    format!("tw-live-fleeting-{number}")
}

/// Keeps the latest that the inventory says of each container, by its control group.
fn look(tidewatch: &Tidewatch, seen: &mut BTreeMap<String, Value>) -> Result<()> {
    for entry in tidewatch.inventory(true)? {
        let cgroup = entry["cgroup"].as_str().context("an entry without a control group")?;
        seen.insert(cgroup.to_owned(), entry);
    }
    Ok(())
}

/// Does something many times, by several clients side by side.
fn all_at_once<T: Send>(count: usize, make: impl Fn(usize) -> Result<T> + Sync) -> Result<Vec<T>> {
    let client = |first: usize| (first..count).step_by(CLIENTS).map(&make).collect::<Result<Vec<T>>>();
    let client = &client;
    thread::scope(|threads| {
        let clients: Vec<_> = (0..CLIENTS).map(|first| threads.spawn(move || client(first))).collect();
        let parts = clients.into_iter().map(|part| part.join().map_err(|_| anyhow!("a client panicked"))?);
        Ok(parts.collect::<Result<Vec<Vec<T>>>>()?.into_iter().flatten().collect())
    })
}

/// Containers that are removed side by side: one by one it takes longer than the test.
struct Fleet(Vec<Container>);

impl Drop for Fleet {
    fn drop(&mut self) {
        let share = self.0.len().div_ceil(CLIENTS).max(1);
        thread::scope(|threads| {
            while !self.0.is_empty() {
                let part = self.0.split_off(self.0.len().saturating_sub(share));
                threads.spawn(move || drop(part));
            }
        });
    }
}
