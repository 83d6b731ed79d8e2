//! Whatever Tidewatch reads from or writes to stops answering, and it goes on.
//!
//! Not here: all of it at once and at random, see `chaos.rs`.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use crate::by_hand::{BURN, ByHand};
use crate::cases::{Case, Outcome};
use crate::host;
use crate::private_engine::unmount_below;
use crate::stage::wait_for_incident_in;
use crate::tidewatch::{Launch, Room, Tidewatch};
use crate::wait;

/// The group of these tests.
pub(crate) const CASES: [Case; 4] = [
    Case { name: "an_output_and_a_log_that_are_not_read_hold_up_nothing", run: output },
    Case { name: "a_root_that_never_answers_is_judged_and_holds_up_nothing", run: root },
    Case { name: "a_runtimes_directory_that_never_answers_is_reported_until_it_does", run: directory },
    Case { name: "containers_begin_and_end_after_the_clock_was_set_back_an_hour", run: clock },
];

const SERVER: &str = include_str!("../chaos/fuse_root.py");
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
/// From an attack's first process to its incident.
const OPENED_MAX: f64 = 15.0;
/// From SIGINT to the end of the program.
const ENDED_MAX: Duration = Duration::from_secs(3);

/// Both streams lead into a full pipe, and everything there is to log is logged.
fn output(room: &Room) -> Result<Outcome> {
    let pipe = room.path("pipe");
    host::succeed(Command::new("mkfifo").arg(&pipe), Duration::from_secs(5))?;
    let script = format!(
        "case \" $* \" in *' run '*) exec 3<>{0}; head -c 65536 /dev/zero >&3; export RUST_LOG=debug; \
         exec \"$@\" >&3 2>&3;; *) exec \"$@\";; esac",
        pipe.display()
    );
    let under = ["sh", "-ec", &script, "sh"].map(str::to_owned).to_vec();
    let mut tidewatch = Tidewatch::start(room, Launch { under, config: None })?;
    let delay = attack_is_found(&mut tidewatch, "output")?;
    let ended = ends_on_interrupt(&mut tidewatch)?;
    Ok(Outcome { delays: vec![delay], note: format!("ended {:.2} s after SIGINT", ended.as_secs_f64()) })
}

/// The first process of a container has a root that is listed by a process that answers no such request.
fn root(room: &Room) -> Result<Outcome> {
    let mut tidewatch = Tidewatch::start(room, Launch::default())?;
    let (script, place) = server(room)?;
    let name = format!("tw-live-hung-{}", std::process::id());
    let hung = ByHand::start(&name, &["python3", &script, &place])?;
    tidewatch.inventoried(Duration::from_secs(10), "the container with a hung root", |entry| {
        entry["kind"] == "ghost" && entry["cgroup"].as_str().is_some_and(|path| path.ends_with(hung.path()))
    })?;
    let seen = host::unix_now() - hung.started;
    let delay = attack_is_found(&mut tidewatch, "beside-hung")?;
    let ended = ends_on_interrupt(&mut tidewatch)?;
    let note = format!("itself seen after {seen:.1} s, ended {:.2} s after SIGINT", ended.as_secs_f64());
    Ok(Outcome { delays: vec![delay], note })
}

/// `statvfs` of a runtime's directory does not return, until the file system is gone.
fn directory(room: &Room) -> Result<Outcome> {
    let (script, place) = server(room)?;
    let hung = Hung::serve(&script, &place)?;
    let config = room.settings(&format!("runtime_roots = [{place:?}]\n"))?;
    let mut tidewatch = Tidewatch::start(room, Launch { config: Some(config), ..Launch::default() })?;
    wait::until(Duration::from_secs(10), "the directory is reported", || {
        let (health, reason) = tidewatch.source("host")?;
        Ok((health == "degraded" && reason.contains("not answer")).then_some(()))
    })?;
    let delay = attack_is_found(&mut tidewatch, "directory")?;
    drop(hung);
    wait::until(Duration::from_secs(10), "the directory is no longer reported", || {
        Ok((!tidewatch.source("host")?.1.contains("not answer")).then_some(()))
    })?;
    ends_on_interrupt(&mut tidewatch)?;
    Ok(Outcome { delays: vec![delay], note: "reported until it was gone".to_owned() })
}

/// The wall clock is set back for Tidewatch alone.
fn clock(room: &Room) -> Result<Outcome> {
    ensure!(Path::new(FAKETIME).exists(), "there is no {FAKETIME}: install libfaketime");
    let offset = room.path("offset");
    fs::write(&offset, "+0\n")?;
    let file = format!("FAKETIME_TIMESTAMP_FILE={}", offset.display());
    let preload = format!("LD_PRELOAD={FAKETIME}");
    let under = ["env", &preload, &file, "FAKETIME_NO_CACHE=1", "DONT_FAKE_MONOTONIC=1"];
    let under = under.map(str::to_owned).to_vec();
    let mut tidewatch = Tidewatch::start(room, Launch { under, config: None })?;
    let name = format!("tw-live-before-{}", std::process::id());
    let before = ByHand::start(&name, &["sleep", "60"])?;
    let path = before.path().to_owned();
    let is_it = |entry: &serde_json::Value| entry["cgroup"].as_str().is_some_and(|at| at.ends_with(&path));
    tidewatch.inventoried(Duration::from_secs(10), "a container", is_it)?;
    fs::write(&offset, "-3600\n")?;
    wait::pause(Duration::from_secs(1))?;
    let ended = Instant::now();
    drop(before);
    wait::until(Duration::from_secs(10), "it has ended", || {
        Ok((!tidewatch.inventory(false)?.iter().any(is_it)).then_some(()))
    })?;
    let after = ended.elapsed().as_secs_f64();
    let delay = attack_is_found(&mut tidewatch, "set-back")?;
    Ok(Outcome { delays: vec![delay], note: format!("its end was seen after {after:.1} s") })
}

/// A container made by hand burns CPU: seconds from its first process to its incident.
fn attack_is_found(tidewatch: &mut Tidewatch, name: &str) -> Result<f64> {
    let name = format!("tw-live-{name}-{}", std::process::id());
    let began = Instant::now();
    let ghost = ByHand::start(&name, &["sh", "-c", BURN])?;
    wait_for_incident_in(tidewatch, ghost.path())?;
    // By our own clock: the incident's may have been set.
    let delay = began.elapsed().as_secs_f64();
    ensure!(delay <= OPENED_MAX, "opened after {delay:.1} s");
    tidewatch.check_alive()?;
    Ok(delay)
}

fn ends_on_interrupt(tidewatch: &mut Tidewatch) -> Result<Duration> {
    let began = Instant::now();
    host::signal(tidewatch.pid(), Signal::INT);
    wait::until(ENDED_MAX, "it ends on SIGINT", || Ok(tidewatch.check_alive().is_err().then_some(())))?;
    Ok(began.elapsed())
}

/// The program of a file system that answers little, and where it is to be mounted.
fn server(room: &Room) -> Result<(String, String)> {
    host::require("python3", "python3-minimal")?;
    let (script, place) = (room.path("fuse_root.py"), room.path("hung"));
    fs::write(&script, SERVER)?;
    fs::create_dir_all(&place)?;
    Ok((script.display().to_string(), place.display().to_string()))
}

/// A file system of the host that answers little; freed on drop.
struct Hung {
    child: Child,
    place: String,
}

impl Hung {
    fn serve(script: &str, place: &str) -> Result<Self> {
        let mut command = Command::new("python3");
        command.args([script, place]).stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.spawn().context("cannot run python3")?;
        let hung = Self { child, place: place.to_owned() };
        wait::until(Duration::from_secs(5), "the file system is mounted", || {
            Ok(fs::read_to_string("/proc/self/mountinfo")?.contains(&hung.place).then_some(()))
        })?;
        Ok(hung)
    }
}

impl Drop for Hung {
    fn drop(&mut self) {
        for pid in host::children(self.child.id()) {
            host::signal(pid, Signal::KILL);
        }
        host::end(&mut self.child, Duration::ZERO);
        unmount_below(&self.place);
    }
}
