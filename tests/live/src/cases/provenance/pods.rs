//! Pods, made through the interface that a kubelet uses, on a containerd that serves it: as the API server orders them, and
//! as a file on the host does.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{Culprit, MadeOf, caught};
use crate::cases::Outcome;
use crate::containerd::PrivateContainerd;
use crate::cri::{Pod, PodName};
use crate::images::{Images, WEB};
use crate::scene::Scene;
use crate::tidewatch::Room;
use crate::{host, wait};

/// The image of sandboxes, under a name that nobody could fetch.
const PAUSE: &str = "example.org/tw-live-pause:1";
/// An image that nobody approved.
const UNKNOWN: &str = "example.org/tw-live-unknown:1";
const POD: PodName<'_> = PodName {
    name: "tw-live-pod",
    namespace: "tw-live",
    uid: "6d3f1c52-9a0e-4b57-8f0f-0c1d2e3f4a5b",
    source: "api",
};
const STATIC: PodName<'_> = PodName {
    name: "tw-live-static",
    namespace: "kube-system",
    uid: "0b9c8d7e-6f5a-4b3c-9d2e-1f0a9b8c7d6e",
    source: "file",
};
/// Sandboxes are not spared when memory is short: not everywhere may root ask for that.
const CRI: &str = "disabled_plugins = []\n[plugins.\"io.containerd.grpc.v1.cri\"]\nrestrict_oom_score_adj = true\n\
                   disable_tcp_service = true\nsandbox_image = \"example.org/tw-live-pause:1\"\n";
/// What the containers run.
const SLEEP: [&str; 3] = ["/bin/busybox", "sleep", "300"];
/// From the start of the pod's container to its entry in the inventory, in seconds.
const SEEN_WITHIN: f64 = 3.0;
/// How long a pod of the API server is watched.
const WATCHED: Duration = Duration::from_secs(3);

/// A host whose containerd serves a kubelet, and is approved.
struct Node {
    scene: Scene,
    containerd: PrivateContainerd,
    _images: Images,
}

impl Node {
    fn open(room: &Room) -> Result<Self> {
        let scene = Scene::open(room)?;
        let containerd = PrivateContainerd::start(room, CRI)?;
        let archive = room.path("images.tar").display().to_string();
        let mut images = Images::none(scene.docker());
        for image in [PAUSE, UNKNOWN] {
            let command = ["CMD [\"/bin/busybox\", \"sleep\", \"3600\"]".to_owned()];
            images.add(image, &format!("{image}\n"), &command)?;
        }
        scene.docker().call(&["save", "--output", &archive, PAUSE, UNKNOWN, WEB])?;
        containerd.client.ctr("k8s.io", &["images", "import", &archive])?;
        Ok(Self { scene, containerd, _images: images })
    }

    /// Approves the engine, in both of its views, and what sandboxes are made of.
    fn approve(&self) -> Result<()> {
        let socket = self.containerd.client.socket().display();
        for engine in ["cri", "containerd"] {
            self.scene.tidewatch.ask(&["approve", "--engine", &format!("{engine}:{socket}")])?;
        }
        self.scene.tidewatch.ask(&["approve", "image", PAUSE])?;
        Ok(())
    }

    /// Runs a pod: it, and the first process of its container.
    fn run(&self, pod: &PodName<'_>, image: &str) -> Result<(Pod, u32)> {
        let pod = Pod::run(self.containerd.client.socket(), pod, image, &SLEEP)?;
        let pid = self.containerd.client.pid_of("k8s.io", &pod.container)?;
        Ok((pod, pid))
    }
}

/// The container and the sandbox are in the inventory as what they are, by the word of the runtime.
pub(crate) fn run(room: &Room) -> Result<Outcome> {
    let mut node = Node::open(room)?;
    let (pod, pid) = node.run(&POD, &format!("docker.io/library/{WEB}"))?;
    let started = host::process_start(pid)?;
    let entry = wait::until(Duration::from_secs(10), "the pod's container is in the inventory", || {
        let all = node.scene.tidewatch.inventory(false)?;
        let is_told = |entry: &Value| is_present(entry, "cri") && is_present(entry, "kubernetes");
        Ok(all.into_iter().find(|entry| is_told(entry) && entry["id"] == pod.container.as_str()))
    })?;
    let seen = host::unix_now() - started;
    ensure!(seen <= SEEN_WITHIN, "in the inventory after {seen:.1} s");
    ensure!(entry["kind"] == "managed" && entry["pid"] == pid, "{entry}");
    let name = entry["name"].as_str().context("an entry without a name")?;
    ensure!(name.contains(POD.name), "the entry does not name the pod: {entry}");
    ensure!(entry["tally"]["contradictions"].as_array().is_some_and(Vec::is_empty), "{entry}");
    node.scene.tidewatch.check_alive()?;
    Ok(Outcome { note: format!("{name} in the inventory after {seen:.1} s"), ..Outcome::default() })
}

/// On an approved node, a pod of the API server is quiet, and one of a file is found.
pub(crate) fn static_pod(room: &Room) -> Result<Outcome> {
    let mut node = Node::open(room)?;
    node.approve()?;
    let (_pod, _) = node.run(&POD, &format!("docker.io/library/{WEB}"))?;
    node.scene.stay_quiet(WATCHED).context("a pod of the API server")?;
    let (_static_pod, pid) = node.run(&STATIC, UNKNOWN)?;
    let name = format!("main/{}", STATIC.name);
    let culprit = Culprit::new(&["unmanaged"], &name, pid, MadeOf::Image(UNKNOWN))?;
    let delay = caught(&mut node.scene, &culprit)?;
    Ok(Outcome { delays: vec![delay], ..Outcome::default() })
}

/// Whether an engine of that kind, or an orchestrator, says that it is there.
fn is_present(entry: &Value, witness: &str) -> bool {
    let rows = entry["tally"]["rows"].as_array();
    rows.into_iter().flatten().any(|row| row["standing"] == "present" && row["witness"]["name"] == witness)
}
