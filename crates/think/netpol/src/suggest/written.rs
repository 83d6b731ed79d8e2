//! Drafts of policies as YAML.
//!
//! Labels, names and prefixes were made safe before; whatever else others chose stands in comments, escaped.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use ipnet::IpNet;
use model::graph::GraphView;
use model::ids::WorkloadKey;
use model::traffic::{OWN_NETWORKS, Protocol};

use super::{Draft, Peer, Rules};
use crate::pods::{Pods, distinct};

/// Most notes written beside one policy.
const NOTES_MAX: usize = 100;

/// All policies, each a document.
pub(super) fn write(view: &GraphView, drafts: &BTreeMap<&Pods, Draft<'_>>) -> String {
    let mut out =
        format!("# What talks to what on {}, as seen until {}.\n", escaped(view.node.as_str()), view.at);
    let mut taken = BTreeSet::new();
    for (pods, draft) in drafts {
        // Some of these lines are only written where there is something to say; writing into a string cannot fail.
        let _written = policy(&mut out, pods, draft, &mut taken);
    }
    if drafts.is_empty() {
        out.push_str("# Nothing does.\n");
    }
    out
}

fn policy(
    out: &mut String,
    pods: &Pods,
    draft: &Draft<'_>,
    taken: &mut BTreeSet<(Option<String>, String)>,
) -> std::fmt::Result {
    out.push_str("---\n");
    for workload in &draft.workloads {
        writeln!(out, "# {workload}")?;
    }
    if draft.is_made_up {
        writeln!(out, "# Its containers have no label to select them by: give their pods the label below.")?;
    }
    for note in draft.notes.iter().take(NOTES_MAX) {
        writeln!(out, "# Not said: {note}")?;
    }
    if let more @ 1.. = draft.notes.len().saturating_sub(NOTES_MAX) {
        writeln!(out, "# And {more} more that cannot be said.")?;
    }
    writeln!(out, "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:")?;
    writeln!(out, "  name: {}", name(pods, &draft.workloads, taken))?;
    if let Some(namespace) = &pods.namespace {
        writeln!(out, "  namespace: \"{namespace}\"")?;
    }
    writeln!(out, "spec:\n  podSelector:")?;
    labels(out, "    ", pods)?;
    writeln!(out, "  policyTypes:\n    - Ingress\n    - Egress")?;
    rules(out, ("ingress", "from"), &draft.ingress, pods)?;
    rules(out, ("egress", "to"), &draft.egress, pods)
}

/// A name that no other policy of the namespace has.
fn name(pods: &Pods, workloads: &[&WorkloadKey], taken: &mut BTreeSet<(Option<String>, String)>) -> String {
    let stem = pods.stem();
    if taken.insert((pods.namespace.clone(), stem.clone())) {
        return stem;
    }
    let whole: Vec<&str> = workloads.iter().map(|workload| workload.raw()).collect();
    let name = distinct(&stem, &whole.join("\n"));
    taken.insert((pods.namespace.clone(), name.clone()));
    name
}

fn rules(out: &mut String, (kind, end): (&str, &str), rules: &Rules<'_>, own: &Pods) -> std::fmt::Result {
    if rules.is_empty() {
        return writeln!(out, "  {kind}: []");
    }
    writeln!(out, "  {kind}:")?;
    for (peer, services) in rules {
        writeln!(out, "    - {end}:")?;
        match peer {
            Peer::Pods(pods) => selected(out, pods, own)?,
            Peer::Network(network) => writeln!(out, "        - ipBlock:\n            cidr: \"{network}\"")?,
            Peer::Outside => outside(out)?,
        }
        writeln!(out, "      ports:")?;
        for (port, protocol) in services {
            writeln!(out, "        - protocol: {}\n          port: {port}", word(*protocol))?;
        }
    }
    Ok(())
}

fn selected(out: &mut String, pods: &Pods, own: &Pods) -> std::fmt::Result {
    writeln!(out, "        - podSelector:")?;
    labels(out, "            ", pods)?;
    if let Some(namespace) = pods.namespace.as_ref().filter(|_| pods.namespace != own.namespace) {
        writeln!(out, "          namespaceSelector:\n            matchLabels:")?;
        writeln!(out, "              kubernetes.io/metadata.name: \"{namespace}\"")?;
    }
    Ok(())
}

/// Every address but those that are nobody's outside.
fn outside(out: &mut String) -> std::fmt::Result {
    for all in ["0.0.0.0/0", "::/0"] {
        writeln!(out, "        - ipBlock:\n            cidr: \"{all}\"\n            except:")?;
        let whole: Option<IpNet> = all.parse().ok();
        let is_part = |own: &&&str| {
            let own: Option<IpNet> = own.parse().ok();
            whole.zip(own).is_some_and(|(whole, own)| whole.contains(&own))
        };
        for own in OWN_NETWORKS.iter().filter(is_part) {
            writeln!(out, "              - \"{own}\"")?;
        }
    }
    Ok(())
}

fn labels(out: &mut String, indent: &str, pods: &Pods) -> std::fmt::Result {
    writeln!(out, "{indent}matchLabels:")?;
    pods.labels.iter().try_for_each(|(key, value)| writeln!(out, "{indent}  {key}: \"{value}\""))
}

fn word(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::UDP => "UDP",
        Protocol::SCTP => "SCTP",
        _ => "TCP",
    }
}

fn escaped(text: &str) -> String {
    model::untrusted::Untrusted::new(text).to_string()
}
