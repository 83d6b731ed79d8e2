//! What talks to what, written as network policies that allow exactly that: one for each workload.
//!
//! What a policy cannot say (the host, names, ICMP) stands in a comment beside it. Not here: reading one (`import.rs`).

mod written;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use model::graph::{EdgeView, GraphView, Standing};
use model::ids::WorkloadKey;
use model::traffic::{EdgeKey, Endpoint, Protocol};

use crate::pods::{Pods, distinct, stem};
use crate::suggest::written::write;

/// The policies, as YAML. Edges that are new or unexpected are left out unless `everything` is wanted; a workload that
/// `known` does not tell is selected by a label that is made up, and said to be.
pub fn suggest(view: &GraphView, known: &BTreeMap<WorkloadKey, Pods>, everything: bool) -> String {
    let is_meant = |edge: &&EdgeView| {
        everything || matches!(edge.standing, Standing::Approved | Standing::Expected | Standing::Learned)
    };
    let named = named(view, known);
    let mut drafts: BTreeMap<&Pods, Draft> = named.values().map(|pods| (pods, Draft::default())).collect();
    for (workload, pods) in &named {
        if let Some(draft) = drafts.get_mut(pods) {
            draft.workloads.push(workload);
            draft.is_made_up |= !known.contains_key(*workload);
        }
    }
    for edge in view.edges.iter().filter(is_meant) {
        add(&edge.key, &named, &mut drafts);
    }
    write(view, &drafts)
}

/// One end of a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Peer<'a> {
    Pods(&'a Pods),
    Network(IpNet),
    /// Everybody outside.
    Outside,
}

type Rules<'a> = BTreeMap<Peer<'a>, BTreeSet<(u16, Protocol)>>;

/// One policy in the making.
#[derive(Debug, Default)]
struct Draft<'a> {
    workloads: Vec<&'a WorkloadKey>,
    is_made_up: bool,
    ingress: Rules<'a>,
    egress: Rules<'a>,
    /// What cannot be said, in words.
    notes: BTreeSet<String>,
}

/// Every workload of the graph with what selects it. Two that would be called alike are told apart.
fn named<'a>(view: &'a GraphView, known: &BTreeMap<WorkloadKey, Pods>) -> BTreeMap<&'a WorkloadKey, Pods> {
    let ends = view.edges.iter().flat_map(|edge| [&edge.key.from, &edge.key.to]);
    let served = view.listeners.iter().map(|listener| &listener.workload);
    let workloads: BTreeSet<&WorkloadKey> = ends.chain(served).filter_map(workload).collect();
    let mut called: BTreeMap<String, usize> = BTreeMap::new();
    for workload in &workloads {
        *called.entry(stem(workload)).or_default() += 1;
    }
    let pods = |workload: &WorkloadKey| match (known.get(workload), stem(workload)) {
        (Some(pods), _) => pods.clone(),
        (None, stem) if called.get(&stem) == Some(&1) => Pods::called(&stem),
        (None, stem) => Pods::called(&distinct(&stem, workload.raw())),
    };
    workloads.iter().map(|workload| (*workload, pods(workload))).collect()
}

fn add<'a>(
    edge: &EdgeKey,
    named: &'a BTreeMap<&WorkloadKey, Pods>,
    drafts: &mut BTreeMap<&'a Pods, Draft<'a>>,
) {
    let pods = |end: &Endpoint| workload(end).and_then(|workload| named.get(workload));
    let service = (edge.port, edge.protocol);
    if let Some((own, draft)) = pods(&edge.from).and_then(|own| Some((own, drafts.get_mut(own)?))) {
        let peer = draft.peer(edge, own, (&edge.to, pods(&edge.to)));
        if let Some(peer) = peer {
            draft.egress.entry(peer).or_default().insert(service);
        }
    }
    if let Some((own, draft)) = pods(&edge.to).and_then(|own| Some((own, drafts.get_mut(own)?))) {
        let peer = draft.peer(edge, own, (&edge.from, pods(&edge.from)));
        if let Some(peer) = peer {
            draft.ingress.entry(peer).or_default().insert(service);
        }
    }
}

impl<'a> Draft<'a> {
    /// The other end as policies know it; a note where they do not.
    fn peer(
        &mut self,
        edge: &EdgeKey,
        own: &Pods,
        (other, pods): (&Endpoint, Option<&'a Pods>),
    ) -> Option<Peer<'a>> {
        if edge.port == 0 || !matches!(edge.protocol, Protocol::TCP | Protocol::UDP | Protocol::SCTP) {
            return self.note(edge, "a policy knows only ports of TCP, UDP and SCTP");
        }
        match other {
            Endpoint::Workload(_) => {
                let pods = pods?;
                if pods.namespace.is_none() && own.namespace.is_some() {
                    return self.note(edge, "the other end is in no namespace");
                }
                Some(Peer::Pods(pods))
            }
            Endpoint::Host => self.note(edge, "no policy keeps a node from its own pods, nor them from it"),
            Endpoint::Inside(name) | Endpoint::Outside(name) => match network(name.raw()) {
                Some(network) => Some(Peer::Network(network)),
                None if other.is_outside() => {
                    self.note(edge, "a policy knows no names: it allows every address outside on this port");
                    Some(Peer::Outside)
                }
                None => self.note(edge, "that is no network"),
            },
            Endpoint::Anybody => Some(Peer::Outside),
        }
    }

    fn note(&mut self, edge: &EdgeKey, why: &str) -> Option<Peer<'a>> {
        self.notes.insert(format!("{edge}: {why}"));
        None
    }
}

fn workload(end: &Endpoint) -> Option<&WorkloadKey> {
    match end {
        Endpoint::Workload(workload) => Some(workload),
        _ => None,
    }
}

fn network(text: &str) -> Option<IpNet> {
    let network: Option<IpNet> = text.parse().ok();
    network.or_else(|| Some(IpNet::from(text.parse::<IpAddr>().ok()?))).map(|network| network.trunc())
}
