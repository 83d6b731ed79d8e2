//! Podman with storage of the test's own, and its service where a test starts it.
//!
//! Not here: Podman of a user who is not root.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::images::archive;
use crate::private_engine::unmount_below;
use crate::tidewatch::Room;
use crate::{cgroups, host, wait};

const ANSWER: Duration = Duration::from_secs(30);

/// What Podman asks for on its own account may be more than root is granted here.
const LIMITS: [&str; 4] = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"];

/// A Podman; what it runs is ended on drop.
pub(crate) struct Podman {
    root: PathBuf,
    running: Vec<String>,
    service: Option<Child>,
}

impl Podman {
    /// One whose storage lies in the room, with an image of that name.
    pub(crate) fn with_image(room: &Room, image: &str) -> Result<Self> {
        host::require("podman", "podman")?;
        host::require("conmon", "conmon")?;
        let podman = Self { root: room.path("podman"), running: Vec::new(), service: None };
        let dir = tempfile::tempdir().context("cannot make a temporary directory")?;
        let tar = archive(dir.path(), "of another engine\n")?;
        host::succeed(podman.command().arg("import").arg(&tar).arg(image), ANSWER)?;
        Ok(podman)
    }

    /// Serves its interface at a socket; without it, nobody does.
    pub(crate) fn serve(&mut self, socket: &Path) -> Result<()> {
        let mut command = self.command();
        command.args(["system", "service", "--time=0"]).arg(format!("unix://{}", socket.display()));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let service = self.service.insert(command.spawn().context("cannot run podman")?);
        wait::until(ANSWER, "Podman's service listens", || {
            if let Some(status) = service.try_wait()? {
                bail!("podman system service ended: {status}");
            }
            Ok(UnixStream::connect(socket).ok())
        })?;
        Ok(())
    }

    /// Runs a container in the background; its first process.
    pub(crate) fn run(&mut self, name: &str, image: &str, argv: &[&str]) -> Result<u32> {
        self.run_with(&[], name, image, argv)
    }

    /// Likewise, with these options.
    pub(crate) fn run_with(
        &mut self,
        options: &[&str],
        name: &str,
        image: &str,
        argv: &[&str],
    ) -> Result<u32> {
        self.running.push(name.to_owned());
        let mut command = self.command();
        command
            .args(["run", "--detach", "--network", "none", "--name", name])
            .args(LIMITS)
            .args(options)
            .arg(image)
            .args(argv);
        // Its monitor lives on and may keep what a pipe would wait for.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().context("cannot run podman")?;
        let status = host::wait_for(&mut child, ANSWER);
        ensure!(status.is_some_and(|status| status.success()), "podman run: {status:?}");
        let pid =
            host::succeed(self.command().args(["inspect", "--format", "{{.State.Pid}}", name]), ANSWER)?;
        pid.parse().with_context(|| format!("podman says {pid:?} for a pid"))
    }

    fn command(&self) -> Command {
        let mut command = Command::new("podman");
        command.arg("--root").arg(self.root.join("storage")).arg("--runroot").arg(self.root.join("run"));
        command.args(["--storage-driver", "overlay", "--runtime", "runc", "--cgroup-manager", "cgroupfs"]);
        command
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        if let Some(service) = &mut self.service {
            host::end(service, Duration::from_secs(5));
        }
        for name in &self.running {
            let _ = host::run(self.command().args(["rm", "--force", "--time", "0", name]), ANSWER);
        }
        unmount_below(&self.root.display().to_string());
        cgroups::remove_left_over("libpod_parent");
    }
}
