//! Images that are not what was approved: a tag that leads elsewhere now, a snapshot of a running container.

use anyhow::Result;

use super::{Culprit, Victim, caught};
use crate::cases::Outcome;
use crate::docker::Docker;
use crate::host;
use crate::images::{BUSYBOX, Images, SERVE};
use crate::scene::Scene;
use crate::stage::Stage;
use crate::tidewatch::Room;

const TAG: &str = "tw-live-api:1";
const SNAPSHOT: &str = "tw-live-snapshot:1";

/// The tag of an image that runs and is approved is given to another image, and run.
pub(crate) fn swapped_tag(room: &Room) -> Result<Outcome> {
    let mut stage = Stage::set(1)?;
    let mut images = Images::none(&stage.docker);
    images.add(TAG, "the api as it was approved\n", &[])?;
    let approved = stage.docker.call(&["image", "inspect", "--format", "{{.Id}}", TAG])?;
    // Nothing is called by that id any more once the tag is gone.
    let _left_over = LeftOver { docker: stage.docker.clone(), image: approved };
    stage.add("tw-live-api", &["--network", "none", TAG, "sh", "-c", SERVE])?;
    let mut scene = Scene::open_with(room, stage, None)?;
    scene.docker().call(&["tag", BUSYBOX, TAG])?;
    let container =
        scene.docker().start("tw-live-swapped", &["--network", "none", TAG, "sh", "-c", SERVE])?;
    Ok(outcome(caught(&mut scene, &Culprit::of_docker(&["swapped_tag"], &container, TAG)?)?))
}

/// `docker commit` of a container that is approved.
pub(crate) fn commit(room: &Room) -> Result<Outcome> {
    let mut scene = Scene::open(room)?;
    let _snapshot = LeftOver { docker: scene.docker().clone(), image: SNAPSHOT.to_owned() };
    let victim = Victim::of(&scene.stage.benign()[0])?;
    let started = host::unix_now();
    scene.docker().call(&["commit", &victim.name, SNAPSHOT])?;
    let judges = ["local_image", "administration"];
    Ok(outcome(caught(&mut scene, &Culprit::known(&judges, &victim, started))?))
}

/// An image to be removed after everything that uses it.
struct LeftOver {
    docker: Docker,
    image: String,
}

impl Drop for LeftOver {
    fn drop(&mut self) {
        self.docker.remove_image(&self.image);
    }
}

fn outcome(delay: f64) -> Outcome {
    Outcome { delays: vec![delay], ..Outcome::default() }
}
