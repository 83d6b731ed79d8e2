//! The limit on open files, which decides how many files can be kept open between readings.
//!
//! Not here: what happens at the limit (`kept.rs`): files are then opened for each reading, at five times the cost.

use std::path::Path;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::error::HostfsError;

/// Raises the soft limit on open files to the hard one and returns the limit now in force. Call it once at the
/// start: a cgroup needs up to 14 open files, a container engine's process or a kernel thread one. Each costs the
/// kernel about 4.5 KiB.
pub fn raise_file_limit() -> Result<u64, HostfsError> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
        .map_err(|errno| HostfsError::io(Path::new("RLIMIT_NOFILE"), errno))?;
    Ok(file_limit())
}

/// The soft limit on open files.
pub(crate) fn file_limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        let raised = raise_file_limit().unwrap();
        assert_eq!(Some(raised), getrlimit(Resource::Nofile).maximum.or(Some(u64::MAX)));
    }
}
