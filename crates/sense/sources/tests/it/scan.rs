//! The scanner on made-up hosts.

use crossbeam_channel::Receiver;
use hostfs::layout::CgroupLayout;
use hostfs::root::HostRoot;
use model::event::{Body, Event};
use model::ids::NodeId;
use sources::outlet::Outlet;
use sources::scan::Scanner;
use testkit::host_tree::{FakeHost, FakeProcess, docker_systemd};

use crate::contract;

fn scanner(host: &FakeHost) -> (Scanner, Outlet, Receiver<Event>) {
    let root = HostRoot::new(host.root());
    let layout = CgroupLayout::detect(&root).unwrap();
    let (outlet, queue) = Outlet::new(NodeId::new("node"), 1_000);
    (Scanner::new(&root, &layout).unwrap(), outlet, queue)
}

fn told(queue: &Receiver<Event>) -> (Vec<Event>, Vec<String>) {
    let events: Vec<Event> = queue.try_iter().collect();
    let line = |event: &Event| match &event.body {
        Body::CgroupCreated(at) => format!("cgroup {}", at.path),
        Body::CgroupRemoved(at) => format!("removed {}", at.path),
        Body::Process(exec) => format!("process {} {}", exec.process.pid, exec.name),
        other => format!("{other:?}"),
    };
    let lines = events.iter().map(line).collect();
    (events, lines)
}

#[test]
fn cgroups_come_before_processes_and_nothing_comes_twice() {
    let host = FakeHost::v2().unwrap();
    let path = docker_systemd(&"b".repeat(64));
    host.cgroup(&path).unwrap();
    host.process(&FakeProcess::new(70, "httpd").contained(&path)).unwrap();
    let (mut scanner, outlet, queue) = scanner(&host);
    scanner.scan(&outlet).unwrap();
    let (events, lines) = told(&queue);
    contract::check(&events, &[]);
    let at = |wanted: &str| {
        lines.iter().position(|line| line == wanted).unwrap_or_else(|| panic!("{wanted} in {lines:?}"))
    };
    assert!(at(&format!("cgroup {path}")) < at("process 70 httpd"));
    scanner.scan(&outlet).unwrap();
    assert_eq!(told(&queue).1, Vec::<String>::new());
}

#[test]
fn what_is_new_and_what_is_gone_is_told_at_the_next_scan() {
    let host = FakeHost::v2().unwrap();
    host.cgroup("/old").unwrap();
    let (mut scanner, outlet, queue) = scanner(&host);
    scanner.scan(&outlet).unwrap();
    told(&queue);
    host.remove_cgroup("/old").unwrap();
    host.cgroup("/new").unwrap();
    host.process(&FakeProcess::new(71, "sh").contained("/new")).unwrap();
    scanner.scan(&outlet).unwrap();
    assert_eq!(told(&queue).1, ["cgroup /new", "removed /old", "process 71 sh"]);
}

#[test]
fn a_process_is_stamped_with_its_start() {
    let host = FakeHost::v2().unwrap();
    host.process(&FakeProcess::new(72, "sh")).unwrap();
    let (mut scanner, outlet, queue) = scanner(&host);
    scanner.scan(&outlet).unwrap();
    let (events, _) = told(&queue);
    let event = events
        .iter()
        .find(|event| matches!(&event.body, Body::Process(exec) if exec.process.pid == 72))
        .unwrap();
    let Body::Process(exec) = &event.body else { unreachable!("found as a process") };
    let boot = hostfs::boot::boot_time(&HostRoot::new(host.root())).unwrap();
    assert_eq!(event.time, boot.plus(std::time::Duration::from_nanos(exec.process.start_ns)));
}
