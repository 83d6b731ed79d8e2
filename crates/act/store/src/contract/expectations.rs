//! What every store must do with expectations.

use model::expectation::{EXPECTATIONS_MAX, Expectation, ExpectationChange, ExpectationId, Tally};
use testkit::expectations::{declared, edges, learned};

use super::at;
use crate::audit::AuditAction;
use crate::error::StoreError;
use crate::expectation_store::{EXPIRED_KEPT, ExpectationStore};
use crate::incident_store::IncidentStore;

pub(super) fn check<S: IncidentStore + ExpectationStore>(make: &impl Fn(usize) -> S) {
    an_expectation_is_read_back_equal_and_audited(make(100));
    the_same_expectation_is_kept_once_while_it_is_in_force(make(100));
    a_removed_expectation_is_gone_with_its_tally(make(100));
    over_the_limit_an_expectation_is_refused_until_one_is_removed(make(100));
    edges_are_kept_like_any_other(make(100));
    several_are_kept_all_or_none(make(100));
    what_is_learned_is_kept_as_it_is_now(make(100));
    what_is_explained_adds_up(make(100));
    the_longest_expired_make_room(make(100));
}

fn explained(id: &str, secs: i64, count: u64) -> ExpectationChange {
    let id = ExpectationId::from_text(id);
    ExpectationChange::Explained { id, at: at(secs), count, sentence: format!("at {secs}") }
}

/// Declares one alone.
fn declare(store: &mut impl ExpectationStore, wanted: &Expectation) -> Result<Expectation, StoreError> {
    store.declare(std::slice::from_ref(wanted)).map(|mut kept| kept.remove(0))
}

fn rows(store: &impl ExpectationStore) -> Vec<Expectation> {
    let loaded = store.expectations().unwrap();
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
    loaded.rows
}

fn an_expectation_is_read_back_equal_and_audited(mut store: impl IncidentStore + ExpectationStore) {
    let wanted = declared("image:\u{1b}[2J\n\u{202e}*");
    assert_eq!(declare(&mut store, &wanted).unwrap(), wanted);
    assert_eq!(rows(&store), std::slice::from_ref(&wanted));
    let entries = store.audit(10).unwrap().rows;
    assert_eq!((entries[0].action, entries[0].at), (AuditAction::Expect, wanted.created));
    assert_eq!(entries[0].detail["id"], wanted.id.as_str());
    assert_eq!(store.verify_audit().unwrap(), 1);
}

fn the_same_expectation_is_kept_once_while_it_is_in_force(mut store: impl IncidentStore + ExpectationStore) {
    let first = declared("image:backup");
    declare(&mut store, &first).unwrap();
    let later = |secs| {
        let (subject, when) = (first.subject.clone(), first.when.clone());
        Expectation::new(subject, when, ("other words".into(), "bob".into()), at(secs))
    };
    assert_eq!(declare(&mut store, &later(1_769_860_900)).unwrap(), first);
    assert_eq!(store.audit(10).unwrap().rows.len(), 1);
    let after_its_end = later(1_769_860_800 + 91 * 86_400);
    assert_eq!(declare(&mut store, &after_its_end).unwrap(), after_its_end);
    assert_eq!(rows(&store).len(), 2);
}

fn a_removed_expectation_is_gone_with_its_tally(mut store: impl IncidentStore + ExpectationStore) {
    let kept = declared("image:backup");
    declare(&mut store, &kept).unwrap();
    store.record_expectations(&[explained(kept.id.as_str(), 5, 1)]).unwrap();
    assert_eq!(store.undeclare(&kept.id, &"bob".into(), at(9)).unwrap(), Some(kept.clone()));
    assert_eq!(store.undeclare(&kept.id, &"bob".into(), at(9)).unwrap(), None);
    assert_eq!((rows(&store), store.tallies().unwrap().len()), (Vec::new(), 0));
    let entries = store.audit(10).unwrap().rows;
    assert_eq!((entries[0].action, entries[0].owner.raw()), (AuditAction::Unexpect, "bob"));
}

fn over_the_limit_an_expectation_is_refused_until_one_is_removed(
    mut store: impl IncidentStore + ExpectationStore,
) {
    let numbered = |number: usize| declared(&format!("image:team/{number}"));
    (0..EXPECTATIONS_MAX).for_each(|number| drop(declare(&mut store, &numbered(number)).unwrap()));
    let refused = declare(&mut store, &numbered(EXPECTATIONS_MAX));
    assert!(matches!(refused, Err(StoreError::TooManyExpectations { .. })), "{refused:?}");
    assert_eq!(declare(&mut store, &numbered(0)).unwrap(), numbered(0), "one that is in force needs no room");
    store.undeclare(&numbered(0).id, &"ann".into(), at(2)).unwrap();
    declare(&mut store, &numbered(EXPECTATIONS_MAX)).unwrap();
}

fn edges_are_kept_like_any_other(mut store: impl IncidentStore + ExpectationStore) {
    let wanted = edges();
    assert_eq!(store.declare(&wanted).unwrap(), wanted);
    let mut kept = rows(&store);
    kept.sort_by(|a, b| a.id.cmp(&b.id));
    let mut sorted = wanted.to_vec();
    sorted.sort_by(|a, b| a.id.cmp(&b.id));
    assert_eq!(kept, sorted);
    let again = wanted.each_ref().map(|one| {
        let why = ("other words".into(), "bob".into());
        Expectation::new(one.subject.clone(), one.when.clone(), why, at(1_769_860_900))
    });
    assert_eq!(store.declare(&again).unwrap(), wanted, "the same once");
    assert_eq!(store.audit(10).unwrap().rows.len(), wanted.len());
}

fn several_are_kept_all_or_none(mut store: impl IncidentStore + ExpectationStore) {
    let numbered = |number: usize| declared(&format!("image:team/{number}"));
    let all: Vec<Expectation> = (0..EXPECTATIONS_MAX).map(numbered).collect();
    store.declare(&all[1..]).unwrap();
    let before = rows(&store);
    let refused = store.declare(&[numbered(0), numbered(1), numbered(EXPECTATIONS_MAX)]);
    assert!(matches!(refused, Err(StoreError::TooManyExpectations { .. })), "{refused:?}");
    assert_eq!(rows(&store), before);
    assert_eq!(store.audit(2 * EXPECTATIONS_MAX).unwrap().rows.len(), before.len());
    let twice = [numbered(0), numbered(1), numbered(0)];
    assert_eq!(store.declare(&twice).unwrap(), twice);
    assert_eq!(rows(&store).len(), EXPECTATIONS_MAX);
    assert_eq!(store.declare(&[]).unwrap(), []);
}

fn what_is_learned_is_kept_as_it_is_now(mut store: impl IncidentStore + ExpectationStore) {
    let first = learned("batch [sum]");
    let later = Expectation { reason: "seen 5 times".into(), ..first.clone() };
    let changes = [first, later.clone()].map(|one| ExpectationChange::Learned(Box::new(one)));
    store.record_expectations(&changes).unwrap();
    assert_eq!(rows(&store), std::slice::from_ref(&later));
    store.record_expectations(&[ExpectationChange::Dropped { id: later.id }]).unwrap();
    assert_eq!(rows(&store), []);
    assert_eq!(store.audit(10).unwrap().rows, [], "nobody did it");
}

fn what_is_explained_adds_up(mut store: impl IncidentStore + ExpectationStore) {
    store.record_expectations(&[explained("rollout", 5, 2), explained("image_import", 6, 1)]).unwrap();
    store.record_expectations(&[explained("rollout", 9, 3)]).unwrap();
    let tallies = store.tallies().unwrap();
    let rollout = Tally { count: 5, last: Some(at(9)), sentence: "at 9".to_owned() };
    assert_eq!(tallies[&ExpectationId::from_text("rollout")], rollout);
    assert_eq!(tallies.len(), 2);
}

fn the_longest_expired_make_room(mut store: impl IncidentStore + ExpectationStore) {
    let expired = |number: usize| {
        let expires = Some(at(i64::try_from(number).unwrap()));
        Expectation { expires, ..learned(&format!("batch {number}")) }
    };
    for number in 1..=EXPIRED_KEPT + 2 {
        store.record_expectations(&[ExpectationChange::Learned(Box::new(expired(number)))]).unwrap();
    }
    let kept = rows(&store);
    assert_eq!(kept.len(), EXPIRED_KEPT);
    assert!(!kept.iter().any(|one| one.id == expired(1).id || one.id == expired(2).id));
}
