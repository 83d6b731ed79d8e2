//! Containers of an approved image with rights over the host that nobody approved.
//!
//! Not here: `--privileged` itself, which not every machine grants; a recorded answer of the engine stands for it.

use std::fs;

use anyhow::{Context, Result};

use super::{Culprit, caught};
use crate::cases::Outcome;
use crate::images::{SERVE, WEB};
use crate::scene::Scene;
use crate::tidewatch::Room;

/// Capabilities by their number that a container has only when it is asked for, and that every engine knows: later
/// ones, from 38 on, are not in every release.
const ADDED: [(u32, &str); 24] = [
    (2, "DAC_READ_SEARCH"),
    (9, "LINUX_IMMUTABLE"),
    (11, "NET_BROADCAST"),
    (12, "NET_ADMIN"),
    (14, "IPC_LOCK"),
    (15, "IPC_OWNER"),
    (16, "SYS_MODULE"),
    (17, "SYS_RAWIO"),
    (19, "SYS_PTRACE"),
    (20, "SYS_PACCT"),
    (21, "SYS_ADMIN"),
    (22, "SYS_BOOT"),
    (23, "SYS_NICE"),
    (24, "SYS_RESOURCE"),
    (25, "SYS_TIME"),
    (26, "SYS_TTY_CONFIG"),
    (28, "LEASE"),
    (30, "AUDIT_CONTROL"),
    (32, "MAC_OVERRIDE"),
    (33, "MAC_ADMIN"),
    (34, "SYSLOG"),
    (35, "WAKE_ALARM"),
    (36, "BLOCK_SUSPEND"),
    (37, "AUDIT_READ"),
];

/// As good as privileged: every capability that this machine grants, no filter of system calls, the host's processes and
/// its root.
pub(crate) fn nearly_privileged(room: &Room) -> Result<Outcome> {
    let granted = granted()?;
    let names = ADDED.iter().filter(|(number, _)| granted >> number & 1 == 1).map(|(_, name)| *name);
    let added: Vec<String> = names.map(|name| format!("--cap-add={name}")).collect();
    let mut options: Vec<&str> = added.iter().map(String::as_str).collect();
    options.extend(["--security-opt", "seccomp=unconfined", "--pid", "host", "--volume", "/:/host"]);
    let outcome = attack(room, "tw-live-nearly-privileged", &options)?;
    Ok(Outcome { note: format!("{} capabilities of {}", added.len(), ADDED.len()), ..outcome })
}

/// `--pid host`, nothing else.
pub(crate) fn host_pid(room: &Room) -> Result<Outcome> {
    attack(room, "tw-live-host-pid", &["--pid", "host"])
}

/// `--cap-add SYS_ADMIN`, nothing else.
pub(crate) fn sys_admin(room: &Room) -> Result<Outcome> {
    attack(room, "tw-live-sys-admin", &["--cap-add", "SYS_ADMIN"])
}

fn attack(room: &Room, name: &str, options: &[&str]) -> Result<Outcome> {
    let mut scene = Scene::open(room)?;
    let args = [&["--network", "none"], options, &[WEB, "sh", "-c", SERVE]].concat();
    let container = scene.docker().start(name, &args)?;
    let delay = caught(&mut scene, &Culprit::of_docker(&["privilege"], &container, WEB)?)?;
    Ok(Outcome { delays: vec![delay], ..Outcome::default() })
}

/// The capabilities that this machine lets anybody have: bit n is the one with number n.
fn granted() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status").context("cannot read /proc/self/status")?;
    let bounding = status.lines().find_map(|line| line.strip_prefix("CapBnd:"));
    let bounding = bounding.context("/proc/self/status has no CapBnd")?;
    u64::from_str_radix(bounding.trim(), 16).with_context(|| format!("CapBnd is {bounding:?}"))
}
