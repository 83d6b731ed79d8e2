//! Ten simulated days of a container's CPU with a ramp on the seventh: which resolution sees it, and how early.
//!
//! Thresholds come from clean runs alone, where one in twenty raises its highest evidence above them in eight days: no oracle of
//! the ramps. The same with the engine's defaults beside it. Not here: real days.

use state::series::anchor::Anchor;
use state::series::bank::Bank;
use state::series::metric::Metric;

use crate::excess::curve::{median, quantile};
use crate::excess::drive::{Row, judged};
use crate::excess::noise::Noise;
use crate::figure::{Figure, Goal};

const STEP_SECONDS: usize = 15;
const DAY: usize = 86_400 / STEP_SECONDS;
const DAYS: usize = 10;
const CLEAN_RUNS: u64 = 200;
const RUNS: u64 = 100;

/// When the ramp begins, and the days that no threshold is taken from.
const BEGIN: usize = 6 * DAY;
const WARM: usize = 2 * DAY;

/// CPU in percent of the limit.
const LIMIT: f64 = 100.0;

/// A detector: its name, how many steps it takes a mean of, and its scores.
struct Detector {
    name: &'static str,
    steps: usize,
    scores: fn(&[Row], Metric) -> (Vec<f64>, f64),
    /// Shares of runs found that the prototype had, for each of `RAMPS`; none for the fast bank, which cannot see ramps.
    floors: Option<[f64; 4]>,
}

/// Percentage points and hours.
const RAMPS: [(f64, f64); 4] = [(30.0, 1.0), (30.0, 24.0), (30.0, 72.0), (15.0, 72.0)];

const DETECTORS: [Detector; 4] = [
    Detector {
        name: "bank 15 s",
        steps: 1,
        scores: |rows, metric| bank(Bank::lite(), rows, metric, 15.0),
        floors: None,
    },
    Detector {
        name: "bank 5 min",
        steps: 20,
        scores: |rows, metric| bank(Bank::full(), rows, metric, 300.0),
        floors: Some([100.0, 87.0, 47.0, 23.0]),
    },
    Detector {
        name: "bank 1 h",
        steps: 240,
        scores: |rows, metric| bank(Bank::sparse(), rows, metric, 3_600.0),
        floors: Some([100.0, 100.0, 100.0, 87.0]),
    },
    Detector { name: "anchor 1 h", steps: 240, scores: anchor, floors: Some([100.0, 100.0, 100.0, 90.0]) },
];

/// Shares of runs in which each detector sees each ramp, and the level that the ramp had reached by then.
pub(crate) fn measure() -> Vec<Figure> {
    let clean: Vec<Vec<f64>> = (0..CLEAN_RUNS).map(|seed| calm(&mut Noise::new(seed))).collect();
    let mut figures = Vec::new();
    for detector in &DETECTORS {
        let ungated = Metric::resource(LIMIT, 0.0);
        let (threshold, _) = detector.clean(&clean, ungated);
        figures.push(Figure::once(format!("{}, threshold of clean runs", detector.name), "", threshold));
        for (place, ramp) in RAMPS.into_iter().enumerate() {
            let (share, level) = detector.found(ramp, ungated, Some(threshold));
            let (points, hours) = ramp;
            let name = format!("{}, +{points} points in {hours} h, threshold of clean runs", detector.name);
            let found = Figure::once(format!("{name}: found"), "%", share);
            figures.push(match detector.floors {
                Some(floors) => found.with_goal(Goal::AtLeast(floors[place])),
                None => found,
            });
            if level.is_finite() {
                figures.push(Figure::once(format!("{name}: level"), "points", level));
            }
        }
        figures.extend(detector.by_default(&clean));
    }
    figures
}

impl Detector {
    /// The highest evidence of all but one in twenty clean runs, and the share of runs that reach the default threshold.
    fn clean(&self, clean: &[Vec<f64>], metric: Metric) -> (f64, f64) {
        let mut default = 0.0;
        let mut highest: Vec<f64> = Vec::new();
        for run in clean {
            let (scores, threshold) = (self.scores)(&means(run, self.steps), metric);
            highest.push(scores[WARM / self.steps..].iter().copied().fold(0.0, f64::max));
            default += f64::from(u8::from(highest.last().is_some_and(|most| *most >= threshold)));
        }
        highest.sort_by(f64::total_cmp);
        (quantile(&highest, 0.95), default / clean.len() as f64 * 100.0)
    }

    /// The share of ramps found until a day after their end, in percent, and the median level at which.
    fn found(&self, (points, hours): (f64, f64), metric: Metric, threshold: Option<f64>) -> (f64, f64) {
        let ramp_steps = (hours * 3_600.0) as usize / STEP_SECONDS;
        let (mut levels, mut found) = (Vec::new(), 0.0);
        for seed in 0..RUNS {
            let mut run = calm(&mut Noise::new(1_000 + seed));
            for (step, value) in run[BEGIN..].iter_mut().enumerate() {
                let share = (step as f64 / ramp_steps as f64).min(1.0);
                *value = (*value + points * share).min(LIMIT);
            }
            let (scores, default) = (self.scores)(&means(&run, self.steps), metric);
            let threshold = threshold.unwrap_or(default);
            let end = ((BEGIN + ramp_steps + DAY) / self.steps).min(scores.len());
            let first = scores[BEGIN / self.steps..end].iter().position(|score| *score > threshold);
            if let Some(first) = first {
                found += 1.0;
                levels.push(((first * self.steps) as f64 / ramp_steps as f64).min(1.0) * points);
            }
        }
        (found / RUNS as f64 * 100.0, median(levels))
    }

    /// With the default threshold and a gate of a tenth of the limit: what is found of the longest ramps, and the clean runs
    /// that show anything.
    fn by_default(&self, clean: &[Vec<f64>]) -> [Figure; 3] {
        let gated = Metric::limited(LIMIT);
        let (_, noisy) = self.clean(clean, gated);
        let [steep, shallow] = [RAMPS[2], RAMPS[3]].map(|ramp| self.found(ramp, gated, None).0);
        let name = |what: &str| format!("{}, default threshold and gate: {what}", self.name);
        [
            Figure::once(name("clean runs of 8 days with any excess"), "%", noisy),
            Figure::once(name("+30 points in 72 h found"), "%", steep),
            Figure::once(name("+15 points in 72 h found"), "%", shallow),
        ]
    }
}

fn bank(bank: Bank, rows: &[Row], metric: Metric, seconds: f32) -> (Vec<f64>, f64) {
    let judged = judged(bank, rows, metric, seconds);
    let threshold = judged.first().map_or(0.0, |judged| f64::from(judged.threshold));
    (judged.into_iter().map(|judged| f64::from(judged.evidence)).collect(), threshold)
}

fn anchor(rows: &[Row], metric: Metric) -> (Vec<f64>, f64) {
    let mut anchor = Anchor::default();
    let gate = f64::from(metric.gate);
    let scores = rows.iter().map(|&(value, hour)| {
        let standing = anchor.take(value, hour, metric.natural_unit, true);
        if value - standing.usual >= gate || gate == 0.0 { standing.sum } else { 0.0 }
    });
    (scores.collect(), Anchor::BAR)
}

/// Means of so many steps, with their hours.
fn means(run: &[f64], steps: usize) -> Vec<Row> {
    let slots = run.chunks_exact(steps).enumerate();
    let hour = |slot: usize| (slot * steps * STEP_SECONDS / 3_600 % 24) as u8;
    slots.map(|(slot, values)| (values.iter().sum::<f64>() / steps as f64, hour(slot))).collect()
}

/// Ten days of a container with a daily rhythm, slow and fast noise, better and worse days, and short benign bursts.
fn calm(noise: &mut Noise) -> Vec<f64> {
    let (swing, base, phase) = (noise.even(3.0, 15.0), noise.even(10.0, 30.0), noise.even(0.0, 1.0));
    let (shape, slow, fast) = (noise.even(0.7, 2.0), noise.even(0.5, 2.0), noise.even(0.3, 1.5));
    let days: Vec<f64> = (0..DAYS).map(|_| noise.normal(1.0, 0.05)).collect();
    let mut drift = 0.0;
    let steps = 0..DAYS * DAY;
    let mut run: Vec<f64> = steps
        .map(|step| {
            let turn = std::f64::consts::TAU * (step as f64 / DAY as f64 + phase);
            drift = 0.98 * drift + (1.0_f64 - 0.98 * 0.98).sqrt() * noise.normal(0.0, 1.0);
            let value = base + swing * turn.sin().max(0.0).powf(shape) + slow * drift;
            (value + noise.normal(0.0, fast).abs()) * days[step / DAY]
        })
        .collect();
    for _ in 0..noise.count(3.0 * DAYS as f64) {
        let begin = noise.even(0.0, (run.len() - 40) as f64) as usize;
        let (length, height) = (noise.even(4.0, 20.0) as usize, noise.even(5.0, 25.0));
        run[begin..begin + length].iter_mut().for_each(|value| *value += height);
    }
    run.into_iter().map(|value| value.clamp(0.0, LIMIT)).collect()
}
