//! Cases of approvals: what counts as approved, by what, and what no longer does.

use model::traffic::Protocol;
use model::view::{EngineKind, View};

use super::*;

/// The provenance of one container `name` that runs `image`, after these approvals.
fn check_provenance(image: &str, scopes: &[Scope], expected: Provenance) {
    let mut scene = Scene::new(4);
    let app = scene.start("app", image, "serve --port 80");
    for (id, scope) in (1..).zip(scopes) {
        scene.approve(id, scope.clone());
    }
    let books = Books::of(scene);
    assert_eq!(books.provenance(app), expected, "{image} {scopes:?}");
    let account = books.state.account(app.cgroup()).unwrap();
    assert_eq!(account.provenance(), expected, "the books follow: {image} {scopes:?}");
}

fn of_digest(image: &str) -> Scope {
    Scope::Digest { digest: digest(image), image: Untrusted::new(image) }
}

fn of_pattern(pattern: &str) -> Scope {
    Scope::Pattern { pattern: Untrusted::new(pattern) }
}

fn of_workload(workload: &str, image: &str) -> Scope {
    Scope::Workload { workload: WorkloadKey::new(workload), digest: digest(image) }
}

#[test]
fn an_image_is_approved_by_its_content_whatever_it_is_called() {
    check_provenance("shop/app", &[], Provenance::Unapproved);
    check_provenance("shop/app", &[of_digest("shop/app")], Provenance::ImageApproved);
    let named_alike = Scope::Digest { digest: digest("other"), image: Untrusted::new("shop/app") };
    check_provenance("shop/app", &[named_alike], Provenance::Unapproved);
}

#[test]
fn one_star_stays_within_a_part_of_a_name_and_two_do_not() {
    check_provenance("shop/app", &[of_pattern("shop/*")], Provenance::ImageApproved);
    check_provenance("shop/team/app", &[of_pattern("shop/*")], Provenance::Unapproved);
    check_provenance("shop/team/app", &[of_pattern("shop/**")], Provenance::ImageApproved);
    check_provenance("evil/shop/app", &[of_pattern("shop/**")], Provenance::Unapproved);
    check_provenance("shop/app", &[of_pattern("")], Provenance::Unapproved);
}

#[test]
fn a_pattern_that_does_not_parse_covers_nothing() {
    check_provenance("shop/app", &[of_pattern("shop/[")], Provenance::Unapproved);
    check_provenance("shop/app", &[of_pattern("shop/["), of_pattern("shop/*")], Provenance::ImageApproved);
}

#[test]
fn a_workload_counts_only_with_the_image_it_was_approved_with() {
    let workload = "shop/app [serve --port 80]";
    let right = of_workload(workload, "shop/app");
    check_provenance("shop/app", std::slice::from_ref(&right), Provenance::Unapproved);
    check_provenance("shop/app", &[of_digest("shop/app"), right], Provenance::Approved);
    let other_image = of_workload(workload, "shop/app:old");
    check_provenance("shop/app", &[of_digest("shop/app"), other_image], Provenance::ImageApproved);
    let other_command = of_workload("shop/app [mine]", "shop/app");
    check_provenance("shop/app", &[of_digest("shop/app"), other_command], Provenance::ImageApproved);
}

#[test]
fn an_image_without_a_digest_is_not_the_one_without_a_digest_that_was_approved() {
    let mut scene = Scene::new(4);
    let app = scene.start_unclaimed("serve");
    scene.claim(app, "app", "shop/app", |facts| facts.digest = Untrusted::default());
    let scope = Scope::Digest { digest: Untrusted::default(), image: Untrusted::new("shop/app") };
    scene.approve(1, scope);
    assert_eq!(Books::of(scene).provenance(app), Provenance::Unapproved);
}

#[test]
fn what_is_revoked_no_longer_counts_and_a_twin_still_does() {
    let mut scene = Scene::new(4);
    let app = scene.start("app", "shop/app", "serve");
    scene.approve(1, of_digest("shop/app"));
    scene.approve(2, of_digest("shop/app"));
    let mut books = Books::default();
    books.take(scene.take());
    for (id, expected) in
        [(1, Provenance::ImageApproved), (7, Provenance::ImageApproved), (2, Provenance::Unapproved)]
    {
        scene.emit(Source::Operator, Body::Revoked { id });
        books.take(scene.take());
        assert_eq!(books.provenance(app), expected, "after {id}");
        assert_eq!(books.state.account(app.cgroup()).unwrap().provenance(), expected, "after {id}");
    }
    assert_eq!(books.state.approvals().count(), 0);
}

#[test]
fn who_waits_for_a_claim_is_pending_and_who_has_none_is_unclaimed() {
    let mut scene = Scene::new(4);
    scene.units(true, &["cron.service"]);
    let ghost = scene.appear("/hidden", "mine");
    let service = scene.appear("/system.slice/cron.service", "cron");
    let mut books = Books::default();
    books.take(scene.take());
    assert_eq!(books.provenance(ghost), Provenance::Pending);
    scene.seconds(3, &[], 0.0);
    books.take(scene.take());
    assert_eq!(books.provenance(ghost), Provenance::Unclaimed);
    assert_eq!(books.provenance(service), Provenance::Pending, "nobody is ever asked about a unit");
}

#[test]
fn only_what_ran_before_the_first_look_at_a_host_without_approvals_is_from_before() {
    let mut scene = Scene::new(4);
    let old = scene.find("/old", "httpd", Duration::from_secs(60));
    let new = scene.start("new", "app", "serve");
    let mut books = Books::default();
    books.take(scene.take());
    let is_from_before = |books: &Books, actor| books.state.is_from_before(books.container(actor));
    assert!(is_from_before(&books, old));
    assert!(!is_from_before(&books, new));
    scene.approve(1, of_digest("app"));
    books.take(scene.take());
    assert!(!is_from_before(&books, old), "somebody has had the chance to approve it");
}

#[test]
fn approvals_about_a_container_are_told_and_those_about_others_are_not() {
    let mut scene = Scene::new(4);
    let app = scene.start("app", "shop/app", "serve");
    let ghost = scene.appear("/hidden", "mine");
    let mine = WorkloadKey::new("shop/app [serve]");
    let rights = |workload: &WorkloadKey| Scope::Rights {
        workload: workload.clone(),
        rights: vec!["host:pid".into()],
    };
    let engine = |view: View| Scope::Engine { view };
    let scopes = [
        of_digest("shop/app"),
        of_digest("shop/db"),
        of_pattern("shop/*"),
        of_pattern("*"),
        of_workload(mine.raw(), "shop/app"),
        of_workload(mine.raw(), "shop/app:old"),
        rights(&mine),
        rights(&WorkloadKey::new("shop/app [other]")),
        engine(View::default()),
        engine(View::new(EngineKind::Podman, "/var/lib/containers/storage")),
        Scope::Listener { workload: mine, port: 80, protocol: Protocol::TCP },
    ];
    (1..).zip(scopes).for_each(|(id, scope)| scene.approve(id, scope));
    let mut books = Books::default();
    books.take(scene.take());
    let about = |actor| {
        let approvals = books.state.approvals_about(books.container(actor));
        approvals.iter().map(|approval| approval.id).collect::<Vec<_>>()
    };
    assert_eq!(about(app), [1, 3, 5, 7, 9]);
    assert!(about(ghost).is_empty(), "what nobody claims has no image and no engine");
}

#[test]
fn ten_thousand_approvals_hold_and_the_next_one_is_refused() {
    let mut state = State::default();
    let mut scene = Scene::new(4);
    scene.take();
    for id in 0..10_001 {
        scene.approve(id, of_digest(&format!("image-{id}")));
    }
    for event in scene.take() {
        state.compare(&Observation { event, identity: model::identity::Identity::default() });
    }
    assert_eq!(state.approvals().count(), 10_000);
}
