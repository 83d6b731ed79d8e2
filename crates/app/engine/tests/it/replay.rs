//! A recording leads to the same incidents as the run it was made from, byte for byte, wherever it begins.

use engine::fold::CHECKPOINT_VERSION;

use crate::scenes::{quiet_hour, sample_attack};
use crate::stage::{
    carried_over, known, last_forms, new_fold, printed, recorded, replayed, step_all, written,
};

#[test]
fn a_recording_from_the_beginning_prints_what_the_run_printed() {
    let events = sample_attack(8, 6).take();
    let lived = printed(&last_forms(&step_all(&mut new_fold(), &events)));
    let replayed = replayed(&recorded(&events, None));
    assert_eq!(replayed.problems, Vec::<String>::new());
    assert_eq!(replayed.events, events.len() as u64);
    assert!(lived.contains("eager_tesla"));
    assert_eq!(printed(&replayed.incidents), lived);
}

#[test]
fn a_recording_from_any_moment_prints_what_the_run_printed_from_there() {
    let events = sample_attack(3, 6).take();
    for at in (0..=events.len()).step_by(7) {
        let mut fold = new_fold();
        step_all(&mut fold, &events[..at]);
        let recording = recorded(&events[at..], Some((CHECKPOINT_VERSION, &fold)));
        let lived = printed(&last_forms(&step_all(&mut fold, &events[at..])));
        let replayed = replayed(&recording);
        assert_eq!(replayed.problems, Vec::<String>::new(), "from event {at}");
        assert_eq!(printed(&replayed.incidents), lived, "from event {at}");
    }
}

#[test]
fn a_core_written_down_and_read_back_goes_on_as_if_nothing_had_happened() {
    let events = sample_attack(3, 6).take();
    let mut uninterrupted = new_fold();
    let mut carried = new_fold();
    for (at, event) in events.iter().enumerate() {
        let lived = uninterrupted.step(event.clone());
        carried = carried_over(&carried);
        let stepped = carried.step(event.clone());
        assert_eq!(written(&stepped.changes), written(&lived.changes), "event {at}");
        assert_eq!(stepped.news, lived.news, "event {at}");
    }
    assert_eq!(known(&carried), known(&uninterrupted));
}

#[test]
fn an_hour_of_baselines_survives_being_written_down() {
    let events = quiet_hour(3, |second| second % 10 == 0).take();
    let (first, rest) = events.split_at(events.len() / 2);
    let mut fold = new_fold();
    step_all(&mut fold, first);
    let mut carried = carried_over(&fold);
    assert_eq!(known(&carried), known(&fold), "no figure is rounded on the way");
    step_all(&mut fold, rest);
    step_all(&mut carried, rest);
    assert_eq!(known(&carried), known(&fold));
}

#[test]
fn a_state_of_another_version_is_left_out_with_a_remark() {
    let events = sample_attack(3, 6).take();
    let mut fold = new_fold();
    step_all(&mut fold, &events[..50]);
    let replayed = replayed(&recorded(&events, Some((CHECKPOINT_VERSION + 1, &fold))));
    assert_eq!(replayed.problems.len(), 1);
    let remark = format!("state of version {}", CHECKPOINT_VERSION + 1);
    assert!(replayed.problems[0].contains(&remark), "{:?}", replayed.problems);
    let lived = printed(&last_forms(&step_all(&mut new_fold(), &events)));
    assert_eq!(printed(&replayed.incidents), lived);
}

#[test]
fn lines_that_cannot_be_read_are_told_by_number_and_the_rest_is_folded() {
    let events = sample_attack(3, 6).take();
    let mut recording = recorded(&events, None);
    let line_ends: Vec<usize> =
        recording.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at).collect();
    // A tick: nothing is lost with it but itself.
    let tick = events.iter().position(|event| matches!(event.body, model::event::Body::Tick)).unwrap();
    recording[line_ends[tick] + 1] = b'!';
    recording.truncate(recording.len() - 10);
    let replayed = replayed(&recording);
    assert_eq!(replayed.events, events.len() as u64 - 2);
    assert_eq!(replayed.problems.len(), 2, "{:?}", replayed.problems);
    assert!(replayed.problems[0].contains(&format!(":{}:", tick + 2)), "{:?}", replayed.problems);
    assert!(replayed.problems[1].contains("cut off"), "{:?}", replayed.problems);
    assert_eq!(replayed.incidents.len(), 1);
}
