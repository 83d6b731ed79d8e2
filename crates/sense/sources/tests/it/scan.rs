//! The scanner on made-up hosts.

use crossbeam_channel::Receiver;
use hostfs::layout::CgroupLayout;
use hostfs::root::HostRoot;
use hostfs::sockets::LISTENERS_MAX;
use model::event::{Body, Event, Socket};
use model::ids::{Namespaces, NodeId};
use sources::outlet::Outlet;
use sources::scan::Scanner;
use testkit::host_tree::{CONTAINER_NAMESPACES, FakeHost, FakeProcess, docker_systemd};

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
        Body::Socket(socket) => {
            let Socket { protocol, local, remote, net_ns, .. } = socket.as_ref();
            format!("{:?} {protocol} {local} {remote} in {net_ns}", socket.state)
        }
        Body::Vanished(process) => format!("vanished {}", process.pid),
        Body::Lost(loss) => format!("lost {} to the {}", loss.count, loss.stage),
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

/// Gives a process a table of its network namespace, in which sockets listen on these ports of every address.
fn listen(host: &FakeHost, pid: u32, table: &str, ports: &[u16]) {
    let digits = if table.ends_with('6') { 32 } else { 8 };
    let state = if table.starts_with("tcp") { "0A" } else { "07" };
    let mut text = "  sl  local_address rem_address   st\n".to_owned();
    for port in ports {
        let (local, remote) = (format!("{:0digits$}:{port:04X}", 0), format!("{:0digits$}:0000", 0));
        text += &format!("   0: {local} {remote} {state} 0:0 0:0 0 0 0 17 1\n");
    }
    host.write(&format!("proc/{pid}/net/{table}"), text.as_bytes()).unwrap();
}

#[test]
fn what_listens_already_is_told_once_for_each_network_namespace_but_the_host_s() {
    let host = FakeHost::v2().unwrap();
    let path = docker_systemd(&"b".repeat(64));
    let cgroup = host.cgroup(&path).unwrap();
    let other = host.cgroup("/other").unwrap();
    host.process(&FakeProcess::new(60, "sshd")).unwrap();
    host.process(&FakeProcess::new(70, "httpd").contained(&path)).unwrap();
    host.process(&FakeProcess::new(71, "worker").contained("/other")).unwrap();
    for pid in [60, 70, 71] {
        listen(&host, pid, "tcp", &[80]);
        listen(&host, pid, "udp", &[53]);
    }
    listen(&host, 70, "tcp6", &[443]);
    let (mut scanner, outlet, queue) = scanner(&host);
    scanner.scan(&outlet).unwrap();
    let (events, lines) = told(&queue);
    contract::check(&events, &[]);
    assert_eq!(
        lines[lines.len() - 5..],
        [
            "process 70 httpd",
            "process 71 worker",
            "Listening tcp 0.0.0.0:80 0.0.0.0:0 in 4026532203",
            "Listening tcp [::]:443 [::]:0 in 4026532203",
            "Listening udp 0.0.0.0:53 0.0.0.0:0 in 4026532203",
        ]
    );
    let owners = |events: &[Event]| -> Vec<_> {
        let owner = |event: &Event| match &event.body {
            Body::Socket(socket) => Some(socket.cgroup),
            _ => None,
        };
        events.iter().filter_map(owner).collect()
    };
    assert_eq!(owners(&events), [cgroup; 3], "the cgroup of the first process in it");
    host.process(&FakeProcess::new(72, "late").contained(&path)).unwrap();
    listen(&host, 72, "tcp", &[80]);
    listen(&host, 72, "udp", &[]);
    scanner.scan(&outlet).unwrap();
    assert_eq!(told(&queue).1, ["process 72 late"], "its namespace was looked at");
    // The process that it was seen through has ended: the number may be another namespace's by now.
    host.end_process(70).unwrap();
    host.process(&FakeProcess::new(73, "next").contained("/other")).unwrap();
    listen(&host, 73, "tcp", &[8080]);
    listen(&host, 73, "udp", &[]);
    scanner.scan(&outlet).unwrap();
    let (events, lines) = told(&queue);
    assert_eq!(
        lines,
        ["vanished 70", "process 73 next", "Listening tcp 0.0.0.0:8080 0.0.0.0:0 in 4026532203"]
    );
    assert_eq!(owners(&events), [other]);
}

#[test]
fn listening_sockets_beyond_the_limit_are_lost_to_their_cgroup_alone() {
    let host = FakeHost::v2().unwrap();
    let cgroup = host.cgroup("/flood").unwrap();
    host.process(&FakeProcess::new(70, "flood").contained("/flood")).unwrap();
    listen(&host, 70, "tcp", &(1..=300).collect::<Vec<u16>>());
    listen(&host, 70, "udp", &[]);
    let (mut scanner, outlet, queue) = scanner(&host);
    scanner.scan(&outlet).unwrap();
    let (events, lines) = told(&queue);
    assert_eq!(lines.iter().filter(|line| line.starts_with("Listening")).count(), LISTENERS_MAX);
    assert_eq!(lines.last().unwrap(), "lost 44 to the limit on listening sockets");
    let Body::Lost(loss) = &events.last().unwrap().body else { unreachable!("found as lost") };
    assert_eq!(loss.cgroup, Some(cgroup));
}

#[test]
fn many_namespaces_are_looked_at_by_and_by() {
    let host = FakeHost::v2().unwrap();
    host.cgroup("/many").unwrap();
    for number in 0..20 {
        let namespaces = Namespaces { net: 4_026_540_000 + number, ..CONTAINER_NAMESPACES };
        let process = FakeProcess::new(100 + number, "web").contained("/many");
        host.process(&FakeProcess { namespaces, ..process }).unwrap();
        listen(&host, 100 + number, "tcp", &[80]);
        listen(&host, 100 + number, "udp", &[]);
    }
    let (mut scanner, outlet, queue) = scanner(&host);
    let listening = || told(&queue).1.iter().filter(|line| line.starts_with("Listening")).count();
    scanner.scan(&outlet).unwrap();
    assert_eq!(listening(), 8);
    host.end_process(110).unwrap();
    let later: Vec<usize> = (0..3)
        .map(|_| {
            scanner.catch_up(&outlet);
            listening()
        })
        .collect();
    assert_eq!(later, [7, 4, 0], "one has ended meanwhile");
}
