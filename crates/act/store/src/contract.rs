//! What every store must do, as tests that are given a way to make an empty one.
//!
//! Not here: what only a file can do (surviving kill -9, being corrupted), see the tests of `database.rs`.

mod expectations;

use model::approval::{APPROVALS_MAX, Scope};
use model::ids::WorkloadKey;
use model::incident::{Change, ChangeKind, Closing, Incident, IncidentId, Severity, Verdict};
use model::time::Time;
use model::untrusted::Untrusted;
use model::view::{EngineKind, View};
use testkit::incidents::{HOSTILE, IncidentBuilder};

use crate::audit::AuditAction;
use crate::error::StoreError;
use crate::expectation_store::ExpectationStore;
use crate::incident_store::{IncidentQuery, IncidentStore, RIGHTS_MAX};

/// Holds a store to everything below; `make` gives an empty one with that limit of incidents.
pub(crate) fn check<S: IncidentStore + ExpectationStore>(make: impl Fn(usize) -> S) {
    a_recorded_incident_is_read_back_equal(make(100));
    the_last_change_of_an_incident_is_what_is_kept(make(100));
    the_window_holds_what_opened_or_changed_in_it(make(100));
    one_unstorable_incident_leaves_nothing_of_its_batch(make(100));
    a_closing_is_audited_once(make(100));
    what_was_closed_as_an_attack_is_found_again(make(100));
    over_the_limit_closed_and_minor_ones_go_first(make(3));
    the_same_scope_is_approved_once(make(100));
    a_revoked_approval_is_gone_and_its_number_stays_used(make(100));
    over_the_limit_an_approval_is_refused_until_one_is_revoked(make(100));
    every_kind_of_scope_is_read_back_equal(make(100));
    rights_are_the_same_in_any_order_and_bounded(make(100));
    the_audit_trail_says_who_did_what_and_verifies(make(100));
    the_last_beat_is_remembered(make(100));
    expectations::check(&make);
}

fn at(secs: i64) -> Time {
    Time::from_secs(secs)
}

fn change(incident: &Incident) -> Change {
    Change { kind: ChangeKind::Updated, incident: incident.clone() }
}

fn attack(workload: &str, opened: i64) -> IncidentBuilder {
    IncidentBuilder::attack().workload(workload).opened(at(opened))
}

fn workloads(store: &impl IncidentStore, query: &IncidentQuery) -> Vec<String> {
    let loaded = store.incidents(query).unwrap();
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
    let name = |incident: &Incident| incident.subject.workload().unwrap().to_string();
    loaded.rows.iter().map(name).collect()
}

fn digest(image: &str) -> Scope {
    Scope::Digest { digest: "sha256:00".into(), image: image.into() }
}

fn a_recorded_incident_is_read_back_equal(mut store: impl IncidentStore) {
    let samples = [
        IncidentBuilder::attack().build(),
        IncidentBuilder::attack().hostile().build(),
        IncidentBuilder::attack().about_node().build(),
        attack("closed", 5).closed(at(6), "ann").build(),
    ];
    store.record(&samples.each_ref().map(change)).unwrap();
    for sample in &samples {
        assert_eq!(store.incident(&sample.id).unwrap().as_ref(), Some(sample));
    }
    assert_eq!(store.incident(&IncidentId::from_text("TW-000000000000")).unwrap(), None);
    assert_eq!(store.open_incidents().unwrap().rows.len(), 3);
    store.record(&[]).unwrap();
}

fn the_last_change_of_an_incident_is_what_is_kept(mut store: impl IncidentStore) {
    let first = attack("a", 1).build();
    let second = attack("a", 1).updated(at(9)).severity(Severity::Critical).build();
    store.record(&[change(&first), change(&second)]).unwrap();
    assert_eq!(store.open_incidents().unwrap().rows, [second]);
}

fn the_window_holds_what_opened_or_changed_in_it(mut store: impl IncidentStore) {
    let samples = [
        attack("early", 10).build(),
        attack("long", 20).updated(at(50)).build(),
        attack("late", 40).build(),
        attack("done", 30).closed(at(35), "ann").build(),
    ];
    store.record(&samples.each_ref().map(change)).unwrap();
    let query = |since: i64, until: i64| IncidentQuery {
        since: Some(at(since)),
        until: Some(at(until)),
        include_closed: true,
        limit: 10,
    };
    assert_eq!(workloads(&store, &query(10, 20)), ["long", "early"]);
    assert_eq!(workloads(&store, &query(31, 39)), ["done"]);
    assert_eq!(workloads(&store, &query(41, 60)), ["long"]);
    assert_eq!(workloads(&store, &query(21, 29)), [""; 0]);
    assert_eq!(workloads(&store, &IncidentQuery { limit: 2, ..query(0, 99) }), ["late", "done"]);
    assert_eq!(workloads(&store, &IncidentQuery::default()), ["late", "long", "early"]);
}

fn one_unstorable_incident_leaves_nothing_of_its_batch(mut store: impl IncidentStore) {
    let good = attack("good", 1).build();
    let mut bad = attack("bad", 2).build();
    bad.bits = f64::NAN;
    store.record(&[change(&good), change(&bad)]).unwrap_err();
    assert_eq!(store.open_incidents().unwrap().rows, []);
}

fn a_closing_is_audited_once(mut store: impl IncidentStore) {
    let closed = attack("a", 1).closed(at(5), "ann").build();
    store.record(&[change(&attack("a", 1).build())]).unwrap();
    store.record(&[change(&closed)]).unwrap();
    store.record(&[change(&closed)]).unwrap();
    let entries = store.audit(10).unwrap().rows;
    assert_eq!(entries.len(), 1);
    assert_eq!((entries[0].action, entries[0].at), (AuditAction::Close, at(5)));
    assert_eq!(entries[0].detail["incident"], closed.id.as_str());
    assert_eq!(entries[0].detail["verdict"], "test");
}

fn what_was_closed_as_an_attack_is_found_again(mut store: impl IncidentStore) {
    let as_attack = |workload: &str, opened| {
        let incident = attack(workload, opened).build();
        let closing = Closing {
            at: at(opened + 1),
            verdict: Verdict::Malicious,
            note: "a miner".into(),
            owner: "ann".into(),
        };
        incident.closed(&closing)
    };
    let open = attack("\"verdict\":\"malicious\"", 1).build();
    let tested = attack("\"verdict\":\"malicious\"", 2).closed(at(3), "ann").build();
    let attacks = [as_attack("a", 4), as_attack("b", 5)];
    store.record(&[change(&open), change(&tested), change(&attacks[0]), change(&attacks[1])]).unwrap();
    let [a, b] = attacks;
    assert_eq!(store.attacks().unwrap().rows, [b, a]);
}

fn over_the_limit_closed_and_minor_ones_go_first(mut store: impl IncidentStore) {
    let all = IncidentQuery { include_closed: true, ..IncidentQuery::default() };
    let samples = [
        attack("grave", 1).severity(Severity::Critical).build(),
        attack("minor", 2).severity(Severity::Low).build(),
        attack("done", 3).severity(Severity::Critical).closed(at(9), "ann").build(),
    ];
    store.record(&samples.each_ref().map(change)).unwrap();
    assert_eq!((workloads(&store, &all).len(), store.incidents_dropped().unwrap()), (3, 0));
    store.record(&[change(&attack("new", 4).severity(Severity::Low).build())]).unwrap();
    assert_eq!(workloads(&store, &all), ["new", "minor", "grave"]);
    store.record(&[change(&attack("newer", 5).severity(Severity::Low).build())]).unwrap();
    assert_eq!(workloads(&store, &all), ["newer", "new", "grave"]);
    assert_eq!(store.incidents_dropped().unwrap(), 2);
}

fn the_same_scope_is_approved_once(mut store: impl IncidentStore) {
    let first = store.approve(&digest("shop"), &"ann".into(), &"ours".into(), at(1)).unwrap();
    let again = store.approve(&digest("renamed"), &"bob".into(), &"mine".into(), at(2)).unwrap();
    assert_eq!(again, first);
    let digest = Untrusted::new("sha256:00");
    let others = [
        Scope::Pattern { pattern: digest.clone() },
        Scope::Workload { workload: WorkloadKey::new("shop"), digest: digest.clone() },
        Scope::Workload { workload: WorkloadKey::new("till"), digest },
    ];
    for scope in &others {
        store.approve(scope, &"ann".into(), &"".into(), at(3)).unwrap();
    }
    let approvals = store.approvals().unwrap();
    assert_eq!(approvals.rows.iter().map(|approval| approval.id).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(approvals.rows[0], first);
    assert_eq!(store.audit(10).unwrap().rows.len(), 4);
}

fn over_the_limit_an_approval_is_refused_until_one_is_revoked(mut store: impl IncidentStore) {
    let pattern = |number: usize| Scope::Pattern { pattern: Untrusted::new(&format!("team/{number}")) };
    let approve = |store: &mut dyn IncidentStore, number| {
        store.approve(&pattern(number), &"ann".into(), &"".into(), at(1))
    };
    let first = approve(&mut store, 0).unwrap();
    (1..APPROVALS_MAX).for_each(|number| drop(approve(&mut store, number).unwrap()));
    let refused = approve(&mut store, APPROVALS_MAX);
    assert!(matches!(refused, Err(StoreError::TooManyApprovals { .. })), "{refused:?}");
    assert_eq!(approve(&mut store, 0).unwrap(), first, "one that is in force needs no room");
    store.revoke(first.id, &"ann".into(), at(2)).unwrap();
    approve(&mut store, APPROVALS_MAX).unwrap();
}

fn every_kind_of_scope_is_read_back_equal(mut store: impl IncidentStore) {
    let hostile = Untrusted::new(HOSTILE);
    let workload = WorkloadKey::new(HOSTILE);
    let containerd = View::new(EngineKind::Containerd, "/run/containerd/containerd.sock");
    let scopes = [
        digest("shop"),
        Scope::Engine { view: View::default() },
        Scope::Engine { view: containerd.clone() },
        Scope::Engine { view: containerd.of_namespace(&hostile) },
        Scope::Rights { workload: workload.clone(), rights: vec!["cap:SYS_ADMIN".into(), hostile.clone()] },
        Scope::Rights { workload: workload.clone(), rights: Vec::new() },
        Scope::Administration { workload: workload.clone(), command: "pg_dump *".into() },
        Scope::Unclaimed { workload: workload.clone(), root: hostile.clone() },
        Scope::Unclaimed { workload, root: "/srv/rootfs".into() },
    ];
    for (scope, secs) in scopes.iter().zip(1..) {
        let kept = store.approve(scope, &"ann".into(), &hostile, at(secs)).unwrap();
        assert_eq!((&kept.scope, kept.at), (scope, at(secs)));
        let again = store.approve(scope, &"bob".into(), &"".into(), at(99)).unwrap();
        assert_eq!(again, kept, "the same once");
    }
    let loaded = store.approvals().unwrap();
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
    assert_eq!(
        loaded.rows.iter().map(|approval| &approval.scope).collect::<Vec<_>>(),
        Vec::from_iter(&scopes)
    );
    assert_eq!(store.verify_audit().unwrap(), scopes.len() as u64);
    let revoked = store.revoke(5, &"bob".into(), at(9)).unwrap().unwrap();
    assert_eq!(revoked.scope, scopes[4]);
}

fn rights_are_the_same_in_any_order_and_bounded(mut store: impl IncidentStore) {
    let scope = |rights: Vec<Untrusted>| Scope::Rights { workload: WorkloadKey::new("shop"), rights };
    let mut approve = |rights| store.approve(&scope(rights), &"ann".into(), &"".into(), at(1));
    let first = approve(vec!["host:pid".into(), "cap:BPF".into()]).unwrap();
    assert_eq!(approve(vec!["cap:BPF".into(), "host:pid".into()]).unwrap(), first);
    assert_ne!(approve(vec!["cap:BPF".into()]).unwrap(), first);
    let numbered =
        |count: usize| (0..count).map(|number| format!("device:/dev/{number}").as_str().into()).collect();
    approve(numbered(RIGHTS_MAX)).unwrap();
    let refused = approve(numbered(RIGHTS_MAX + 1));
    assert!(matches!(refused, Err(StoreError::TooManyRights { .. })), "{refused:?}");
    assert_eq!(store.audit(10).unwrap().rows.len(), 3, "what is refused leaves no trace");
}

fn a_revoked_approval_is_gone_and_its_number_stays_used(mut store: impl IncidentStore) {
    let first = store.approve(&digest("shop"), &"ann".into(), &"".into(), at(1)).unwrap();
    assert_eq!(store.revoke(first.id, &"bob".into(), at(2)).unwrap(), Some(first.clone()));
    assert_eq!(store.revoke(first.id, &"bob".into(), at(3)).unwrap(), None);
    assert_eq!(store.revoke(u64::MAX, &"bob".into(), at(3)).unwrap(), None);
    assert_eq!(store.approvals().unwrap().rows, []);
    let second = store.approve(&digest("shop"), &"ann".into(), &"".into(), at(4)).unwrap();
    assert_eq!(second.id, first.id + 1);
}

fn the_audit_trail_says_who_did_what_and_verifies(mut store: impl IncidentStore) {
    assert_eq!(store.verify_audit().unwrap(), 0);
    let approval = store.approve(&digest("shop"), &"ann".into(), &"ours".into(), at(1)).unwrap();
    store.revoke(approval.id, &"bob".into(), at(2)).unwrap();
    store.record(&[change(&attack("a", 3).closed(at(4), "cyd").build())]).unwrap();
    let entries = store.audit(2).unwrap();
    assert!(entries.problems.is_empty());
    let told: Vec<_> =
        entries.rows.iter().map(|entry| (entry.id, entry.owner.raw(), entry.action.name())).collect();
    assert_eq!(told, [(3, "cyd", "close"), (2, "bob", "revoke")]);
    assert_ne!(entries.rows[0].hash, entries.rows[1].hash);
    assert_eq!(store.verify_audit().unwrap(), 3);
}

fn the_last_beat_is_remembered(mut store: impl IncidentStore) {
    assert_eq!(store.last_beat().unwrap(), None);
    store.beat(at(7)).unwrap();
    store.beat(at(9)).unwrap();
    assert_eq!(store.last_beat().unwrap(), Some(at(9)));
}
