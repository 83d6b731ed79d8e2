//! The host's journal: the one that runs, or one of our own where the host has none.
//!
//! Not here: reading it.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::host;
use crate::wait;

/// From Debian's package systemd; needs no systemd that runs.
const PROGRAM: &str = "/lib/systemd/systemd-journald";
const SOCKET: &str = "/run/systemd/journal/socket";
/// Where the logs of programs go.
pub(crate) const SYSLOG_SOCKET: &str = "/run/systemd/journal/dev-log";

/// What it leaves behind.
const DIRS: [&str; 2] = ["/run/systemd/journal", "/run/log/journal"];

/// A journal that takes messages; ended on drop when it is ours.
pub(crate) struct Journal {
    ours: Option<Child>,
}

impl Journal {
    /// Makes sure that there is one.
    pub(crate) fn running() -> Result<Self> {
        if answers() {
            return Ok(Self { ours: None });
        }
        ensure!(Path::new(PROGRAM).exists(), "{PROGRAM} is missing: apt-get install systemd");
        let child = Command::new(PROGRAM)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot run {PROGRAM}"))?;
        let journal = Self { ours: Some(child) };
        wait::until(Duration::from_secs(10), "the journal takes messages", || Ok(answers().then_some(())))?;
        Ok(journal)
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        if let Some(child) = &mut self.ours {
            host::end(child, Duration::from_secs(5));
            // Kept in memory: what one attack wrote must not stay there.
            for dir in DIRS {
                let _ = fs::remove_dir_all(dir);
            }
        }
    }
}

fn answers() -> bool {
    UnixDatagram::unbound().and_then(|socket| socket.connect(SOCKET)).is_ok()
}
