//! What a person accepts of a container that runs, by saying that what runs now is fine.
//!
//! Not here: keeping it. Whatever contradicts itself is never accepted unseen; it can be approved by name.

use model::approval::{Approval, Scope};
use model::identity::{Container, Kind};
use model::runtime::ContainerFacts;

/// What can be accepted of one container.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Acceptable {
    /// All of it.
    Whole(Vec<Scope>),
    /// Only so much of it, and why.
    InPart(Vec<Scope>, String),
    /// Nothing, and why.
    Not(String),
    /// It is nobody's container, or is approved as it is.
    NotAsked,
}

/// What of a container can be accepted, given the approvals about it.
pub(super) fn acceptable(container: &Container, approvals: &[&Approval]) -> Acceptable {
    let name = container.name();
    if matches!(container.kind, Kind::Service | Kind::Sandbox | Kind::Own) {
        return Acceptable::NotAsked;
    }
    if !container.tally.is_whole() {
        let sentences = container.tally.contradictions.iter().map(|one| one.sentence.as_str());
        return Acceptable::Not(format!("{name}: {}", sentences.collect::<Vec<_>>().join("; ")));
    }
    if let Some(facts) = container.facts.known() {
        return claimed(container, facts);
    }
    if approvals.iter().any(|approval| matches!(approval.scope, Scope::Unclaimed { .. })) {
        return Acceptable::NotAsked;
    }
    Acceptable::Not(match container.kind {
        Kind::Unanswered => format!("{name}: the engine that could claim it does not answer"),
        Kind::Unwatched => format!("{name}: its cgroup is named as an engine names them that is not watched"),
        Kind::Unsettled => format!("{name}: an engine may still claim it"),
        _ => format!(
            "{name}: no runtime claims it, so there is no image to approve; \
             `tidewatch approve --unclaimed` accepts it by name"
        ),
    })
}

fn claimed(container: &Container, facts: &ContainerFacts) -> Acceptable {
    let workload = container.workload();
    let others = container.others.iter().map(|facts| &facts.view);
    let engines = std::iter::once(&facts.view).chain(others);
    let mut scopes: Vec<Scope> = engines.map(|view| Scope::Engine { view: view.clone() }).collect();
    let setup = container.setup.known();
    let privileges = facts.privileges.as_deref().or_else(|| setup.map(|setup| &setup.privileges));
    let rights = privileges.map(model::privilege::Privileges::rights).unwrap_or_default();
    if !rights.is_empty() {
        scopes.push(Scope::Rights { workload: workload.clone(), rights });
    }
    let Some(digest) = facts.digests().next() else {
        let reason = format!("{}: the runtime tells no image digest", container.name());
        return Acceptable::InPart(scopes, reason);
    };
    scopes.push(Scope::Digest { digest: digest.clone(), image: facts.image.clone() });
    // A workload goes with the digest of its image's configuration, which not every engine tells.
    if !facts.digest.is_empty() {
        scopes.push(Scope::Workload { workload, digest: facts.digest.clone() });
    }
    Acceptable::Whole(scopes)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::ids::WorkloadKey;
    use model::inventory::ContainerView;
    use model::privilege::{NamespaceKind, Privileges};
    use model::time::Time;
    use model::untrusted::Untrusted;
    use model::view::{EngineKind, View};
    use testkit::inventory::{bare, claimed, facts, sample};

    use super::*;

    fn of(view: &ContainerView) -> Acceptable {
        acceptable(&view.container, &view.approvals.iter().collect::<Vec<_>>())
    }

    fn reason(view: &ContainerView) -> String {
        match of(view) {
            Acceptable::Not(reason) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_an_engine_claims_is_accepted_with_its_rights_and_every_engine_that_knows_it() {
        let moby = View::new(EngineKind::Containerd, "/run/x.sock").of_namespace(&"moby".into());
        let mut facts = facts("web", "nginx:1.25", 'a');
        let privileges = Privileges {
            host_namespaces: vec![NamespaceKind::Pid],
            without_seccomp: true,
            ..Privileges::default()
        };
        facts.privileges = Some(Box::new(privileges));
        let digest = facts.digest.clone();
        let mut view = claimed(1, facts);
        Arc::make_mut(&mut view.container).others =
            vec![Arc::new(ContainerFacts { view: moby.clone(), ..ContainerFacts::default() })];
        let workload = WorkloadKey::new("nginx [serve --port 80]");
        let rights = vec!["host:pid".into(), "no-seccomp".into()];
        let wanted = vec![
            Scope::Engine { view: View::default() },
            Scope::Engine { view: moby },
            Scope::Rights { workload: workload.clone(), rights },
            Scope::Digest { digest: digest.clone(), image: "nginx:1.25".into() },
            Scope::Workload { workload, digest },
        ];
        assert_eq!(of(&view), Acceptable::Whole(wanted));
    }

    #[test]
    fn whoever_has_no_rights_is_given_none_and_whoever_has_no_digest_is_named() {
        let mut facts = facts("web", "", 'a');
        facts.digest = Untrusted::default();
        let Acceptable::InPart(scopes, reason) = of(&claimed(1, facts)) else { panic!("in part") };
        assert_eq!(scopes, [Scope::Engine { view: View::default() }]);
        assert_eq!(reason, "web: the runtime tells no image digest");
    }

    #[test]
    fn an_image_known_only_by_its_manifest_is_accepted_by_that() {
        let manifest = Untrusted::new("sha256:00");
        let mut facts = facts("web", "nginx", 'a');
        facts.digest = Untrusted::default();
        facts.image_facts.digests = vec![manifest.clone()];
        let Acceptable::Whole(scopes) = of(&claimed(1, facts)) else { panic!("whole") };
        let image = Scope::Digest { digest: manifest, image: "nginx".into() };
        assert_eq!(scopes, [Scope::Engine { view: View::default() }, image]);
    }

    #[test]
    fn what_contradicts_itself_and_what_nobody_claims_is_left_out_with_the_reason() {
        let view = sample();
        assert!(reason(&view.containers[0]).contains("swarm denies it"), "{view:?}");
        assert!(reason(&view.containers[1]).contains("no runtime claims it"), "{view:?}");
        for (kind, why) in [
            (Kind::Unanswered, "does not answer"),
            (Kind::Unwatched, "is not watched"),
            (Kind::Unsettled, "may still claim"),
        ] {
            assert!(reason(&bare(1, kind, "x", "/x")).contains(why), "{kind:?}");
        }
    }

    #[test]
    fn nobody_is_asked_about_units_sandboxes_and_ourselves_nor_twice_about_a_ghost() {
        for kind in [Kind::Service, Kind::Sandbox, Kind::Own] {
            assert_eq!(of(&bare(1, kind, "x", "/x")), Acceptable::NotAsked, "{kind:?}");
        }
        let mut ghost = bare(1, Kind::Ghost, "x", "/x");
        let scope = Scope::Unclaimed { workload: ghost.workload.clone(), root: "/".into() };
        let approval =
            Approval { id: 1, scope, owner: "ann".into(), at: Time::default(), note: Untrusted::default() };
        ghost.approvals.push(approval);
        assert_eq!(of(&ghost), Acceptable::NotAsked);
    }
}
