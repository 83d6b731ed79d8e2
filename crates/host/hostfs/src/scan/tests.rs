//! Scans of made-up hosts and of this one.

use testkit::host_tree::{FakeHost, FakeProcess, docker_cgroupfs};

use super::*;

fn new_scan(host: &FakeHost) -> ProcessScan {
    let root = HostRoot::new(host.root());
    ProcessScan::new(&root, &CgroupLayout::detect(&root).unwrap()).unwrap()
}

fn found(scanned: &Scanned) -> Vec<(u32, &str)> {
    scanned.found.iter().map(|exec| (exec.process.pid, exec.name.raw())).collect()
}

fn gone(scanned: &Scanned) -> Vec<u32> {
    scanned.gone.iter().map(|process| process.pid).collect()
}

#[test]
fn a_process_is_reported_once_and_once_more_when_gone() {
    let host = FakeHost::hybrid().unwrap();
    let path = docker_cgroupfs("ab");
    let cgroup = host.cgroup(&path).unwrap();
    host.process(&FakeProcess::new(500, "nginx").contained(&path)).unwrap();
    let mut scan = new_scan(&host);
    let first = scan.scan().unwrap();
    // Kernel threads are no programs.
    assert_eq!(found(&first), [(1, "systemd"), (500, "nginx")]);
    assert_eq!(first.found[1].cgroup, cgroup);
    let second = scan.scan().unwrap();
    assert_eq!((found(&second), gone(&second)), (vec![], vec![]));
    host.end_process(500).unwrap();
    assert_eq!(gone(&scan.scan().unwrap()), [500]);
    assert!(gone(&scan.scan().unwrap()).is_empty());
}

#[test]
fn a_reused_pid_is_a_new_process_and_the_old_one_is_gone() {
    let host = FakeHost::v2().unwrap();
    host.process(&FakeProcess::new(500, "old")).unwrap();
    let mut scan = new_scan(&host);
    scan.scan().unwrap();
    host.process(&FakeProcess { start_ticks: 5_000, ..FakeProcess::new(500, "new") }).unwrap();
    let scanned = scan.scan().unwrap();
    assert_eq!((found(&scanned), gone(&scanned)), (vec![(500, "new")], vec![500]));
    assert_eq!(scanned.gone[0].start_ns, 6_000_000_000);
}

#[test]
fn a_process_that_executed_another_program_is_reported_again_and_not_gone() {
    let host = FakeHost::v2().unwrap();
    host.process(&FakeProcess::new(500, "runc:[2:INIT]")).unwrap();
    let mut scan = new_scan(&host);
    scan.scan().unwrap();
    host.process(&FakeProcess::new(500, "nginx")).unwrap();
    let scanned = scan.scan().unwrap();
    assert_eq!((found(&scanned), gone(&scanned)), (vec![(500, "nginx")], vec![]));
}

#[test]
fn whose_files_a_clone_runs_is_told_once_it_executes() {
    let host = FakeHost::v2().unwrap();
    host.write("layers/x", b"").unwrap();
    let set = |pid: u32, root: &str, is_cloned: bool| {
        host.process(&FakeProcess { is_cloned, ..FakeProcess::new(pid, "sh") }).unwrap();
        host.link_within(&format!("proc/{pid}/root"), root).unwrap();
    };
    set(1, ".", false);
    set(500, "layers", true);
    let mut scan = new_scan(&host);
    let confines = |scanned: &Scanned| scanned.found.last().map(|exec| exec.confines.is_some());
    assert_eq!(confines(&scan.scan().unwrap()), Some(false));
    set(500, "layers", false);
    assert_eq!(confines(&scan.scan().unwrap()), Some(true), "reported again");
}

#[test]
fn an_ended_process_that_waits_to_be_collected_is_gone() {
    let host = FakeHost::v2().unwrap();
    host.process(&FakeProcess::new(500, "sh")).unwrap();
    let mut scan = new_scan(&host);
    scan.scan().unwrap();
    host.process(&FakeProcess { state: 'Z', ..FakeProcess::new(500, "sh") }).unwrap();
    assert_eq!(gone(&scan.scan().unwrap()), [500]);
}

#[test]
fn a_process_whose_first_thread_has_ended_is_not_gone() {
    let host = FakeHost::v2().unwrap();
    host.process(&FakeProcess::new(500, "sh")).unwrap();
    let mut scan = new_scan(&host);
    scan.scan().unwrap();
    let hiding = |pid| FakeProcess { state: 'Z', threads: 2, ..FakeProcess::new(pid, "sh") };
    host.process(&hiding(500)).unwrap();
    // Its files of that thread are gone; one seen for the first time like this is counted.
    for pid in [500, 501] {
        host.process(&hiding(pid)).unwrap();
        host.remove(&format!("proc/{pid}/ns")).unwrap();
    }
    let scanned = scan.scan().unwrap();
    assert_eq!((found(&scanned), gone(&scanned), scanned.unreadable), (vec![], vec![], 1));
}

#[test]
fn an_unreadable_process_is_counted_and_tried_again() {
    let host = FakeHost::v2().unwrap();
    host.process(&FakeProcess::new(500, "x")).unwrap();
    host.write("proc/500/status", b"\xff\xff").unwrap();
    host.write("proc/501/stat", &[b'('; 1024 * 1024]).unwrap();
    let mut scan = new_scan(&host);
    let scanned = scan.scan().unwrap();
    assert_eq!((found(&scanned), scanned.unreadable), (vec![(1, "systemd")], 2));
    host.process(&FakeProcess::new(500, "x")).unwrap();
    let scanned = scan.scan().unwrap();
    assert_eq!((found(&scanned), scanned.unreadable), (vec![(500, "x")], 1));
}

#[test]
fn names_of_directories_that_are_no_pids_are_passed_over() {
    let host = FakeHost::v2().unwrap();
    for name in ["99999999999", "12x", "-1", "net"] {
        host.write(&format!("proc/{name}/stat"), b"1 (x) R").unwrap();
    }
    let scanned = new_scan(&host).scan().unwrap();
    assert_eq!((found(&scanned), scanned.unreadable), (vec![(1, "systemd")], 0));
}

#[test]
fn this_process_is_found_on_the_live_host() {
    let root = HostRoot::new("/");
    let mut scan = ProcessScan::new(&root, &CgroupLayout::detect(&root).unwrap()).unwrap();
    let own = std::process::id();
    assert!(scan.scan().unwrap().found.iter().any(|exec| exec.process.pid == own));
    assert!(scan.scan().unwrap().found.iter().all(|exec| exec.process.pid != own));
    assert_eq!(scan.process(own).unwrap().process.pid, own);
}
