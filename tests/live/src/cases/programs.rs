//! Programs that a path, a mount, an order or a launcher would excuse, each in a container that is approved, and their quiet twins.
//!
//! Not here: a plain copy that is run, a plain shell from outside, see `provenance/inside.rs`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::cases::{Case, Outcome};
use crate::images::{self, SERVE, WEB};
use crate::scene::Scene;
use crate::stage::Stage;
use crate::tidewatch::Room;
use crate::{host, wait};

/// The tests of this file.
pub(crate) const CASES: [Case; 4] = [
    Case { name: "programs_that_a_path_or_a_mount_would_excuse_are_found", run: excused },
    Case { name: "a_program_given_to_a_loader_and_a_script_in_a_pipe_are_found", run: given },
    Case { name: "shells_that_a_launcher_starts_are_found", run: launched },
    Case { name: "programs_on_volumes_an_engines_init_and_launched_programs_are_quiet", run: twins },
];

/// Longest time from an attack to its incident, in seconds: the engine's client takes most of it.
const WITHIN: f64 = 5.0;
/// What opens an incident by itself.
const ALONE: f64 = 12.5;
/// How long the twins are watched after they have acted.
const SPAN: Duration = Duration::from_secs(4);
/// Programs that run before the one that must not be hidden: more than were remembered once.
const FIRST: usize = 40;
/// An image with a loader and what its programs link.
const LINKED: &str = "tw-live-linked:1";

/// What a container does by itself when it is sent a signal.
struct Attack {
    name: &'static str,
    options: &'static [&'static str],
    act: &'static str,
}

/// `data` is a directory of the host; what is in it was there before.
const EXCUSED: [Attack; 5] = [
    Attack {
        name: "tw-live-hosts",
        options: &[],
        act: "cat /bin/load > /etc/hosts; chmod +x /etc/hosts; /etc/hosts open 1 &",
    },
    Attack {
        name: "tw-live-dots",
        options: &[],
        act: "mkdir -p /var/lib/dpkg; cp /bin/load /tmp/x; /var/lib/dpkg/../../../tmp/x open 1 &",
    },
    Attack {
        name: "tw-live-forty",
        options: &[],
        act: "cp /bin/load /tmp/x; for n in /data/many/*; do $n true; done; /tmp/x open 1 &",
    },
    Attack {
        name: "tw-live-volume",
        options: &[],
        act: "cp /bin/load /data/new; touch -d 2001-01-01 /data/new; /data/new open 1 &",
    },
    Attack {
        name: "tw-live-over",
        options: &[],
        act: "/data/busybox-tool true; cat /bin/load > /data/busybox-tool; /data/busybox-tool open 1 &",
    },
];

/// Each is one incident of `drift`, whatever the file is called and whatever ran before.
fn excused(room: &Room) -> Result<Outcome> {
    let mut stage = Stage::set(0)?;
    let data = data(room)?;
    for attack in &EXCUSED {
        start(&mut stage, attack, &data, WEB)?;
    }
    let scene = Scene::open_with(room, stage, None)?;
    let mut delays = Vec::new();
    for attack in &EXCUSED {
        let started = host::unix_now();
        signal(&scene, attack.name)?;
        delays.push(found(&scene, attack.name, "drift", started)?);
    }
    Ok(Outcome { delays, ..Outcome::default() })
}

const GIVEN: [Attack; 2] = [
    Attack {
        name: "tw-live-loader",
        options: &[],
        act: "cp /opt/sleep /tmp/x; /lib64/ld-linux-x86-64.so.2 /tmp/x 60 &",
    },
    Attack {
        name: "tw-live-pipe",
        options: &[],
        act: "mkfifo /tmp/p; sh /tmp/p & sleep 1; echo sleep 60 > /tmp/p &",
    },
];

/// What runs is a program of the image; what it is given is not.
fn given(room: &Room) -> Result<Outcome> {
    let mut stage = Stage::set(0)?;
    let data = data(room)?;
    let tar = linked(room)?;
    stage.docker.import(&tar, LINKED, &[])?;
    let docker = stage.docker.clone();
    let _image = Image(&docker);
    for attack in &GIVEN {
        start(&mut stage, attack, &data, LINKED)?;
    }
    let scene = Scene::open_with(room, stage, None)?;
    let mut delays = Vec::new();
    for attack in &GIVEN {
        let started = host::unix_now();
        signal(&scene, attack.name)?;
        delays.push(found(&scene, attack.name, "drift", started)?);
    }
    drop(scene);
    Ok(Outcome { delays, ..Outcome::default() })
}

/// Launchers and what they start, the last through forks without an exec.
const LAUNCHED: [(&str, &[&str]); 6] = [
    ("tw-live-find", &["find", "/bin/sh", "-exec", "sh", ";"]),
    ("tw-live-xargs", &["xargs", "sh"]),
    ("tw-live-awk", &["awk", "BEGIN{system(\"ash\")}"]),
    ("tw-live-env", &["env", "timeout", "9", "setsid", "sh"]),
    ("tw-live-nice", &["busybox", "taskset", "1", "busybox", "time", "sh"]),
    ("tw-live-fork", &["sh", "-c", "( ( busybox sh; true ); true ); true"]),
];

/// Each is one incident of `administration`: what weighs is the shell, not what the engine was asked for.
fn launched(room: &Room) -> Result<Outcome> {
    let mut stage = Stage::set(0)?;
    for (name, _) in &LAUNCHED {
        // A command of its own each, or they would be one workload, which knows its commands after three runs.
        let serve = format!("echo {name} >/dev/null; {SERVE}");
        stage.add(name, &["--network", "none", WEB, "sh", "-c", &serve])?;
    }
    let scene = Scene::open_with(room, stage, None)?;
    let mut delays = Vec::new();
    for (name, command) in &LAUNCHED {
        let started = host::unix_now();
        scene.docker().call(&[&["exec", name], *command].concat())?;
        delays.push(found(&scene, name, "administration", started)?);
    }
    Ok(Outcome { delays, ..Outcome::default() })
}

/// Programs and scripts that were on a volume before, the engine's own init, launchers that start programs.
fn twins(room: &Room) -> Result<Outcome> {
    const VOLUME: Attack = Attack {
        name: "tw-live-volume-twin",
        options: &["--init"],
        act: "for n in /data/many/*; do $n true; done; /data/busybox-tool true; sh /data/x.sh; /data/x.sh",
    };
    let mut stage = Stage::set(1)?;
    let data = data(room)?;
    start(&mut stage, &VOLUME, &data, WEB)?;
    let mut scene = Scene::open_with(room, stage, None)?;
    signal(&scene, VOLUME.name)?;
    let service = &scene.stage.benign()[0].name;
    for command in [
        &["find", "/www", "-exec", "ls", "{}", ";"][..],
        &["sh", "-c", "ls | xargs echo"],
        &["env", "timeout", "5", "wget", "-q", "-O", "/dev/null", "http://127.0.0.1:8080/"],
        &["awk", "BEGIN{system(\"true\")}"],
    ] {
        scene.docker().call(&[&["exec", service], command].concat())?;
    }
    scene.stay_quiet(SPAN)?;
    Ok(Outcome { note: format!("{FIRST} programs of a volume, four launchers"), ..Outcome::default() })
}

/// A directory of the host with programs and a script, all older than any container.
fn data(room: &Room) -> Result<String> {
    let data = room.path("data");
    fs::create_dir_all(data.join("many"))?;
    for number in 0..FIRST {
        program(&data.join(format!("many/busybox-{number}")))?;
    }
    program(&data.join("busybox-tool"))?;
    let script = data.join("x.sh");
    fs::write(&script, "#!/bin/sh\ntrue\n")?;
    fs::set_permissions(&script, PermissionsExt::from_mode(0o755))?;
    Ok(data.display().to_string())
}

/// A copy of busybox, which takes its first argument for what it should be.
fn program(path: &Path) -> Result<()> {
    fs::copy("/bin/busybox", path).with_context(|| format!("cannot copy to {}", path.display())).map(drop)
}

/// Starts a container that acts when it is sent a signal.
fn start(stage: &mut Stage, attack: &Attack, data: &str, image: &str) -> Result<()> {
    let script = format!("trap '{}' USR1; : {}; {SERVE}", attack.act, attack.name);
    let volume = format!("{data}-{}:/data", attack.name);
    let copied = format!("{data}-{}", attack.name);
    host::succeed(Command::new("cp").args(["-a", data, &copied]), Duration::from_secs(20))?;
    let args =
        [&["--network", "none", "-v", &volume], attack.options, &[image, "sh", "-c", &script]].concat();
    stage.add(attack.name, &args).map(drop)
}

fn signal(scene: &Scene, name: &str) -> Result<()> {
    scene.docker().call(&["kill", "--signal", "USR1", name]).map(drop)
}

/// Waits until that judge alone has opened an incident about the container; how late, in seconds.
fn found(scene: &Scene, name: &str, judge: &str, started: f64) -> Result<f64> {
    let what = format!("{judge} opens an incident about {name}");
    let incident = wait::until(Duration::from_secs(12), &what, || {
        let about = scene.tidewatch.incidents_about(name)?;
        let is_it = |finding: &crate::incident::Finding| finding.judge == judge && finding.bits >= ALONE;
        Ok(about.into_iter().find(|it| it.state == "open" && it.findings.iter().any(is_it)))
    })
    .with_context(|| scene.told_so_far())?;
    let delay = incident.opened - started;
    ensure!(delay <= WITHIN, "opened {delay:.2} s after it began: {}", incident.summary);
    Ok(delay)
}

/// An image with the host's loader and a program that it links.
fn linked(room: &Room) -> Result<std::path::PathBuf> {
    const LOADER: &str = "lib64/ld-linux-x86-64.so.2";
    const LIBRARY: &str = "lib/x86_64-linux-gnu/libc.so.6";
    let root = room.path("linked");
    images::service_tree(&root, "linked\n")?;
    for file in [LOADER, LIBRARY] {
        let to = root.join(file);
        fs::create_dir_all(to.parent().context("a file in a directory")?)?;
        fs::copy(Path::new("/").join(file), &to).with_context(|| format!("this host has no /{file}"))?;
    }
    fs::create_dir_all(root.join("opt"))?;
    fs::copy("/bin/sleep", root.join("opt/sleep"))?;
    let tar = room.path("linked.tar");
    let mut command = Command::new("tar");
    command.arg("-C").arg(&root).args(["--owner=0", "--group=0", "-cf"]).arg(&tar).arg(".");
    host::succeed(&mut command, Duration::from_secs(30))?;
    Ok(tar)
}

/// Removed with the test.
struct Image<'a>(&'a crate::docker::Docker);

impl Drop for Image<'_> {
    fn drop(&mut self) {
        self.0.remove_image(LINKED);
    }
}
