//! Addresses of made-up hosts and of this one.

use std::fmt::Write;

use expect_test::{Expect, expect};
use testkit::host_tree::FakeHost;

use super::*;

const ROUTES: &str = "proc/1/net/fib_trie";

fn show(host: &FakeHost) -> String {
    let found = match interface_addresses(&HostRoot::new(host.root())) {
        Ok(found) => found,
        Err(error) => return error.to_string().replace(&host.root().display().to_string(), "ROOT"),
    };
    let line = |own: &InterfaceAddress| format!("{}/{}", own.address, own.prefix_bits);
    let left_out = (found.left_out > 0).then(|| format!("left out {}", found.left_out));
    found.addresses.iter().map(line).chain(left_out).collect::<Vec<String>>().join("\n")
}

/// The addresses of a host without IPv6 that has these routes beside those of its loopback interface.
fn check(routes: &[(&str, &str)], expected: &Expect) {
    let host = FakeHost::v2().unwrap();
    host.remove("proc/1/net/if_inet6").unwrap();
    let mut table = "Main:\n  +-- 0.0.0.0/0 3 0 4\n".to_owned();
    for (destination, route) in routes {
        write!(table, "     |-- {destination}\n        {route}\n").unwrap();
    }
    host.write(ROUTES, table.as_bytes()).unwrap();
    expected.assert_eq(&show(&host));
}

#[test]
fn both_families_are_found_with_their_prefixes() {
    expect![[r#"
        127.0.0.1/8
        192.0.2.2/24
        ::1/128
        fd00::2/64"#]]
    .assert_eq(&show(&FakeHost::v2().unwrap()));
}

#[test]
fn a_route_is_a_network_of_ours_when_it_has_a_broadcast_address() {
    // A tunnel to 10.0.0.0/8, and to everything; a point-to-point link with two addresses; an address within two networks.
    let routes = [
        ("0.0.0.0", "/0 link UNICAST"),
        ("0.0.0.0", "/1 link UNICAST"),
        ("10.0.0.0", "/8 link UNICAST"),
        ("10.8.0.2", "/32 host LOCAL"),
        ("10.9.0.4", "/31 link UNICAST"),
        ("10.9.0.5", "/32 host LOCAL"),
        ("172.16.0.0", "/12 link UNICAST"),
        ("172.17.0.0", "/16 link UNICAST"),
        ("172.17.0.1", "/32 host LOCAL"),
        ("172.17.255.255", "/32 link BROADCAST"),
        ("172.31.255.255", "/32 link BROADCAST"),
    ];
    check(
        &routes,
        &expect![[r#"
            10.8.0.2/32
            10.9.0.5/31
            172.17.0.1/16"#]],
    );
}

#[test]
fn a_destination_may_have_several_routes() {
    let routes = [
        ("198.51.100.0", "/24 link UNICAST\n        /25 universe UNICAST tos=8\n        /32 link BROADCAST"),
        ("198.51.100.1", "/32 universe UNICAST\n        /32 host LOCAL"),
        ("198.51.100.255", "/32 link BROADCAST"),
    ];
    check(&routes, &expect!["198.51.100.1/24"]);
}

#[test]
fn malformed_lines_are_passed_over() {
    let routes = [
        ("198.51.100.256", "/32 host LOCAL"),
        ("198.51.100.1.2", "/32 host LOCAL"),
        ("198.51.100.3", "/33 host LOCAL"),
        ("198.51.100.4", "/-1 host LOCAL"),
        ("198.51.100.5", "/32 host"),
        ("198.51.100.6", "/32 host LOCAL and more"),
    ];
    check(&routes, &expect!["198.51.100.6/32"]);
    let host = FakeHost::v2().unwrap();
    host.write(ROUTES, b"/32 host LOCAL\n|-- \xff\n/32 host LOCAL\n\0").unwrap();
    let v6 = b"\n01 02\n0000000000000000000000000000000g 01 80 10 80 lo\n1 01 80 10 80 lo\n\
               fd000000000000000000000000000001 01 81 10 80 lo\n\xff\xff\n\
               fd000000000000000000000000000002 01 80 10 80 lo\n";
    host.write("proc/1/net/if_inet6", v6).unwrap();
    expect!["fd00::2/128"].assert_eq(&show(&host));
}

#[test]
fn what_cannot_be_read_is_told_from_what_is_not_there() {
    let host = FakeHost::v2().unwrap();
    host.remove(ROUTES).unwrap();
    expect![[r#""ROOT/proc/1/net/fib_trie" is gone"#]].assert_eq(&show(&host));
}

#[test]
fn more_than_fits_is_counted() {
    let host = FakeHost::v2().unwrap();
    let mut table = String::new();
    for number in 0..2_000 {
        write!(table, "|-- 10.1.{}.{}\n/32 host LOCAL\n", number / 250, number % 250).unwrap();
    }
    host.write(ROUTES, table.as_bytes()).unwrap();
    let found = interface_addresses(&HostRoot::new(host.root())).unwrap();
    // Those of IPv6 come last, and so are among those left out.
    assert_eq!((found.addresses.len(), found.left_out), (ADDRESSES_MAX, 2_002 - ADDRESSES_MAX as u64));
    host.write(ROUTES, &vec![b'/'; ROUTES_BYTES_MAX + 1]).unwrap();
    let found = interface_addresses(&HostRoot::new(host.root())).unwrap();
    assert_eq!((found.addresses.len(), found.left_out), (2, 1));
}

#[test]
fn this_host_has_its_loopback_address() {
    let found = interface_addresses(&HostRoot::new("/")).unwrap();
    let loopback = InterfaceAddress { address: IpAddr::V4(Ipv4Addr::LOCALHOST), prefix_bits: 8 };
    assert!(found.addresses.contains(&loopback), "{found:?}");
}
