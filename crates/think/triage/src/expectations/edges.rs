//! Whether an edge can be declared: names, prefixes, globs and ports that mean something.
//!
//! Not here: whether it covers a contact, which `state` decides.

use std::net::IpAddr;

use globset::Glob;
use ipnet::IpNet;
use model::expectation::{EdgePattern, EndpointPattern, LabelPattern, PATTERN_PARTS_MAX};
use model::traffic::Protocol;
use model::untrusted::Untrusted;

use super::ExpectationError;

pub(super) fn check(edge: &EdgePattern) -> Result<(), ExpectationError> {
    check_end(&edge.from)?;
    check_end(&edge.to)?;
    let is_any = |end: &EndpointPattern| *end == EndpointPattern::Any;
    if is_any(&edge.from) && is_any(&edge.to) && edge.ports.is_none() {
        return Err(ExpectationError::Everything);
    }
    let problem = |(low, high), problem| ExpectationError::Ports { low, high, problem };
    match (edge.ports, edge.protocol) {
        (Some(ports @ (0, _)), _) => Err(problem(ports, "a port is 1 to 65535")),
        (Some(ports @ (low, high)), _) if low > high => Err(problem(ports, "the lower one comes first")),
        (Some(ports), Some(Protocol::ICMP | Protocol::ICMPV6)) => Err(problem(ports, "ICMP has no ports")),
        _ => Ok(()),
    }
}

/// Makes sure that an end means somebody.
pub(super) fn check_end(end: &EndpointPattern) -> Result<(), ExpectationError> {
    let problem = match end {
        EndpointPattern::Host | EndpointPattern::Any => None,
        EndpointPattern::Workload { pattern } => pattern.is_empty().then(|| "gives no name".to_owned()),
        EndpointPattern::Domain { pattern } => domain_problem(pattern),
        EndpointPattern::Network { prefix, except } => network_problem(prefix, except),
        EndpointPattern::Labels { namespace, labels } => labels_problem(namespace.as_ref(), labels),
    };
    problem.map_or(Ok(()), |problem| Err(ExpectationError::End { end: end.to_string(), problem }))
}

fn domain_problem(pattern: &Untrusted) -> Option<String> {
    if pattern.raw().trim_end_matches('.').is_empty() {
        return Some("gives no name".to_owned());
    }
    let error = Glob::new(pattern.raw()).err()?;
    Some(Untrusted::new(&error.to_string()).to_string())
}

fn network_problem(prefix: &Untrusted, except: &[Untrusted]) -> Option<String> {
    let Some(whole) = network(prefix) else { return Some(format!("{prefix} is no prefix of addresses")) };
    let wrong = |text: &&Untrusted| network(text).is_none_or(|except| !whole.contains(&except));
    match except.iter().find(wrong) {
        Some(text) => Some(format!("{text} is no prefix within it")),
        None => too_many(except.len()),
    }
}

fn labels_problem(namespace: Option<&Untrusted>, labels: &[LabelPattern]) -> Option<String> {
    if namespace.is_none() && labels.is_empty() {
        return Some("names neither a namespace nor a label".to_owned());
    }
    if labels.iter().any(|label| label.key.is_empty()) {
        return Some("a label has no name".to_owned());
    }
    too_many(labels.iter().map(|label| label.values.len()).max().unwrap_or(0).max(labels.len()))
}

fn too_many(count: usize) -> Option<String> {
    (count > PATTERN_PARTS_MAX).then(|| format!("{count} parts; at most {PATTERN_PARTS_MAX} are taken"))
}

fn network(text: &Untrusted) -> Option<IpNet> {
    let network: Option<IpNet> = text.raw().parse().ok();
    network.or_else(|| Some(IpNet::from(text.raw().parse::<IpAddr>().ok()?)))
}
