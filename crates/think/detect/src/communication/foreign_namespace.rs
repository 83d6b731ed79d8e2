//! Flags a container that lives in the network namespace of another workload's: what it sends seems to come from there.
//!
//! T1564, T1611. Not here: containers of one pod, which share one by design, and the host's own namespace.

use std::sync::Arc;

use model::event::Body;
use model::finding::Finding;
use model::identity::{Container, News};
use model::ids::CgroupId;
use state::Account;

use crate::Case;
use crate::communication::contact;

pub(crate) const ID: &str = "foreign_namespace";

/// A container that nobody approved; an approved one that its runtime put there, as side-cars are; an approved one that
/// went there by itself.
const BITS: f64 = 9.0;
const DECLARED_BITS: f64 = 2.0;

/// Judges a container when its facts are settled, and every program that it runs elsewhere.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    for news in &case.seen.identity.news {
        if let News::Settled(container) = news
            && container.ended.is_none()
        {
            judge_one(case, container, container.namespaces.net, out);
        }
    }
    if let (Body::Exec(exec), Some(container)) = (&case.seen.event.body, &case.seen.identity.container)
        && exec.namespaces.net != container.namespaces.net
        && !container.facts.is_pending()
    {
        judge_one(case, container, exec.namespaces.net, out);
    }
}

fn judge_one(case: &Case, container: &Arc<Container>, net_ns: u32, out: &mut Vec<Finding>) {
    let Some(other) = owner(case, container, net_ns) else { return };
    let is_declared = container.facts.known().is_some_and(|facts| {
        facts.network_mode.raw().starts_with("container:") && net_ns == container.namespaces.net
    });
    let is_approved = case.state.provenance(container).is_approved();
    let bits = if is_declared && is_approved { DECLARED_BITS } else { BITS };
    let how = if is_declared { "its runtime put it there" } else { "no runtime put it there" };
    out.push(
        contact(case, container, ID, bits)
            .claiming(format!("it lives in the network namespace of {}; {how}", other.name()))
            .with("network_namespace", u64::from(net_ns))
            .with("other_container", other.name())
            .with("other_workload", other.workload().raw()),
    );
}

/// The container of another workload that was in the namespace first.
fn owner<'a>(case: &Case<'a>, container: &Container, net_ns: u32) -> Option<&'a Container> {
    let others = case.running().map(Account::container).filter(|other| {
        other.namespaces.net == net_ns
            && other.key.cgroup != container.key.cgroup
            && is_of_host(other, case).is_none()
    });
    let first = others.min_by_key(|other| other.key.started)?;
    let came_first = first.key.started < container.key.started || net_ns != container.namespaces.net;
    let is_same =
        first.workload() == container.workload() || pod(first).is_some_and(|it| Some(it) == pod(container));
    (came_first && !is_same).then_some(first)
}

/// A container in the host's own network namespace has no namespace that another could be in.
fn is_of_host(other: &Container, case: &Case) -> Option<CgroupId> {
    (Some(other.namespaces.net) == case.state.host_net_ns()).then_some(other.key.cgroup)
}

fn pod(container: &Container) -> Option<&str> {
    let facts = container.facts.known()?;
    facts.label("io.kubernetes.pod.uid").map(model::untrusted::Untrusted::raw)
}
