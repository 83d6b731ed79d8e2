//! Inspektor Gadget: what its network policy advisor is fed, connections and packets of pods, in the forms of several releases.
//!
//! A JSON array in the first, JSON lines since. The ends are named, most have no address, and there is no time. Not here: the
//! policy that it makes of them.

use std::fmt;

use model::traffic::Protocol;
use model::untrusted::Untrusted;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::field;
use crate::lines::{Line, Read, count, each_line};
use crate::problem::{LINE_BYTES_MAX, Reason};
use crate::record::{End, FlowRecord, Outcome, Parsed};

/// Reads connects, accepts and packets; messages about the tool itself are counted as others.
pub fn parse(bytes: &[u8]) -> Parsed {
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    if first == Some(&b'[') { parse_array(bytes) } else { each_line(bytes, read) }
}

/// Elements are taken one by one: an array of a million of them needs no more memory than its flows.
fn parse_array(bytes: &[u8]) -> Parsed {
    let mut parsed = Parsed::default();
    let mut input = serde_json::Deserializer::from_slice(bytes);
    let mut elements = Elements { parsed: &mut parsed, number: 0 };
    let was = input.deserialize_seq(&mut elements).and_then(|()| input.end());
    if let Err(error) = was {
        let cut_at = elements.number + 1;
        parsed.problems.add(cut_at, error.into());
    }
    parsed
}

struct Elements<'a> {
    parsed: &'a mut Parsed,
    number: u64,
}

impl<'de> Visitor<'de> for &mut Elements<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        while let Some(element) = elements.next_element::<&RawValue>()? {
            self.number += 1;
            let text = element.get();
            let fits = text.len() <= LINE_BYTES_MAX;
            let was = if fits { read(text, self.parsed) } else { Err(Reason::TooLong { bytes: text.len() }) };
            count(self.parsed, self.number, was);
        }
        Ok(())
    }
}

/// An event of any release.
#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type", default)]
    kind: String,
    timestamp: Option<String>,
    #[serde(alias = "pkt_type", alias = "pktType")]
    packet: Option<String>,
    proto: Option<String>,
    port: Option<u16>,
    #[serde(alias = "local_pod_namespace", default)]
    namespace: String,
    #[serde(alias = "local_pod_name", default)]
    pod: String,
    k8s: Option<Pod>,
    #[serde(alias = "remoteAddr", alias = "remote_other")]
    ip: Option<String>,
    #[serde(flatten)]
    remote: Remote,
    dst: Option<Destination>,
}

#[derive(Deserialize)]
struct Pod {
    #[serde(default)]
    namespace: String,
    #[serde(alias = "podname", alias = "podName", default)]
    pod: String,
}

#[derive(Deserialize)]
struct Remote {
    #[serde(
        alias = "remote_pod_namespace",
        alias = "remote_svc_namespace",
        alias = "remoteServiceNamespace",
        alias = "remotePodNamespace",
        alias = "remoteNamespace"
    )]
    remote_namespace: Option<String>,
    #[serde(
        alias = "remote_pod_name",
        alias = "remote_svc_name",
        alias = "remoteServiceName",
        alias = "remotePodName",
        alias = "remoteName"
    )]
    remote_name: Option<String>,
}

#[derive(Deserialize)]
struct Destination {
    addr: Option<String>,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    name: String,
}

/// What an event tells of, and who opens.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    /// The pod has connected.
    Connect,
    /// The pod has been connected to.
    Accept,
    /// A packet that the pod sends.
    Outgoing,
    /// A packet for the pod.
    Incoming,
}

fn read(line: &str, parsed: &mut Parsed) -> Read {
    let event: Event = serde_json::from_str(line)?;
    let Some(told) = told(&event) else { return Ok(Line::Other) };
    let port = event.port.ok_or(Reason::Missing { field: "port" })?;
    let protocol = event.proto.as_deref().map_or(Ok(Protocol::TCP), |name| {
        field::protocol(name).ok_or_else(|| Reason::value("proto", name))
    })?;
    let at = event.timestamp.as_deref().map(|text| field::time("timestamp", text)).transpose()?;
    let (pod, remote) = (pod(&event), remote(&event)?);
    let is_opened_by_pod = matches!(told, Told::Connect | Told::Outgoing);
    let (source, served) = if is_opened_by_pod { (pod, remote) } else { (remote, pod) };
    let mut flow = FlowRecord::new(at, protocol, source, End { port, ..served });
    if matches!(told, Told::Connect | Told::Accept) {
        flow.outcome = Outcome::Made;
    }
    parsed.flows.push(flow);
    Ok(Line::Record)
}

fn told(event: &Event) -> Option<Told> {
    match (event.kind.as_str(), event.packet.as_deref()) {
        ("connect", _) => Some(Told::Connect),
        ("accept", _) => Some(Told::Accept),
        ("normal" | "", Some("OUTGOING")) => Some(Told::Outgoing),
        ("normal" | "", Some("HOST")) => Some(Told::Incoming),
        _ => None,
    }
}

fn pod(event: &Event) -> End {
    let (namespace, name) =
        event.k8s.as_ref().map_or((&event.namespace, &event.pod), |pod| (&pod.namespace, &pod.pod));
    End { name: full_name(namespace, name), ..End::default() }
}

fn remote(event: &Event) -> Result<End, Reason> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let (address, name) = match &event.dst {
        Some(to) => (to.addr.as_deref(), full_name(&to.namespace, &to.name)),
        None => {
            let Remote { remote_namespace, remote_name } = &event.remote;
            (event.ip.as_deref(), full_name(&text(remote_namespace), &text(remote_name)))
        }
    };
    let address = address.filter(|text| !text.is_empty());
    let address = address.map(|text| field::address("remote address", text)).transpose()?;
    Ok(End { address, port: 0, name })
}

fn full_name(namespace: &str, name: &str) -> Untrusted {
    if name.is_empty() { Untrusted::default() } else { Untrusted::new(&format!("{namespace}/{name}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(parsed: &Parsed) -> Vec<String> {
        let end = |end: &End| {
            let address = end.address.map(|address| address.to_string()).unwrap_or_default();
            format!("{}@{address}", end.name)
        };
        let flow = |flow: &FlowRecord| {
            let (from, to) = (end(&flow.source), end(&flow.destination));
            format!("{from} -> {to}:{}/{} {:?}", flow.destination.port, flow.protocol, flow.outcome)
        };
        parsed.flows.iter().map(flow).collect()
    }

    #[test]
    fn every_form_tells_the_same_packet() {
        let forms = [
            r#"{"type":"normal","namespace":"shop","pod":"web","pkt_type":"OUTGOING","proto":"udp","ip":"10.96.0.10","port":53,"remote_kind":"svc","remote_svc_namespace":"kube-system","remote_svc_name":"kube-dns","remote_svc_label_selector":{"k8s-app":"kube-dns"}}"#,
            r#"{"type":"normal","namespace":"shop","pod":"web","pktType":"OUTGOING","proto":"udp","ip":"10.96.0.10","port":53,"remoteServiceNamespace":"kube-system","remoteServiceName":"kube-dns"}"#,
            r#"{"type":"normal","namespace":"shop","pod":"web","pktType":"OUTGOING","proto":"udp","port":53,"remoteAddr":"10.96.0.10","remoteNamespace":"kube-system","remoteName":"kube-dns"}"#,
            r#"{"type":"normal","namespace":"shop","pod":"web","pktType":"OUTGOING","proto":"udp","port":53,"dst":{"kind":"svc","addr":"10.96.0.10","namespace":"kube-system","name":"kube-dns"}}"#,
            r#"{"type":"normal","k8s":{"namespace":"shop","podname":"web"},"pktType":"OUTGOING","proto":"udp","port":53,"dst":{"addr":"10.96.0.10","namespace":"kube-system","name":"kube-dns"}}"#,
            r#"{"k8s":{"namespace":"shop","pod":"web"},"type":"normal","pktType":"OUTGOING","proto":"udp","port":53,"remoteAddr":"10.96.0.10","remoteNamespace":"kube-system","remoteName":"kube-dns"}"#,
        ];
        for form in forms {
            let parsed = parse(form.as_bytes());
            assert_eq!(
                told(&parsed),
                ["shop/web@ -> kube-system/kube-dns@10.96.0.10:53/udp Unknown"],
                "{form}"
            );
        }
    }

    #[test]
    fn an_accept_is_opened_by_the_other_pod() {
        let array = br#"[
            {"type":"connect","port":50051,"local_pod_namespace":"shop","local_pod_name":"web","remote_pod_namespace":"shop","remote_pod_name":"pay"},
            {"type":"accept","port":50051,"local_pod_namespace":"shop","local_pod_name":"pay","remote_pod_namespace":"shop","remote_pod_name":"web"}
        ]"#;
        let parsed = parse(array);
        assert_eq!(told(&parsed), ["shop/web@ -> shop/pay@:50051/tcp Made"; 2]);
        assert_eq!((parsed.records, parsed.problems.count), (2, 0));
    }

    #[test]
    fn a_bad_element_does_not_hide_the_others_and_a_cut_array_is_told() {
        let parsed = parse(br#"[{"type":"connect"},7,{"type":"connect","port":1,"remote_other":"x"},{"type":"accept","port":80},{"type""#);
        assert_eq!(parsed.flows.len(), 1, "{parsed:?}");
        let lines: Vec<u64> = parsed.problems.kept.iter().map(|problem| problem.line).collect();
        assert_eq!(lines, [1, 2, 3, 5]);
        assert_eq!(parsed.problems.kept[0].to_string(), "line 1: no port");
    }

    #[test]
    fn messages_of_the_tool_are_not_meant() {
        let parsed = parse(b"{\"type\":\"ready\",\"node\":\"n\"}\n{\"type\":\"err\",\"message\":\"x\"}\n");
        assert_eq!((parsed.others, parsed.problems.count, parsed.flows.len()), (2, 0, 0));
    }
}
