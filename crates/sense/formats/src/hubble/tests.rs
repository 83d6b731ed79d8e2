//! Packets as Hubble tells of them, joined.

use crate::record::{Outcome, Parsed};

use super::parse;

const OPENER: (&str, u16) = ("10.0.0.5", 40_000);
const SERVER: (&str, u16) = ("10.0.0.7", 80);

struct Told<'a> {
    second: u32,
    from: (&'a str, u16),
    to: (&'a str, u16),
    flags: &'a str,
    more: &'a str,
}

fn line(told: &Told<'_>) -> String {
    let flags: Vec<String> = told.flags.split_whitespace().map(|flag| format!("\"{flag}\":true")).collect();
    let (flags, ((source, source_port), (destination, port))) = (flags.join(","), (told.from, told.to));
    let (second, more) = (told.second, told.more);
    format!(
        r#"{{"flow":{{"time":"2024-01-31T10:00:{second:02}.5Z","IP":{{"source":"{source}","destination":"{destination}"}},"l4":{{"TCP":{{"source_port":{source_port},"destination_port":{port},"flags":{{{flags}}}}}}}{more}}},"node_name":"n"}}"#
    )
}

fn forth(flags: &str, more: &str) -> String {
    line(&Told { second: 1, from: OPENER, to: SERVER, flags, more })
}

fn back(flags: &str, more: &str) -> String {
    line(&Told { second: 3, from: SERVER, to: OPENER, flags, more })
}

fn check(lines: &[String]) -> Parsed {
    let parsed = parse(lines.join("\n").as_bytes());
    assert_eq!(parsed.problems.count, 0, "{:?}", parsed.problems);
    parsed
}

#[test]
fn packets_of_one_connection_are_one_flow_opened_by_who_sent_the_first() {
    let parsed = check(&[
        forth("SYN", r#","verdict":"FORWARDED","is_reply":false"#),
        back("SYN ACK", r#","verdict":"FORWARDED","is_reply":true"#),
        forth("ACK", r#","verdict":"FORWARDED""#),
    ]);
    let [flow] = &parsed.flows[..] else { panic!("{parsed:?}") };
    assert_eq!(flow.source.socket().map(|socket| socket.to_string()).as_deref(), Some("10.0.0.5:40000"));
    assert_eq!((flow.outcome, flow.lasted.as_secs(), parsed.records), (Outcome::Made, 2, 3));
}

#[test]
fn an_answer_alone_names_who_opened() {
    for more in [r#","verdict":"FORWARDED","reply":true"#, r#","verdict":"FORWARDED""#] {
        let parsed = check(&[back("ACK FIN", more)]);
        let [flow] = &parsed.flows[..] else { panic!("{parsed:?}") };
        assert_eq!((flow.destination.port, flow.outcome), (80, Outcome::Made), "{more}");
    }
}

#[test]
fn a_reset_to_an_attempt_and_a_drop_are_refusals_and_silence_is_not() {
    let forwarded = r#","verdict":"FORWARDED""#;
    let dropped = r#","verdict":"DROPPED","drop_reason":133,"is_reply":false"#;
    let cases = [
        (vec![forth("SYN", forwarded)], Outcome::Unknown),
        (vec![forth("SYN", forwarded), back("RST ACK", forwarded)], Outcome::Refused),
        (vec![forth("SYN", dropped)], Outcome::Refused),
        (vec![forth("SYN", forwarded), back("SYN ACK", forwarded), back("RST", forwarded)], Outcome::Made),
        (vec![back("RST", forwarded)], Outcome::Unknown),
        (vec![forth("ACK PSH", forwarded), forth("SYN", dropped)], Outcome::Made),
    ];
    for (lines, outcome) in cases {
        assert_eq!(check(&lines).flows[0].outcome, outcome, "{lines:?}");
    }
}

#[test]
fn ends_have_the_names_that_cilium_knows() {
    let more = r#","verdict":"FORWARDED","source":{"namespace":"shop","pod_name":"web-1","labels":["k8s:app=web"]},"destination":{"labels":["reserved:world"]}"#;
    let parsed = check(&[forth("SYN", more)]);
    let names = [&parsed.flows[0].source, &parsed.flows[0].destination].map(|end| end.name.raw());
    assert_eq!(names, ["shop/web-1", "reserved:world"]);
    let named = check(&[forth("SYN", &format!(r#"{more},"destination_names":["api.example"]"#))]);
    assert_eq!(named.flows[0].destination.name.raw(), "api.example");
}

#[test]
fn names_that_the_proxy_saw_are_records_too() {
    let ends = |from: &str, to: &str| format!(r#""IP":{{"source":"{from}","destination":"{to}"}}"#);
    let lines = [
        format!(
            r#"{{"flow":{{"time":"2024-01-31T10:00:00Z","verdict":"FORWARDED",{},"l4":{{"UDP":{{"source_port":40000,"destination_port":53}}}},"l7":{{"type":"REQUEST","dns":{{"query":"x.example.","qtypes":["AAAA"]}}}},"is_reply":false}}}}"#,
            ends("10.0.0.5", "10.0.0.1")
        ),
        format!(
            r#"{{"flow":{{"time":"2024-01-31T10:00:01Z","verdict":"FORWARDED",{},"l4":{{"UDP":{{"source_port":53,"destination_port":40000}}}},"l7":{{"type":"RESPONSE","dns":{{"query":"x.example.","qtypes":["AAAA"],"rcode":3,"ips":["fd00::1"]}}}},"is_reply":true}}}}"#,
            ends("10.0.0.1", "10.0.0.5")
        ),
    ];
    let parsed = check(&lines);
    let told: Vec<_> = parsed
        .names
        .iter()
        .map(|name| {
            (name.source.to_string(), name.name.raw(), name.record_type, name.code, name.addresses.len())
        })
        .collect();
    assert_eq!(
        told,
        [("10.0.0.5".to_owned(), "x.example", 28, 0, 0), ("10.0.0.5".to_owned(), "x.example", 28, 3, 1)]
    );
    assert_eq!(parsed.flows.len(), 1);
}

#[test]
fn lost_events_are_counted_and_other_messages_are_not_meant() {
    let parsed = check(&[
        r#"{"lost_events":{"source":"PERF_EVENT_RING_BUFFER","num_events_lost":"40"},"node_name":"n"}"#
            .to_owned(),
        r#"{"lost_events":{"num_events_lost":2}}"#.to_owned(),
        r#"{"node_status":{"state_change":"NODE_CONNECTED"}}"#.to_owned(),
        r#"{"flow":{"time":"2024-01-31T10:00:00Z","verdict":"FORWARDED","Type":"SOCK"}}"#.to_owned(),
    ]);
    assert_eq!((parsed.lost, parsed.others, parsed.records), (42, 4, 0));
}

#[test]
fn a_flow_that_is_not_wrapped_is_read_as_well() {
    let wrapped = forth("SYN", r#","verdict":"FORWARDED""#);
    let bare = wrapped.trim_start_matches("{\"flow\":").trim_end_matches(",\"node_name\":\"n\"}").to_owned();
    assert_eq!(check(&[bare]).flows, check(&[wrapped]).flows);
}

#[test]
fn values_that_cannot_be_are_problems() {
    let lines = [
        r#"{"flow":{"verdict":"FORWARDED","IP":{"source":"ten","destination":"10.0.0.7"},"l4":{"TCP":{}}}}"#,
        r#"{"flow":{"verdict":"FORWARDED","IP":{"source":"10.0.0.5","destination":"10.0.0.7"},"l4":{"TCP":{"source_port":65536}}}}"#,
        r#"{"flow":{"time":"noon","IP":{"source":"10.0.0.5","destination":"10.0.0.7"},"l4":{"TCP":{}}}}"#,
        r#"{"lost_events":{"num_events_lost":"many"}}"#,
    ];
    let parsed = parse(lines.join("\n").as_bytes());
    assert_eq!((parsed.problems.count, parsed.records), (4, 0));
    assert_eq!(parsed.problems.kept[0].to_string(), "line 1: IP.source is \"ten\"");
}
