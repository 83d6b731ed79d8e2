//! Benign twins: what looks like an attack and is work. Nothing may be found.
//!
//! Not here: a service that restarts and grows (`quiet.rs`), and a database beside an attack (`hijack.rs`).

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};

use crate::cases::Outcome;
use crate::host;
use crate::images::{Images, SERVE, WEB};
use crate::journal::{Journal, SYSLOG_SOCKET};
use crate::scene::Scene;
use crate::stage::Stage;
use crate::swarm::Swarm;
use crate::tidewatch::Room;
use crate::wait;

/// How long each twin works.
const SPAN: Duration = Duration::from_secs(20);
const IMPORTED_BYTES: u64 = 500_000_000;
const REPLICAS: usize = 6;
/// What a service does when it starts: work hard for a moment, then serve.
const START: &str = "timeout 3 load burn 1; ";
/// A megabyte within a moment.
const BURST: &str = "sleep 8; yes 'a line of a log, as services write them' | head -c 1000000; ";
const BATCH: &str = "tw-live-batch:1";

/// A declared batch job at full CPU, of an image that nobody approved.
pub(crate) fn batch(room: &Room) -> Result<Outcome> {
    let mut scene = Scene::open(room)?;
    let mut images = Images::none(scene.docker());
    images.add(BATCH, "the nightly batch\n", &[])?;
    let declared = ["expect", "add", "--subject", "image:tw-live-batch:*", "--when", "* * * * *"];
    let because = ["--lasting", "10m", "--reason", "the nightly batch", "--owner", "the live tests"];
    scene.tidewatch.ask(&[&declared[..], &because].concat())?;
    let _job = scene.docker().start("tw-live-batch", &["--network", "none", BATCH, "load", "burn", "1"])?;
    scene.stay_quiet(SPAN)?;
    Ok(quiet("a declared job at full CPU"))
}

/// A compiler on the host, outside any container, on every core.
pub(crate) fn compile(room: &Room) -> Result<Outcome> {
    host::require("gcc", "gcc")?;
    let source = room.path("big.c");
    let functions =
        (0..600).map(|n| format!("double f{n}(double x){{for(int i=0;i<{n};i++)x=x*x+i;return x;}}\n"));
    fs::write(&source, functions.collect::<String>())?;
    let mut scene = Scene::open(room)?;
    let end = Instant::now() + SPAN;
    let cores = thread::available_parallelism()?.get();
    let compiled = thread::scope(|threads| -> Result<usize> {
        let workers: Vec<_> = (0..cores).map(|_| threads.spawn(|| compile_until(end, &source))).collect();
        workers.into_iter().map(|worker| worker.join().map_err(|_| anyhow!("it panicked"))?).sum()
    })?;
    scene.check_quiet()?;
    Ok(quiet(&format!("{compiled} compilations on {cores} cores")))
}

/// A Swarm service whose tasks are replaced one by one.
pub(crate) fn rolling_update(room: &Room) -> Result<Outcome> {
    let stage = Stage::set(1)?;
    let swarm = Swarm::joined(&stage.docker)?;
    swarm.create("tw-live-rolling", &["--replicas", "3", WEB, "sh", "-c", SERVE])?;
    let mut scene = Scene::open_with(room, stage, None)?;
    let is_task = |entry: &serde_json::Value| {
        entry["name"].as_str().is_some_and(|name| name.starts_with("tw-live-rolling.3."))
    };
    scene.tidewatch.inventoried(Duration::from_secs(20), "the service's third task", is_task)?;
    scene.tidewatch.approve_running()?;
    let started = Instant::now();
    swarm.call(&["service", "update", "--force", "--quiet", "--update-delay", "1s", "tw-live-rolling"])?;
    let took = started.elapsed();
    scene.stay_quiet(SPAN.saturating_sub(took))?;
    drop(swarm);
    Ok(quiet(&format!("three tasks replaced in {:.0} s", took.as_secs_f64())))
}

/// More containers of an approved service, all at once, each busy with its start.
pub(crate) fn scale_out(room: &Room) -> Result<Outcome> {
    let script = format!("{START}{SERVE}");
    let args = ["--network", "none", WEB, "sh", "-c", &script];
    let mut stage = Stage::set(0)?;
    stage.add("tw-live-scaled-1", &args)?;
    let mut scene = Scene::open_with(room, stage, None)?;
    let started = Instant::now();
    for number in 2..=REPLICAS {
        scene.stage.add(&format!("tw-live-scaled-{number}"), &args)?;
    }
    scene.stay_quiet(SPAN.saturating_sub(started.elapsed()))?;
    Ok(quiet(&format!("from 1 to {REPLICAS}")))
}

/// An image of 500 MB that is imported: the engine is busy for nobody, which is told and explained.
pub(crate) fn image_import(room: &Room) -> Result<Outcome> {
    let root = room.path("root");
    fs::create_dir(&root)?;
    File::create(root.join("content"))?.set_len(IMPORTED_BYTES)?;
    let tar = room.path("image.tar");
    let mut command = Command::new("tar");
    command.arg("-C").arg(&root).arg("-cf").arg(&tar).arg(".");
    host::succeed(&mut command, Duration::from_secs(60))?;
    let mut scene = Scene::open(room)?;
    let started = Instant::now();
    // The engine's own work is the twin: the image is removed at once, whether that worked or not.
    let imported = scene.docker().import(&tar, "tw-live-imported:1", &[]);
    scene.docker().remove_image("tw-live-imported:1");
    imported?;
    let took = started.elapsed();
    scene.stay_quiet(SPAN.saturating_sub(took))?;
    let listed = scene.tidewatch.ask_json(&["expect", "list", "--json"])?;
    let reasons = listed.as_array().context("expect list is no array")?;
    let import = reasons.iter().find(|reason| reason["kind"] == "image_import");
    let import = import.with_context(|| format!("the import explained nothing: {listed}"))?;
    ensure!(import["explained"].as_u64() >= Some(1), "the import explained nothing: {import}");
    Ok(quiet(&format!("500 MB in {:.0} s, explained", took.as_secs_f64())))
}

/// A megabyte of log within a moment.
pub(crate) fn log_burst(room: &Room) -> Result<Outcome> {
    let mut stage = Stage::set(1)?;
    let script = format!("{BURST}{SERVE}");
    let facts = stage.add("tw-live-bursting", &["--network", "none", WEB, "sh", "-c", &script])?.running()?;
    let mut scene = Scene::open_with(room, stage, None)?;
    scene.stay_quiet(SPAN)?;
    let bytes = fs::metadata(&facts.log).context("no log file")?.len();
    ensure!(bytes >= 1_000_000, "only {bytes} bytes of log: the burst never came");
    Ok(quiet("1 MB"))
}

/// What services do every day, all of it at once: a little of what each attack does without end.
pub(crate) fn every_day(room: &Room) -> Result<Outcome> {
    let _journal = Journal::running()?;
    let mut stage = Stage::set(1)?;
    let network = stage.docker.network("tw-live-every-day")?;
    let alone = ["--network", "none"];
    let shell = |script: &'static str| [WEB, "sh", "-c", script];
    let log_socket = format!("{SYSLOG_SOCKET}:/dev/log");
    stage.add(
        "tw-live-files",
        &[&alone[..], &["--ulimit", "nofile=20000", WEB, "load", "open", "10000"]].concat(),
    )?;
    stage.add("tw-live-forks", &[&alone[..], &shell("while :; do (:); usleep 10000; done")].concat())?;
    stage.add("tw-live-cache", &[&alone[..], &["--memory", "256m"], &shell(CACHE)].concat())?;
    stage.add("tw-live-logger", &[&alone[..], &["-v", &log_socket], &shell(LOG)].concat())?;
    let server = ["--network", &network.name, WEB, "load", "accept", "0.0.0.0:9000"];
    let address = stage.add("tw-live-accepts", &server)?.address(&network)?;
    let client = ["--network", &network.name, WEB, "load", "connect", &format!("{address}:9000"), "50"];
    stage.add("tw-live-connects", &client)?;
    let sender = ["--network", &network.name, WEB, "load", "udp", &format!("{address}:9001"), "1000"];
    stage.add("tw-live-sends", &sender)?;
    let mut scene = Scene::open_with(room, stage, None)?;
    let end = Instant::now() + SPAN;
    let mut rounds = 0;
    while Instant::now() < end {
        operate(&scene, rounds)?;
        rounds += 1;
    }
    scene.check_quiet()?;
    drop(scene);
    drop(network);
    Ok(quiet(&format!("{rounds} health checks and jobs beside seven services")))
}

/// Reads a file larger than its memory again and again.
const CACHE: &str = "dd if=/dev/zero of=/tmp/file bs=1M count=300 2>/dev/null; \
                     while :; do cat /tmp/file >/dev/null; sleep 2; done";
const LOG: &str = "while :; do logger 'a line'; usleep 200000; done";

/// What operators and schedulers do: a health check, a short job, and once a program that crashes.
fn operate(scene: &Scene, round: u32) -> Result<()> {
    let service = &scene.stage.benign()[0];
    service.exec(&["true"])?;
    if round == 2 {
        service.exec(&["sh", "-c", "kill -SEGV $$"])?;
    }
    scene.docker().call(&["run", "--rm", "--network", "none", WEB, "true"])?;
    wait::pause(Duration::from_secs(2))
}

fn compile_until(end: Instant, source: &Path) -> Result<usize> {
    let mut count = 0;
    while Instant::now() < end && !wait::interrupted() {
        let mut gcc = Command::new("gcc");
        gcc.args(["-O2", "-c", "-o", "/dev/null"]).arg(source);
        host::succeed(&mut gcc, Duration::from_secs(120))?;
        count += 1;
    }
    Ok(count)
}

fn quiet(note: &str) -> Outcome {
    Outcome { note: note.to_owned(), ..Outcome::default() }
}
