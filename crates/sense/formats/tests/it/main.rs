//! Hostile input for every parser: nothing panics, nothing is dropped without being counted, nothing kept without bound.
//!
//! Not here: what honest lines mean.

use formats::problem::{LINE_BYTES_MAX, PROBLEMS_MAX};
use formats::record::Parsed;
use formats::{binetflow, hubble, inspektor, suricata, zeek};
use proptest::prelude::*;

type Parser = fn(&[u8]) -> Parsed;

/// Each parser with two honest lines and what has to stand before them.
const PARSERS: [(&str, Parser, &str, [&str; 2]); 6] = [
    ("zeek columns", zeek::parse, ZEEK_HEADING, [ZEEK_COLUMNS, ZEEK_COLUMNS]),
    ("zeek json", zeek::parse, "", [ZEEK_CONN, ZEEK_DNS]),
    ("binetflow", binetflow::parse, ARGUS_HEADING, [ARGUS_FLOW, ARGUS_ARP]),
    ("suricata", suricata::parse, "", [EVE_FLOW, EVE_DNS]),
    ("hubble", hubble::parse, "", [HUBBLE_SYN, HUBBLE_DNS]),
    ("inspektor", inspektor::parse, "", [GADGET_PACKET, GADGET_CONNECT]),
];

const ZEEK_HEADING: &str = "#separator \\x09\n#path\tconn\n#fields\tts\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tconn_state\n";
const ZEEK_COLUMNS: &str = "1700000000.25\t10.0.0.5\t40000\t192.0.2.7\t443\ttcp\tSF";
const ZEEK_CONN: &str = r#"{"ts":1700000000.25,"id.orig_h":"10.0.0.5","id.orig_p":40000,"id.resp_h":"192.0.2.7","id.resp_p":443,"proto":"tcp","conn_state":"SF"}"#;
const ZEEK_DNS: &str = r#"{"_path":"dns","ts":5.0,"id.orig_h":"10.0.0.5","id.resp_h":"10.0.0.1","query":"x.example","qtype":1,"rcode":0,"answers":["192.0.2.1"]}"#;
const ARGUS_HEADING: &str =
    "StartTime,Dur,Proto,SrcAddr,Sport,Dir,DstAddr,Dport,State,TotPkts,TotBytes,SrcBytes,SrcPkts\n";
const ARGUS_FLOW: &str =
    "2024/01/31 10:00:00.5,1.0,tcp,10.0.0.5,40000,   ->,192.0.2.7,443,FSPA_FSPA,4,300,100,2";
const ARGUS_ARP: &str = "2024/01/31 10:00:00.5,1.0,arp,10.0.0.5,,who,10.0.0.7,,CON,2,120,60,1";
const EVE_FLOW: &str = r#"{"timestamp":"2024-01-31T10:00:09+0100","event_type":"flow","src_ip":"10.0.0.5","src_port":40000,"dest_ip":"192.0.2.7","dest_port":443,"proto":"TCP","flow":{"pkts_toserver":1,"pkts_toclient":1,"start":"2024-01-31T10:00:00+0100"},"tcp":{"tcp_flags_tc":"1b"}}"#;
const EVE_DNS: &str = r#"{"timestamp":"2024-01-31T10:00:09+0100","event_type":"dns","src_ip":"10.0.0.5","src_port":40000,"dest_ip":"10.0.0.1","dest_port":53,"proto":"UDP","dns":{"type":"answer","rrname":"x.example","rrtype":"A","rcode":"NOERROR","answers":[{"rdata":"192.0.2.1"}]}}"#;
const HUBBLE_SYN: &str = r#"{"flow":{"time":"2024-01-31T10:00:00Z","verdict":"FORWARDED","IP":{"source":"10.0.0.5","destination":"10.0.0.7"},"l4":{"TCP":{"source_port":40000,"destination_port":80,"flags":{"SYN":true}}}}}"#;
const HUBBLE_DNS: &str = r#"{"flow":{"time":"2024-01-31T10:00:00Z","verdict":"FORWARDED","IP":{"source":"10.0.0.5","destination":"10.0.0.1"},"l4":{"UDP":{"source_port":40000,"destination_port":53}},"l7":{"type":"REQUEST","dns":{"query":"x.example.","qtypes":["A"]}}}}"#;
const GADGET_PACKET: &str = r#"{"type":"normal","namespace":"shop","pod":"web","pktType":"OUTGOING","proto":"udp","ip":"10.96.0.10","port":53,"remoteNamespace":"kube-system","remoteName":"kube-dns"}"#;
const GADGET_CONNECT: &str = r#"{"type":"connect","port":50051,"local_pod_namespace":"shop","local_pod_name":"web","remote_pod_namespace":"shop","remote_pod_name":"pay"}"#;

fn accounted(parsed: &Parsed) -> u64 {
    parsed.records + parsed.others + parsed.problems.count
}

/// Lines that each must be a record, another's, or a problem.
fn lines_of(bytes: &[u8]) -> u64 {
    let is_told = |line: &&[u8]| !line.iter().all(u8::is_ascii_whitespace);
    bytes.split(|&byte| byte == b'\n').filter(is_told).count() as u64
}

/// A problem whose line is the only one that is bad, beside the two honest lines around it.
fn check_one_bad(bad: &[u8]) {
    for (name, parse, heading, [first, second]) in PARSERS {
        let honest = parse(format!("{heading}{first}\n{second}\n").as_bytes());
        assert_eq!((accounted(&honest), honest.problems.count), (2, 0), "{name}: {:?}", honest.problems);
        let mut log = format!("{heading}{first}\n").into_bytes();
        log.extend_from_slice(bad);
        log.extend_from_slice(format!("\n{second}\n").as_bytes());
        let parsed = parse(&log);
        assert_eq!(
            (parsed.problems.count, parsed.records),
            (1, honest.records),
            "{name}: {:?}",
            parsed.problems
        );
        let line = heading.lines().count() as u64 + 2;
        assert_eq!(parsed.problems.kept[0].line, line, "{name}");
        assert!(parsed.problems.kept[0].to_string().len() < 1_000, "{name}");
    }
}

#[test]
fn a_line_of_a_megabyte_is_told_and_the_next_is_read() {
    check_one_bad(&vec![b'x'; 1 << 20]);
    check_one_bad(format!("{{\"event_type\":\"{}\"}}", "x".repeat(LINE_BYTES_MAX)).as_bytes());
}

#[test]
fn json_that_nests_deeply_is_told_and_overflows_no_stack() {
    for open in ["[", "{\"a\":"] {
        check_one_bad(format!("{{\"flow\":{}", open.repeat(20_000)).as_bytes());
        check_one_bad(format!("{{\"event_type\":\"flow\",\"k8s\":{}", open.repeat(20_000)).as_bytes());
    }
    let array = "[".repeat(200_000);
    assert_eq!(inspektor::parse(array.as_bytes()).problems.count, 1);
}

#[test]
fn bytes_that_are_no_text_are_told() {
    check_one_bad(&[0xff, 0xfe, 0x00]);
    check_one_bad(&[0; 100]);
    check_one_bad(b"{\"event_type\":\"\xc3\x28\"}");
}

#[test]
fn of_a_flood_of_bad_lines_a_few_are_kept_and_all_are_counted() {
    let flood = "bad\n".repeat(100_000);
    for (name, parse, ..) in PARSERS {
        let parsed = parse(flood.as_bytes());
        assert_eq!((parsed.problems.count, parsed.problems.kept.len()), (100_000, PROBLEMS_MAX), "{name}");
    }
}

#[test]
fn numbers_out_of_range_are_told() {
    for number in ["-1", "65536", "1e400", "99999999999999999999999", "null", "\"\"", "[]"] {
        for (name, parse, line, port) in [
            ("zeek", zeek::parse as Parser, ZEEK_CONN, "443"),
            ("suricata", suricata::parse, EVE_FLOW, "443"),
            ("hubble", hubble::parse, HUBBLE_SYN, "80"),
            ("inspektor", inspektor::parse, GADGET_PACKET, "53"),
        ] {
            let parsed = parse(line.replace(&format!(":{port}"), &format!(":{number}")).as_bytes());
            assert_eq!((parsed.problems.count, parsed.flows.len()), (1, 0), "{name}: {number}");
        }
    }
}

#[test]
fn a_file_cut_anywhere_gives_what_was_whole() {
    for (name, parse, heading, [first, second]) in PARSERS {
        let log = format!("{heading}{first}\n{second}");
        let before = parse(format!("{heading}{first}\n").as_bytes()).records;
        for cut in heading.len() + first.len() + 1..log.len() {
            let parsed = parse(&log.as_bytes()[..cut]);
            assert!(parsed.records >= before, "{name} at {cut}");
            assert!(accounted(&parsed) <= 2, "{name} at {cut}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_at_all_are_survived_and_accounted_for(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        for (_, parse, ..) in PARSERS {
            let parsed = parse(&bytes);
            let is_array = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
            prop_assert!(is_array || accounted(&parsed) <= lines_of(&bytes));
            prop_assert!(parsed.problems.kept.len() <= PROBLEMS_MAX);
        }
    }

    #[test]
    fn honest_lines_with_bytes_changed_are_each_counted_once(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8)
    ) {
        for (name, parse, heading, lines) in PARSERS {
            let mut body = lines.join("\n").into_bytes();
            for (at, byte) in &changes {
                // A new line end would make more lines, a `#` or a heading's first letters fewer.
                let at = at.index(body.len());
                if body[at] != b'\n' && !b"\n\r#Ss[".contains(byte) {
                    body[at] = *byte;
                }
            }
            let mut log = heading.as_bytes().to_vec();
            log.extend_from_slice(&body);
            prop_assert_eq!(accounted(&parse(&log)), lines_of(&body), "{}", name);
        }
    }
}
