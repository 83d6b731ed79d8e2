//! Questions and answers against the bytes that Linux 6.18 took and gave, and against broken ones.

use std::fmt::Write;

use expect_test::{Expect, expect};

use super::*;

/// A connection from 10.97.1.2 to port 8080 of 10.97.1.1, which is 10.97.2.2's port 80 and sees 10.97.2.1; the answer to
/// the first question.
const V4_ENTRY: &str = "d40000000001020001000000d3480000020000003400018014000180080001000a610102080002000a6101011c000280\
     050001000600000006000200902c0000060003001f9000003400028014000180080001000a610202080002000a610201\
     1c0002800500010006000000060002000050000006000300902c000008000300000001be080008000000000008000c00\
     1476147208000b00000000020800070000069780300004802c0001800500010003000000050002000a00000005000300\
     0a00000006000400230000000600050023000000";

/// Likewise, of fd97:0:0:1::2; the answer to the third.
const V6_ENTRY: &str = "040100000001020003000000d34800000a0000004c0001802c00018014000300fd970000000000010000000000000002\
     14000400fd9700000000000100000000000000011c000280050001000600000006000200a68c0000060003001f900000\
     4c0002802c00018014000300fd97000000000002000000000000000214000400fd970000000000020000000000000001\
     1c0002800500010006000000060002000050000006000300a68c000008000300000001be080008000000000008000c00\
     2b2a5f3a08000b00000000020800070000069780300004802c0001800500010003000000050002000a00000005000300\
     0a00000006000400230000000600050023000000";

/// There is no such connection; the answer to the first.
const NO_ENTRY: &str = "5c0000000200000001000000d3480000feffffff48000000010101000100000000000000020000003400018014000180\
     080001000a610102080002000a6101011c00028005000100110000000600020088140000060003001f900000";

fn bytes(hex: &str) -> Vec<u8> {
    let digits = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digits).collect()
}

fn tuple(protocol: Protocol, source: &str, destination: &str) -> Tuple {
    Tuple::new(protocol, source.parse().unwrap(), destination.parse().unwrap()).unwrap()
}

/// In lines of 16 bytes.
fn show(bytes: &[u8]) -> String {
    let mut shown = String::new();
    for line in bytes.chunks(16) {
        line.iter().for_each(|byte| write!(shown, "{byte:02x} ").unwrap());
        shown.truncate(shown.trim_end().len());
        shown.push('\n');
    }
    shown
}

fn check_answer(hex: &str, sequence: u32, expected: &Expect) {
    let line = |tuple: Tuple| format!("{} {} -> {}", tuple.protocol, tuple.source, tuple.destination);
    let shown = match answer(&bytes(hex), sequence) {
        None => "to another question".to_owned(),
        Some(Ok(None)) => "no entry".to_owned(),
        Some(Ok(Some(entry))) => format!("{}, answered by {}", line(entry.original), line(entry.reply)),
        Some(Err(error)) => error.to_string(),
    };
    expected.assert_eq(&shown);
}

#[test]
fn questions_are_what_the_kernel_takes() {
    let v4 = tuple(Protocol::TCP, "10.97.1.2:36908", "10.97.1.1:8080");
    expect![[r#"
        48 00 00 00 01 01 01 00 01 00 00 00 00 00 00 00
        02 00 00 00 34 00 01 80 14 00 01 80 08 00 01 00
        0a 61 01 02 08 00 02 00 0a 61 01 01 1c 00 02 80
        05 00 01 00 06 00 00 00 06 00 02 00 90 2c 00 00
        06 00 03 00 1f 90 00 00
    "#]]
    .assert_eq(&show(&question(Side::Original, v4, 1)));
    let v6 = tuple(Protocol::UDP, "[fd97::2]:53", "[fd97::1]:36908");
    expect![[r#"
        60 00 00 00 01 01 01 00 04 03 02 01 00 00 00 00
        0a 00 00 00 4c 00 02 80 2c 00 01 80 14 00 03 00
        fd 97 00 00 00 00 00 00 00 00 00 00 00 00 00 02
        14 00 04 00 fd 97 00 00 00 00 00 00 00 00 00 00
        00 00 00 01 1c 00 02 80 05 00 01 00 11 00 00 00
        06 00 02 00 00 35 00 00 06 00 03 00 90 2c 00 00
    "#]]
    .assert_eq(&show(&question(Side::Reply, v6, 0x0102_0304)));
}

#[test]
fn answers_are_read_as_the_kernel_gives_them() {
    check_answer(
        V4_ENTRY,
        1,
        &expect!["tcp 10.97.1.2:36908 -> 10.97.1.1:8080, answered by tcp 10.97.2.2:80 -> 10.97.2.1:36908"],
    );
    check_answer(
        V6_ENTRY,
        3,
        &expect![
            "tcp [fd97:0:0:1::2]:42636 -> [fd97:0:0:1::1]:8080, answered by tcp [fd97:0:0:2::2]:80 -> [fd97:0:0:2::1]:42636"
        ],
    );
    check_answer(NO_ENTRY, 1, &expect!["no entry"]);
    check_answer(V4_ENTRY, 2, &expect!["to another question"]);
}

#[test]
fn a_refusal_is_an_error_with_the_kernel_s_reason() {
    let not_permitted = NO_ENTRY.replacen("feffffff", "ffffffff", 1);
    check_answer(&not_permitted, 1, &expect!["connection tracking: Operation not permitted (os error 1)"]);
    check_answer(
        &NO_ENTRY.replacen("feffffff", "00000000", 1),
        1,
        &expect!["connection tracking: Success (os error 0)"],
    );
}

#[test]
fn what_is_no_answer_is_malformed() {
    check_answer(
        "",
        1,
        &expect![
            "connection tracking: the answer is malformed: invalid netlink buffer length caused by invalid netlink buffer: length is 0 but netlink packets are at least 16 bytes"
        ],
    );
    check_answer(
        &V4_ENTRY[..96],
        1,
        &expect![
            "connection tracking: the answer is malformed: invalid netlink buffer length caused by invalid netlink buffer: length field says 212 the buffer is 48 bytes long"
        ],
    );
    // Another subsystem's message, an entry without its second tuple, and a tuple without its addresses.
    check_answer(
        &V4_ENTRY.replacen("00010200", "00050200", 1),
        1,
        &expect![
            "connection tracking: the answer is malformed: Failed to parse message with type 1280: no entry"
        ],
    );
    check_answer(
        &V4_ENTRY.replacen("34000280", "34003280", 1),
        1,
        &expect![
            "connection tracking: the answer is malformed: Failed to parse message with type 256: an entry lacks one of its tuples"
        ],
    );
    check_answer(
        &V4_ENTRY.replacen("14000180", "14003180", 1),
        1,
        &expect![
            "connection tracking: the answer is malformed: Failed to parse message with type 256: a tuple lacks an address or its protocol"
        ],
    );
    // The end of a list of many, which was not asked for.
    check_answer(
        "14000000030002000100000000000000fffffeff",
        1,
        &expect!["connection tracking: the answer is malformed: neither an entry nor a refusal"],
    );
}

#[test]
fn no_broken_answer_does_harm() {
    for whole in [V4_ENTRY, V6_ENTRY, NO_ENTRY].map(bytes) {
        for end in 0..whole.len() {
            // Cut, and cut with a header that agrees.
            drop(answer(&whole[..end], 1));
            let mut cut = whole[..end].to_vec();
            if let Some(length) = cut.get_mut(..4) {
                length.copy_from_slice(&u32::try_from(end).unwrap().to_ne_bytes());
            }
            drop(answer(&cut, 1));
        }
        for at in 0..whole.len() {
            for value in [0, 1, 3, 4, 5, 0x7f, 0x80, 0xff] {
                let mut changed = whole.clone();
                changed[at] = value;
                let sequence = u32::from_ne_bytes(changed[8..12].try_into().unwrap());
                drop(answer(&changed, sequence));
            }
        }
    }
}

#[test]
fn only_what_is_tracked_by_ports_can_be_asked_about() {
    let new = |protocol, source: &str, destination: &str| {
        Tuple::new(protocol, source.parse().unwrap(), destination.parse().unwrap())
    };
    assert_eq!(new(Protocol::ICMP, "10.0.0.1:0", "10.0.0.2:0"), None);
    assert_eq!(new(Protocol::TCP, "10.0.0.1:1", "[fd97::1]:2"), None);
    assert_eq!(
        new(Protocol::TCP, "[::ffff:10.0.0.1]:1", "[::ffff:10.0.0.2]:2"),
        new(Protocol::TCP, "10.0.0.1:1", "10.0.0.2:2"),
    );
    assert!(new(Protocol::SCTP, "10.0.0.1:1", "10.0.0.2:2").is_some());
}
