//! Containers made by hand with `unshare` and `chroot`: in no control group of their own, and in one whose path claims
//! to be an engine's or a unit of systemd's.

use std::path::PathBuf;

use anyhow::Result;

use super::{Culprit, MadeOf, caught};
use crate::by_hand::{ByHand, CONTAINER};
use crate::cases::Outcome;
use crate::cgroups::Group;
use crate::images::service_tree;
use crate::scene::Scene;
use crate::tidewatch::Room;

/// As long as an id of Docker's.
const ID: &str = "7e57ab1e0ddba11c0ffee0000000000000000000000000000000000000005eed";

/// In the control group of the shell that made it: no new group tells of it.
pub(crate) fn without_a_group(room: &Room) -> Result<Outcome> {
    attack(room, None, &["ghost"])
}

/// In a control group that is called like a container of Docker's, which Docker does not know.
pub(crate) fn called_like_docker(room: &Room) -> Result<Outcome> {
    attack(room, Some(&format!("docker/{ID}")), &["masquerade", "ghost"])
}

/// In a control group that is called like a scope of systemd's, which systemd does not know.
pub(crate) fn called_like_a_scope(room: &Room) -> Result<Outcome> {
    attack(room, Some("system.slice/tw-live-session.scope"), &["masquerade", "ghost"])
}

/// In a control group that is called as systemd-machined calls those of its machines.
pub(crate) fn called_like_a_machine(room: &Room) -> Result<Outcome> {
    attack(room, Some("machine.slice/machine-x.scope"), &["ghost", "masquerade"])
}

fn attack(room: &Room, group: Option<&str>, judges: &[&str]) -> Result<Outcome> {
    let mut scene = Scene::open(room)?;
    let root = root(room)?;
    let directory = root.display().to_string();
    let group = group.map(Group::make).transpose()?;
    let argv = ["chroot", &directory, "/bin/busybox", "sleep", "300"];
    let made = ByHand::unshared(group, CONTAINER, &argv)?;
    let delay = caught(&mut scene, &Culprit::new(judges, "", made.pid, MadeOf::Root(&root))?)?;
    Ok(Outcome { delays: vec![delay], ..Outcome::default() })
}

fn root(room: &Room) -> Result<PathBuf> {
    let root = room.path("root");
    service_tree(&root, "made by hand\n")?;
    Ok(root)
}
