//! The record bank and the scorer against values that the prototypes gave on the same public files.
//!
//! Not here: how the values were made; `golden.json` says it.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use state::series::bank::{Bank, Lens, Sample};
use state::series::metric::Metric;
use state::series::streams::NAMES;
use state::series::tuning::Tuning;

use crate::excess::nab::Series;
use crate::excess::nab::score::{FALSE_NEGATIVES, FALSE_POSITIVES, Marked, STANDARD, best};
use crate::figure::{Figure, Goal};

const GOLDEN: &str = include_str!("golden.json");

/// Streams that count in bytes what the prototypes count in fractions; compared in bits.
const SURPRISES: [&str; 4] =
    ["surprise after 1", "surprise after 1, mean 16", "surprise after 2", "surprise after 2, mean 16"];

/// The largest deviation of each stream over four rows of every file: relative to how far the stream moves between them, in
/// bits for surprises; and that of the evidence, in votes.
pub(crate) fn compare(files: &[Series]) -> Result<Vec<Figure>> {
    let golden: Value = serde_json::from_str(GOLDEN)?;
    let mut worst = [0.0_f64; NAMES.len() + 1];
    for file in files {
        let rows = &golden["files"][&file.name];
        let rows = rows.as_array().with_context(|| format!("no golden values of {}", file.name))?;
        let rows: Vec<Vec<f64>> = rows
            .iter()
            .map(|row| row.as_array().into_iter().flatten().filter_map(Value::as_f64).collect())
            .collect();
        ensure!(
            rows.iter().all(|row| row.len() == NAMES.len() + 2),
            "golden values of {} are not whole",
            file.name
        );
        let ours = by_bank(file, &rows);
        for column in 1..rows[0].len() {
            let scale = scale(column, &rows);
            let off =
                ours.iter().zip(&rows).map(|(ours, theirs)| (ours[column] - theirs[column]).abs() / scale);
            worst[column - 1] = off.fold(worst[column - 1], f64::max);
        }
    }
    let named = NAMES.iter().zip(worst).filter(|(name, _)| !name.is_empty());
    let mut figures: Vec<Figure> = named
        .map(|(name, worst)| {
            let (unit, goal) = if SURPRISES.contains(name) { ("bits", 0.5) } else { ("of its range", 1e-3) };
            Figure::once(format!("deviation from the prototype, {name}"), unit, worst)
                .with_goal(Goal::AtMost(goal))
        })
        .collect();
    let evidence = Figure::once("deviation from the prototype, evidence", "votes", worst[NAMES.len()]);
    figures.push(evidence.with_goal(Goal::AtMost(3.0)));
    Ok(figures)
}

/// The largest difference of the scorer from the prototype's, on two simple detectors.
pub(crate) fn scorer(files: &[Series], marked: &[&Marked]) -> Result<Figure> {
    let golden: Value = serde_json::from_str(GOLDEN)?;
    let scatter =
        |file: &Series| (0..file.rows.len()).map(|row| (row * 7_919 % 1_000) as f64 / 1_000.0).collect();
    let change = |file: &Series| {
        let before = file.rows.iter().take(1).chain(&file.rows);
        file.rows.iter().zip(before).map(|(now, before)| (now.0 - before.0).abs()).collect()
    };
    let detectors: [(&str, Vec<Vec<f64>>); 2] =
        [("scatter", files.iter().map(scatter).collect()), ("change", files.iter().map(change).collect())];
    let mut worst = 0.0_f64;
    for (name, scores) in detectors {
        for (place, profile) in [STANDARD, FALSE_POSITIVES, FALSE_NEGATIVES].iter().enumerate() {
            let theirs = golden["scorer"][name][place].as_f64().context("no golden score")?;
            worst = worst.max((best(marked, &scores, profile).0 - theirs).abs());
        }
    }
    Ok(Figure::once("scorer, difference from the prototype's", "points", worst).with_goal(Goal::AtMost(0.01)))
}

/// The rows that are compared, as the bank has them.
fn by_bank(file: &Series, wanted: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let lens =
        Lens { tuning: &Tuning::DEFAULT, metric: Metric::unknown(), seconds: 300.0, floor_factor: 1.0 };
    let mut bank = Bank::full();
    let mut found: Vec<Vec<f64>> = vec![Vec::new(); wanted.len()];
    for (index, &(value, hour)) in file.rows.iter().enumerate() {
        let sample = Sample { value, hour, after_gap: false, learn: true };
        let places = (0..wanted.len()).filter(|&place| wanted[place][0] as usize == index);
        let streams = bank.streams_of(sample);
        let evidence = f64::from(bank.judge(sample, &lens).ungated);
        for place in places {
            let streams = NAMES.iter().zip(streams).map(|(name, stream)| {
                let level = *name == "value" || name.starts_with("mean ") && !name.contains(" - ");
                f64::from(stream) + if level { file.rows[0].0 } else { 0.0 }
            });
            found[place] = std::iter::once(index as f64).chain(streams).chain([evidence]).collect();
        }
    }
    found
}

/// What a deviation is measured by.
fn scale(column: usize, rows: &[Vec<f64>]) -> f64 {
    let absolute = NAMES.get(column - 1).is_none_or(|name| SURPRISES.contains(name) || name.is_empty());
    if absolute {
        return 1.0;
    }
    let values = || rows.iter().map(|row| row[column]);
    let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
    let levels =
        rows.iter().flat_map(|row| [row[1], row[5]]).fold(0.0, |most: f64, level| most.max(level.abs()));
    (high - low).max(1e-3 * levels).max(1e-6)
}
