//! Where a process lives, beside its cgroup and its namespaces: whose root it has, whose file it runs, as the kernel shows it.
//!
//! Not here: paths, which its own mount namespace can make mean anything; what else it may do (`privilege.rs`).

use serde::{Deserialize, Serialize};

use crate::privilege::Capabilities;

/// A root directory: the device of its file system as the kernel numbers it, and its inode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RootId {
    /// The device, `major << 20 | minor`.
    pub device: u32,
    /// The inode.
    pub inode: u64,
}

/// The file of the program that a process runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFile {
    /// The device of its file system; 0 when unknown.
    pub device: u32,
    /// Whether it is reached through a directory that is mounted at the very path which it has in its own file system, as
    /// sandboxes mount the host's `/usr`.
    pub is_in_place: bool,
    /// Whether it lies in the file system of the host's root.
    pub is_on_hosts: bool,
    /// Whether it belongs to the host's root, in a file system that the host's root mounted.
    pub is_roots: bool,
}

/// Where a process lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confines {
    /// Its root directory.
    pub root: RootId,
    /// Whether that is another than the root of the host's first process.
    pub has_own_root: bool,
    /// The file it runs.
    pub file: RunFile,
    /// Whether its user namespace is another than that of the host's first process.
    pub has_own_users: bool,
    /// Its capabilities in force, in its own user namespace.
    pub capabilities: Capabilities,
    /// Its pid in its own pid namespace; 0 when unknown.
    pub pid_inside: u32,
}

impl Confines {
    /// Whether it runs files of its own, seen by whoever has the root `around`; `None` is the host. Those of a sandbox are
    /// not its own: directories of what is around it at their own paths, or files that only the host's root can have put
    /// there, run by a user in a user namespace (`uid` is its user on the host).
    pub fn has_own_files(&self, uid: u32, around: Option<RootId>) -> bool {
        let has_own_root = self.has_own_root && around.is_none_or(|around| around != self.root);
        let is_around =
            self.file.is_on_hosts || around.is_some_and(|around| around.device == self.file.device);
        let is_in_place = self.file.is_in_place && is_around;
        let is_installed = self.has_own_users && uid != 0 && self.file.is_roots;
        has_own_root && !is_in_place && !is_installed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AROUND: RootId = RootId { device: 7, inode: 2 };

    fn own() -> Confines {
        let file = RunFile { device: 9, ..RunFile::default() };
        Confines { root: RootId { device: 9, inode: 2 }, has_own_root: true, file, ..Confines::default() }
    }

    #[test]
    fn files_below_a_root_of_its_own_are_its_own() {
        assert!(own().has_own_files(0, None));
        assert!(own().has_own_files(0, Some(AROUND)));
        assert!(!Confines { has_own_root: false, ..own() }.has_own_files(0, None));
        assert!(!own().has_own_files(0, Some(own().root)), "the root of the container it is in");
    }

    #[test]
    fn directories_of_the_host_at_their_own_paths_are_the_hosts_and_no_others() {
        let in_place = |device, is_on_hosts| {
            let file = RunFile { device, is_in_place: true, is_on_hosts, is_roots: false };
            Confines { file, ..own() }
        };
        assert!(!in_place(3, true).has_own_files(0, None), "a sandbox of the host");
        assert!(!in_place(7, false).has_own_files(0, Some(AROUND)), "a sandbox in a container");
        assert!(
            in_place(9, false).has_own_files(0, None),
            "an image whose directories bear the host's names"
        );
    }

    #[test]
    fn a_users_sandbox_of_files_that_root_installed_has_none_of_its_own() {
        let sandbox = |has_own_users, is_roots| {
            let file = RunFile { is_roots, ..own().file };
            Confines { has_own_users, file, ..own() }
        };
        assert!(!sandbox(true, true).has_own_files(1000, None));
        assert!(sandbox(true, true).has_own_files(0, None), "root itself");
        assert!(sandbox(true, false).has_own_files(1000, None), "files that the user brought");
        assert!(sandbox(false, true).has_own_files(1000, None), "a user without a user namespace");
    }
}
