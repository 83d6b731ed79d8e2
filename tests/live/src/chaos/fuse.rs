//! A process whose root is a FUSE file system that answers until it is entered, and nothing from then on.
//!
//! Not here: the file system's protocol, see `fuse_root.py`.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::chaos::Undo;
use crate::chaos::stand::Stand;
use crate::private_engine::unmount_below;
use crate::{host, wait};

const SERVER: &str = include_str!("fuse_root.py");

/// In pid and mount namespaces of its own: it is looked at like any container.
pub(super) fn begin(stand: &mut Stand) -> Result<Undo> {
    host::require("python3", "python3-minimal")?;
    let (script, root) = (stand.dir.join("fuse_root.py"), stand.dir.join("fuse"));
    fs::write(&script, SERVER)?;
    fs::create_dir_all(&root)?;
    let child = Command::new("unshare")
        .args(["--pid", "--mount", "--fork", "--kill-child", "python3"])
        .args([&script, &root])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .context("cannot run unshare")?;
    let hung = Hung(child);
    wait::pause(Duration::from_secs(1))?;
    Ok(Box::new(move |_| {
        drop(hung);
        unmount_below(&root.display().to_string());
        Ok(())
    }))
}

/// Ended on drop; the file system's server ends with it, which frees whoever waits for it.
struct Hung(Child);

impl Drop for Hung {
    fn drop(&mut self) {
        host::end(&mut self.0, Duration::ZERO);
    }
}
