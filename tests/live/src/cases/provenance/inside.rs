//! Attacks inside a container that everybody trusts: a program that its image does not hold, a shell for a person, a way
//! in from the host, and a way out of its control group.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use super::{Culprit, Victim, caught};
use crate::by_hand::ByHand;
use crate::cases::Outcome;
use crate::images::{SERVE, WEB};
use crate::scene::Scene;
use crate::stage::Stage;
use crate::tidewatch::Room;
use crate::{cgroups, host, wait};

const NAME: &str = "tw-live-trusted";
/// Copied into the container by itself; what it then runs.
const COPY: &str = "tw-live-copy";

/// A copy of a program of the image, made and run by the container's own script: what is executed is not in the image.
pub(crate) fn drift(room: &Room) -> Result<Outcome> {
    let act = format!("cp /bin/load /tmp/{COPY} && /tmp/{COPY} open 1 &");
    let (mut scene, victim) = trusted(room, &[], &act)?;
    signal(&scene)?;
    let copies = wait::until(Duration::from_secs(5), "the copy runs", || {
        Ok(Some(host::processes(COPY, COPY)?).filter(|pids| !pids.is_empty()))
    })?;
    let started = host::process_start(copies[0])?;
    Ok(outcome(caught(&mut scene, &Culprit::known(&["drift"], &victim, started))?))
}

/// `docker exec` of a shell on a terminal.
pub(crate) fn shell(room: &Room) -> Result<Outcome> {
    let mut scene = Scene::open(room)?;
    let victim = Victim::of(&scene.stage.benign()[0])?;
    let started = host::unix_now();
    let _client = Client::run(Command::new("docker").args(["exec", "--tty", &victim.name, "sh"]))?;
    Ok(outcome(caught(&mut scene, &Culprit::known(&["administration"], &victim, started))?))
}

/// `nsenter` from the host into its processes and mounts: no engine is asked.
pub(crate) fn entry(room: &Room) -> Result<Outcome> {
    let mut scene = Scene::open(room)?;
    let victim = Victim::of(&scene.stage.benign()[0])?;
    let target = victim.pid.to_string();
    let command = ["nsenter", "--target", &target, "--mount", "--pid"];
    let entered = ByHand::under(None, &command, &["/bin/busybox", "sleep", "300"])?;
    Ok(outcome(caught(&mut scene, &Culprit::known(&["namespace_entry"], &victim, entered.started))?))
}

/// A container that may administer the system and has the host's control groups moves itself into the root group.
pub(crate) fn escape(room: &Room) -> Result<Outcome> {
    let mount = format!("{}:/groups", cgroups::unified()?.display());
    let options = ["--cap-add", "SYS_ADMIN", "--volume", &mount];
    let (mut scene, victim) = trusted(room, &options, "echo $$ > /groups/cgroup.procs")?;
    let group = cgroups::path_of(victim.pid)?;
    let started = host::unix_now();
    signal(&scene)?;
    wait::until(Duration::from_secs(5), "the container is in the root group", || {
        Ok((cgroups::path_of(victim.pid)? == "/").then_some(()))
    })?;
    let culprit = Culprit { cgroup: Some(&group), ..Culprit::known(&["cgroup_escape"], &victim, started) };
    Ok(outcome(caught(&mut scene, &culprit)?))
}

/// A scene with one more approved container, which acts when it is sent a signal.
fn trusted(room: &Room, options: &[&str], act: &str) -> Result<(Scene, Victim)> {
    let script = format!("trap '{act}' USR1; {SERVE}");
    let mut stage = Stage::set(1)?;
    let args = [&["--network", "none"], options, &[WEB, "sh", "-c", &script]].concat();
    let victim = Victim::of(stage.add(NAME, &args)?)?;
    let scene = Scene::open_with(room, stage, None)?;
    Ok((scene, victim))
}

/// Makes the container act: nothing is executed in it from outside.
fn signal(scene: &Scene) -> Result<()> {
    scene.docker().call(&["kill", "--signal", "USR1", NAME]).map(drop)
}

/// A client that goes on until it is ended, on drop.
struct Client(Child);

impl Client {
    fn run(command: &mut Command) -> Result<Self> {
        let program = Path::new(command.get_program()).display().to_string();
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self(quiet.spawn().with_context(|| format!("cannot run {program}"))?))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        host::end(&mut self.0, Duration::ZERO);
    }
}

fn outcome(delay: f64) -> Outcome {
    Outcome { delays: vec![delay], ..Outcome::default() }
}
