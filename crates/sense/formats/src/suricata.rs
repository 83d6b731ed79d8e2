//! Suricata: flows and names of its EVE log, JSON lines.
//!
//! Written after docs.suricata.io, EVE JSON format; `dns` in all three versions. Not here: alerts and what its other
//! parsers tell, which are counted as others.

use std::net::IpAddr;
use std::time::Duration;

use model::time::Time;
use serde::Deserialize;

use crate::field::{self, has_ports};
use crate::lines::{Line, Read, each_line};
use crate::problem::Reason;
use crate::record::{End, FlowRecord, NameRecord, Outcome, Parsed};

/// The port of name servers.
const DNS_PORT: u16 = 53;
/// TCP flags in the bits of the header.
const SYN: u8 = 0x02;
const RST: u8 = 0x04;

/// Reads events of the types `flow` and `dns`.
pub fn parse(bytes: &[u8]) -> Parsed {
    each_line(bytes, |line, parsed| match serde_json::from_str::<Kind>(line)?.event_type.as_str() {
        "flow" => flow(&serde_json::from_str(line)?, parsed),
        "dns" => name(&serde_json::from_str(line)?, parsed),
        _ => Ok(Line::Other),
    })
}

#[derive(Deserialize)]
struct Kind {
    event_type: String,
}

#[derive(Deserialize)]
struct FlowEvent {
    #[serde(flatten)]
    ends: Ends,
    flow: Flow,
    tcp: Option<Tcp>,
}

#[derive(Deserialize)]
struct DnsEvent {
    #[serde(flatten)]
    ends: Ends,
    dns: Dns,
}

#[derive(Deserialize)]
struct Ends {
    timestamp: String,
    src_ip: String,
    #[serde(default)]
    src_port: u16,
    dest_ip: String,
    #[serde(default)]
    dest_port: u16,
    proto: String,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Flow {
    pkts_toserver: u64,
    pkts_toclient: u64,
    bytes_toserver: u64,
    bytes_toclient: u64,
    start: Option<String>,
    end: Option<String>,
    state: String,
}

#[derive(Deserialize)]
struct Tcp {
    /// Flags that the server sent, in hexadecimal.
    tcp_flags_tc: Option<String>,
}

#[derive(Deserialize)]
struct Dns {
    #[serde(rename = "type")]
    kind: String,
    #[serde(flatten)]
    question: Question,
    rcode: Option<String>,
    rdata: Option<String>,
    #[serde(default)]
    answers: Vec<Answer>,
    /// Version 3 has the question here.
    #[serde(default)]
    queries: Vec<Question>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct Question {
    rrname: String,
    rrtype: String,
}

#[derive(Deserialize)]
struct Answer {
    rdata: Option<String>,
}

fn flow(event: &FlowEvent, parsed: &mut Parsed) -> Read {
    let FlowEvent { ends, flow: counted, .. } = event;
    let protocol = field::protocol(&ends.proto).ok_or_else(|| Reason::value("proto", &ends.proto))?;
    let port = |port: u16| if has_ports(protocol) { port } else { 0 };
    let source = End::at(field::address("src_ip", &ends.src_ip)?, port(ends.src_port));
    let destination = End::at(field::address("dest_ip", &ends.dest_ip)?, port(ends.dest_port));
    let (began, lasted) = span(event)?;
    parsed.flows.push(FlowRecord {
        outcome: outcome(event)?,
        sent_bytes: counted.bytes_toserver,
        received_bytes: counted.bytes_toclient,
        sent_packets: counted.pkts_toserver,
        received_packets: counted.pkts_toclient,
        lasted,
        ..FlowRecord::new(Some(began), protocol, source, destination)
    });
    Ok(Line::Record)
}

/// When it began, and how long it lasted: the event's own time is when it was written.
fn span(event: &FlowEvent) -> Result<(Time, Duration), Reason> {
    let written = field::time("timestamp", &event.ends.timestamp)?;
    let start = event.flow.start.as_deref().map_or(Ok(written), |text| field::time("flow.start", text))?;
    let end = event.flow.end.as_deref().map_or(Ok(start), |text| field::time("flow.end", text))?;
    Ok((start, end.since(start)))
}

/// By what the server sent: of a TCP server its flags, else anything at all.
fn outcome(event: &FlowEvent) -> Result<Outcome, Reason> {
    let flow = &event.flow;
    if flow.pkts_toclient == 0 {
        return Ok(Outcome::Unanswered);
    }
    let Some(flags) = event.tcp.as_ref().and_then(|tcp| tcp.tcp_flags_tc.as_deref()) else {
        let is_tcp = event.ends.proto.eq_ignore_ascii_case("tcp");
        let is_made = !is_tcp || flow.state == "established" || flow.state == "bypassed";
        return Ok(if is_made { Outcome::Made } else { Outcome::Unknown });
    };
    let flags = u8::from_str_radix(flags, 16).map_err(|_| Reason::value("tcp_flags_tc", flags))?;
    Ok(match (flags & SYN != 0, flags & RST != 0) {
        (true, _) => Outcome::Made,
        (false, true) => Outcome::Refused,
        (false, false) => Outcome::Unknown,
    })
}

fn name(event: &DnsEvent, parsed: &mut Parsed) -> Read {
    let DnsEvent { ends, dns } = event;
    let is_answer = match dns.kind.as_str() {
        "query" | "request" => false,
        "answer" | "response" => true,
        _ => return Ok(Line::Other),
    };
    let (source, server) = asked(ends)?;
    let question = dns.queries.first().unwrap_or(&dns.question);
    let code = dns.rcode.as_deref().filter(|_| is_answer);
    let values = dns.answers.iter().filter_map(|answer| answer.rdata.as_deref()).chain(dns.rdata.as_deref());
    parsed.names.push(NameRecord {
        at: Some(field::time("timestamp", &ends.timestamp)?),
        source,
        server,
        name: field::name(&question.rrname),
        record_type: field::record_type(&question.rrtype),
        code: code.map_or(Ok(0), |code| field::code("rcode", code))?,
        is_answer,
        addresses: if is_answer { field::addresses(values) } else { Vec::new() },
    });
    Ok(Line::Record)
}

/// Who asks, and who is asked: answers are written with the ends of the flow or of the packet, by version.
fn asked(ends: &Ends) -> Result<(IpAddr, IpAddr), Reason> {
    let source = field::address("src_ip", &ends.src_ip)?;
    let destination = field::address("dest_ip", &ends.dest_ip)?;
    let is_turned = ends.src_port == DNS_PORT && ends.dest_port != DNS_PORT;
    Ok(if is_turned { (destination, source) } else { (source, destination) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow_line(proto: &str, counts: &str, more: &str) -> Parsed {
        parse(
            format!(
                r#"{{"timestamp":"2024-01-31T10:00:09.000000+0100","event_type":"flow","src_ip":"10.0.0.5","src_port":40000,"dest_ip":"192.0.2.7","dest_port":443,"proto":"{proto}","flow":{{{counts},"start":"2024-01-31T10:00:00.000000+0100","end":"2024-01-31T10:00:01.500000+0100"}}{more}}}"#
            )
            .as_bytes(),
        )
    }

    fn outcome_of(proto: &str, to_client: u32, state: &str, flags: Option<&str>) -> Option<Outcome> {
        let counts = format!(r#""pkts_toserver":1,"pkts_toclient":{to_client},"state":"{state}""#);
        let flags = flags.map(|flags| format!(r#","tcp":{{"tcp_flags_tc":"{flags}"}}"#)).unwrap_or_default();
        flow_line(proto, &counts, &flags).flows.first().map(|flow| flow.outcome)
    }

    #[test]
    fn a_flow_begins_when_it_did_and_not_when_it_was_written() {
        let counts = r#""pkts_toserver":3,"pkts_toclient":2,"bytes_toserver":300,"bytes_toclient":200"#;
        let parsed = flow_line("TCP", counts, r#","tcp":{"tcp_flags_tc":"1a"}"#);
        let [flow] = &parsed.flows[..] else { panic!("{parsed:?}") };
        assert_eq!(flow.at.map(Time::rfc3339).as_deref(), Some("2024-01-31T09:00:00.000Z"));
        assert_eq!((flow.lasted.as_millis(), flow.outcome), (1500, Outcome::Made));
        assert_eq!(
            (flow.sent_bytes, flow.received_bytes, flow.sent_packets, flow.received_packets),
            (300, 200, 3, 2)
        );
    }

    #[test]
    fn what_the_server_sent_decides_how_it_went() {
        assert_eq!(outcome_of("TCP", 2, "closed", Some("1b")), Some(Outcome::Made));
        assert_eq!(outcome_of("TCP", 2, "closed", Some("14")), Some(Outcome::Refused));
        assert_eq!(outcome_of("TCP", 2, "established", Some("10")), Some(Outcome::Unknown));
        assert_eq!(outcome_of("TCP", 0, "new", Some("00")), Some(Outcome::Unanswered));
        assert_eq!(outcome_of("TCP", 2, "established", None), Some(Outcome::Made));
        assert_eq!(outcome_of("TCP", 2, "closed", None), Some(Outcome::Unknown));
        assert_eq!(outcome_of("UDP", 1, "established", None), Some(Outcome::Made));
        assert_eq!(outcome_of("UDP", 0, "new", None), Some(Outcome::Unanswered));
    }

    #[test]
    fn names_are_read_in_all_three_versions() {
        let ends = r#""timestamp":"2024-01-31T10:00:00.000000+0000","event_type":"dns","proto":"UDP""#;
        let out = r#""src_ip":"10.0.0.5","src_port":40000,"dest_ip":"10.0.0.1","dest_port":53"#;
        let back = r#""src_ip":"10.0.0.1","src_port":53,"dest_ip":"10.0.0.5","dest_port":40000"#;
        let lines = [
            format!(r#"{{{ends},{out},"dns":{{"type":"query","rrname":"x.example","rrtype":"TXT"}}}}"#),
            format!(
                r#"{{{ends},{back},"dns":{{"type":"answer","rcode":"NOERROR","rrname":"x.example","rrtype":"A","rdata":"192.0.2.1"}}}}"#
            ),
            format!(
                r#"{{{ends},{out},"dns":{{"version":2,"type":"answer","rcode":"NXDOMAIN","rrname":"x.example","rrtype":"A","answers":[{{"rrname":"x.example","rrtype":"CNAME","rdata":"y.example"}},{{"rdata":"192.0.2.1"}}]}}}}"#
            ),
            format!(
                r#"{{{ends},{out},"dns":{{"version":3,"type":"response","rcode":"NOERROR","queries":[{{"rrname":"x.example.","rrtype":"AAAA"}}],"answers":[{{"rdata":"fd00::1"}}]}}}}"#
            ),
        ];
        let parsed = parse(lines.join("\n").as_bytes());
        assert_eq!((parsed.names.len(), parsed.problems.count), (4, 0), "{:?}", parsed.problems);
        for name in &parsed.names {
            assert_eq!(
                (name.source.to_string(), name.server.to_string()),
                ("10.0.0.5".into(), "10.0.0.1".into())
            );
            assert_eq!(name.name.raw(), "x.example");
        }
        let told: Vec<_> = parsed
            .names
            .iter()
            .map(|name| (name.is_answer, name.record_type, name.code, name.addresses.len()))
            .collect();
        assert_eq!(told, [(false, 16, 0, 0), (true, 1, 0, 1), (true, 1, 3, 1), (true, 28, 0, 1)]);
    }

    #[test]
    fn other_events_are_not_meant_and_broken_ones_are_problems() {
        let lines = [
            r#"{"timestamp":"x","event_type":"alert","flow":7,"alert":{"signature":"x"}}"#,
            r#"{"event_type":"stats"}"#,
            r#"{"timestamp":"2024-01-31T10:00:00Z"}"#,
            r#"{"timestamp":"2024-01-31T10:00:00Z","event_type":"flow","src_ip":"10.0.0.5","src_port":99999,"dest_ip":"192.0.2.7","proto":"TCP","flow":{}}"#,
            r#"{"timestamp":"2024-01-31T10:00:00Z","event_type":"flow","src_ip":"10.0.0.5","dest_ip":"192.0.2.7","proto":"TCP","flow":{"pkts_toserver":-1}}"#,
            r#"{"timestamp":"2024-01-31T10:00:00Z","event_type":"flow","src_ip":"ten","dest_ip":"192.0.2.7","proto":"TCP","flow":{}}"#,
        ];
        let parsed = parse(lines.join("\n").as_bytes());
        assert_eq!(
            (parsed.others, parsed.records, parsed.problems.count),
            (2, 0, 4),
            "{:?}",
            parsed.problems
        );
        assert_eq!(parsed.problems.kept[3].to_string(), "line 6: src_ip is \"ten\"");
    }
}
