//! What is expected, through the whole core: it opens nothing, is told and counted, and replays byte for byte.

use engine::fold::{CHECKPOINT_VERSION, Fold};
use model::coverage::Source;
use model::event::{Body, Event};
use model::expectation::{Expectation, ExpectationChange};
use testkit::expectations::scheduled;
use testkit::scene::{Scene, Spends};

use crate::scenes::ordinary_host;
use crate::stage::{last_forms, new_fold, printed, recorded, replayed, step_all};

const BUSY: Spends = Spends { own_cores: 1.0, log_bytes: 0, shim_cores: 0.0 };
const PRINTS: Spends = Spends { own_cores: 1.0, log_bytes: 36_000_000, shim_cores: 0.0 };

/// A batch job that nobody approved takes a core for half a minute; scenes begin at 08:00 UTC.
fn batch(cron: &str, spends: Spends, engine_cores: f64) -> Vec<Event> {
    let (mut scene, _) = ordinary_host(2);
    let mut expectation = scheduled("image:team/batch", cron, 600);
    expectation.expires = None;
    expect(&mut scene, expectation);
    let batch = scene.start("batch", "team/batch", "sum");
    scene.seconds(30, &[(batch, spends)], engine_cores);
    scene.take()
}

fn expect(scene: &mut Scene, expectation: Expectation) {
    scene.emit(Source::Operator, Body::Expected(Box::new(expectation)));
}

fn explained(fold: &mut Fold, events: &[Event]) -> Vec<ExpectationChange> {
    events.iter().flat_map(|event| fold.step(event.clone()).expectations).collect()
}

#[test]
fn a_batch_job_in_its_window_opens_nothing_and_is_counted_once() {
    let events = batch("0 8 * * *", BUSY, 0.0);
    assert_eq!(step_all(&mut new_fold(), &events), []);
    let changes = explained(&mut new_fold(), &events);
    let [ExpectationChange::Explained { count: 1, sentence, .. }] = &changes[..] else {
        panic!("{changes:?}")
    };
    assert_eq!(sentence, "excess of batch, 8.0 to 0.5 bits");
}

#[test]
fn the_same_job_at_another_hour_is_an_incident() {
    let events = batch("0 9 * * *", BUSY, 0.0);
    let incidents = last_forms(&step_all(&mut new_fold(), &events));
    assert_eq!(incidents.len(), 1);
    assert_eq!(explained(&mut new_fold(), &events), []);
}

#[test]
fn what_it_makes_others_pay_in_its_window_is_an_incident_all_the_same() {
    let events = batch("0 8 * * *", Spends { own_cores: 0.01, ..PRINTS }, 0.95);
    let incidents = last_forms(&step_all(&mut new_fold(), &events));
    assert!(incidents[0].findings.iter().any(|finding| finding.judge == "out_of_band_log" && finding.harm));
    let paid_by_others = |change: &ExpectationChange| matches!(change, ExpectationChange::Explained { sentence, .. } if sentence.starts_with("out_of_band"));
    assert!(!explained(&mut new_fold(), &events).iter().any(paid_by_others));
}

#[test]
fn a_recording_carries_expectations_and_replays_to_the_same_bytes() {
    // Busy and expected at first, then printing as well: the incident holds both, and the reason for the one.
    let (mut scene, _) = ordinary_host(2);
    expect(&mut scene, Expectation { expires: None, ..scheduled("workload:team/batch *", "0 8 * * *", 600) });
    let batch = scene.start("batch", "team/batch", "sum");
    scene.seconds(10, &[(batch, BUSY)], 0.0);
    scene.seconds(10, &[(batch, Spends { own_cores: 0.3, ..PRINTS })], 1.2);
    let events = scene.take();
    for at in (0..=events.len()).step_by(13) {
        let mut fold = new_fold();
        step_all(&mut fold, &events[..at]);
        let recording = recorded(&events[at..], Some((CHECKPOINT_VERSION, &fold)));
        let lived = printed(&last_forms(&step_all(&mut fold, &events[at..])));
        assert_eq!(printed(&replayed(&recording).incidents), lived, "from event {at}");
    }
    let whole = printed(&replayed(&recorded(&events, None)).incidents);
    assert!(whole.contains("\"bits_before\": 8.0") && whole.contains("lowered from 8.0 to 0.5"), "{whole}");
}
