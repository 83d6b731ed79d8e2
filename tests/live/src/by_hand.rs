//! Containers made by hand, with `unshare` of util-linux: no engine knows them.
//!
//! Not here: what is then said of them; each test knows that.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use crate::cgroups::Group;
use crate::host;
use crate::wait;

/// Four busy loops, so that it gets a core even while the host compiles something.
pub(crate) const BURN: &str = "for i in 1 2 3; do while :; do :; done & done; while :; do :; done";

/// Namespaces of a container.
pub(crate) const CONTAINER: &[&str] = &["--pid", "--mount", "--fork"];

/// Processes in namespaces of their own. Ended on drop. Fields end in this order.
pub(crate) struct ByHand {
    child: Child,
    group: Option<Group>,
    /// Its first process.
    pub(crate) pid: u32,
    /// When it was started, in Unix seconds.
    pub(crate) started: f64,
}

impl ByHand {
    /// Starts `argv` in new pid, mount and network namespaces, in the control group `/name` everywhere.
    pub(crate) fn start(name: &str, argv: &[&str]) -> Result<Self> {
        Self::unshared(Some(Group::make(name)?), &["--pid", "--mount", "--net", "--fork"], argv)
    }

    /// Starts `argv` in the namespaces that `options` of unshare(1) ask for; in that control group, or else in the one
    /// these tests are in.
    pub(crate) fn unshared(group: Option<Group>, options: &[&str], argv: &[&str]) -> Result<Self> {
        Self::under(group, &[&["unshare"], options].concat(), argv)
    }

    /// Starts `argv` by a command of util-linux that makes or enters namespaces, and then forks or does not.
    pub(crate) fn under(group: Option<Group>, command: &[&str], argv: &[&str]) -> Result<Self> {
        host::require(command[0], "util-linux")?;
        // The shell joins before it becomes the container: nothing of it ever runs elsewhere.
        let joining = group.as_ref().map(Group::joining).unwrap_or_default();
        let started = host::unix_now();
        let child = Command::new("sh")
            .args(["-ec", &format!("{joining}exec \"$@\""), "sh"])
            .args(command)
            .args(argv)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start a shell")?;
        let mut made = Self { pid: child.id(), child, group, started };
        if command.iter().any(|option| matches!(*option, "--fork" | "--pid")) {
            made.pid = made.forked()?;
        }
        Ok(made)
    }

    /// Path of its control group; empty when it has none of its own.
    pub(crate) fn path(&self) -> &str {
        self.group.as_ref().map_or("", |group| &group.path)
    }

    /// The first process in the new pid namespace: the command itself stays outside.
    fn forked(&mut self) -> Result<u32> {
        wait::until(Duration::from_secs(3), "what is made by hand runs", || {
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended: {status}");
            }
            Ok(host::children(self.child.id()).into_iter().next())
        })
    }
}

impl Drop for ByHand {
    fn drop(&mut self) {
        // The first process of a pid namespace takes the others with it; `unshare` ends after it.
        for pid in host::children(self.child.id()) {
            host::signal(pid, Signal::KILL);
        }
        host::end(&mut self.child, Duration::from_millis(500));
    }
}
