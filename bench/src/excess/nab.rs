//! The Numenta Anomaly Benchmark 1.1: its scorer, and the record bank on the open files.
//!
//! The scorer follows the published rules: a sigmoid rewards early finds inside a window, false ones cost more the farther they
//! lie from the last window, the first 15 % of a file (750 rows at most) are not scored. Not here: published detectors' scores.

pub(crate) mod score;

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use state::series::bank::Bank;
use state::series::metric::Metric;

use crate::excess::drive::{Row, judged};
use crate::excess::nab::score::{FALSE_NEGATIVES, FALSE_POSITIVES, Marked, Profile, STANDARD, at, best};
use crate::excess::{ORACLE, files, golden};
use crate::figure::{Figure, Goal};

/// One file of the benchmark.
#[derive(Debug)]
pub(crate) struct Series {
    /// Path below `data`.
    pub(crate) name: String,
    pub(crate) rows: Vec<Row>,
    marked: Marked,
    /// Seconds between rows.
    step: f32,
}

/// The profiles with their names, and what they should reach on the open files.
const PROFILES: [(&str, Profile, f64); 3] = [
    ("standard", STANDARD, 77.0),
    ("low false positives", FALSE_POSITIVES, 67.5),
    ("low false negatives", FALSE_NEGATIVES, 80.0),
];

/// The official score on the open files, at the default threshold and at the best one.
pub(crate) fn measure(data: &Path) -> Result<Vec<Figure>> {
    let files = load(data)?;
    let mut figures = golden::compare(&files)?;
    let marked: Vec<&Marked> = files.iter().map(|file| &file.marked).collect();
    figures.push(golden::scorer(&files, &marked)?);
    let scores: Vec<Vec<f64>> = files.iter().map(onsets).collect();
    for (name, profile, floor) in PROFILES {
        let default = at(&marked, &scores, f64::MIN_POSITIVE, &profile);
        let goal = Goal::AtLeast(floor);
        figures.push(Figure::once(format!("score, {name}, default threshold"), "", default).with_goal(goal));
        let (best, _) = best(&marked, &scores, &profile);
        figures.push(Figure::once(format!("score, {name}, official ({ORACLE})"), "", best).with_goal(goal));
    }
    let windows: usize = marked.iter().map(|marked| marked.windows()).sum();
    let (found, false_ones) = score::counts(&marked, &scores);
    figures.push(Figure::once(format!("windows found, of {windows}"), "", found as f64));
    figures.push(Figure::once("episodes outside windows", "", false_ones as f64));
    Ok(figures)
}

/// The evidence where an episode begins, else zero.
fn onsets(file: &Series) -> Vec<f64> {
    let judged = judged(Bank::full(), &file.rows, Metric::unknown(), file.step);
    judged.into_iter().map(|judged| if judged.onset { f64::from(judged.evidence) } else { 0.0 }).collect()
}

/// The files that the labels name, in their order.
fn load(data: &Path) -> Result<Vec<Series>> {
    let labels = data.join("labels/combined_windows.json");
    let place = || labels.display().to_string();
    let windows = files::json(&labels)?;
    let windows = windows.as_object().with_context(place)?;
    ensure!(!windows.is_empty(), "{} names no file", labels.display());
    let mut names: Vec<&String> = windows.keys().collect();
    names.sort();
    names.into_iter().map(|name| series(data, name, &windows[name]).with_context(|| name.clone())).collect()
}

fn series(data: &Path, name: &str, windows: &Value) -> Result<Series> {
    let text = files::text(&data.join("data").join(name))?;
    let mut times = Vec::new();
    let mut rows = Vec::new();
    for (line, row) in text.lines().enumerate().skip(1) {
        let place = || format!("line {}", line + 1);
        let (stamp, value) = row.split_once(',').with_context(place)?;
        let seconds = files::seconds(stamp).with_context(place)?;
        times.push(seconds);
        rows.push((files::number(value).with_context(place)?, (seconds.rem_euclid(86_400) / 3_600) as u8));
    }
    ensure!(rows.len() > 100, "too short");
    let row_of = |stamp: &Value| -> Result<usize> {
        let seconds = files::seconds(stamp.as_str().context("a window without times")?)?;
        times.iter().position(|&time| time == seconds).with_context(|| format!("no row at {stamp}"))
    };
    let windows = windows.as_array().context("no windows")?;
    let windows = windows.iter().map(|window| Ok((row_of(&window[0])?, row_of(&window[1])?)));
    let marked = Marked::new(rows.len(), &windows.collect::<Result<Vec<_>>>()?);
    let mut steps: Vec<i64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    steps.sort_unstable();
    let step = steps[steps.len() / 2] as f32;
    Ok(Series { name: name.to_owned(), rows, marked, step })
}
