//! Judges of who is allowed to be here: which views know a container, whose image it is, what it may do to the host, what
//! is done in it and to it.
//!
//! Not here: what a container spends (`resource.rs`), with whom it talks (`communication.rs`).

pub(crate) mod unapproved_image;

pub(crate) mod swapped_tag;

pub(crate) mod local_image;

pub(crate) mod ghost;

pub(crate) mod second_engine;

pub(crate) mod unmanaged;

pub(crate) mod masquerade;

pub(crate) mod privilege;

pub(crate) mod drift;

pub(crate) mod administration;

pub(crate) mod namespace_entry;

pub(crate) mod cgroup_escape;

pub(crate) mod unusual_start;

use std::sync::Arc;
use std::time::Duration;

use model::finding::{Aspect, Family, Finding};
use model::identity::{Container, News};
use state::Early;

use crate::Case;

/// What nobody who runs this host would do, and whoever evades its runtimes, its approvals or its limits does: enough
/// alone. Each judge that claims it says how the benign twins are told apart.
pub(crate) const ALONE_BITS: f64 = 13.0;

/// A claim about a container, with what every finding of provenance names it by.
pub(crate) fn claim(
    case: &Case,
    container: &Container,
    judge: &'static str,
    bits: f64,
    aspect: Aspect,
) -> Finding {
    let mut finding = Finding::about(container, judge, Family::Provenance, case.at(), bits).of_aspect(aspect);
    if let Some(init) = container.init {
        finding = finding.with("pid", u64::from(init.pid));
    }
    finding = finding.with("cgroup", &container.cgroup_path);
    let root = container.setup.known().map(|setup| &setup.root).filter(|root| !root.is_empty());
    let claimed = container.facts.known().map(|facts| &facts.root).filter(|root| !root.is_empty());
    if let Some(root) = root.or(claimed) {
        finding = finding.with("root", root);
    }
    if let Some(facts) = container.facts.known() {
        finding = finding.with("engine", facts.view.to_string().as_str()).with("image", &facts.image);
    }
    if let Some(setup) = container.setup.known().filter(|setup| !setup.makers.is_empty()) {
        let makers: Vec<String> = setup
            .makers
            .iter()
            .take(4)
            .map(|maker| format!("{} ({})", maker.name.raw(), maker.pid))
            .collect();
        finding = finding.with("made_by", makers.join(" < ").as_str());
    }
    finding
}

/// The same finding with who on the host last named the container to an engine, when somebody did within `span`.
pub(crate) fn asked_by(case: &Case, container: &Container, span: Duration, finding: Finding) -> Finding {
    let id = container.facts.known().map(|facts| facts.id.raw()).unwrap_or_default();
    let words = [container.name().raw(), id, id.get(..12).unwrap_or_default()];
    let Some(client) = case.state.client(&words, span) else { return finding };
    let finding = finding
        .with("by_pid", u64::from(client.pid))
        .with("by_uid", u64::from(client.uid))
        .with("by_command", &client.args);
    match client.login_uid {
        Some(uid) => finding.with("by_login_uid", u64::from(uid)),
        None => finding,
    }
}

/// Containers whose views have just been compared, and that run.
pub(crate) fn tallied<'a>(case: &Case<'a>) -> impl Iterator<Item = &'a Arc<Container>> {
    case.seen.identity.news.iter().filter_map(|news| match news {
        News::Tallied(container) if container.ended.is_none() => Some(container),
        _ => None,
    })
}

/// Containers whose facts have just been settled, those included that ended before.
pub(crate) fn settled<'a>(case: &Case<'a>) -> impl Iterator<Item = &'a Arc<Container>> {
    case.seen.identity.news.iter().filter_map(|news| match news {
        News::Settled(container) => Some(container),
        _ => None,
    })
}

/// What was done in containers whose facts have just been settled, before they were.
pub(crate) fn early<'a>(case: &Case<'a>) -> impl Iterator<Item = (&'a Arc<Container>, &'a Early)> {
    let state = case.state;
    settled(case)
        .flat_map(move |container| state.early(container).iter().map(move |early| (container, early)))
}
