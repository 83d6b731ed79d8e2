//! Containers of engines that nobody approved, beside a Docker that everybody knows.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{Culprit, MadeOf, caught};
use crate::bundle::Bundle;
use crate::cases::Outcome;
use crate::containerd::{Containerd, PrivateContainerd};
use crate::images::{WEB, service_tree};
use crate::podman::Podman;
use crate::scene::Scene;
use crate::tidewatch::Room;
use crate::{host, wait};

/// What all of them run.
const SLEEP: [&str; 3] = ["/bin/busybox", "sleep", "300"];
/// containerd's plug-in for the kubelet wants a network that nobody set up.
const NO_CRI: &str = "disabled_plugins = [\"io.containerd.grpc.v1.cri\"]";

/// `runc run` of a directory: no engine at all.
pub(crate) fn runc(room: &Room) -> Result<Outcome> {
    let mut scene = Scene::open(room)?;
    let bundle = Bundle::run(room, "tw-live-runc", &SLEEP)?;
    let root = bundle.root();
    let delay = caught(&mut scene, &Culprit::new(&["ghost"], "", bundle.pid, MadeOf::Root(&root))?)?;
    Ok(outcome(delay))
}

/// `ctr run` on the containerd that Docker runs, in a namespace that Docker does not look into.
pub(crate) fn fresh_namespace(room: &Room) -> Result<Outcome> {
    let containerd = Containerd::of_docker()?;
    let mut scene = Scene::open(room)?;
    let root = room.path("root");
    service_tree(&root, "in a fresh namespace\n")?;
    let rootfs = root.display().to_string();
    let task = containerd.run("tw-live-fresh", "tw-live-ctr", &["--rootfs", &rootfs], &SLEEP);
    let task = task.context("ctr run in a fresh namespace")?;
    let judges = ["second_engine", "unmanaged"];
    let culprit = Culprit::new(&judges, "tw-live-ctr", task.pid, MadeOf::Root(&root))?;
    Ok(outcome(caught(&mut scene, &culprit)?))
}

/// A containerd of the attacker's own, started while Tidewatch runs, and a container of an image that is approved.
pub(crate) fn second_containerd(room: &Room) -> Result<Outcome> {
    let mut scene = Scene::open(room)?;
    let archive = room.path("web.tar").display().to_string();
    scene.docker().call(&["save", "--output", &archive, WEB])?;
    let containerd = PrivateContainerd::start(room, NO_CRI)?;
    containerd.client.ctr("default", &["images", "import", &archive])?;
    let image = format!("docker.io/library/{WEB}");
    let task = containerd.client.run("default", "tw-live-second", &[&image], &SLEEP)?;
    let culprit = Culprit::new(&["second_engine"], "tw-live-second", task.pid, MadeOf::Image(&image))?;
    // The engine is the attack's first process; told before its container came is as good.
    let culprit = Culprit { earliest: host::process_start(containerd.pid())?, ..culprit };
    Ok(outcome(caught(&mut scene, &culprit)?))
}

/// `podman run`, with its storage in a place of the attacker's own.
pub(crate) fn podman(room: &Room) -> Result<Outcome> {
    const IMAGE: &str = "localhost/tw-live-podman:1";
    let mut scene = Scene::open(room)?;
    let mut podman = Podman::with_image(room, IMAGE)?;
    let pid = podman.run("tw-live-podman", IMAGE, &SLEEP)?;
    // It has no daemon that could be new: who has it installed says whether it belongs here.
    let judges = ["second_engine", "unmanaged"];
    let culprit = Culprit::new(&judges, "tw-live-podman", pid, MadeOf::Image(IMAGE))?;
    Ok(outcome(caught(&mut scene, &culprit)?))
}

/// Labels lie in a database of Podman's; who serves its interface is asked for them, also of containers of before, and what
/// they claim is held against the other views.
pub(crate) fn podman_labels(room: &Room) -> Result<Outcome> {
    const IMAGE: &str = "localhost/tw-live-labels:1";
    let mut scene = Scene::open(room)?;
    let mut podman = Podman::with_image(room, IMAGE)?;
    let options = ["--label", "shop=front", "--health-cmd", "true x"];
    podman.run_with(&options, "tw-live-early", IMAGE, &SLEEP)?;
    let early = told(&scene, "tw-live-early", |entry| claimed(entry)["name"] == "tw-live-early")?;
    ensure!(claimed(&early)["labels"] == json!({}), "nobody serves it, and it has labels: {early}");
    podman.serve(&room.path("podman.sock"))?;
    let begun = Instant::now();
    let early = told(&scene, "tw-live-early", |entry| claimed(entry)["labels"]["shop"] == "front")?;
    let note = format!("labels {:.1} s after its interface is served", begun.elapsed().as_secs_f64());
    ensure!(claimed(&early)["health_check"] == "/bin/sh -c true x", "{early}");
    let pod = ["--label", "io.kubernetes.pod.name=coredns-5d78c9869d-x7k2p"];
    podman.run_with(&pod, "tw-live-forged", IMAGE, &SLEEP)?;
    told(&scene, "tw-live-forged", |entry| {
        let contradictions = entry["tally"]["contradictions"].as_array();
        contradictions.into_iter().flatten().any(|it| it["about"] == "pod_labels")
    })?;
    scene.tidewatch.check_alive()?;
    Ok(Outcome { note, ..Outcome::default() })
}

/// Waits until `inventory show` says something of a container.
fn told(scene: &Scene, name: &str, says: impl Fn(&Value) -> bool) -> Result<Value> {
    wait::until(Duration::from_secs(10), &format!("the inventory says of {name} what it must"), || {
        // It knows no such container at first.
        let shown = scene.tidewatch.ask_json(&["inventory", "show", name, "--json"]).ok();
        Ok(shown.map(|shown| shown["container"].clone()).filter(|entry| says(entry)))
    })
}

/// What its engine says of it.
fn claimed(entry: &Value) -> &Value {
    &entry["facts"]["known"]
}

fn outcome(delay: f64) -> Outcome {
    Outcome { delays: vec![delay], ..Outcome::default() }
}
