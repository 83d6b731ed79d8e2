//! systemd's own list of the units that run, from the links it keeps for the journal below `/run/systemd/units`.
//!
//! systemd makes a link `invocation:UNIT` before a unit's first process is in its cgroup and removes it when the unit has
//! ended (since version 237). Not here: units of users' own managers, which lie below their `user@UID.service`.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use model::untrusted::Untrusted;
use rustix::fs::FileType;
use rustix::io::Errno;

use crate::error::HostfsError;
use crate::proc_dir::stat;
use crate::root::HostRoot;

/// Most units listed; a busy host has a few hundred.
pub const UNITS_LISTED_MAX: usize = 16_384;

const LINKS: &str = "run/systemd/units";
const LINK_PREFIX: &str = "invocation:";
/// systemd's own; it runs from the start to the end, and no link is kept for it.
const INIT_SCOPE: &str = "init.scope";

/// The units that run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunningUnits {
    /// Their names: `nginx.service`, `session-3.scope`.
    pub names: BTreeSet<Untrusted>,
    /// How many more there are than [`UNITS_LISTED_MAX`].
    pub left_out: u64,
}

/// Whether systemd manages the host: pid 1 is systemd, which names itself so, and it has made its directory.
pub fn is_manager(root: &HostRoot) -> bool {
    let is_first = stat(root, 1, &mut Vec::new()).is_ok_and(|first| first.name() == b"systemd");
    let directory = rustix::fs::stat(root.at("run/systemd/system"));
    is_first && directory.is_ok_and(|it| FileType::from_raw_mode(it.st_mode) == FileType::Directory)
}

/// The units that run now. `Gone` where systemd keeps no such list.
pub fn running_units(root: &HostRoot) -> Result<RunningUnits, HostfsError> {
    let path = root.at(LINKS);
    let entries = std::fs::read_dir(&path).map_err(|error| unlisted(&path, &error))?;
    let mut units = RunningUnits::default();
    units.names.insert(INIT_SCOPE.into());
    for entry in entries {
        let name = entry.map_err(|error| unlisted(&path, &error))?.file_name();
        let Some(unit) = name.as_encoded_bytes().strip_prefix(LINK_PREFIX.as_bytes()) else { continue };
        if units.names.len() < UNITS_LISTED_MAX {
            units.names.insert(Untrusted::from_bytes(unit));
        } else {
            units.left_out += 1;
        }
    }
    Ok(units)
}

fn unlisted(path: &Path, error: &io::Error) -> HostfsError {
    HostfsError::io(path, Errno::from_io_error(error).unwrap_or(Errno::IO))
}

#[cfg(test)]
mod tests {
    use testkit::host_tree::{FakeHost, FakeProcess};

    use super::*;

    fn names(host: &FakeHost) -> Vec<String> {
        let units = running_units(&HostRoot::new(host.root())).unwrap();
        units.names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn units_are_the_links_for_invocations_and_the_scope_of_systemd_itself() {
        let host = FakeHost::v2().unwrap();
        for name in
            ["invocation:nginx.service", "log-level-max:nginx.service", "invocation:a\\x2db.scope", "x"]
        {
            host.write(&format!("run/systemd/units/{name}"), b"").unwrap();
        }
        assert_eq!(names(&host), ["a\\\\x2db.scope", "init.scope", "nginx.service"]);
        host.remove("run/systemd/units/invocation:nginx.service").unwrap();
        assert_eq!(names(&host), ["a\\\\x2db.scope", "init.scope"]);
    }

    #[test]
    fn a_systemd_that_keeps_no_list_is_told_apart_from_an_empty_list() {
        let host = FakeHost::v2().unwrap();
        assert!(running_units(&HostRoot::new(host.root())).unwrap_err().is_gone());
        host.write("run/systemd/units/x", b"").unwrap();
        assert_eq!(names(&host), ["init.scope"]);
    }

    #[test]
    fn systemd_manages_a_host_only_as_its_first_process() {
        let host = FakeHost::v2().unwrap();
        let root = HostRoot::new(host.root());
        assert!(!is_manager(&root), "it has made no directory");
        host.write("run/systemd/system/x", b"").unwrap();
        assert!(is_manager(&root));
        host.process(&FakeProcess::new(1, "tini")).unwrap();
        assert!(!is_manager(&root), "another program is the first process");
    }

    #[test]
    fn more_units_than_the_limit_are_counted() {
        let host = FakeHost::v2().unwrap();
        for number in 0..UNITS_LISTED_MAX {
            host.write(&format!("run/systemd/units/invocation:{number}.scope"), b"").unwrap();
        }
        let units = running_units(&HostRoot::new(host.root())).unwrap();
        assert_eq!((units.names.len(), units.left_out), (UNITS_LISTED_MAX, 1));
    }
}
