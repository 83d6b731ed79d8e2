//! Attacks inside a container that everybody trusts: a program that its image does not hold, a shell for a person, a way
//! in from the host, and a way out of its control group.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::{Culprit, Victim, WITHIN, caught};
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
/// Written by the container itself, then run: by its own name, and by that of its shell.
const SCRIPTS: [&str; 2] = ["/tmp/tw-live-script", "/tmp/tw-live-other"];
/// A script alone is no incident (9 bits): here 8.2 bits are one.
const STRICT: &str = "[triage]\nfalse_incidents_per_node_day = 1\n";

/// A copy of a program of the image, made and run by the container's own script: what is executed is not in the image.
pub(crate) fn drift(room: &Room) -> Result<Outcome> {
    let act = format!("cp /bin/load /tmp/{COPY} && /tmp/{COPY} open 1 &");
    let (mut scene, victim) = trusted(room, &[], &act, None)?;
    signal(&scene)?;
    let copies = wait::until(Duration::from_secs(5), "the copy runs", || {
        Ok(Some(host::processes(COPY, COPY)?).filter(|pids| !pids.is_empty()))
    })?;
    let started = host::process_start(copies[0])?;
    Ok(outcome(caught(&mut scene, &Culprit::known(&["drift"], &victim, started))?))
}

/// Two scripts, written by the container's own script and run one after the other: what is executed is the image's shell.
pub(crate) fn scripts(room: &Room) -> Result<Outcome> {
    let [own, shells] = SCRIPTS;
    let text = r##""#!/bin/sh\nexec sleep 60\n""##;
    let write = format!("printf {text} | tee {own} > {shells}; chmod +x {own}");
    let act = format!("if [ -e {own} ]; then cd /tmp; sh {shells} & else {write}; {own} & fi");
    let config = room.settings(STRICT)?;
    let (mut scene, victim) = trusted(room, &[], &act, Some(config))?;
    let started = host::unix_now();
    signal(&scene)?;
    let delays = vec![
        caught(&mut scene, &Culprit::known(&["drift"], &victim, started))?,
        named(&scene, own, started)?,
        {
            let started = host::unix_now();
            signal(&scene)?;
            named(&scene, shells, started)?
        },
    ];
    Ok(Outcome { delays, ..Outcome::default() })
}

/// Waits until the latest word about the trusted container names that script; how late it came, in seconds.
fn named(scene: &Scene, script: &str, started: f64) -> Result<f64> {
    let claim = format!("it runs {script}, a script that its image does not hold");
    let finding = wait::until(Duration::from_secs(5), &claim, || {
        let finding = scene.latest(NAME, "drift")?;
        Ok(finding.claim.starts_with(&claim).then_some(finding))
    })?;
    let delay = finding.at - started;
    ensure!(delay <= WITHIN, "{script} was told after {delay:.2} s");
    ensure!((finding.bits - 9.0).abs() < 0.01, "it weighs {} bits", finding.bits);
    Ok(delay)
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
    let (mut scene, victim) = trusted(room, &options, "echo $$ > /groups/cgroup.procs", None)?;
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
fn trusted(room: &Room, options: &[&str], act: &str, config: Option<PathBuf>) -> Result<(Scene, Victim)> {
    let script = format!("trap '{act}' USR1; {SERVE}");
    let mut stage = Stage::set(1)?;
    let args = [&["--network", "none"], options, &[WEB, "sh", "-c", &script]].concat();
    let victim = Victim::of(stage.add(NAME, &args)?)?;
    let scene = Scene::open_with(room, stage, config)?;
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
