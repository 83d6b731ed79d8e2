//! Engines that are none, engines that do not answer, and names that only a silent view could confirm: none of them hides a
//! container that nobody claims.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use crate::bundle::Bundle;
use crate::cases::provenance::{Culprit, MadeOf, by_hand, caught};
use crate::cases::{Case, Outcome};
use crate::host;
use crate::images::Images;
use crate::private_engine::PrivateEngine;
use crate::scene::Scene;
use crate::stage::{start_benign, wait_for_name};
use crate::tidewatch::{Launch, Room, Tidewatch};
use crate::wait;

pub(crate) const CASES: [Case; 3] = [
    Case { name: "a_process_called_like_an_engine_hides_no_ghost", run: imitations },
    Case {
        name: "a_container_in_a_cgroup_called_like_a_machine_is_found",
        run: by_hand::called_like_a_machine,
    },
    Case { name: "an_engine_that_hangs_is_reported_and_hides_no_ghost", run: hanging },
];

const SLEEP: [&str; 3] = ["/bin/busybox", "sleep", "300"];
/// Names of daemons of engines.
const DAEMONS: [&str; 3] = ["crio", "containerd", "dockerd"];
/// A daemon that does not listen is given this long before it is settled what it is.
const SETTLED: Duration = Duration::from_secs(7);
/// The user `nobody`.
const NOBODY: &str = "65534";
/// Longest time from an engine's last answer to the report about it, in seconds.
const REPORTED_WITHIN: f64 = 5.0;

/// Copies of `sleep` that are called like daemons of engines and run by a user; ended and removed on drop.
struct Imitations {
    dir: PathBuf,
    children: Vec<Child>,
}

impl Imitations {
    fn start() -> Result<Self> {
        host::require("setpriv", "util-linux")?;
        let dir = std::env::temp_dir().join(format!("tw-live-names-{}", std::process::id()));
        fs::create_dir_all(&dir)?;
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755))?;
        let mut started = Self { dir, children: Vec::new() };
        for name in DAEMONS {
            let program = started.dir.join(name);
            fs::copy("/bin/sleep", &program).context("cannot copy /bin/sleep")?;
            started.children.push(as_nobody(&program)?);
        }
        Ok(started)
    }
}

impl Drop for Imitations {
    fn drop(&mut self) {
        self.children.iter_mut().for_each(|child| host::end(child, Duration::ZERO));
        // Left over where another process still executes a file of it.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn as_nobody(program: &Path) -> Result<Child> {
    Command::new("setpriv")
        .args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"])
        .arg(program)
        .arg("300")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot run setpriv")
}

/// A user's processes called `crio`, `containerd` and `dockerd` beside a container of runc's.
fn imitations(room: &Room) -> Result<Outcome> {
    let mut scene = Scene::open(room)?;
    let _imitations = Imitations::start()?;
    wait::pause(SETTLED)?;
    let bundle = Bundle::run(room, "tw-live-beside", &SLEEP)?;
    let root = bundle.root();
    let delay = caught(&mut scene, &Culprit::new(&["ghost"], "", bundle.pid, MadeOf::Root(&root))?)?;
    Ok(Outcome { delays: vec![delay], note: "beside crio, containerd and dockerd of a user".to_owned() })
}

/// The engine is stopped by a signal after it has listed its containers: that is one report, and neither a finding about
/// what it runs nor a place to hide.
fn hanging(room: &Room) -> Result<Outcome> {
    let engine = PrivateEngine::start(room)?;
    let docker = engine.docker();
    let _images = Images::make(&docker)?;
    let _survivor = start_benign(&docker, "tw-live-survivor")?;
    let settings = format!("[containers.docker]\nsocket = \"{}\"\n", engine.socket().display());
    let config = room.settings(&settings)?;
    let mut tidewatch = Tidewatch::start(room, Launch { config: Some(config), ..Launch::default() })?;
    wait_for_name(&tidewatch, "tw-live-survivor")?;
    health(&tidewatch, |health| health == "up")?;
    tidewatch.approve_running()?;

    let stopped = Stopped::new(engine.pid().context("the engine runs")?);
    let begun = Instant::now();
    health(&tidewatch, |health| health != "up")?;
    let reported = begun.elapsed().as_secs_f64();
    let bundle = Bundle::run(room, "tw-live-hung", &SLEEP)?;
    let found = wait::until(Duration::from_secs(10), "the ghost is an incident", || {
        let open = tidewatch.incidents()?.into_iter().find(|it| it.latest("ghost").is_ok());
        Ok(open.filter(|incident| incident.state == "open"))
    })?;
    let delay = found.opened - host::process_start(bundle.pid)?;
    drop(stopped);
    health(&tidewatch, |health| health == "up")?;
    tidewatch.check_alive()?;
    let accused = tidewatch.incidents_about("tw-live-survivor")?;
    ensure!(accused.is_empty(), "what ran before the engine hung is accused: {accused:?}");
    ensure!(reported <= REPORTED_WITHIN, "reported {reported:.1} s after the engine hung");
    ensure!(delay <= 3.0, "the ghost was found {delay:.1} s after its start");
    let note = format!("the engine is reported {reported:.1} s after it hung");
    Ok(Outcome { delays: vec![delay], note })
}

/// A process stopped by a signal; it goes on when this is dropped.
struct Stopped {
    pid: u32,
}

impl Stopped {
    fn new(pid: u32) -> Self {
        host::signal(pid, Signal::STOP);
        Self { pid }
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        host::signal(self.pid, Signal::CONT);
    }
}

fn health(tidewatch: &Tidewatch, is_it: impl Fn(&str) -> bool) -> Result<()> {
    wait::until(Duration::from_secs(20), "the source docker is as it must be", || {
        let (health, _) = tidewatch.source("docker")?;
        Ok(is_it(&health).then_some(()))
    })
}
