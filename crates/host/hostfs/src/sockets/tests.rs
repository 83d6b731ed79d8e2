//! Tables of made-up processes and of this one.

use std::fmt::Write;
use std::net::{TcpListener, TcpStream, UdpSocket};

use expect_test::{Expect, expect};
use testkit::host_tree::FakeHost;

use super::*;

const HEADING: &str =
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

fn row(local: &str, remote: &str, state: &str, inode: u32) -> String {
    format!(
        "   0: {local} {remote} {state} 00000000:00000000 00:00000000 00000000     0        0 {inode} 1 0 100 0 0 10 0\n"
    )
}

fn host(tables: &[(&str, String)]) -> FakeHost {
    let host = FakeHost::v2().unwrap();
    for (name, rows) in tables {
        host.write(&format!("proc/70/net/{name}"), format!("{HEADING}{rows}").as_bytes()).unwrap();
    }
    host
}

fn show(host: &FakeHost) -> String {
    let root = host.root().display().to_string();
    match listening(&HostRoot::new(host.root()), 70) {
        Err(error) => error.to_string().replace(&root, "ROOT"),
        Ok(found) => {
            let mut shown = String::new();
            for listener in &found.listeners {
                let Listener { protocol, address, inode } = listener;
                writeln!(shown, "{protocol} {address} {inode}").unwrap();
            }
            shown + &format!("left out {}", found.left_out)
        }
    }
}

fn check(tables: &[(&str, String)], expected: &Expect) {
    expected.assert_eq(&show(&host(tables)));
}

const NOBODY: &str = "00000000:0000";
const NOBODY_V6: &str = "00000000000000000000000000000000:0000";

#[test]
fn what_waits_is_told_from_what_is_connected() {
    let tcp = row("00000000:1F90", NOBODY, "0A", 11)
        + &row("0100007F:0CEA", NOBODY, "0A", 12)
        + &row("0200000A:B2F6", "0101A8C0:01BB", "01", 13)
        + &row("0200000A:B2F7", "0101A8C0:01BB", "06", 0);
    let tcp6 = row("B80D0120000000000000000001000000:0050", NOBODY_V6, "0A", 14);
    let udp = row("00000000:0035", NOBODY, "07", 15)
        + &row("0200000A:8001", "0101A8C0:0035", "01", 16)
        + &row("00000000:0000", NOBODY, "07", 17);
    let udp6 = row("00000000000000000000000000000000:14E9", NOBODY_V6, "07", 18);
    check(
        &[("tcp", tcp), ("tcp6", tcp6), ("udp", udp), ("udp6", udp6)],
        &expect![[r#"
            tcp 0.0.0.0:8080 11
            tcp 127.0.0.1:3306 12
            tcp [2001:db8::1]:80 14
            udp 0.0.0.0:53 15
            udp [::]:5353 18
            left out 0"#]],
    );
}

#[test]
fn without_ipv6_there_are_two_tables_and_without_a_process_none() {
    check(&[("tcp", String::new()), ("udp", String::new())], &expect!["left out 0"]);
    check(&[], &expect![[r#""ROOT/proc/70/net/tcp" is gone"#]]);
}

#[test]
fn a_table_is_read_when_there_are_sockets_in_it_or_nobody_says_how_many() {
    let listens = |port: &str| row(&format!("00000000:{port}"), NOBODY, "0A", 1);
    let host = host(&[("tcp", listens("0050")), ("udp", row("00000000:0035", NOBODY, "07", 2))]);
    let statistics = |text: &str| host.write("proc/70/net/sockstat", text.as_bytes()).unwrap();
    statistics("sockets: used 4\nTCP: inuse 0 orphan 0 tw 5 alloc 3 mem 350\nUDP: inuse 1 mem 0\n");
    expect![[r#"
        udp 0.0.0.0:53 2
        left out 0"#]]
    .assert_eq(&show(&host));
    statistics("TCP: inuse x\nUDP: inuse 0 mem 0\nUDPLITE: inuse 0\n");
    expect![[r#"
        tcp 0.0.0.0:80 1
        left out 0"#]]
    .assert_eq(&show(&host));
}

#[test]
fn malformed_rows_are_passed_over() {
    let mut rows = String::new();
    for local in
        ["", ":", "0100007F", "0100007F:", "0100007F:1", "0100007F:+123", "0100007:0050", "0100007G:0050"]
    {
        rows += &row(local, NOBODY, "0A", 1);
    }
    rows +=
        "   0: 0100007F:0050 00000000:0000 0A\n   0: 0100007F:0050 00000000:0000 0A 0 0 0 0 0 x\n\u{fffd}\n";
    rows += &row("0100007F:0050", NOBODY, "0A", 2);
    check(
        &[("tcp", rows), ("udp", String::new())],
        &expect![[r#"
            tcp 127.0.0.1:80 2
            left out 0"#]],
    );
}

#[test]
fn more_than_fits_is_counted() {
    let listens: String =
        (1..=300).map(|port| row(&format!("00000000:{port:04X}"), NOBODY, "0A", port)).collect();
    let connected = row("0200000A:B2F6", "0101A8C0:01BB", "01", 9);
    let many = connected.repeat(2 * TABLE_BYTES_MAX / connected.len());
    let counts = |tables: &[(&str, String)]| {
        let found = listening(&HostRoot::new(host(tables).root()), 70).unwrap();
        (found.listeners.len(), found.left_out)
    };
    let none = || ("udp", String::new());
    assert_eq!(counts(&[("tcp", listens), none()]), (LISTENERS_MAX, 300 - LISTENERS_MAX as u64));
    let few = row("00000000:0050", NOBODY, "0A", 1);
    assert_eq!(counts(&[("tcp", few.clone() + &many), none()]), (1, 0), "those that listen come first");
    let endless = few.repeat(2 * TABLE_BYTES_MAX / few.len());
    let (kept, left_out) = counts(&[("tcp", endless), none()]);
    assert!(kept == LISTENERS_MAX && left_out > 1_000, "{kept} {left_out}");
    assert_eq!(counts(&[("tcp", String::new()), ("udp", many)]), (0, 1));
}

#[test]
fn packet_sockets_are_counted_below_their_heading() {
    const HEADING: &str = "sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n";
    const SOCKET: &str = "00000000f3a1b2c4 3      3    0003   0     1 0      0      21833\n";
    let count = |table: &str| {
        let host = FakeHost::v2().unwrap();
        host.write("proc/70/net/packet", table.as_bytes()).unwrap();
        packet_sockets(&HostRoot::new(host.root()), 70).ok()
    };
    assert_eq!(count(HEADING), Some(0));
    assert_eq!(count(&(HEADING.to_owned() + SOCKET + SOCKET)), Some(2));
    assert_eq!(count(""), None);
    let many = count(&(HEADING.to_owned() + &SOCKET.repeat(50_000))).unwrap();
    assert!((PACKET_SOCKETS_MAX..50_000).contains(&many), "{many}");
    let host = FakeHost::v2().unwrap();
    assert!(packet_sockets(&HostRoot::new(host.root()), 70).unwrap_err().is_gone());
}

#[test]
fn the_sockets_of_this_process_are_found() {
    let (root, pid) = (HostRoot::new("/"), std::process::id());
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let _connected = TcpStream::connect(tcp.local_addr().unwrap()).unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let found = listening(&root, pid).unwrap();
    let waits = |protocol, address| {
        found.listeners.iter().filter(|found| (found.protocol, found.address) == (protocol, address)).count()
    };
    assert_eq!(waits(Protocol::TCP, tcp.local_addr().unwrap()), 1, "{found:?}");
    assert_eq!(waits(Protocol::UDP, udp.local_addr().unwrap()), 1, "{found:?}");
    assert!(packet_sockets(&root, pid).is_ok());
}
