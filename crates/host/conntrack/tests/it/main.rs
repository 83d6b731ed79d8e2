//! Connections through a router that translates addresses both ways, in network namespaces made by the test: needs root,
//! `unshare`, `nsenter`, `ip` and `iptables`, and fails where one of them is missing.
//!
//! Not here: messages that the kernel does not send (the tests beside the code).

#![expect(clippy::unwrap_used, reason = "a test may panic, and its helpers with it")]

mod router;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use conntrack::Conntrack;
use conntrack::error::ConntrackError;
use model::traffic::Protocol;

use crate::router::{Network, V4, V6};

/// Long enough for a loaded machine; a test that passes does not wait for it.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection from the client to the port that the router publishes: the client's socket and the accepted one.
fn connect(network: &Network, addresses: router::Addresses) -> (TcpStream, TcpStream) {
    let listener = network.server.enter(move || TcpListener::bind(addresses.service)).unwrap();
    let published = addresses.published;
    let client = network.client.enter(move || TcpStream::connect_timeout(&published, PATIENCE)).unwrap();
    let (accepted, _) = listener.accept().unwrap();
    (client, accepted)
}

#[test]
fn both_ends_of_a_translated_connection_are_found() {
    let network = Network::new();
    let mut conntrack = network.router.conntrack();
    for addresses in [V4, V6] {
        let (client, accepted) = connect(&network, addresses);
        let (local, remote) = (client.local_addr().unwrap(), client.peer_addr().unwrap());
        assert_eq!(remote, addresses.published);
        assert_eq!(
            conntrack.translated(Protocol::TCP, local, remote).unwrap(),
            Some(addresses.service),
            "the client's connection goes to the server"
        );
        let (own, seen) = (accepted.local_addr().unwrap(), accepted.peer_addr().unwrap());
        assert_eq!(seen.ip(), addresses.router, "the server sees the router");
        assert_eq!(
            conntrack.original(Protocol::TCP, own, seen).unwrap(),
            Some(local),
            "the server's connection comes from the client"
        );
    }
}

#[test]
fn neither_side_is_taken_for_the_other() {
    let network = Network::new();
    let mut conntrack = network.router.conntrack();
    let (client, accepted) = connect(&network, V4);
    let (local, remote) = (client.local_addr().unwrap(), client.peer_addr().unwrap());
    let (own, seen) = (accepted.local_addr().unwrap(), accepted.peer_addr().unwrap());
    assert_eq!(
        conntrack.original(Protocol::TCP, local, remote).unwrap(),
        None,
        "the client accepted nothing"
    );
    assert_eq!(conntrack.translated(Protocol::TCP, own, seen).unwrap(), None, "the server opened nothing");
    assert_eq!(conntrack.translated(Protocol::TCP, remote, local).unwrap(), None);
    assert_eq!(conntrack.translated(Protocol::UDP, local, remote).unwrap(), None);
}

#[test]
fn what_is_not_translated_or_not_tracked_has_no_other_address() {
    let network = Network::new();
    let mut conntrack = network.router.conntrack();
    // A port that is not published: the router's own, of a listener in its namespace.
    let plain = SocketAddr::new(V4.published.ip(), 9090);
    let listener = network.router.enter(move || TcpListener::bind(plain)).unwrap();
    let client = network.client.enter(move || TcpStream::connect_timeout(&plain, PATIENCE)).unwrap();
    let local = client.local_addr().unwrap();
    let (accepted, seen) = listener.accept().unwrap();
    assert_eq!(seen, local);
    assert_eq!(conntrack.translated(Protocol::TCP, local, plain).unwrap(), None);
    assert_eq!(conntrack.original(Protocol::TCP, accepted.local_addr().unwrap(), seen).unwrap(), None);
    let nobody = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 1);
    assert_eq!(conntrack.translated(Protocol::TCP, local, nobody).unwrap(), None, "no such connection");
    assert_eq!(conntrack.translated(Protocol::ICMP, local, plain).unwrap(), None, "no ports");
    assert_eq!(conntrack.translated(Protocol::TCP, local, V6.published).unwrap(), None, "two families");
}

#[test]
fn datagrams_are_found_and_another_namespace_knows_nothing_of_them() {
    let network = Network::new();
    let server = network.server.enter(|| UdpSocket::bind(V4.service)).unwrap();
    let client = network.client.enter(|| UdpSocket::bind((V4.client, 0))).unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    client.send_to(b"?", V4.published).unwrap();
    let (_, seen) = server.recv_from(&mut [0; 16]).unwrap();
    let local = client.local_addr().unwrap();
    let mut inside = network.router.conntrack();
    assert_eq!(inside.translated(Protocol::UDP, local, V4.published).unwrap(), Some(V4.service));
    assert_eq!(inside.original(Protocol::UDP, V4.service, seen).unwrap(), Some(local));
    let mut outside = Conntrack::open().unwrap();
    assert_eq!(outside.translated(Protocol::UDP, local, V4.published).unwrap(), None);
}

#[test]
fn a_socket_that_takes_both_families_is_asked_about_by_its_plain_address() {
    let network = Network::new();
    let mut conntrack = network.router.conntrack();
    let (client, _accepted) = connect(&network, V4);
    let mapped = |address: SocketAddr| match address.ip() {
        IpAddr::V4(ip) => SocketAddr::new(IpAddr::V6(ip.to_ipv6_mapped()), address.port()),
        IpAddr::V6(_) => address,
    };
    let (local, remote) = (mapped(client.local_addr().unwrap()), mapped(V4.published));
    assert_eq!(conntrack.translated(Protocol::TCP, local, remote).unwrap(), Some(V4.service));
}

#[test]
fn a_question_costs_microseconds_however_many_connections_there_are() {
    const CONNECTIONS: usize = 20_000;
    const QUESTIONS: u32 = 10_000;
    let network = Network::new();
    let mut conntrack = network.router.conntrack();
    let (client, _accepted) = connect(&network, V4);
    let local = client.local_addr().unwrap();
    let mut mean = |expected| {
        let begun = Instant::now();
        for _ in 0..QUESTIONS {
            assert_eq!(conntrack.translated(Protocol::TCP, local, V4.published).unwrap(), expected);
        }
        begun.elapsed() / QUESTIONS
    };
    let few = mean(Some(V4.service));
    network.client.enter(|| {
        let socket = UdpSocket::bind((V4.client, 0)).unwrap();
        // The ports of one address, each a connection of its own.
        (1_000..).take(CONNECTIONS).for_each(|port: u16| {
            drop(socket.send_to(b"!", SocketAddr::new(V4.service.ip(), port)));
        });
    });
    assert!(
        network.router.tracked() > CONNECTIONS / 2,
        "{} connections are tracked",
        network.router.tracked()
    );
    let many = mean(Some(V4.service));
    eprintln!("one question: {few:?} beside few connections, {many:?} beside {}", network.router.tracked());
    assert!(few < Duration::from_micros(200) && many < Duration::from_micros(200), "{few:?} {many:?}");
}

#[test]
fn a_namespace_that_is_none_is_said_with_its_path() {
    for path in ["/proc/1/ns/never", "/proc/self/ns/mnt"] {
        let error = Conntrack::open_in(path.as_ref()).unwrap_err();
        assert!(matches!(error, ConntrackError::Namespace { .. }), "{error}");
        assert!(error.to_string().contains(path), "{error}");
    }
}
