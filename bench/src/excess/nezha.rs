//! Real containers with injected CPU faults (Nezha, FSE 2023), one day in 1-minute rows: CPU of ten pods.
//!
//! As in the prototype, the calm tail of the day is replayed first, as history; then the part with faults. Minutes near any
//! fault are not counted as false. Not here: the other three days, which are kept aside.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use state::series::bank::{Bank, Judged};
use state::series::metric::Metric;

use crate::excess::curve::{false_episodes, median};
use crate::excess::drive::{Row, judged};
use crate::excess::{ORACLE, files};
use crate::figure::{Figure, Goal};

/// The day in the public folder.
const DAY: &str = "2022-08-22";

/// Seconds of a fault, and after it, in which finding it counts; twice that is not counted as false.
const FAULT_SECONDS: i64 = 420;

/// Seconds before a fault is noted that belong to it: rows are a minute apart.
const BEFORE_SECONDS: i64 = 60;

/// Seconds after the last fault from which the day is calm.
const CALM_AFTER: i64 = 900;

/// Minutes of history before anything counts.
const WARM: usize = 240;

/// Minutes that part two false episodes.
const APART: usize = 15;

/// Millicores of a pod whose limit nobody can tell.
const LIMIT_UNKNOWN: f64 = 1_000.0;

#[derive(Debug)]
struct Pod {
    /// Seconds since the Unix epoch of each row, in the order of replay.
    times: Vec<i64>,
    rows: Vec<Row>,
    limit: f64,
    /// When its CPU was burnt.
    burns: Vec<i64>,
}

#[derive(Debug, Default)]
struct Tally {
    found: usize,
    burns: usize,
    episodes: usize,
    calm_minutes: usize,
    delays: Vec<f64>,
}

/// The figures at the default threshold, and at the highest that still finds every fault.
pub(crate) fn measure(data: &Path) -> Result<Vec<Figure>> {
    let (pods, faults) = load(&data.join(DAY))?;
    let verdicts: Vec<Vec<Judged>> = pods.iter().map(verdicts).collect();
    let at = |threshold: f64| tally(&pods, &verdicts, &faults, threshold);
    let threshold = f64::from(verdicts[0][0].threshold);
    let default = at(threshold);
    let mut best = at(threshold);
    let mut highest = threshold;
    while let next = at(highest + 0.25)
        && next.found == next.burns
    {
        (best, highest) = (next, highest + 0.25);
    }
    let burns = default.burns as f64;
    let mut figures = vec![
        Figure::once(format!("CPU faults found, of {burns}, default threshold"), "", default.found as f64)
            .with_goal(Goal::AtLeast(burns)),
        Figure::once("false episodes, default threshold", "a pod and day", default.rate())
            .with_goal(Goal::AtMost(0.39)),
        Figure::once("time to detect, default threshold", "s", median(default.delays))
            .with_goal(Goal::AtMost(74.0)),
    ];
    let name = format!("false episodes with all found ({ORACLE}: {highest:.1})");
    figures.push(Figure::once(name, "a pod and day", best.rate()).with_goal(Goal::AtMost(0.39)));
    figures.push(Figure::once(format!("time to detect ({ORACLE})"), "s", median(best.delays)));
    Ok(figures)
}

impl Tally {
    fn rate(&self) -> f64 {
        self.episodes as f64 / (self.calm_minutes as f64 / 1_440.0)
    }
}

fn verdicts(pod: &Pod) -> Vec<Judged> {
    judged(Bank::full(), &pod.rows, Metric::limited(pod.limit), 60.0)
}

fn tally(pods: &[Pod], verdicts: &[Vec<Judged>], faults: &[i64], threshold: f64) -> Tally {
    let mut tally = Tally::default();
    for (pod, judged) in pods.iter().zip(verdicts) {
        let on: Vec<bool> = judged.iter().map(|judged| f64::from(judged.evidence) >= threshold).collect();
        let near = |time: i64| {
            faults.iter().any(|fault| (fault - BEFORE_SECONDS..=fault + 2 * FAULT_SECONDS).contains(&time))
        };
        let calm: Vec<bool> =
            pod.times.iter().enumerate().map(|(row, &time)| row >= WARM && !near(time)).collect();
        tally.calm_minutes += calm.iter().filter(|calm| **calm).count();
        tally.episodes += false_episodes(&on, &calm, APART);
        for burn in &pod.burns {
            tally.burns += 1;
            let window = burn - BEFORE_SECONDS..=burn + FAULT_SECONDS;
            let first = pod.times.iter().zip(&on).find(|(time, on)| **on && window.contains(*time));
            if let Some((time, _)) = first {
                tally.found += 1;
                tally.delays.push((time - burn) as f64);
            }
        }
    }
    tally
}

/// The pods of a day, and when anything was done to any of them.
fn load(day: &Path) -> Result<(Vec<Pod>, Vec<i64>)> {
    let path = day.join("fault_list.json");
    let place = || path.display().to_string();
    let list = files::json(&path)?;
    let list: Vec<&Value> =
        list.as_object().with_context(place)?.values().filter_map(Value::as_array).flatten().collect();
    let text = |fault: &Value, field: &str| fault[field].as_str().map(str::to_owned).with_context(place);
    let mut faults = Vec::new();
    let mut burns = Vec::new();
    for fault in list {
        let at = files::seconds(&text(fault, "inject_time")?).with_context(place)?;
        faults.push(at);
        if text(fault, "inject_type")?.starts_with("cpu") {
            burns.push((text(fault, "inject_pod")?, at));
        }
    }
    let last = *faults.iter().max().with_context(place)?;
    let tables = files::ending(&day.join("metric"), "_metric.csv")?;
    let pods = tables.iter().map(|table| pod(table, last + CALM_AFTER, &burns));
    Ok((pods.collect::<Result<Vec<Pod>>>()?, faults))
}

fn pod(path: &Path, calm_from: i64, burns: &[(String, i64)]) -> Result<Pod> {
    let text = files::text(path)?;
    let mut lines = text.lines();
    let heads: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let column = |name: &str| {
        let at = heads.iter().position(|head| *head == name);
        at.with_context(|| format!("{}: no column {name}", path.display()))
    };
    let (time, name, cpu, share) =
        (column("Time")?, column("PodName")?, column("CpuUsage(m)")?, column("CpuUsageRate(%)")?);
    let (mut rows, mut limits, mut pod) = (Vec::new(), Vec::new(), String::new());
    let mut last = 0.0;
    for (line, row) in lines.enumerate() {
        let place = || format!("{}, line {}", path.display(), line + 2);
        let cells: Vec<&str> = row.split(',').collect();
        ensure!(cells.len() == heads.len(), "{}: another length", place());
        let at = files::seconds(cells[time]).with_context(place)?;
        // An empty cell is a scrape that failed: the value before holds, as in the prototype.
        last = if cells[cpu].is_empty() { last } else { files::number(cells[cpu]).with_context(place)? };
        rows.push((at, last));
        let share = files::number(cells[share]).unwrap_or(0.0);
        if share > 0.0 && !cells[cpu].is_empty() {
            limits.push(last / share * 100.0);
        }
        cells[name].clone_into(&mut pod);
    }
    let (tail, head): (Vec<_>, Vec<_>) = rows.into_iter().partition(|(at, _)| *at > calm_from);
    let replayed: Vec<(i64, f64)> = tail.into_iter().chain(head).collect();
    let limit = if limits.is_empty() { LIMIT_UNKNOWN } else { median(limits) };
    Ok(Pod {
        times: replayed.iter().map(|row| row.0).collect(),
        // One hour for all: less than a day of history says nothing about hours.
        rows: replayed.iter().map(|row| (row.1, 0)).collect(),
        limit,
        burns: burns.iter().filter(|(name, _)| *name == pod).map(|(_, at)| *at).collect(),
    })
}
