//! A setting of the kernel, changed for a test and put back behind it.
//!
//! Not here: settings with a limit of their own; none is lowered, the host must go on.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

/// A changed setting; put back on drop.
pub(crate) struct Sysctl {
    file: PathBuf,
    before: String,
}

impl Sysctl {
    /// Changes one; `name` is its path below `/proc/sys`.
    pub(crate) fn set(name: &str, value: &str) -> Result<Self> {
        let file = PathBuf::from("/proc/sys").join(name);
        let before = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        fs::write(&file, value).with_context(|| format!("cannot set {} to {value:?}", file.display()))?;
        Ok(Self { file, before: before.trim_end().to_owned() })
    }
}

impl Drop for Sysctl {
    fn drop(&mut self) {
        if let Err(error) = fs::write(&self.file, &self.before) {
            eprintln!("warning: cannot put {} back to {:?}: {error}", self.file.display(), self.before);
        }
    }
}
