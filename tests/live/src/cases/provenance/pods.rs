//! A pod, made through the interface that a kubelet uses, on a containerd that serves it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::cases::Outcome;
use crate::containerd::PrivateContainerd;
use crate::cri::{Pod, PodName};
use crate::images::{Images, WEB};
use crate::scene::Scene;
use crate::tidewatch::Room;
use crate::{host, wait};

/// The image of sandboxes, under a name that nobody could fetch.
const PAUSE: &str = "example.org/tw-live-pause:1";
const POD: PodName<'_> =
    PodName { name: "tw-live-pod", namespace: "tw-live", uid: "6d3f1c52-9a0e-4b57-8f0f-0c1d2e3f4a5b" };
/// Sandboxes are not spared when memory is short: not everywhere may root ask for that.
const CRI: &str = "disabled_plugins = []\n[plugins.\"io.containerd.grpc.v1.cri\"]\nrestrict_oom_score_adj = true\n\
                   disable_tcp_service = true\nsandbox_image = \"example.org/tw-live-pause:1\"\n";
/// From the start of the pod's container to its entry in the inventory, in seconds.
const SEEN_WITHIN: f64 = 3.0;

/// The container and the sandbox are in the inventory as what they are, by the word of the runtime.
pub(crate) fn run(room: &Room) -> Result<Outcome> {
    let mut scene = Scene::open(room)?;
    let containerd = PrivateContainerd::start(room, CRI)?;
    let archive = room.path("images.tar").display().to_string();
    let mut images = Images::none(scene.docker());
    images.add(PAUSE, "waits\n", &["CMD [\"/bin/busybox\", \"sleep\", \"3600\"]".to_owned()])?;
    scene.docker().call(&["save", "--output", &archive, PAUSE, WEB])?;
    containerd.client.ctr("k8s.io", &["images", "import", &archive])?;
    let image = format!("docker.io/library/{WEB}");
    let socket = containerd.client.socket();
    let pod = Pod::run(socket, &POD, &image, &["/bin/busybox", "sleep", "300"])?;
    let pid = containerd.client.pid_of("k8s.io", &pod.container)?;
    let started = host::process_start(pid)?;
    let entry = wait::until(Duration::from_secs(10), "the pod's container is in the inventory", || {
        let all = scene.tidewatch.inventory(false)?;
        Ok(all.into_iter().find(|entry| is_present(entry, "cri") && entry["id"] == pod.container.as_str()))
    })?;
    let seen = host::unix_now() - started;
    ensure!(seen <= SEEN_WITHIN, "in the inventory after {seen:.1} s");
    ensure!(entry["kind"] == "managed" && entry["pid"] == pid, "{entry}");
    let name = entry["name"].as_str().context("an entry without a name")?;
    ensure!(name.contains(POD.name), "the entry does not name the pod: {entry}");
    ensure!(entry["tally"]["contradictions"].as_array().is_some_and(Vec::is_empty), "{entry}");
    scene.tidewatch.check_alive()?;
    Ok(Outcome { note: format!("{name} in the inventory after {seen:.1} s"), ..Outcome::default() })
}

/// Whether an engine of that kind says that it is there.
fn is_present(entry: &Value, engine: &str) -> bool {
    let rows = entry["tally"]["rows"].as_array();
    rows.into_iter().flatten().any(|row| row["standing"] == "present" && row["witness"]["name"] == engine)
}
