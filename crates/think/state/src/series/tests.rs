//! The series against the formulas written plainly, against values made by the prototypes, and against those who would train it.
//!
//! Not here: public data, see `make bench-detect`.

mod reference;

use model::time::Time;
use serde_json::Value;

use super::*;
use crate::series::bank::{Bank, Lens, Sample};
use crate::series::streams::LANES;
use reference::Reference;

const DAY: i64 = 86_400;

/// A core, of which nothing below a tenth is material.
fn core() -> Metric {
    Metric::limited(1.0)
}

/// A linear congruential generator, the same as in the script that made the golden values.
#[derive(Clone, Debug)]
struct Noise(u64);

impl Noise {
    /// Evenly distributed over 0 to 1.
    fn next(&mut self) -> f64 {
        self.0 = (self.0 * 1_664_525 + 1_013_904_223) % (1 << 32);
        self.0 as f64 / 4_294_967_296.0
    }
}

/// Steps of a day with noise, and a burst at 1500.
fn samples() -> impl Iterator<Item = (f64, u8)> {
    let mut noise = Noise(1);
    (0..3_000_u32).map(move |i| {
        let noise = noise.next() * 2.0;
        let burst = if (1_500..1_520).contains(&i) { 30.0 } else { 0.0 };
        (10.0 + f64::from(i / 50 % 7) + noise + burst, (i / 12 % 24) as u8)
    })
}

fn lens(metric: Metric) -> Lens<'static> {
    Lens { tuning: &Tuning::DEFAULT, metric, seconds: 300.0, floor_factor: 1.0 }
}

fn sample(value: f64, hour: u8) -> Sample {
    Sample { value, hour, after_gap: false, learn: true }
}

/// All streams and the evidence of a full bank, in the metric's unit.
fn by_bank(series: impl Iterator<Item = (f64, u8)>) -> Vec<([f64; LANES], f64)> {
    let mut bank = Bank::full();
    let mut origin = None;
    let rows = series.map(|(value, hour)| {
        let origin = *origin.get_or_insert(value);
        let lanes = bank.streams_of(sample(value, hour));
        let lanes = std::array::from_fn(|lane| {
            let levels = [0, 3, 4, 5, 6].contains(&lane);
            f64::from(lanes[lane]) + if levels { origin } else { 0.0 }
        });
        let judged = bank.judge(sample(value, hour), &lens(Metric::unknown()));
        (lanes, f64::from(judged.ungated))
    });
    rows.collect()
}

/// Deviation that is allowed: single precision in most streams; half a bit where bytes count what the reference counts in
/// fractions, once a counter was halved.
fn tolerance(lane: usize) -> f64 {
    match lane {
        16 | 24 => 0.5,
        17 | 25 => 0.15,
        _ => 2e-4,
    }
}

#[test]
fn every_stream_follows_the_formulas_written_plainly() {
    let mut reference = Reference::new();
    for (index, ((lanes, evidence), (value, hour))) in
        by_bank(samples()).into_iter().zip(samples()).enumerate()
    {
        let (expected, expected_evidence) = reference.take(value, hour.into());
        for lane in 0..LANES {
            let off = (lanes[lane] - expected[lane]).abs();
            assert!(off <= tolerance(lane), "{index} {}: {} {}", NAMES[lane], lanes[lane], expected[lane]);
        }
        let off = (evidence - expected_evidence).abs();
        assert!(off <= 1.0 + 0.02 * expected_evidence, "{index}: evidence {evidence} {expected_evidence}");
    }
}

#[test]
fn golden_values_of_the_prototypes_hold() {
    let golden: Value = serde_json::from_str(include_str!("tests/golden.json")).unwrap();
    let rows = by_bank(samples());
    let mut compared = 0;
    for row in golden["rows"].as_array().unwrap() {
        let row: Vec<f64> = row.as_array().unwrap().iter().map(|cell| cell.as_f64().unwrap()).collect();
        let (lanes, evidence) = rows[row[0] as usize];
        for lane in 0..LANES {
            let (ours, theirs) = (lanes[lane], row[1 + lane]);
            assert!((ours - theirs).abs() <= tolerance(lane), "{} {}: {ours} {theirs}", row[0], NAMES[lane]);
            compared += 1;
        }
        let theirs = row[1 + LANES];
        assert!((evidence - theirs).abs() <= 1.0 + 0.02 * theirs, "{}: evidence {evidence} {theirs}", row[0]);
    }
    assert_eq!(compared, 21 * LANES);
}

/// A workload's calm days: a fifth of a core, more by day, with noise and short benign bursts.
#[derive(Clone, Debug)]
struct Calm(Noise);

impl Calm {
    fn cores(&mut self, second: i64) -> f64 {
        let busy = if second % DAY > DAY / 3 { 0.05 } else { 0.0 };
        let burst = if second % 5_000 < 60 { 0.08 } else { 0.0 };
        0.2 + busy + burst + 0.02 * self.0.next()
    }
}

/// Feeds a series every 5 seconds, adding what an attacker takes; the excesses of it.
fn feed(
    series: &mut Series,
    calm: &mut Calm,
    days: std::ops::Range<i64>,
    taken: impl Fn(i64) -> f64,
) -> Vec<Excess> {
    let seconds = (days.start * DAY..days.end * DAY).step_by(5);
    let found = seconds.filter_map(|second| {
        let value = (calm.cores(second) + taken(second - days.start * DAY)).min(1.0);
        series.sample(Time::from_secs(second), value, true)
    });
    found.collect()
}

fn trained(days: i64) -> (Series, Calm) {
    let (mut series, mut calm) = (Series::new(core()), Calm(Noise(7)));
    feed(&mut series, &mut calm, 0..days, |_| 0.0);
    (series, calm)
}

#[test]
fn calm_days_begin_no_episode_and_a_burn_does_at_once() {
    let (mut series, mut calm) = trained(2);
    assert_eq!(feed(&mut series, &mut calm, 2..4, |_| 0.0), []);
    let found = feed(&mut series, &mut calm, 4..5, |second| if second >= 3_600 { 0.7 } else { 0.0 });
    let first = found.first().unwrap();
    assert!(first.onset && first.time == Time::from_secs(4 * DAY + 3_600), "{first:?}");
    assert_eq!((first.resolution, first.expert), (Resolution::Fast, Expert::Records));
    assert!(first.rise > 0.6 && first.usual < 0.4 && first.streams[0] == Some("value"), "{first:?}");
}

#[test]
fn what_is_not_material_is_no_excess() {
    let (mut series, mut calm) = trained(3);
    assert_eq!(feed(&mut series, &mut calm, 3..4, |second| if second > 3_600 { 0.02 } else { 0.0 }), []);
}

#[test]
fn a_flagged_workload_is_judged_and_teaches_nothing() {
    let (mut series, _) = trained(3);
    let before = series.usual();
    let found = (3 * DAY..3 * DAY + 7_200)
        .filter(|&second| series.sample(Time::from_secs(second), 0.9, false).is_some());
    assert!(found.count() > 300, "it stays an excess for as long as it lasts");
    let after = series.usual().unwrap();
    let before = before.unwrap();
    assert_eq!(
        (after.samples, after.frozen),
        (before.samples + 1, before.frozen),
        "the slot that calm days began"
    );
    assert!((after.recent - before.recent).abs() < 0.01, "{after:?} {before:?}");
}

#[test]
fn fourteen_days_of_training_move_neither_the_frozen_week_nor_a_neighbour() {
    let ((mut victim, mut calm), (mut neighbour, mut other)) = (trained(8), trained(8));
    let (frozen, untouched) = (victim.frozen().unwrap().clone(), neighbour.clone());
    let ramp = |second: i64| 0.6 * second as f64 / (14 * DAY) as f64;
    let found = feed(&mut victim, &mut calm, 8..22, ramp);
    assert_eq!(victim.frozen(), Some(&frozen));
    let usual = victim.usual().unwrap();
    assert_eq!(usual.frozen, Some(frozen.mean));
    assert!(usual.drift.unwrap() > 1.0 && usual.recent > frozen.mean + 0.4, "the training shows: {usual:?}");
    assert!(!found.is_empty(), "and is an excess on the way");
    let (mut alone, mut same) = (untouched, other.clone());
    let burn = |second: i64| if second > 7_200 { 0.5 } else { 0.0 };
    let beside = feed(&mut neighbour, &mut other, 8..9, burn);
    assert!(!beside.is_empty());
    assert_eq!(beside, feed(&mut alone, &mut same, 8..9, burn));
}

#[test]
fn a_state_read_back_gives_the_same_results() {
    let (mut series, mut calm) = trained(2);
    let text = serde_json::to_string(&series).unwrap();
    let mut read: Series = serde_json::from_str(&text).unwrap();
    let mut same = calm.clone();
    let burn = |second: i64| if second % 20_000 > 19_000 { 0.5 } else { 0.0 };
    let found = feed(&mut series, &mut calm, 2..3, burn);
    assert!(!found.is_empty());
    assert_eq!(found, feed(&mut read, &mut same, 2..3, burn));
    assert_eq!(serde_json::to_string(&series).unwrap(), serde_json::to_string(&read).unwrap());
}

/// A trained series in whose state every number with a fraction was replaced.
fn spoilt(foreign: f64) -> Option<(Series, Calm)> {
    let (series, calm) = trained(2);
    let mut state = serde_json::to_value(&series).unwrap();
    spoil(&mut state, foreign);
    let mut read: Series = serde_json::from_value(state).ok()?;
    read.set_metric(core());
    Some((read, calm))
}

#[test]
fn a_state_of_impossible_numbers_starts_anew() {
    for foreign in [1e38, -1e38] {
        let (mut read, mut calm) = spoilt(foreign).unwrap();
        feed(&mut read, &mut calm, 2..4, |_| 0.0);
        let found = feed(&mut read, &mut calm, 4..5, |second| if second > 3_600 { 0.5 } else { 0.0 });
        assert!(!found.is_empty(), "{foreign}");
    }
}

#[test]
fn a_state_of_any_foreign_numbers_gives_finite_results() {
    let read = [1e38, 1e300, 255.0, 4e9, -1e12, 1e-40, 0.0].into_iter().filter_map(spoilt);
    let mut judged = 0;
    for (mut series, mut calm) in read {
        for excess in feed(&mut series, &mut calm, 2..3, |second| if second > 3_600 { 0.5 } else { 0.0 }) {
            let numbers = [excess.evidence, excess.usual, excess.rise, excess.value];
            assert!(numbers.into_iter().all(f64::is_finite), "{excess:?}");
        }
        assert!(series.usual().is_some_and(|usual| usual.mean.is_finite() && usual.recent.is_finite()));
        judged += 1;
    }
    assert!(judged >= 6, "{judged}");
}

/// Replaces every number that has a fraction.
fn spoil(value: &mut Value, foreign: f64) {
    match value {
        Value::Number(number) if number.is_f64() => *value = Value::from(foreign),
        Value::Array(values) => values.iter_mut().for_each(|value| spoil(value, foreign)),
        Value::Object(fields) => fields.values_mut().for_each(|value| spoil(value, foreign)),
        _ => {}
    }
}

#[test]
fn a_state_of_the_wrong_length_is_refused_with_an_error() {
    let mut state = serde_json::to_value(trained(1).0).unwrap();
    state["banks"]["fast"]["views"]["records"]["high"].as_array_mut().unwrap().pop();
    assert!(serde_json::from_value::<Series>(state).unwrap_err().to_string().contains("invalid length"));
}

#[test]
fn a_series_that_never_moved_keeps_no_banks_and_knows_how_long() {
    let mut series = Series::new(core());
    for second in 0..3 * DAY {
        assert_eq!(series.sample(Time::from_secs(second), 0.1, true), None);
    }
    assert!(series.bytes() <= 200, "{}", series.bytes());
    let usual = series.usual().unwrap();
    assert_eq!((usual.mean, usual.samples), (0.1, 3 * 288 - 1));
    let found = (3 * DAY..3 * DAY + 60).find_map(|second| series.sample(Time::from_secs(second), 0.9, true));
    let excess = found.unwrap();
    assert!(excess.onset && excess.evidence.is_finite() && excess.samples > 3 * 5_700, "{excess:?}");
}

#[test]
fn a_jump_from_constant_zero_is_finite() {
    let mut bank = Bank::full();
    for _ in 0..1_000 {
        bank.judge(sample(0.0, 3), &lens(Metric::unknown()));
    }
    for value in [1e18, f64::MAX, -1e300, 1e-300, 0.0] {
        let judged = bank.judge(sample(value, 3), &lens(Metric::unknown()));
        assert!(
            judged.ungated.is_finite() && judged.rise.is_finite() && judged.usual.is_finite(),
            "{judged:?}"
        );
        assert!(judged.votes.iter().all(|vote| (0.0..=1.0).contains(vote)), "{judged:?}");
    }
}

#[test]
fn what_is_not_a_number_is_no_sample() {
    let (mut series, _) = trained(1);
    let before = serde_json::to_string(&series).unwrap();
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert_eq!(series.sample(Time::from_secs(DAY), value, true), None);
    }
    assert_eq!(serde_json::to_string(&series).unwrap(), before);
}

#[test]
fn a_gap_freezes_what_is_usual() {
    let (mut series, mut calm) = trained(3);
    let before = series.usual().unwrap();
    assert_eq!(feed(&mut series, &mut calm, 10..11, |_| 0.0), []);
    let after = series.usual().unwrap();
    assert_eq!(after.samples, before.samples + 288);
    assert!((after.mean - before.mean).abs() < 0.02, "{after:?} {before:?}");
}

#[test]
fn an_heir_starts_from_what_was_usual() {
    let (series, mut calm) = trained(3);
    let mut heir = series.inherit(Time::from_secs(3 * DAY));
    assert_eq!(heir.usual(), series.usual());
    assert_eq!(feed(&mut heir, &mut calm, 3..4, |_| 0.0), []);
    let found = feed(&mut heir, &mut calm, 4..5, |second| if second > 3_600 { 0.7 } else { 0.0 });
    assert!(found.first().is_some_and(|excess| excess.onset));
}

#[test]
fn a_series_takes_three_kilobytes_at_most() {
    let (series, _) = trained(8);
    assert!(series.frozen().is_some() && series.bytes() <= 3_000, "{} bytes", series.bytes());
}
