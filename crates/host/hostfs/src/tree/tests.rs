//! Walks of made-up hierarchies and of this host's.

use std::ffi::OsStr;

use testkit::host_tree::{FakeHost, docker_cgroupfs, docker_systemd, kube_cgroupfs, kube_systemd};

use super::*;
use crate::root::HostRoot;

fn walk(host: &FakeHost) -> CgroupTree {
    let layout = CgroupLayout::detect(&HostRoot::new(host.root())).unwrap();
    CgroupTree::walk(&layout).unwrap()
}

#[test]
fn containers_of_every_runtime_are_found_on_every_kind_of_host() {
    let paths = [
        docker_systemd("ab"),
        docker_cgroupfs("cd"),
        kube_systemd("1-2-3", "ef"),
        kube_cgroupfs("1-2-3", "01"),
    ];
    for host in [FakeHost::v1(), FakeHost::v1_joined(), FakeHost::v2(), FakeHost::hybrid()] {
        let host = host.unwrap();
        let ids = paths.each_ref().map(|path| host.cgroup(path).unwrap());
        let tree = walk(&host);
        for (path, id) in paths.iter().zip(ids) {
            let expected = Cgroup { id, path: PathBuf::from(path) };
            assert!(tree.cgroups.contains(&expected), "{expected:?} in {tree:?}");
        }
        assert_eq!(tree.cgroups[0].path, Path::new("/"));
        // The root, system.slice, docker and four levels each of kubepods; nothing twice.
        assert_eq!((tree.cgroups.len(), tree.left_out, tree.unreadable), (13, 0, 0));
    }
}

#[test]
fn a_tree_deeper_than_the_limit_is_cut_and_counted() {
    let host = FakeHost::v2().unwrap();
    host.cgroup(&"/d".repeat(DEPTH_MAX + 3)).unwrap();
    host.cgroup("/neighbour").unwrap();
    let tree = walk(&host);
    assert_eq!((tree.cgroups.len(), tree.left_out), (1 + DEPTH_MAX + 1, 1));
}

#[test]
fn more_cgroups_than_the_limit_are_counted() {
    let host = FakeHost::v2().unwrap();
    let directory = host.root().join("sys/fs/cgroup");
    for number in 0..CGROUPS_MAX + 5 {
        std::fs::create_dir(directory.join(number.to_string())).unwrap();
    }
    let tree = walk(&host);
    // The root is one of them.
    assert_eq!((tree.cgroups.len(), tree.left_out), (CGROUPS_MAX, 6));
}

#[test]
fn links_are_not_followed_and_odd_names_are_kept_whole() {
    let host = FakeHost::v2().unwrap();
    let mount = host.root().join("sys/fs/cgroup");
    std::os::unix::fs::symlink("/", mount.join("link")).unwrap();
    std::fs::create_dir(mount.join(OsStr::from_bytes(b"\xff\x1b[2J"))).unwrap();
    let tree = walk(&host);
    assert_eq!(tree.cgroups.len(), 2);
    assert_eq!(tree.cgroups[1].facts().path.to_string(), "/\u{fffd}\\u{1b}[2J");
    let layout = CgroupLayout::detect(&HostRoot::new(host.root())).unwrap();
    assert_eq!(layout.id_of(&tree.cgroups[1].path).unwrap(), tree.cgroups[1].id);
}

#[test]
fn this_host_is_walked_from_its_root() {
    let layout = CgroupLayout::detect(&HostRoot::new("/")).unwrap();
    let tree = CgroupTree::walk(&layout).unwrap();
    assert_eq!(tree.cgroups[0].id, layout.id_of(Path::new("/")).unwrap());
}
