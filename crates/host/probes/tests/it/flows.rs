//! The table of flows: lines that grow, first contacts and ends that are told, names that are asked for, and what one
//! cgroup may take of it.
//!
//! Not here: what a single connection carries, see `sockets.rs`.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::time::{Duration, Instant};

use model::event::{Body, Exec, Socket, SocketState};
use model::ids::CgroupId;
use model::traffic::{Crowd, Direction, DnsMessage, FlowCounts, FlowKey, Protocol};
use probes::{Probes, Record};

use crate::host::{TestCgroup, counts_of, load, own_cgroup, settle, until};

const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

fn out(port: u16, protocol: Protocol) -> FlowKey {
    FlowKey { direction: Direction::Out, protocol, remote: LOOPBACK, port }
}

fn counts(probes: &Probes, cgroup: CgroupId, key: &FlowKey) -> Option<FlowCounts> {
    let lines = probes.flows().unwrap();
    lines.into_iter().find(|(of, line, _)| *of == cgroup && line == key).map(|(_, _, counts)| counts)
}

fn sockets(records: &[Record], cgroup: CgroupId, state: SocketState) -> Vec<&Socket> {
    let of_cgroup = |record: &'_ &Record| match &record.body {
        Body::Socket(socket) => socket.cgroup == cgroup && socket.state == state,
        _ => false,
    };
    let sockets = records.iter().filter(of_cgroup).map(|record| match &record.body {
        Body::Socket(socket) => &**socket,
        _ => unreachable!(),
    });
    sockets.collect()
}

/// A server that sends so many bytes to whoever connects, and waits for the other to close.
fn serve(bytes: usize) -> u16 {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in server.incoming().map_while(Result::ok) {
            let _ = stream.write_all(&vec![b'x'; bytes]);
            let _ = stream.read(&mut [0; 16]);
        }
    });
    port
}

#[test]
fn many_connections_are_one_contact_and_one_line() {
    let (cgroup, port) = (TestCgroup::new(), serve(5));
    let mut probes = load();
    cgroup.run(&format!(
        "for i in 1 2 3 4 5 6; do exec 3<>/dev/tcp/127.0.0.1/{port}; head -c 5 <&3 >/dev/null; exec 3>&-; done"
    ));
    let records = settle(&mut probes);
    let connected = sockets(&records, cgroup.id, SocketState::Connected);
    assert_eq!(connected.len(), 1, "{connected:?}");
    assert_eq!((connected[0].program.raw(), connected[0].remote.port()), ("bash", port));
    assert_eq!(sockets(&records, cgroup.id, SocketState::Closed).len(), 6, "each end is told");
    let line = counts(&probes, cgroup.id, &out(port, Protocol::TCP)).unwrap();
    assert_eq!((line.opened, line.closed, line.failed, line.received_bytes), (6, 6, 0, 30));
    assert_eq!(counts_of(&probes, cgroup.id).connects, 6);
    let served = FlowKey { direction: Direction::In, ..out(port, Protocol::TCP) };
    assert_eq!(counts(&probes, own_cgroup(), &served).unwrap().sent_bytes, 30);
}

#[test]
fn a_forgotten_line_gives_its_counts_and_the_next_contact_is_told_again() {
    let (cgroup, port) = (TestCgroup::new(), serve(1));
    let mut probes = load();
    let script = format!("exec 3<>/dev/tcp/127.0.0.1/{port}; exec 3>&-");
    cgroup.run(&script);
    // A line that is forgotten before its connection ended begins anew with that end.
    let has_ended = |body: &Body| matches!(body, Body::Socket(it) if it.cgroup == cgroup.id && it.state == SocketState::Closed);
    until(&mut probes, "the end", has_ended);
    let key = out(port, Protocol::TCP);
    assert_eq!(probes.forget_flow(cgroup.id, &key).unwrap().unwrap().opened, 1);
    assert_eq!(probes.forget_flow(cgroup.id, &key).unwrap(), None);
    cgroup.run(&script);
    assert_eq!(sockets(&settle(&mut probes), cgroup.id, SocketState::Connected).len(), 1);
}

#[test]
fn what_an_open_connection_carries_is_in_its_line_before_it_ends() {
    let (cgroup, port) = (TestCgroup::new(), serve(400_000));
    let mut probes = load();
    let script = format!(
        "exec 3<>/dev/tcp/127.0.0.1/{port}; head -c 400000 <&3 >/dev/null; sleep 0.6; echo x >&3; sleep 20"
    );
    let mut client = cgroup.command(&script).spawn().unwrap();
    let start = Instant::now();
    let line = loop {
        let line = counts(&probes, cgroup.id, &out(port, Protocol::TCP)).unwrap_or_default();
        if line.received_bytes >= 400_000 || start.elapsed() > Duration::from_secs(10) {
            break line;
        }
        probes.poll(Duration::from_millis(20), |_| ()).unwrap();
    };
    client.kill().unwrap();
    client.wait().unwrap();
    assert_eq!((line.opened, line.closed, line.received_bytes), (1, 0, 400_000));
}

#[test]
fn datagrams_make_a_line_on_both_sides_and_answers_belong_to_it() {
    let cgroup = TestCgroup::new();
    let mut probes = load();
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let port = server.local_addr().unwrap().port();
    let script =
        format!("exec 3<>/dev/udp/127.0.0.1/{port}; echo one >&3; echo two >&3; head -c 4 <&3 >/dev/null");
    let mut client = cgroup.command(&script).spawn().unwrap();
    let (_, from) = server.recv_from(&mut [0; 8]).unwrap();
    server.recv_from(&mut [0; 8]).unwrap();
    server.send_to(b"answer", from).unwrap();
    client.wait().unwrap();
    let records = settle(&mut probes);
    let told = sockets(&records, cgroup.id, SocketState::Connected);
    assert_eq!((told.len(), told[0].protocol, told[0].program.raw()), (1, Protocol::UDP, "bash"));
    let line = counts(&probes, cgroup.id, &out(port, Protocol::UDP)).unwrap();
    assert_eq!((line.sent_packets, line.received_packets, line.sent_bytes), (2, 1, 2 * 32));
    let served = FlowKey { direction: Direction::In, ..out(port, Protocol::UDP) };
    let line = counts(&probes, own_cgroup(), &served).unwrap();
    assert_eq!((line.received_packets, line.sent_packets), (2, 1));
}

fn asked(body: &Body, cgroup: CgroupId) -> Option<&DnsMessage> {
    match body {
        Body::Dns(message) if message.cgroup == cgroup => Some(message),
        _ => None,
    }
}

#[test]
fn a_question_for_a_name_is_told_with_its_name() {
    let cgroup = TestCgroup::new();
    let mut probes = load();
    // 127.0.0.53 is nobody's here: a question is told when it is sent.
    let question = r"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x07example\x03com\0\0\x10\0\x01";
    cgroup.run(&format!("exec 3<>/dev/udp/127.0.0.77/53; printf '{question}' >&3"));
    let records = until(&mut probes, "the question", |body| asked(body, cgroup.id).is_some());
    let message = records.iter().find_map(|record| asked(&record.body, cgroup.id)).unwrap();
    assert_eq!((message.name.raw(), message.record_type, message.is_answer), ("example.com", 16, false));
    assert_eq!(message.server, IpAddr::from([127, 0, 0, 77]));
}

fn exec_of<'a>(body: &'a Body, cgroup: CgroupId, program: &str) -> Option<&'a Exec> {
    match body {
        Body::Exec(exec) if exec.cgroup == cgroup && exec.name.raw() == program => Some(exec),
        _ => None,
    }
}

#[test]
fn a_program_whose_streams_are_a_connection_tells_where_it_leads() {
    let (cgroup, port) = (TestCgroup::new(), serve(1));
    let mut probes = load();
    cgroup.run(&format!(
        "exec 3<>/dev/tcp/127.0.0.1/{port}; head -c 1 </dev/zero >/dev/null; id <&3 >&3 2>/dev/null"
    ));
    let records = until(&mut probes, "id", |body| exec_of(body, cgroup.id, "id").is_some());
    let exec = records.iter().find_map(|record| exec_of(&record.body, cgroup.id, "id")).unwrap();
    assert!(exec.streams.is_remote() && exec.streams.sockets == 0b11, "{:?}", exec.streams);
    assert_eq!(exec.streams.remote.map(|remote| (remote.ip(), remote.port())), Some((LOOPBACK, port)));
    let other = records.iter().find_map(|record| exec_of(&record.body, cgroup.id, "head")).unwrap();
    assert!(other.streams.is_empty(), "{:?}", other.streams);
}

/// The line for all of a scope that have none of their own.
fn line_of_all(scope: Crowd, protocol: Protocol) -> FlowKey {
    FlowKey { remote: scope.address(), ..out(0, protocol) }
}

#[test]
fn who_meets_too_many_addresses_fills_one_line_and_not_the_table() {
    let (crowd, calm) = (TestCgroup::new(), TestCgroup::new());
    let (mut probes, port) = (load(), serve(1));
    // Loopback is a network of sixteen million addresses.
    crowd.run("for a in {1..12}; do for b in {1..200}; do echo x >/dev/udp/127.9.$a.$b/9; done; done");
    calm.run(&format!("exec 3<>/dev/tcp/127.0.0.1/{port}; exec 3>&-"));
    settle(&mut probes);
    let lines = probes.flows().unwrap().into_iter().filter(|(cgroup, ..)| *cgroup == crowd.id).count();
    let counted = counts_of(&probes, crowd.id);
    assert!((256..1_200).contains(&lines), "{lines} lines");
    assert!(counted.crowded > 0, "{counted:?}");
    let all = counts(&probes, crowd.id, &line_of_all(Crowd::Loopback, Protocol::UDP)).unwrap();
    assert_eq!(all.sent_packets, counted.crowded);
    assert!(counts(&probes, calm.id, &out(port, Protocol::TCP)).is_some());
}

/// An address of this host that is not loopback: connections to it are as those to anywhere else.
fn own_address() -> IpAddr {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    // Nothing is sent: the kernel only picks the address.
    let _routed = socket.connect("198.51.100.1:9");
    socket.local_addr().unwrap().ip()
}

/// A server that reads whatever it is sent.
fn swallow() -> u16 {
    let server = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = server.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in server.incoming().map_while(Result::ok) {
            std::thread::spawn(move || std::io::copy(&mut stream, &mut std::io::sink()));
        }
    });
    port
}

/// A line once it fits, or as it is after five seconds.
fn line_when(
    probes: &mut Probes,
    (cgroup, key): (CgroupId, &FlowKey),
    fits: impl Fn(&FlowCounts) -> bool,
) -> FlowCounts {
    let start = Instant::now();
    loop {
        let line = counts(probes, cgroup, key).unwrap_or_default();
        if fits(&line) || start.elapsed() > Duration::from_secs(5) {
            return line;
        }
        probes.poll(Duration::from_millis(20), |_| ()).unwrap();
    }
}

fn poll_for(probes: &mut Probes, span: Duration) {
    let start = Instant::now();
    while start.elapsed() < span {
        probes.poll(Duration::from_millis(20), |_| ()).unwrap();
    }
}

#[test]
fn datagrams_leave_room_for_a_connection() {
    let cgroup = TestCgroup::new();
    let mut probes = load();
    let (address, port) = (own_address(), swallow());
    cgroup.run(&format!(
        "for a in {{1..12}}; do for b in {{1..200}}; do echo x >/dev/udp/127.8.$a.$b/9; done; done; \
         for p in {{1..1500}}; do echo x >/dev/udp/{address}/$p; done; \
         head -c 3000000 </dev/zero >/dev/tcp/{address}/{port}"
    ));
    settle(&mut probes);
    assert!(counts_of(&probes, cgroup.id).crowded > 1_000);
    let key = FlowKey { remote: address, ..out(port, Protocol::TCP) };
    let line = line_when(&mut probes, (cgroup.id, &key), |line| line.sent_bytes >= 3_000_000);
    assert_eq!((line.opened, line.sent_bytes), (1, 3_000_000));
}

#[test]
fn a_line_deleted_while_its_connection_stands_still_begins_anew() {
    let (cgroup, port) = (TestCgroup::new(), swallow());
    let mut probes = load();
    // What is sent before the line is deleted is no part of the new one.
    let script = format!(
        "exec 3<>/dev/tcp/127.0.0.1/{port}; head -c 100000 </dev/zero >&3; read; head -c 500000 </dev/zero >&3; \
         sleep 0.6; echo x >&3; read"
    );
    let mut client = cgroup.command(&script).stdin(std::process::Stdio::piped()).spawn().unwrap();
    let mut go_on = client.stdin.take().unwrap();
    let key = out(port, Protocol::TCP);
    // Longer than the pause between two times that an open connection is written down.
    poll_for(&mut probes, Duration::from_millis(700));
    let first = probes.forget_flow(cgroup.id, &key).unwrap().unwrap();
    go_on.write_all(b"\n").unwrap();
    let anew = line_when(&mut probes, (cgroup.id, &key), |line| line.sent_bytes >= 500_000);
    client.kill().unwrap();
    client.wait().unwrap();
    assert!(anew.sent_bytes >= 500_000, "{anew:?} after {first:?}");
    assert_eq!((first.opened, anew.opened), (1, 0), "one connection");
    assert!(first.sent_bytes + anew.sent_bytes <= 600_002, "{first:?} and {anew:?}");
}
