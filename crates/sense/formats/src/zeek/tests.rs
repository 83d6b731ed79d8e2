//! Zeek's logs in both forms, whole and broken.

use std::time::Duration;

use model::time::Time;
use model::traffic::Protocol;

use crate::problem::Reason;
use crate::record::{Outcome, Parsed};

use super::{parse, parse_any};

const CONN_FIELDS: &str = "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tconn\n\
    #fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tduration\torig_bytes\tresp_bytes\tconn_state\t\
    orig_pkts\tresp_pkts\n#types\ttime\tstring\taddr\tport\taddr\tport\tenum\tinterval\tcount\tcount\tstring\tcount\tcount\n";

const DNS_FIELDS: &str = "#separator \\x09\n#path\tdns\n#fields\tts\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\t\
    trans_id\trtt\tquery\tqtype\trcode\tanswers\trejected\n";

fn conn(rows: &[&str]) -> Parsed {
    parse(
        format!("{CONN_FIELDS}{}\n", rows.join("\n"))
            .replace(' ', "\t")
            .replace("#separator\t", "#separator ")
            .as_bytes(),
    )
}

fn reasons(parsed: &Parsed) -> Vec<(u64, String)> {
    parsed.problems.kept.iter().map(|problem| (problem.line, problem.reason.to_string())).collect()
}

#[test]
fn columns_and_json_tell_the_same_connection() {
    let columns = conn(&["1700000000.250000 C1 10.0.0.5 40000 192.0.2.7 443 tcp 1.500000 100 2000 SF 4 5"]);
    let json = parse(
        br#"{"ts":1700000000.25,"uid":"C1","id.orig_h":"10.0.0.5","id.orig_p":40000,"id.resp_h":"192.0.2.7",
            "id.resp_p":443,"proto":"tcp","duration":1.5,"orig_bytes":100,"resp_bytes":2000,"conn_state":"SF",
            "orig_pkts":4,"resp_pkts":5,"community_id":"1:x","added_later":{"deep":[1]}}"#
            .map(|byte| if byte == b'\n' { b' ' } else { byte })
            .as_slice(),
    );
    assert_eq!(columns.flows, json.flows);
    assert_eq!((columns.problems.count, json.problems.count), (0, 0), "{:?}", json.problems);
    let [flow] = &columns.flows[..] else { panic!("{columns:?}") };
    assert_eq!(flow.at, Some(Time::from_ns(1_700_000_000_250_000_000)));
    assert_eq!(flow.source.socket(), Some("10.0.0.5:40000".parse().unwrap()));
    assert_eq!(flow.destination.socket(), Some("192.0.2.7:443".parse().unwrap()));
    assert_eq!(
        (flow.sent_bytes, flow.received_bytes, flow.sent_packets, flow.received_packets),
        (100, 2000, 4, 5)
    );
    assert_eq!((flow.outcome, flow.lasted), (Outcome::Made, Duration::from_millis(1500)));
}

#[test]
fn the_state_of_a_connection_decides_how_it_went() {
    let states = [
        ("SF", Outcome::Made),
        ("S1", Outcome::Made),
        ("S2", Outcome::Made),
        ("S3", Outcome::Made),
        ("RSTO", Outcome::Made),
        ("RSTR", Outcome::Made),
        ("REJ", Outcome::Refused),
        ("S0", Outcome::Unanswered),
        ("SH", Outcome::Unanswered),
        ("RSTOS0", Outcome::Unanswered),
        ("OTH", Outcome::Unknown),
        ("SHR", Outcome::Unknown),
        ("RSTRH", Outcome::Unknown),
        ("-", Outcome::Unknown),
        ("ODD", Outcome::Unknown),
    ];
    for (state, outcome) in states {
        let parsed = conn(&[&format!("5.0 C1 10.0.0.5 1 192.0.2.7 2 tcp - - - {state} - -")]);
        assert_eq!(parsed.flows.first().map(|flow| flow.outcome), Some(outcome), "{state}");
    }
}

#[test]
fn a_question_and_its_answer_are_two_records() {
    let row = "5.0\t10.0.0.5\t5353\t10.0.0.1\t53\tudp\t7\t0.25\tshop.example\t1\t0\tcdn.example,192.0.2.1,192.0.2.2\tF";
    let parsed = parse(format!("{DNS_FIELDS}{row}\n").as_bytes());
    let [question, answer] = &parsed.names[..] else { panic!("{parsed:?}") };
    assert_eq!((question.is_answer, question.record_type, question.name.raw()), (false, 1, "shop.example"));
    assert_eq!(answer.at, Some(Time::from_ns(5_250_000_000)));
    let addresses: Vec<String> = answer.addresses.iter().map(ToString::to_string).collect();
    assert_eq!((answer.is_answer, addresses), (true, vec!["192.0.2.1".to_owned(), "192.0.2.2".to_owned()]));
    assert_eq!((parsed.records, parsed.flows.len()), (1, 0));
}

#[test]
fn a_question_without_an_answer_is_one_record_and_an_answer_without_a_name_is_none() {
    let rows = "5.0\t10.0.0.5\t5353\t10.0.0.1\t53\tudp\t7\t-\tgone.example\t16\t-\t-\tF\n\
        6.0\t10.0.0.5\t5353\t10.0.0.1\t53\tudp\t8\t-\t-\t-\t0\t-\tF\n";
    let parsed = parse(format!("{DNS_FIELDS}{rows}").as_bytes());
    assert_eq!((parsed.names.len(), parsed.records, parsed.others, parsed.problems.count), (1, 1, 1, 0));
}

#[test]
fn json_without_a_path_is_known_by_its_fields() {
    let name = r#"{"ts":"2024-01-31T00:00:00.000001Z","id.orig_h":"fd00::5","id.orig_p":1,"id.resp_h":"fd00::1",
        "id.resp_p":53,"proto":"udp","trans_id":1,"query":"x.example.","qtype":28,"rejected":false}"#;
    let parsed = parse(name.replace('\n', " ").as_bytes());
    assert_eq!(parsed.names.first().map(|name| name.name.raw()), Some("x.example"), "{parsed:?}");
    let other = br#"{"ts":5.0,"host":"10.0.0.5","port_num":80}"#;
    assert_eq!((parse(other).others, parse(other).problems.count), (1, 0));
}

#[test]
fn a_log_of_a_service_gives_flows_only_on_request() {
    let log = b"#separator \\x09\n#path\tntp\n#fields\tts\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\n\
        5.0\t10.0.0.5\t123\t192.0.2.1\t123\n";
    assert_eq!((parse(log).flows.len(), parse(log).others), (0, 1));
    let any = parse_any(log);
    assert_eq!(
        any.flows.first().map(|flow| (flow.protocol, flow.outcome)),
        Some((Protocol::UDP, Outcome::Unknown))
    );
}

#[test]
fn a_cut_line_and_rows_without_their_heading_are_problems_with_their_lines() {
    let whole = "5.0 C1 10.0.0.5 1 192.0.2.7 2 tcp 1.0 1 1 SF 1 1";
    let parsed = conn(&[whole, &whole[..20]]);
    assert_eq!(reasons(&parsed), [(9, "5 columns instead of 13".to_owned())]);
    assert_eq!(parsed.flows.len(), 1);
    let headless = parse(b"5.0\tC1\t10.0.0.5\n");
    assert_eq!(reasons(&headless), [(1, "no line before it names the columns".to_owned())]);
    let cut = parse(br#"{"ts":5.0,"id.orig_h":"10.0.0"#);
    assert_eq!((cut.problems.count, cut.flows.len()), (1, 0));
    assert!(matches!(cut.problems.kept[0].reason, Reason::Json(_)));
}

#[test]
fn values_that_cannot_be_are_named() {
    let cases = [
        ("5.0 C1 10.0.0.5 93145 192.0.2.7 2 tcp - - - SF - -", "id.orig_p is \"93145\""),
        ("5.0 C1 10.0.0.500 1 192.0.2.7 2 tcp - - - SF - -", "id.orig_h is \"10.0.0.500\""),
        ("5.0 C1 10.0.0.5 1 192.0.2.7 2 tcp -1 - - SF - -", "duration is \"-1\""),
        (
            "5.0 C1 10.0.0.5 1 192.0.2.7 2 tcp 1 18446744073709551616 - SF - -",
            "orig_bytes is \"18446744073709551616\"",
        ),
        ("never C1 10.0.0.5 1 192.0.2.7 2 tcp - - - SF - -", "ts is \"never\""),
        ("5.0 C1 10.0.0.5 1 - 2 tcp - - - SF - -", "no id.resp_h"),
        ("5.0 C1 10.0.0.5 1 192.0.2.7 2 odd - - - SF - -", "proto is \"odd\""),
        ("5.0 C1 10.0.0.5 1 192.0.2.7 2 unknown_transport - - - SF - -", "no ip_proto"),
        ("5.0 C1 10.0.0.5\0 1 192.0.2.7 2 tcp - - - SF - -", "id.orig_h is \"10.0.0.5\\u{0}\""),
    ];
    for (row, reason) in cases {
        assert_eq!(reasons(&conn(&[row])), [(8, reason.to_owned())], "{row}");
    }
}

#[test]
fn control_messages_have_no_ports() {
    let parsed = conn(&[
        "5.0 C1 10.0.0.5 8 192.0.2.7 0 icmp - - - S0 - -",
        "5.0 C1 fd00::5 128 fd00::7 129 icmp - - - SF - -",
    ]);
    let told: Vec<_> =
        parsed.flows.iter().map(|flow| (flow.protocol, flow.source.port, flow.destination.port)).collect();
    assert_eq!(told, [(Protocol::ICMP, 0, 0), (Protocol::ICMPV6, 0, 0)]);
}

#[test]
fn logs_joined_end_to_end_have_a_heading_each() {
    let both = format!(
        "{CONN_FIELDS}5.0\tC1\t10.0.0.5\t1\t192.0.2.7\t2\ttcp\t-\t-\t-\tSF\t-\t-\n{DNS_FIELDS}5.0\t10.0.0.5\t1\t10.0.0.1\t53\t\
        udp\t7\t-\tx.example\t1\t-\t-\tF\n#close\t2024-01-31-00-00-00\n"
    );
    let parsed = parse(both.as_bytes());
    assert_eq!((parsed.flows.len(), parsed.names.len(), parsed.problems.count), (1, 1, 0), "{parsed:?}");
}

#[test]
fn milliseconds_are_told_from_seconds() {
    let log = br#"{"ts":1700000000250.0,"id.orig_h":"10.0.0.5","id.orig_p":1,"id.resp_h":"192.0.2.7","id.resp_p":2,"proto":"tcp","conn_state":"SF"}"#;
    assert_eq!(parse(log).flows[0].at, Some(Time::from_ns(1_700_000_000_250_000_000)));
}
