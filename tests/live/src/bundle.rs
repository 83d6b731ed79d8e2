//! A container of `runc run`: a directory and a file of settings, no engine.
//!
//! Not here: the shims through which engines call runc.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::host;
use crate::images::service_tree;
use crate::tidewatch::Room;
use crate::wait;

const ANSWER: Duration = Duration::from_secs(10);

/// The container; ended on drop, together with what runc knows of it.
pub(crate) struct Bundle {
    dir: PathBuf,
    state: PathBuf,
    name: String,
    client: Child,
    /// Its first process.
    pub(crate) pid: u32,
}

impl Bundle {
    /// Makes a bundle and runs it.
    pub(crate) fn run(room: &Room, name: &str, argv: &[&str]) -> Result<Self> {
        host::require("runc", "runc")?;
        let (dir, state) = (room.path("bundle"), room.path("runc"));
        service_tree(&dir.join("rootfs"), "made by hand\n")?;
        describe(&dir, argv)?;
        let log = File::create(room.path("runc.log"))?;
        let client = Command::new("runc")
            .arg("--root")
            .arg(&state)
            .args(["run", "--bundle"])
            .arg(&dir)
            .arg(name)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot run runc")?;
        let mut bundle = Self { dir, state, name: name.to_owned(), client, pid: 0 };
        bundle.pid = bundle.first_process()?;
        Ok(bundle)
    }

    /// The directory that is its root.
    pub(crate) fn root(&self) -> PathBuf {
        self.dir.join("rootfs")
    }

    fn first_process(&mut self) -> Result<u32> {
        wait::until(ANSWER, "runc's container runs", || {
            if let Some(status) = self.client.try_wait()? {
                bail!("runc ended: {status}");
            }
            let state: Value =
                serde_json::from_str(&host::succeed(self.runc().args(["state", &self.name]), ANSWER)?)?;
            let pid = state["pid"].as_u64().filter(|_| state["status"] == "running");
            Ok(pid.and_then(|pid| u32::try_from(pid).ok()))
        })
    }

    fn runc(&self) -> Command {
        let mut command = Command::new("runc");
        command.arg("--root").arg(&self.state);
        command
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        // Fails when it never came to be.
        let _ = host::run(self.runc().args(["delete", "--force", &self.name]), ANSWER);
        host::end(&mut self.client, Duration::ZERO);
    }
}

/// Lets runc write its own example of settings, and changes what it runs.
fn describe(dir: &Path, argv: &[&str]) -> Result<()> {
    host::succeed(Command::new("runc").args(["spec", "--bundle"]).arg(dir), ANSWER)?;
    let path = dir.join("config.json");
    let mut settings: Value = serde_json::from_slice(&fs::read(&path)?).context("runc spec wrote no JSON")?;
    settings["process"]["args"] = json!(argv);
    settings["process"]["terminal"] = json!(false);
    fs::write(&path, settings.to_string()).with_context(|| format!("cannot write {}", path.display()))
}
