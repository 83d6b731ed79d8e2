//! The inventory as it is shown: every container with its tally, what people said about it, and the incidents that name it.
//!
//! Not here: comparing views (`enrich`), and any form that people or machines read (`report`).

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use model::approval::{Approval, Scope};
use model::identity::{Container, Kind};
use model::ids::NodeId;
use model::incident::IncidentId;
use model::inventory::{ContainerView, InventoryView, NamedIn};
use model::novelty::Provenance;
use model::runtime::ContainerFacts;
use model::untrusted::Untrusted;
use model::view::{Row, Standing, Witness};

use crate::fold::Fold;
use crate::status::involved::Involvements;

impl Fold {
    /// All containers that are known, as they are shown.
    pub fn inventory(&self, node: &NodeId) -> InventoryView {
        inventory_view(self, node)
    }
}

/// All containers that are known, in the order in which they should be read.
pub(crate) fn inventory_view(fold: &Fold, node: &NodeId) -> InventoryView {
    let involvements = Involvements::of(fold);
    let open = fold.triage().open_incidents();
    let summaries: BTreeMap<&IncidentId, &String> =
        open.map(|incident| (&incident.id, &incident.summary)).collect();
    let one = |container: &Arc<Container>| {
        let provenance = fold.state().provenance(container);
        let approvals: Vec<Approval> = fold.state().approvals_about(container).into_iter().cloned().collect();
        let named = involvements.on(container).into_iter().map(|involved| NamedIn {
            summary: summaries.get(&involved.id).map(|summary| (*summary).clone()).unwrap_or_default(),
            id: involved.id,
            severity: involved.severity,
        });
        ContainerView {
            workload: container.workload(),
            rows: rows(container, provenance, &approvals),
            provenance,
            approvals,
            incidents: named.collect(),
            container: told_once(container),
        }
    };
    let mut containers: Vec<ContainerView> = fold.enrich().containers().map(one).collect();
    containers.sort_by(by_urgency);
    InventoryView { node: node.clone(), at: fold.state().now(), containers, dropped: fold.enrich().dropped() }
}

/// The container without labels in the words of other engines that are also in those of the first: each of a kubelet's
/// containers is told by three.
fn told_once(container: &Arc<Container>) -> Arc<Container> {
    let Some(first) = container.facts.known().filter(|_| !container.others.is_empty()) else {
        return Arc::clone(container);
    };
    let is_new = |label: &(Untrusted, Untrusted)| first.labels.binary_search(label).is_err();
    let slim = |facts: &Arc<ContainerFacts>| {
        let labels = facts.labels.iter().filter(|label| is_new(label)).cloned().collect();
        Arc::new(ContainerFacts { labels, ..ContainerFacts::clone(facts) })
    };
    let others = container.others.iter().map(slim).collect();
    Arc::new(Container { others, ..Container::clone(container) })
}

/// What contradicts first, then ghosts, then by kind and name; what has ended after what runs.
fn by_urgency(a: &ContainerView, b: &ContainerView) -> Ordering {
    let rank = |one: &ContainerView| {
        let container = &one.container;
        (container.ended.is_some(), container.tally.is_whole(), container.kind != Kind::Ghost, container.kind)
    };
    let name = |one: &ContainerView| one.container.name().clone();
    rank(a)
        .cmp(&rank(b))
        .then_with(|| name(a).cmp(&name(b)))
        .then_with(|| a.container.key.cmp(&b.container.key))
}

/// The rows of the tally, and that of policy when it has none. What was not settled yet has no tally: then those that
/// have said something are told.
fn rows(container: &Container, provenance: Provenance, approvals: &[Approval]) -> Vec<Row> {
    let mut rows = container.tally.rows.clone();
    if rows.is_empty() {
        rows.push(Row {
            witness: Witness::Kernel,
            standing: Standing::Present,
            since: Some(container.key.started),
            says: container.cgroup_path.clone(),
        });
        rows.extend(container.claims().map(claim));
    }
    if !rows.iter().any(|row| row.witness == Witness::Policy) {
        rows.push(policy(container, provenance, approvals));
    }
    rows
}

fn claim(facts: &ContainerFacts) -> Row {
    Row {
        witness: Witness::Engine(facts.view.clone()),
        standing: Standing::Present,
        since: facts.started.or(facts.created),
        says: facts.name.clone(),
    }
}

/// What people said, as one witness more.
fn policy(container: &Container, provenance: Provenance, approvals: &[Approval]) -> Row {
    let is_unclaimed = |approval: &&Approval| matches!(approval.scope, Scope::Unclaimed { .. });
    let accepted = approvals.iter().find(is_unclaimed);
    let admits = |approval: &&Approval| {
        matches!(approval.scope, Scope::Digest { .. } | Scope::Pattern { .. } | Scope::Unclaimed { .. })
    };
    let (standing, says) = match (provenance, container.kind) {
        (Provenance::Approved, _) => (Standing::Present, "its image and its workload are approved"),
        (Provenance::ImageApproved, _) => (Standing::Present, "its image is approved, its workload is not"),
        (Provenance::Unapproved, _) => (Standing::Denied, "nobody approved its image"),
        (_, Kind::Service | Kind::Sandbox | Kind::Own) => (Standing::Foreign, ""),
        (_, Kind::Ghost) if accepted.is_some() => (Standing::Present, "approved though no engine claims it"),
        (_, Kind::Ghost) => (Standing::Denied, "no engine claims it, and nobody approved that"),
        (Provenance::Unclaimed, _) => (Standing::Silent, "its engine cannot be asked for its image"),
        (Provenance::Pending, _) => (Standing::Pending, ""),
    };
    let since = approvals.iter().filter(admits).map(|approval| approval.at).min();
    Row {
        witness: Witness::Policy,
        standing,
        since: since.filter(|_| standing == Standing::Present),
        says: Untrusted::new(says),
    }
}

#[cfg(test)]
mod tests {
    use model::time::Time;
    use strategy::Strategies;
    use testkit::inventory::{bare, claimed, facts, sample};
    use testkit::scene::{Scene, digest};

    use super::*;
    use crate::fold::FoldConfig;

    fn approval(secs: i64, scope: Scope) -> Approval {
        Approval { id: 1, scope, owner: "ann".into(), at: Time::from_secs(secs), note: Untrusted::default() }
    }

    fn told(rows: &[Row]) -> Vec<(String, Standing)> {
        rows.iter().map(|row| (row.witness.to_string(), row.standing)).collect()
    }

    #[test]
    fn what_contradicts_is_read_first_then_ghosts_and_what_ended_last() {
        let wanted: Vec<ContainerView> = {
            let mut all = sample().containers;
            let ended = all.remove(3);
            all.push(ended);
            all
        };
        let mut sorted: Vec<ContainerView> = wanted.iter().rev().cloned().collect();
        sorted.sort_by(by_urgency);
        let names = |all: &[ContainerView]| {
            all.iter().map(|one| one.container.name().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(names(&sorted), names(&wanted));
    }

    #[test]
    fn every_container_of_the_fold_is_there_with_its_approvals_and_what_people_said() {
        let mut scene = Scene::new(2);
        let web = scene.start("web", "shop/web", "serve");
        scene.start_unclaimed("mine");
        scene.approve(7, Scope::Digest { digest: digest("shop/web"), image: "shop/web".into() });
        scene.seconds(4, &[], 0.0);
        let mut fold = Fold::new(&Strategies::default(), FoldConfig::default());
        for event in scene.take() {
            fold.step(event);
        }
        let view = inventory_view(&fold, &NodeId::new("node"));
        let [ghost, web_view] = &view.containers[..] else { panic!("{view:?}") };
        assert_eq!((ghost.container.kind, ghost.approvals.len()), (Kind::Ghost, 0));
        assert_eq!(ghost.rows.last().map(|row| row.standing), Some(Standing::Denied), "policy's word");
        assert_eq!(web_view.container.key.cgroup, web.cgroup());
        assert_eq!(web_view.approvals.iter().map(|one| one.id).collect::<Vec<_>>(), [7]);
        assert_eq!(web_view.provenance, Provenance::ImageApproved);
        assert_eq!(view.at, fold.state().now());
    }

    #[test]
    fn a_label_that_several_engines_tell_is_told_once() {
        let label = |key: &str, value: &str| (Untrusted::new(key), Untrusted::new(value));
        let mut container = Container::clone(&claimed(1, facts("web", "nginx", 'a')).container);
        let mut first = ContainerFacts::clone(container.facts.known().unwrap());
        first.labels = vec![label("app", "web"), label("tier", "front")];
        let mut other = first.clone();
        other.labels = vec![label("app", "other"), label("tier", "front"), label("zone", "1")];
        container.facts = model::fact::Fact::Known(Arc::new(first.clone()));
        container.others = vec![Arc::new(other)];
        let told = told_once(&Arc::new(container));
        assert_eq!(told.facts.known().map(AsRef::as_ref), Some(&first));
        assert_eq!(told.others[0].labels, [label("app", "other"), label("zone", "1")]);
    }

    #[test]
    fn without_a_tally_those_who_said_something_are_told() {
        let web = claimed(1, facts("web", "nginx", 'a')).container;
        let rows = rows(&web, Provenance::Unapproved, &[]);
        let wanted =
            [("kernel", Standing::Present), ("docker", Standing::Present), ("policy", Standing::Denied)];
        assert_eq!(told(&rows), wanted.map(|(name, standing)| (name.to_owned(), standing)));
    }

    #[test]
    fn a_tally_is_told_as_it_is_and_gets_a_row_of_policy_once() {
        let mut view = sample().containers.remove(0);
        let whole = rows(&view.container, Provenance::Approved, &[]);
        assert_eq!(whole, view.container.tally.rows, "it has one");
        let tally = Arc::make_mut(&mut Arc::make_mut(&mut view.container).tally);
        tally.rows.retain(|row| row.witness != Witness::Policy);
        let more = rows(&view.container, Provenance::Approved, &[]);
        assert_eq!(more.len(), whole.len());
        assert_eq!(more.last().map(|row| row.standing), Some(Standing::Present));
    }

    #[test]
    fn policy_says_since_when_the_image_is_approved() {
        let web = claimed(1, facts("web", "nginx", 'a')).container;
        let approvals = [
            approval(9, Scope::Pattern { pattern: "nginx".into() }),
            approval(5, Scope::Digest { digest: "sha256:00".into(), image: "nginx".into() }),
            approval(1, Scope::Engine { view: model::view::View::default() }),
        ];
        let row = policy(&web, Provenance::ImageApproved, &approvals);
        assert_eq!((row.standing, row.since), (Standing::Present, Some(Time::from_secs(5))));
        let denied = policy(&web, Provenance::Unapproved, &approvals);
        assert_eq!((denied.standing, denied.since), (Standing::Denied, None));
    }

    #[test]
    fn policy_denies_a_ghost_until_it_is_approved_and_has_no_say_about_units() {
        let ghost = bare(1, Kind::Ghost, "x", "/x");
        let standing = |kind, approvals: &[Approval]| {
            let view = bare(1, kind, "x", "/x");
            policy(&view.container, Provenance::Unclaimed, approvals).standing
        };
        let unclaimed = Scope::Unclaimed { workload: ghost.workload, root: "/".into() };
        assert_eq!(standing(Kind::Ghost, &[]), Standing::Denied);
        assert_eq!(standing(Kind::Ghost, &[approval(3, unclaimed)]), Standing::Present);
        assert_eq!(standing(Kind::Unanswered, &[]), Standing::Silent);
        let service = bare(1, Kind::Service, "x", "/x").container;
        assert_eq!(policy(&service, Provenance::Pending, &[]).standing, Standing::Foreign);
        let unsettled = bare(1, Kind::Unsettled, "x", "/x").container;
        assert_eq!(policy(&unsettled, Provenance::Pending, &[]).standing, Standing::Pending);
    }
}
