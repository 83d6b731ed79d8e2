//! TCP sockets on loopback: a client in a cgroup of its own, a server in ours.
//!
//! Not here: v1-only hosts.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};

use model::event::{Body, Socket, SocketState};
use model::ids::CgroupId;
use probes::Record;

use crate::host::{TestCgroup, counts_of, load, own_cgroup, settle, until};

fn sockets(records: Vec<Record>, port: u16) -> Vec<Socket> {
    let of_port = |socket: &Socket| socket.local.port() == port || socket.remote.port() == port;
    records
        .into_iter()
        .filter_map(|record| match record.body {
            Body::Socket(socket) if of_port(&socket) => Some(*socket),
            _ => None,
        })
        .collect()
}

fn one(sockets: &[Socket], state: SocketState, cgroup: CgroupId) -> &Socket {
    let mut found = sockets.iter().filter(|socket| socket.state == state && socket.cgroup == cgroup);
    let first = found.next().unwrap_or_else(|| panic!("no {state:?} of {cgroup} in {sockets:#?}"));
    assert!(found.next().is_none(), "more than one {state:?} of {cgroup} in {sockets:#?}");
    first
}

/// A conversation of `asked` bytes one way and `answered` the other; the client closes first or last.
fn converse(address: &str, asked: usize, answered: usize) {
    let cgroup = TestCgroup::new();
    let mut probes = load();
    let server = TcpListener::bind((address, 0)).unwrap();
    let at = server.local_addr().unwrap();
    let script = format!(
        "exec 3<>/dev/tcp/{address}/{}; head -c {asked} /dev/zero >&3; head -c {answered} <&3 >/dev/null; exec 3>&-",
        at.port()
    );
    let mut client = cgroup.command(&script).spawn().unwrap();
    let (mut connection, peer) = server.accept().unwrap();
    let mut bytes = vec![0; asked];
    connection.read_exact(&mut bytes).unwrap();
    connection.write_all(&vec![1; answered]).unwrap();
    assert_eq!(connection.read(&mut [0]).unwrap(), 0, "the client closes");
    drop(connection);
    assert!(client.wait().unwrap().success());

    let seen = sockets(settle(&mut probes), at.port());
    let (client, server) = (cgroup.id, own_cgroup());
    let (asked, answered) = (asked as u64, answered as u64);
    let ends = |socket: &Socket| -> (SocketAddr, SocketAddr) { (socket.local, socket.remote) };
    let bytes = |socket: &Socket| (socket.sent_bytes, socket.received_bytes);
    assert_eq!(one(&seen, SocketState::Listening, server).local, at);
    assert_eq!(ends(one(&seen, SocketState::Connected, client)), (peer, at));
    assert_eq!(ends(one(&seen, SocketState::Accepted, server)), (at, peer));
    let closed = one(&seen, SocketState::Closed, client);
    assert_eq!((ends(closed), bytes(closed)), ((peer, at), (asked, answered)));
    let closed = one(&seen, SocketState::Closed, server);
    assert_eq!((ends(closed), bytes(closed)), ((at, peer), (answered, asked)));
    let counts = counts_of(&probes, client);
    assert_eq!((counts.connects, counts.accepts), (1, 0));
    assert_eq!((counts.sent_bytes, counts.received_bytes), (asked, answered));
}

#[test]
fn a_conversation_over_ipv4_is_booked_on_both_owners_to_the_byte() {
    converse("127.0.0.1", 12_345, 678);
}

#[test]
fn a_conversation_over_ipv6_is_booked_on_both_owners_to_the_byte() {
    converse("::1", 1, 300_000);
}

#[test]
fn a_connection_nobody_takes_is_a_failure_of_its_owner() {
    let cgroup = TestCgroup::new();
    let mut probes = load();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    cgroup.run(&format!("exec 3<>/dev/tcp/127.0.0.1/{} 2>/dev/null", free.port()));
    let failed = |body: &Body| matches!(body, Body::Socket(socket) if socket.state == SocketState::Failed && socket.remote == free);
    let seen = sockets(until(&mut probes, "the failure", failed), free.port());
    assert_eq!(one(&seen, SocketState::Failed, cgroup.id).received_bytes, 0);
    assert_eq!(counts_of(&probes, cgroup.id).connects, 0);
}
