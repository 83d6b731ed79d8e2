//! A Docker engine of the test's own, which it may stop and start without disturbing anybody.
//!
//! Not here: the firewall; containers in it reach nobody.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use crate::cgroups;
use crate::docker::Docker;
use crate::host;
use crate::tidewatch::Room;
use crate::wait;

/// The engine's bridge. Without one of its own it would share `docker0`, and `--bridge=none` *deletes* `docker0`:
/// the host's own engine could then start nothing any more.
const BRIDGE: &str = "tw-live0";
const BRIDGE_ADDRESS: &str = "10.213.71.1/24";

/// A private `dockerd` with its own state; ended on drop with whatever still runs in it.
pub(crate) struct PrivateEngine {
    /// Configuration, state and socket lie below; short, as a socket's path is limited to 107 bytes.
    root: PathBuf,
    log: PathBuf,
    child: Option<Child>,
}

impl PrivateEngine {
    /// Starts one and waits until it answers.
    pub(crate) fn start(room: &Room) -> Result<Self> {
        host::require("dockerd", "docker.io")?;
        let mut engine = Self { root: room.path("engine"), log: room.path("dockerd.log"), child: None };
        fs::create_dir_all(&engine.root)?;
        ip(&["link", "add", BRIDGE, "type", "bridge"])?;
        ip(&["addr", "add", BRIDGE_ADDRESS, "dev", BRIDGE])?;
        ip(&["link", "set", BRIDGE, "up"])?;
        engine.up()?;
        Ok(engine)
    }

    /// Starts it (again).
    pub(crate) fn up(&mut self) -> Result<()> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let path = |name: &str| self.root.join(name).display().to_string();
        let child = Command::new("dockerd")
            .args(["--data-root", &path("data"), "--exec-root", &path("exec"), "--pidfile", &path("pid")])
            .args(["-H", &format!("unix://{}", path("sock")), "--live-restore"])
            .args(["--bridge", BRIDGE, "--iptables=false", "--ip6tables=false"])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot run dockerd")?;
        self.child = Some(child);
        wait::until(Duration::from_secs(30), "the private engine answers", || {
            if let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().transpose()) {
                bail!("dockerd ended: {status:?}");
            }
            self.docker().call(&["version"]).map(Some)
        })?;
        Ok(())
    }

    /// Stops it; its containers go on (`--live-restore`).
    pub(crate) fn down(&mut self) {
        if let Some(mut child) = self.child.take() {
            host::end(&mut child, Duration::from_secs(20));
        }
    }

    /// Its process, while it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Its client.
    pub(crate) fn docker(&self) -> Docker {
        Docker::at(&self.socket())
    }

    /// Its socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.root.join("sock")
    }
}

impl Drop for PrivateEngine {
    fn drop(&mut self) {
        self.down();
        // Containers whose guards could not reach the engine; their shim's command line names our exec-root.
        let ours = self.root.display().to_string();
        for shim in host::processes("containerd-shim", &ours).unwrap_or_default() {
            host::children(shim).into_iter().for_each(cgroups::end_group_of);
            host::signal(shim, Signal::KILL);
        }
        for pid in host::processes("containerd", &ours).unwrap_or_default() {
            host::signal(pid, Signal::KILL);
        }
        unmount_below(&ours);
        // Fails when there is none: the engine never came that far.
        let _ = ip(&["link", "del", BRIDGE]);
    }
}

/// Debian's `ip` may not be installed; busybox always is.
fn ip(args: &[&str]) -> Result<String> {
    host::succeed(Command::new("/bin/busybox").arg("ip").args(args), Duration::from_secs(10))
}

/// Layers stay mounted when an engine is killed, and a directory with mounts below cannot be removed.
pub(crate) fn unmount_below(root: &str) {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let below =
        mounts.lines().filter_map(|line| line.split(' ').nth(1)).filter(|place| place.starts_with(root));
    let mut places: Vec<&str> = below.collect();
    // Deepest first.
    places.sort_by_key(|place| std::cmp::Reverse(place.len()));
    for place in places {
        // Best effort: what is left is reported by the removal of the directory.
        let _ = host::run(Command::new("umount").arg(place), Duration::from_secs(10));
    }
}
