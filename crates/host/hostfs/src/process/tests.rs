//! Facts about made-up processes of every layout, and about this one.

use testkit::host_tree::{
    CONTAINER_NAMESPACES, FakeHost, FakeProcess, HOST_NAMESPACES, docker_systemd, kube_cgroupfs, kube_systemd,
};

use super::*;

fn root_and_layout(host: &FakeHost) -> (HostRoot, CgroupLayout) {
    let root = HostRoot::new(host.root());
    let layout = CgroupLayout::detect(&root).unwrap();
    (root, layout)
}

fn read(host: &FakeHost, pid: u32) -> Result<Exec, HostfsError> {
    let (root, layout) = root_and_layout(host);
    let found = stat(&root, pid, &mut Vec::new())?;
    exec(&root, &layout, host_namespaces(&root)?, &found)
}

#[test]
fn the_cgroup_of_a_process_is_found_on_every_kind_of_host() {
    for host in [FakeHost::v1(), FakeHost::v1_joined(), FakeHost::v2(), FakeHost::hybrid()] {
        let host = host.unwrap();
        let (root, layout) = root_and_layout(&host);
        for path in [docker_systemd("ab"), kube_systemd("1-2", "cd"), kube_cgroupfs("1-2", "ef")] {
            let id = host.cgroup(&path).unwrap();
            host.process(&FakeProcess::new(500, "nginx").contained(&path)).unwrap();
            let found = process_cgroup(&root, &layout, 500).unwrap();
            assert_eq!(found, Cgroup { id, path: PathBuf::from(path) });
        }
    }
}

#[test]
fn every_fact_about_a_process_is_told() {
    let host = FakeHost::v2().unwrap();
    let cgroup = host.cgroup(&docker_systemd("ab")).unwrap();
    let process =
        FakeProcess { uid: 1000, start_ticks: 1234, parent_pid: 77, ..FakeProcess::new(500, "nginx") };
    let process = process.contained(&docker_systemd("ab")).with_args(&["nginx:", "-g", "daemon off;"]);
    host.process(&process).unwrap();
    let exec = read(&host, 500).unwrap();
    assert_eq!((exec.process.pid, exec.process.start_ns), (500, 12_340_000_000));
    assert_eq!((exec.parent_pid, exec.uid, exec.cgroup), (77, 1000, cgroup));
    assert_eq!(exec.namespaces, CONTAINER_NAMESPACES);
    assert_eq!((exec.name.raw(), exec.path.raw()), ("nginx", "/usr/bin/nginx"));
    assert_eq!(exec.args.raw(), "nginx: -g daemon off;");
}

#[test]
fn the_first_process_has_the_namespaces_of_the_host_even_where_it_is_hidden() {
    let host = FakeHost::v2().unwrap();
    host.remove("proc/1/ns").unwrap();
    host.remove("proc/1/exe").unwrap();
    let exec = read(&host, 1).unwrap();
    assert_eq!((exec.namespaces, exec.path.raw()), (HOST_NAMESPACES, ""));
}

#[test]
fn endless_and_foreign_arguments_are_bounded() {
    let host = FakeHost::v2().unwrap();
    let args = vec![b"\xff\x1b[2J".to_vec(), vec![b'a'; 1024 * 1024]];
    host.process(&FakeProcess { args, ..FakeProcess::new(500, "x") }).unwrap();
    assert_eq!(cmdline(&HostRoot::new(host.root()), 500).unwrap().len(), CMDLINE_BYTES_MAX);
    let args = read(&host, 500).unwrap().args;
    assert!(args.raw().starts_with("\u{fffd}\u{1b}[2J aaa") && args.raw().ends_with('…'), "{args}");
}

#[test]
fn malformed_files_of_a_process_are_refused_by_name() {
    let long = vec![b'0'; 1024 * 1024];
    for (file, text, problem) in [
        ("cgroup", &b"0::/../../outside\n"[..], "leads out of the cgroup hierarchy"),
        ("cgroup", b"3:cpu:/\n0:/", "does not name a cgroup with an id"),
        ("cgroup", &long, "does not name a cgroup with an id"),
        ("cgroup", b"0::/removed (deleted)\n", "is gone"),
        ("status", b"Name:\tx\nUid:\troot\n", "has no Uid"),
        ("status", &long, "has no Uid"),
        ("stat", b"500 (x", "is not a process's status line"),
        ("stat", &long, "is not a process's status line"),
    ] {
        let host = FakeHost::v2().unwrap();
        host.process(&FakeProcess::new(500, "x")).unwrap();
        host.write(&format!("proc/500/{file}"), text).unwrap();
        let error = read(&host, 500).unwrap_err().to_string();
        assert!(error.ends_with(problem), "{file}: {error}");
    }
}

#[test]
fn malformed_namespace_links_are_refused_by_name() {
    for target in ["pid:[", "pid:[12", "pid:[99999999999]", "/etc/passwd", "pid:[-1]"] {
        let host = FakeHost::v2().unwrap();
        host.process(&FakeProcess::new(500, "x")).unwrap();
        host.remove("proc/500/ns").unwrap();
        host.write("proc/500/ns/mnt", b"").unwrap();
        std::os::unix::fs::symlink(target, host.root().join("proc/500/ns/pid")).unwrap();
        let error = read(&host, 500).unwrap_err().to_string();
        assert!(error.ends_with("500/ns/pid\": is not a namespace link"), "{error}");
    }
}

#[test]
fn a_process_that_is_not_there_is_gone() {
    assert!(read(&FakeHost::v2().unwrap(), 500).unwrap_err().is_gone());
}

#[test]
fn this_process_is_read_from_the_live_host() {
    let root = HostRoot::new("/");
    let layout = CgroupLayout::detect(&root).unwrap();
    let pid = std::process::id();
    let found = stat(&root, pid, &mut Vec::new()).unwrap();
    let exec = exec(&root, &layout, host_namespaces(&root).unwrap(), &found).unwrap();
    assert_eq!(exec.path.raw(), std::env::current_exe().unwrap().to_str().unwrap());
    assert_eq!(exec.namespaces, namespaces(&root, pid).unwrap());
    assert_eq!(exec.cgroup, process_cgroup(&root, &layout, pid).unwrap().id);
}
