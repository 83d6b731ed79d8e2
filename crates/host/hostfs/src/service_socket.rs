//! The way to the socket that a process of some user's serves an interface at, as that process sees it: to no file of
//! anybody else's that lies there by now.
//!
//! Not here: who serves what (`daemons.rs`), what is asked (`containers`).

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;

use model::ids::ProcessKey;
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, openat2};

use crate::daemons::{is_alive, sockets_of};
use crate::proc_dir::root_of;
use crate::root::HostRoot;

/// A socket's file, held so that nobody can put another one in its place before it is connected to.
#[derive(Debug)]
pub struct ServiceSocket {
    file: OwnedFd,
    root: HostRoot,
    process: ProcessKey,
}

impl ServiceSocket {
    /// Of those that the process listens at, the first that its user owns; `None` while there is none.
    pub fn of(root: &HostRoot, process: ProcessKey, uid: u32) -> Option<Self> {
        let sockets = sockets_of(root, process.pid).ok()?;
        let own_root = root_of(root, process.pid).ok()?;
        let open = |path: PathBuf| {
            // Links lead where they lead that process, and not to the sockets of the host's own root.
            let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
            let file =
                openat2(&own_root, &path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve).ok()?;
            let stat = fstat(&file).ok()?;
            let is_own = FileType::from_raw_mode(stat.st_mode) == FileType::Socket && stat.st_uid == uid;
            is_own.then_some(file)
        };
        let file = sockets.into_iter().find_map(|socket| open(socket.path))?;
        Some(Self { file, root: root.clone(), process })
    }

    /// Where it is connected to, by this program and while it is held. `None` once the process has ended: who is left to
    /// listen there may be a service manager (socket activation), and to connect would start a process on the host.
    pub fn path(&self) -> Option<PathBuf> {
        let path = || PathBuf::from(format!("/proc/self/fd/{}", self.file.as_raw_fd()));
        is_alive(&self.root, self.process).then(path)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, symlink};
    use std::os::unix::net::{UnixListener, UnixStream};

    use testkit::host_tree::{FakeHost, FakeProcess};

    use super::*;
    use crate::proc_dir::{key, stat};

    struct Case {
        host: FakeHost,
        root: HostRoot,
        process: ProcessKey,
        uid: u32,
    }

    impl Case {
        /// A process that listens at `/s` of its own root, which is not the host's.
        fn new() -> Self {
            let host = FakeHost::v2().unwrap();
            let root = HostRoot::new(host.root());
            host.process(&FakeProcess::new(900, "podman")).unwrap();
            host.open_files(900, &["socket:[11]"]).unwrap();
            let table = "Num\n0: 2 0 00010000 0001 01 11 /s\n0: 2 0 00010000 0001 01 12 /other\n";
            host.write("proc/900/net/unix", table.as_bytes()).unwrap();
            host.write("proc/900/root/etc/x", b"").unwrap();
            let process = key(&stat(&root, 900, &mut Vec::new()).unwrap());
            let uid = std::fs::metadata(host.root()).unwrap().uid();
            Self { host, root, process, uid }
        }

        fn find(&self) -> Option<ServiceSocket> {
            ServiceSocket::of(&self.root, self.process, self.uid)
        }

        fn bind(&self, path: &str) -> UnixListener {
            UnixListener::bind(self.host.root().join(path)).unwrap()
        }
    }

    #[test]
    fn the_socket_is_reached_through_the_root_of_who_listens_at_it() {
        let case = Case::new();
        assert!(case.find().is_none(), "there is no file");
        let listener = case.bind("proc/900/root/s");
        let found = case.find().unwrap();
        std::fs::rename(case.host.root().join("proc/900/root/s"), case.host.root().join("moved")).unwrap();
        UnixStream::connect(found.path().unwrap()).unwrap();
        listener.accept().unwrap();
    }

    #[test]
    fn a_socket_of_another_user_or_of_a_process_that_is_gone_is_not_reached() {
        let case = Case::new();
        let _listener = case.bind("proc/900/root/s");
        assert!(ServiceSocket::of(&case.root, case.process, case.uid + 1).is_none());
        let found = case.find().unwrap();
        case.host.end_process(900).unwrap();
        assert_eq!(found.path(), None, "a service manager may listen there still");
    }

    #[test]
    fn a_link_does_not_lead_to_a_socket_of_the_host() {
        let case = Case::new();
        let _host = case.bind("host.sock");
        for target in [case.host.root().join("host.sock"), "../../../host.sock".into()] {
            let link = case.host.root().join("proc/900/root/s");
            symlink(target, &link).unwrap();
            assert!(case.find().is_none());
            std::fs::remove_file(link).unwrap();
        }
    }

    #[test]
    fn a_socket_that_only_others_listen_at_is_not_reached() {
        let case = Case::new();
        let _listener = case.bind("proc/900/root/s");
        case.host.open_files(900, &["socket:[99]"]).unwrap();
        assert!(case.find().is_none());
    }
}
