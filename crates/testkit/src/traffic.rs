//! Traffic of a made-up host: addresses, connections, counts and names, told as the kernel would tell them.
//!
//! Not here: what is made of it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use model::coverage::Source;
use model::event::{Body, Socket, SocketState};
use model::traffic::{DnsMessage, Flow, FlowCounts, Flows};
use model::untrusted::Untrusted;

use crate::scene::{Actor, Scene};

/// The network that the scene's containers are on: `172.18.0.0/16`.
pub fn inner(last: u8) -> IpAddr {
    IpAddr::from([172, 18, 0, last])
}

/// Somebody outside, of a range set aside for documentation.
pub fn outer(last: u8) -> IpAddr {
    IpAddr::from([203, 0, 113, last])
}

impl Scene {
    /// A container of an image, with an address that ends so.
    pub fn start_at(&mut self, name: &str, image: &str, last: u8) -> Actor {
        let actor = self.start_unclaimed("serve");
        self.claim(actor, name, image, |facts| {
            facts.command = Untrusted::new("serve");
            facts.addresses = vec![inner(last)];
        });
        actor
    }

    /// A first contact that a container makes.
    pub fn meets(&mut self, actor: Actor, state: SocketState, to: (IpAddr, u16)) {
        let socket = Socket::new(actor.cgroup(), state, from(), to.into());
        self.emit(Source::Kernel, Body::Socket(Box::new(Socket { program: "client".into(), ..socket })));
    }

    /// A connection that a container makes and ends, after so many bytes each way.
    pub fn talks(&mut self, actor: Actor, to: (IpAddr, u16), (sent_bytes, received_bytes): (u64, u64)) {
        self.meets(actor, SocketState::Connected, to);
        self.ends(actor, to, (sent_bytes, received_bytes));
        let bytes = FlowCounts { opened: 1, closed: 1, sent_bytes, received_bytes, ..FlowCounts::default() };
        self.carries(actor, to, bytes);
    }

    /// The end of a connection that a container had opened a tenth of a second before.
    pub fn ends(&mut self, actor: Actor, to: (IpAddr, u16), (sent_bytes, received_bytes): (u64, u64)) {
        let socket = Socket::new(actor.cgroup(), SocketState::Connected, from(), to.into());
        let closed = Socket {
            state: SocketState::Closed,
            sent_bytes,
            received_bytes,
            lasted_ms: Duration::from_millis(100).as_millis() as u64,
            ..socket
        };
        self.emit(Source::Kernel, Body::Socket(Box::new(closed)));
    }

    /// What was counted of a flow that a container opened.
    pub fn carries(&mut self, actor: Actor, to: (IpAddr, u16), counts: FlowCounts) {
        let socket = Socket::new(actor.cgroup(), SocketState::Connected, from(), to.into());
        let flows = socket.flow().map(|key| Flow { key, counts }).into_iter().collect();
        self.emit(Source::Kernel, Body::Flows(Box::new(Flows { cgroup: actor.cgroup(), flows })));
    }

    /// A container listens on a port.
    pub fn listens(&mut self, actor: Actor, port: u16) {
        let at = SocketAddr::new(IpAddr::from([0, 0, 0, 0]), port);
        let socket = Socket::new(actor.cgroup(), SocketState::Listening, at, from());
        self.emit(Source::Kernel, Body::Socket(Box::new(socket)));
    }

    /// A container asks for a name.
    pub fn asks(&mut self, actor: Actor, name: &str, record_type: u16) {
        self.names(actor, name, record_type, None);
    }

    /// A container is told the address behind a name.
    pub fn is_told(&mut self, actor: Actor, name: &str, address: IpAddr) {
        self.names(actor, name, 1, Some(address));
    }

    fn names(&mut self, actor: Actor, name: &str, record_type: u16, address: Option<IpAddr>) {
        let message = DnsMessage {
            cgroup: actor.cgroup(),
            server: IpAddr::from([127, 0, 0, 11]),
            is_answer: address.is_some(),
            name: Untrusted::new(name),
            record_type,
            code: 0,
            addresses: address.into_iter().collect(),
            bytes: 60,
        };
        self.emit(Source::Kernel, Body::Dns(Box::new(message)));
    }
}

fn from() -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], 40_000))
}
