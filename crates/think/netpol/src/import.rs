//! Network policies, read as the edges they allow and whom they isolate. All or nothing.
//!
//! Labels of pods are looked for on their containers. Not here: that isolation needs leave of both ends (`state`).

mod selectors;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use ipnet::IpNet;
use model::expectation::{EXPECTATIONS_MAX, EdgePattern, EndpointPattern, Expected, PATTERN_PARTS_MAX};
use model::traffic::{Direction, Protocol};
use model::untrusted::Untrusted;
use serde_saphyr::Spanned;

use crate::import::selectors::{namespaces, pods, select};
use crate::manifest::{Document, IpBlock, Peer, Port, PortName, Spec};
use crate::problem::{Problem, Problems};
use crate::yaml;

/// Ports and protocol of a rule; `None` for all.
type Service = (Option<(u16, u16)>, Option<Protocol>);

/// The peers and the ports of a rule.
type Rule<'a> = (Option<&'a [Spanned<Peer>]>, Option<&'a [Spanned<Port>]>);

/// What the policies of a file say, each with the reason why it is fine: `NetworkPolicy shop/web`.
///
/// # Errors
/// Everything that is wrong with the file, or that cannot be told on a host: named ports, and namespaces by other labels
/// than their name.
pub fn import(yaml: &str, source_name: &str) -> Result<Vec<(Expected, String)>, Vec<Problem>> {
    let mut reading =
        Reading { problems: Problems::of(source_name), said: Vec::new(), seen: BTreeSet::new() };
    let documents: Vec<Spanned<Document>> = yaml::parse(yaml, &mut reading.problems);
    if documents.is_empty() && reading.problems.is_empty() {
        reading.problems.note(1, "holds no NetworkPolicy");
    }
    documents.iter().for_each(|document| reading.document(&document.value));
    if reading.said.len() > EXPECTATIONS_MAX {
        let message = format!("says {} things; at most {EXPECTATIONS_MAX} are kept", reading.said.len());
        reading.problems.note(1, message);
    }
    if reading.problems.is_empty() { Ok(reading.said) } else { Err(reading.problems.into_vec()) }
}

/// What was read so far.
struct Reading {
    problems: Problems,
    said: Vec<(Expected, String)>,
    seen: BTreeSet<Expected>,
}

/// The policy that is being read.
struct Policy<'a> {
    namespace: Option<&'a str>,
    who: EndpointPattern,
    reason: String,
}

impl Reading {
    fn document(&mut self, document: &Document) {
        match document.kind.value.as_str() {
            "List" | "NetworkPolicyList" => document.items.iter().for_each(|item| self.document(item)),
            "NetworkPolicy" => self.policy(document),
            other => {
                let message = format!("{} is no NetworkPolicy and no list of them", Untrusted::new(other));
                self.problems.note_at(&document.kind, message);
            }
        }
    }

    fn policy(&mut self, document: &Document) {
        let version = document.api_version.as_ref().map_or("", |version| version.value.as_str());
        if version != "networking.k8s.io/v1" {
            let message =
                format!("apiVersion is {:?}; only networking.k8s.io/v1 is known", Untrusted::new(version));
            self.problems.note_at(document.api_version.as_ref().unwrap_or(&document.kind), message);
        }
        let Some(spec) = &document.spec else {
            self.problems.note_at(&document.kind, "the policy has no spec");
            return;
        };
        let namespace = document.metadata.namespace.as_deref().filter(|name| !name.is_empty());
        let selected = spec.pod_selector.as_ref().map(|selector| select(selector, &mut self.problems));
        let who = pods(namespace, selected.unwrap_or_default());
        if is_everybody(&who) {
            let message = "selects every pod and has no metadata.namespace: say of which namespace";
            self.problems.note_at(&document.kind, message);
        }
        let name = document.metadata.name.as_deref().unwrap_or("without a name");
        let place = namespace.map_or(String::new(), |namespace| format!("{namespace}/"));
        let reason = format!("NetworkPolicy {place}{name}");
        self.rules(spec, &Policy { namespace, who, reason });
    }

    /// Ingress always, egress when there is any: so says the API where no types are given.
    fn rules(&mut self, spec: &Spec, policy: &Policy<'_>) {
        let (mut into, mut out) = (true, spec.egress.as_ref().is_some_and(|rules| !rules.is_empty()));
        if let Some(types) = spec.policy_types.as_ref().filter(|types| !types.is_empty()) {
            into = types.iter().any(|name| name.value == "Ingress");
            out = types.iter().any(|name| name.value == "Egress");
            let is_unknown = |name: &&Spanned<String>| !matches!(name.value.as_str(), "Ingress" | "Egress");
            for name in types.iter().filter(is_unknown) {
                let message = format!("{:?} is neither Ingress nor Egress", Untrusted::new(&name.value));
                self.problems.note_at(name, message);
            }
        }
        if into {
            self.say(policy, Expected::NothingElse { who: policy.who.clone(), direction: Direction::In });
            for rule in spec.ingress.iter().flatten() {
                self.rule(policy, Direction::In, (rule.from.as_deref(), rule.ports.as_deref()));
            }
        }
        if out {
            self.say(policy, Expected::NothingElse { who: policy.who.clone(), direction: Direction::Out });
            for rule in spec.egress.iter().flatten() {
                self.rule(policy, Direction::Out, (rule.to.as_deref(), rule.ports.as_deref()));
            }
        }
    }

    /// Every peer on every port; a rule without peers means anybody, one without ports every port.
    fn rule(&mut self, policy: &Policy<'_>, side: Direction, (peers, ports): Rule<'_>) {
        let ports = ports.unwrap_or_default();
        let services: Vec<Service> = match ports.is_empty() {
            true => vec![(None, None)],
            false => ports.iter().filter_map(|port| self.service(port)).collect(),
        };
        let peers = peers.unwrap_or_default();
        let ends: Vec<EndpointPattern> = match peers.is_empty() {
            true => vec![EndpointPattern::Any],
            false => peers.iter().filter_map(|peer| self.peer(peer, policy.namespace)).collect(),
        };
        for other in &ends {
            for (ports, protocol) in &services {
                let (own, other) = (policy.who.clone(), other.clone());
                let (from, to) = match side {
                    Direction::Out => (own, other),
                    Direction::In => (other, own),
                };
                let (ports, protocol, side) = (*ports, *protocol, Some(side));
                self.say(policy, Expected::Edge(Box::new(EdgePattern { from, to, ports, protocol, side })));
            }
        }
    }

    /// Once each: policies repeat one another. One more than may be kept is enough to refuse them.
    fn say(&mut self, policy: &Policy<'_>, expected: Expected) {
        if self.said.len() <= EXPECTATIONS_MAX && self.seen.insert(expected.clone()) {
            self.said.push((expected, policy.reason.clone()));
        }
    }

    fn peer(&mut self, peer: &Spanned<Peer>, own_namespace: Option<&str>) -> Option<EndpointPattern> {
        match &peer.value {
            Peer { ip_block: Some(block), pod_selector: None, namespace_selector: None } => {
                self.network(block)
            }
            Peer { ip_block: Some(_), .. } => {
                self.problems.note_at(peer, "ipBlock stands alone: no selector beside it");
                None
            }
            Peer { pod_selector: None, namespace_selector: None, .. } => {
                self.problems
                    .note_at(peer, "the peer is empty: give podSelector, namespaceSelector or ipBlock");
                None
            }
            Peer { pod_selector, namespace_selector, .. } => {
                let pod = pod_selector.as_ref().map(|selector| select(selector, &mut self.problems));
                let mut labels = pod.unwrap_or_default();
                let Some(selector) = namespace_selector else {
                    return Some(pods(own_namespace, labels)).filter(|pods| self.is_somebody(peer, pods));
                };
                let (namespace, more) = namespaces(selector, peer, &mut self.problems)?;
                labels.extend(more);
                Some(pods(namespace.as_deref(), labels))
            }
        }
    }

    fn is_somebody(&mut self, peer: &Spanned<Peer>, pods: &EndpointPattern) -> bool {
        if is_everybody(pods) {
            let message = "means every pod of the policy's namespace, which metadata.namespace does not say";
            self.problems.note_at(peer, message);
        }
        !is_everybody(pods)
    }

    fn network(&mut self, block: &IpBlock) -> Option<EndpointPattern> {
        let whole = self.prefix(&block.cidr)?;
        let mut except = Vec::new();
        for text in block.except.iter().flatten() {
            match self.prefix(text)? {
                part if whole.contains(&part) => except.push(Untrusted::new(&part.to_string())),
                part => self.problems.note_at(text, format!("{part} does not lie within {whole}")),
            }
        }
        if except.len() > PATTERN_PARTS_MAX {
            let message = format!("{} exceptions; at most {PATTERN_PARTS_MAX} are taken", except.len());
            self.problems.note_at(&block.cidr, message);
        }
        Some(EndpointPattern::Network { prefix: Untrusted::new(&whole.to_string()), except })
    }

    fn prefix(&mut self, text: &Spanned<String>) -> Option<IpNet> {
        let prefix: Option<IpNet> = text.value.parse().ok();
        if prefix.is_none() {
            let message = format!("{:?} is no prefix such as 10.0.0.0/8", Untrusted::new(&text.value));
            self.problems.note_at(text, message);
        }
        prefix.map(|prefix| prefix.trunc())
    }

    fn service(&mut self, port: &Spanned<Port>) -> Option<Service> {
        let Port { protocol, port: number, end_port } = &port.value;
        let protocol = match protocol.as_deref().unwrap_or("TCP") {
            "TCP" => Protocol::TCP,
            "UDP" => Protocol::UDP,
            "SCTP" => Protocol::SCTP,
            other => {
                let message = format!("{:?} is none of TCP, UDP, SCTP", Untrusted::new(other));
                self.problems.note_at(port, message);
                return None;
            }
        };
        match span(number.as_ref(), *end_port) {
            Ok(ports) => Some((ports, Some(protocol))),
            Err(message) => {
                self.problems.note_at(port, message);
                None
            }
        }
    }
}

/// The lowest and the highest port.
fn span(port: Option<&PortName>, end: Option<i64>) -> Result<Option<(u16, u16)>, String> {
    let port_of = |number: i64| match u16::try_from(number) {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(format!("{number} is no port: 1 to 65535")),
    };
    match (port, end) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err("endPort needs a port that the range begins with".to_owned()),
        (Some(PortName::Name(name)), _) => {
            let name = Untrusted::new(name);
            Err(format!(
                "port {name:?} is a name, which only the pod's own manifest resolves: give its number"
            ))
        }
        (Some(PortName::Number(low)), end) => {
            let (low, high) = (port_of(*low)?, port_of(end.unwrap_or(*low))?);
            if high < low {
                return Err(format!("endPort {high} lies below port {low}"));
            }
            Ok(Some((low, high)))
        }
    }
}

fn is_everybody(pods: &EndpointPattern) -> bool {
    matches!(pods, EndpointPattern::Labels { namespace: None, labels } if labels.is_empty())
}
