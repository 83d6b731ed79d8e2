//! What a sample costs in the record bank, beside the plainest detector there is: a mean and a variance, forgotten at a rate.
//!
//! Not here: how well it finds anything (`excess.rs`).

use std::hint::black_box;

use anyhow::Result;
use model::time::Time;
use sources::outlet::Stop;
use state::series::Series;
use state::series::bank::{Bank, Lens, Sample};
use state::series::metric::Metric;
use state::series::spikes::Spikes;
use state::series::tuning::Tuning;

use crate::excess::noise::Noise;
use crate::figure::{Figure, Goal};
use crate::going_on;
use crate::machine::thread_cpu;

const SAMPLES: usize = 200_000;
const ROUNDS: usize = 11;

/// Seconds of the run that a whole series takes: long enough for its first week to be frozen.
const SERIES_SECONDS: i64 = 8 * 86_400;

/// Bytes of a series, and nanoseconds of a sample.
pub(crate) fn measure(stop: &Stop) -> Result<Vec<Figure>> {
    let values = samples();
    let (whole, bytes) = whole(&values);
    let mut figures = vec![
        Figure::once("bytes of a series with a frozen week", "bytes", bytes as f64)
            .with_goal(Goal::AtMost(3_000.0)),
        Figure::once(
            "bytes of a series that never moved",
            "bytes",
            Series::new(Metric::limited(1.0)).bytes() as f64,
        ),
    ];
    going_on(stop)?;
    let baseline = rounds(&values, |values| {
        let mut spikes = Spikes::default();
        values.iter().map(|&value| spikes.take(value, true)).sum()
    });
    figures.push(Figure::of_rounds("baseline: mean and variance", "ns a sample", baseline));
    let banks = [
        ("lite bank", Bank::lite(), 120.0),
        ("sparse bank", Bank::sparse(), 200.0),
        ("full bank", Bank::full(), 200.0),
    ];
    for (name, bank, goal) in banks {
        going_on(stop)?;
        let times = rounds(&values, |values| drive(bank.clone(), values));
        figures.push(Figure::of_rounds(name, "ns a sample", times).with_goal(Goal::AtMost(goal)));
    }
    figures.push(Figure::of_rounds("whole series at 1 Hz, slots and all", "ns a sample", whole));
    Ok(figures)
}

fn drive(mut bank: Bank, values: &[f64]) -> f64 {
    let lens =
        Lens { tuning: &Tuning::DEFAULT, metric: Metric::limited(100.0), seconds: 300.0, floor_factor: 1.0 };
    let evidence = values.iter().enumerate().map(|(row, &value)| {
        let sample = Sample { value, hour: (row / 12 % 24) as u8, after_gap: false, learn: true };
        f64::from(bank.judge(sample, &lens).evidence)
    });
    evidence.sum()
}

fn whole(values: &[f64]) -> (Vec<f64>, usize) {
    let mut bytes = 0;
    let mut times = Vec::new();
    for _ in 0..3 {
        let mut series = Series::new(Metric::limited(100.0));
        let begin = thread_cpu();
        for second in 0..SERIES_SECONDS {
            black_box(series.sample(Time::from_secs(second), values[second as usize % values.len()], true));
        }
        times.push((thread_cpu() - begin).as_secs_f64() * 1e9 / SERIES_SECONDS as f64);
        bytes = series.bytes();
    }
    (times, bytes)
}

fn rounds(values: &[f64], run: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let begin = thread_cpu();
        black_box(run(black_box(values)));
        times.push((thread_cpu() - begin).as_secs_f64() * 1e9 / values.len() as f64);
    }
    times
}

/// A day and night with noise, in percent of a limit.
fn samples() -> Vec<f64> {
    let mut noise = Noise::new(7);
    let day = |row: usize| 10.0 * (row as f64 / 288.0 * std::f64::consts::TAU).sin();
    (0..SAMPLES).map(|row| 30.0 + day(row) + noise.normal(0.0, 2.0)).collect()
}
