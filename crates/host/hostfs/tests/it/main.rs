//! What needs more than made-up files: the limit on open files, alone in its process, because the limit is the process's; and
//! mounts.
//!
//! Not here: everything else, which is tested beside its code.

#[cfg(test)]
mod scripts;

use std::path::Path;

use hostfs::cgroup::{CgroupReader, Depth};
use hostfs::layout::CgroupLayout;
use hostfs::limit::raise_file_limit;
use hostfs::root::HostRoot;
use rustix::process::{Resource, Rlimit, setrlimit};
use testkit::host_tree::{FakeHost, docker_cgroupfs};

const LIMIT: u64 = 128;

#[test]
fn past_the_limit_readers_still_read_and_leave_room_for_others() {
    setrlimit(Resource::Nofile, Rlimit { current: Some(LIMIT / 2), maximum: Some(LIMIT) }).unwrap();
    assert_eq!(raise_file_limit().unwrap(), LIMIT);
    let host = FakeHost::v2().unwrap();
    let layout = CgroupLayout::detect(&HostRoot::new(host.root())).unwrap();
    // 40 cgroups would need 440 open files.
    let mut readers: Vec<CgroupReader> = (0..40)
        .map(|number| {
            let path = docker_cgroupfs(&number.to_string());
            let id = host.cgroup(&path).unwrap();
            CgroupReader::open(&layout, Path::new(&path), id).unwrap()
        })
        .collect();
    for reader in &mut readers {
        assert_eq!(reader.read().unwrap().memory_bytes, Some(4096));
    }
    let others: Vec<_> = (0..20).map(|_| std::fs::File::open("/proc/self/stat").unwrap()).collect();
    assert_eq!(others.len(), 20);
    drop(readers);
    // Dropped readers give their room back: the next is kept open again, and so survives the loss of its path.
    let path = docker_cgroupfs("0");
    let mut reader = CgroupReader::open(&layout, Path::new(&path), host.cgroup_id(&path).unwrap()).unwrap();
    host.remove_cgroup(&path).unwrap();
    assert_eq!(reader.read_to(Depth::Cold).unwrap().memory_bytes, Some(4096));
}
