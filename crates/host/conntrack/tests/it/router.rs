//! A client, a router and a server, each in a network namespace of its own. The router publishes the server's port as
//! one of its own and hides the client behind its address.
//!
//! Each namespace lives as long as a process that reads from the test: whatever ends the test ends it.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};

use conntrack::Conntrack;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Who has which address.
#[derive(Clone, Copy)]
pub(crate) struct Addresses {
    pub(crate) client: IpAddr,
    /// The router's address that the client sees, with the port that is published.
    pub(crate) published: SocketAddr,
    /// The router's address that the server sees.
    pub(crate) router: IpAddr,
    pub(crate) service: SocketAddr,
}

const fn v4(last: [u8; 2]) -> Ipv4Addr {
    Ipv4Addr::new(10, 97, last[0], last[1])
}

const fn v6(last: [u16; 2]) -> Ipv6Addr {
    Ipv6Addr::new(0xfd97, 0, 0, last[0], 0, 0, 0, last[1])
}

pub(crate) const V4: Addresses = Addresses {
    client: IpAddr::V4(v4([1, 2])),
    published: SocketAddr::V4(SocketAddrV4::new(v4([1, 1]), 8080)),
    router: IpAddr::V4(v4([2, 1])),
    service: SocketAddr::V4(SocketAddrV4::new(v4([2, 2]), 80)),
};

pub(crate) const V6: Addresses = Addresses {
    client: IpAddr::V6(v6([1, 2])),
    published: SocketAddr::V6(SocketAddrV6::new(v6([1, 1]), 8080, 0, 0)),
    router: IpAddr::V6(v6([2, 1])),
    service: SocketAddr::V6(SocketAddrV6::new(v6([2, 2]), 80, 0, 0)),
};

/// The three of them.
pub(crate) struct Network {
    pub(crate) client: Namespace,
    pub(crate) router: Namespace,
    pub(crate) server: Namespace,
}

impl Network {
    pub(crate) fn new() -> Self {
        let [client, router, server] = std::array::from_fn(|_| Namespace::new());
        router.link("client", &client, [V4.published.ip(), V6.published.ip()], [V4.client, V6.client]);
        router.link("server", &server, [V4.router, V6.router], [V4.service.ip(), V6.service.ip()]);
        router.run(&["sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"]);
        for (iptables, addresses) in [("iptables", V4), ("ip6tables", V6)] {
            for protocol in ["tcp", "udp"] {
                let rule = ["-t", "nat", "-A", "PREROUTING", "-p", protocol, "--dport", "8080", "-j", "DNAT"];
                let to = addresses.service.to_string();
                router.run(&[&[iptables, "-w"], &rule[..], &["--to-destination", &to]].concat());
            }
            router.run(&[
                iptables,
                "-w",
                "-t",
                "nat",
                "-A",
                "POSTROUTING",
                "-o",
                "server",
                "-j",
                "MASQUERADE",
            ]);
        }
        Self { client, router, server }
    }
}

/// A network namespace, and the process that keeps it.
pub(crate) struct Namespace {
    keeper: Child,
}

impl Namespace {
    fn new() -> Self {
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", "ip link set lo up && echo ready && exec cat"]);
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut keeper = spawned.unwrap_or_else(|error| panic!("unshare (util-linux) is needed: {error}"));
        let mut line = String::new();
        BufReader::new(keeper.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "a network namespace can be made (root is needed)");
        Self { keeper }
    }

    /// Asks about the connections of this namespace.
    pub(crate) fn conntrack(&self) -> Conntrack {
        Conntrack::open_in(self.path().as_ref()).unwrap()
    }

    /// What an action yields inside; a socket that is made there stays there.
    pub(crate) fn enter<T: Send>(&self, action: impl FnOnce() -> T + Send) -> T {
        let inside = File::open(self.path()).unwrap();
        let enter = || {
            move_into_link_name_space(inside.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            action()
        };
        std::thread::scope(|scope| scope.spawn(enter).join().unwrap())
    }

    /// How many connections are tracked.
    pub(crate) fn tracked(&self) -> usize {
        self.run(&["cat", "/proc/sys/net/netfilter/nf_conntrack_count"]).trim().parse().unwrap()
    }

    fn link(&self, name: &str, other: &Self, own: [IpAddr; 2], theirs: [IpAddr; 2]) {
        let pid = other.keeper.id().to_string();
        self.run(&["ip", "link", "add", name, "type", "veth", "peer", "name", "router", "netns", &pid]);
        for (namespace, device, addresses) in [(self, name, own), (other, "router", theirs)] {
            let [v4, v6] =
                [(addresses[0], 24), (addresses[1], 64)].map(|(address, bits)| format!("{address}/{bits}"));
            namespace.run(&["ip", "address", "add", &v4, "dev", device]);
            // Without the wait in which nobody may have the same address.
            namespace.run(&["ip", "address", "add", &v6, "dev", device, "nodad"]);
            namespace.run(&["ip", "link", "set", device, "up"]);
        }
        for router in own {
            let family = if router.is_ipv4() { "-4" } else { "-6" };
            other.run(&["ip", family, "route", "add", "default", "via", &router.to_string()]);
        }
    }

    fn run(&self, command: &[&str]) -> String {
        let target = self.keeper.id().to_string();
        let output =
            Command::new("nsenter").args(["--net", "--target", &target, "--"]).args(command).output();
        let output = output.unwrap_or_else(|error| panic!("nsenter (util-linux) is needed: {error}"));
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?} in a network namespace: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn path(&self) -> String {
        format!("/proc/{}/ns/net", self.keeper.id())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Its process ends with what it reads from.
        drop(self.keeper.stdin.take());
        drop(self.keeper.wait());
    }
}
