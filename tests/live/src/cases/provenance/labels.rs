//! Containers that claim by labels or by name to be another's: of a Swarm's service, of a pod, of an image that is trusted.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Culprit, caught};
use crate::cases::Outcome;
use crate::images::{Images, SERVE, WEB};
use crate::scene::Scene;
use crate::swarm::Swarm;
use crate::tidewatch::Room;

const SERVICE: &str = "tw-live-shop";
/// As a Swarm makes them up.
const TASK: &str = "k2v0yq3xj5w8c7b1m9n4h6g0f";
/// How long the real service is watched before it is imitated.
const REAL: Duration = Duration::from_secs(3);
/// One edit away from the approved `tw-live-web`.
const ALIKE: &str = "tw-live-wed:1";

/// A container of an approved image beside a real service, with that service's labels: the Swarm has no such task.
pub(crate) fn swarm(room: &Room) -> Result<Outcome> {
    let mut scene = Scene::open(room)?;
    let swarm = Swarm::joined(scene.docker())?;
    swarm.create(SERVICE, &[WEB, "sh", "-c", SERVE])?;
    let prefix = format!("{SERVICE}.1.");
    let is_task = |entry: &Value| entry["name"].as_str().is_some_and(|name| name.starts_with(&prefix));
    scene.tidewatch.inventoried(Duration::from_secs(10), "the service's task", is_task)?;
    scene.tidewatch.approve_running()?;
    scene.stay_quiet(REAL).context("a real service of an approved image")?;
    let id = scene.docker().call(&["service", "inspect", "--format", "{{.ID}}", SERVICE])?;
    let node = scene.docker().call(&["info", "--format", "{{.Swarm.NodeID}}"])?;
    let name = format!("{SERVICE}.1.{TASK}");
    let labels = [
        ("service.name", SERVICE),
        ("service.id", &id),
        ("node.id", &node),
        ("task.id", TASK),
        ("task.name", &name),
    ];
    let labels: Vec<String> =
        labels.iter().map(|(key, value)| format!("--label=com.docker.swarm.{key}={value}")).collect();
    Ok(outcome(forged(&mut scene, &name, &labels, WEB)?))
}

/// A container of an approved image with the labels of a pod, where no kubelet is.
pub(crate) fn kubernetes(room: &Room) -> Result<Outcome> {
    let mut scene = Scene::open(room)?;
    let labels = [
        ("pod.name", "coredns-5d78c9869d-x7k2p"),
        ("pod.namespace", "kube-system"),
        ("pod.uid", "0a4f9f52-6f0e-4f4e-9a53-2f7f1f6d0a11"),
        ("container.name", "coredns"),
    ];
    let labels: Vec<String> =
        labels.iter().map(|(key, value)| format!("--label=io.kubernetes.{key}={value}")).collect();
    let name = "k8s_coredns_coredns-5d78c9869d-x7k2p_kube-system_tw-live_0";
    Ok(outcome(forged(&mut scene, name, &labels, WEB)?))
}

/// A container of an image that is called nearly as an approved one.
pub(crate) fn image_name(room: &Room) -> Result<Outcome> {
    let mut scene = Scene::open(room)?;
    let mut images = Images::none(scene.docker());
    images.add(ALIKE, "nearly the same\n", &[])?;
    Ok(outcome(forged(&mut scene, "tw-live-alike", &[], ALIKE)?))
}

/// Starts the container and waits for its incident.
fn forged(scene: &mut Scene, name: &str, options: &[String], image: &str) -> Result<f64> {
    let mut args = vec!["--network", "none"];
    args.extend(options.iter().map(String::as_str));
    args.extend([image, "sh", "-c", SERVE]);
    let container = scene.docker().start(name, &args)?;
    caught(scene, &Culprit::of_docker(&["masquerade"], &container, image)?)
}

fn outcome(delay: f64) -> Outcome {
    Outcome { delays: vec![delay], ..Outcome::default() }
}
