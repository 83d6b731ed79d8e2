//! Servers with many metrics: ASD (four of them, 5-minute rows) and SMD (three, 1-minute rows), the experts alone and together.
//!
//! Thresholds within a budget are an oracle's. Not here: the residual of a principal component analysis, which is not ours.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use state::series::anchor::Frozen;
use state::series::bank::Bank;
use state::series::metric::{Direction, Metric};
use state::series::spikes::{self, Spikes};
use state::series::tuning::Tuning;

use crate::excess::curve::{
    average_precision, false_episodes, median, stretches, stretches_found, within_budget,
};
use crate::excess::drive::{Row, judged};
use crate::excess::{ORACLE, files};
use crate::figure::{Figure, Goal};

/// Samples that part two false episodes at the default threshold.
const APART: usize = 10;

/// What a metric of a server that was scaled to 0 to 1 adds to its deviation before anything stands out.
const DEVIATION_MIN: f64 = 1e-3;

/// A server: its rows, those of the calm training part first.
#[derive(Debug)]
struct Server {
    columns: Vec<Vec<f64>>,
    trained: usize,
    marks: Vec<bool>,
}

/// What one server got from each expert, over the test part.
#[derive(Debug)]
struct Scores {
    records: Vec<f64>,
    spikes: Vec<f64>,
    frozen: Vec<f64>,
    /// A metric's evidence reached the default threshold.
    on: Vec<bool>,
}

/// The figures that ALGORITHMS 2.4 gives for a set.
#[derive(Clone, Copy, Debug)]
struct Floors {
    precision: f64,
    records: [f64; 2],
    spikes: [f64; 2],
    frozen: [f64; 2],
    together: [f64; 2],
}

/// ASD.
pub(crate) fn measure_asd(data: &Path) -> Result<Vec<Figure>> {
    let floors = Floors {
        precision: 0.434,
        records: [19.0, 13.0],
        spikes: [8.0, 4.0],
        frozen: [7.0, 4.0],
        together: [16.0, 8.0],
    };
    measure(data, 300.0, floors)
}

/// SMD.
pub(crate) fn measure_smd(data: &Path) -> Result<Vec<Figure>> {
    let floors = Floors {
        precision: 0.289,
        records: [25.0, 10.0],
        spikes: [50.0, 25.0],
        frozen: [45.0, 38.0],
        together: [56.0, 34.0],
    };
    measure(data, 60.0, floors)
}

fn measure(data: &Path, seconds: f64, floors: Floors) -> Result<Vec<Figure>> {
    let trains = files::ending(data, "_train.csv.gz")?;
    let servers = trains.iter().map(|train| load(train)).collect::<Result<Vec<Server>>>()?;
    let scored: Vec<(Scores, &Server)> =
        servers.iter().map(|server| (scores(server, seconds), server)).collect();
    let marked: usize = servers.iter().map(|server| stretches(&server.marks).len()).sum();
    let mut figures = default_threshold(&scored, seconds, marked);
    let precision = scored.iter().map(|(scores, server)| average_precision(&server.marks, &scores.records));
    let precision = precision.sum::<f64>() / scored.len() as f64;
    figures.push(Figure::once("records, AUC-PR", "", precision).with_goal(Goal::AtLeast(floors.precision)));
    for (place, budget) in [1.0, 0.2].into_iter().enumerate() {
        let found = |experts: &[fn(&Scores) -> &[f64]]| {
            let each = scored.iter().map(|(scores, server)| {
                let days = server.marks.len() as f64 * seconds / 86_400.0;
                let episodes = days * budget / experts.len() as f64;
                let mut on = vec![false; server.marks.len()];
                for expert in experts {
                    let own = within_budget(&server.marks, expert(scores), episodes);
                    on.iter_mut().zip(own).for_each(|(on, own)| *on |= own);
                }
                stretches_found(&server.marks, &on)
            });
            each.sum::<usize>() as f64
        };
        let records: fn(&Scores) -> &[f64] = |scores| &scores.records;
        let spikes: fn(&Scores) -> &[f64] = |scores| &scores.spikes;
        let frozen: fn(&Scores) -> &[f64] = |scores| &scores.frozen;
        let rows = [
            ("records", found(&[records]), floors.records),
            ("spikes", found(&[spikes]), floors.spikes),
            ("frozen week", found(&[frozen]), floors.frozen),
            ("any of the three, budget split", found(&[records, spikes, frozen]), floors.together),
        ];
        figures.extend(rows.map(|(name, found, floors)| {
            let name = format!("{name}: stretches at {budget} false a day ({ORACLE})");
            Figure::once(name, "found", found).with_goal(Goal::AtLeast(floors[place]))
        }));
    }
    Ok(figures)
}

/// What the default threshold gives when any metric of the server may reach it.
fn default_threshold(scored: &[(Scores, &Server)], seconds: f64, marked: usize) -> Vec<Figure> {
    let (mut found, mut episodes, mut days, mut delays) = (0, 0, 0.0, Vec::new());
    for (scores, server) in scored {
        let calm: Vec<bool> = server.marks.iter().map(|mark| !mark).collect();
        episodes += false_episodes(&scores.on, &calm, APART);
        days += server.marks.len() as f64 * seconds / 86_400.0;
        for stretch in stretches(&server.marks) {
            if let Some(delay) = scores.on[stretch].iter().position(|&on| on) {
                found += 1;
                delays.push(delay as f64 * seconds / 60.0);
            }
        }
    }
    vec![
        Figure::once(
            format!("stretches found, of {marked}, default threshold of any metric"),
            "",
            f64::from(found),
        ),
        Figure::once("false episodes, default threshold of any metric", "a day", episodes as f64 / days),
        Figure::once("time to detect, default threshold of any metric", "min", median(delays)),
    ]
}

fn load(train: &Path) -> Result<Server> {
    let name = train.to_string_lossy();
    let name = name.strip_suffix("_train.csv.gz").context("a training part")?;
    let mut rows = files::numbers(train)?;
    let trained = rows.len();
    rows.extend(files::numbers(Path::new(&format!("{name}_test.csv.gz")))?);
    let width = rows[0].len();
    ensure!(rows.iter().all(|row| row.len() == width), "{name}: the parts differ in width");
    let labels = files::text(Path::new(&format!("{name}_test_label.txt")))?;
    let labels = labels.split([',', '\n']).filter(|label| !label.trim().is_empty());
    let marks = labels.map(|label| Ok(files::number(label)? != 0.0)).collect::<Result<Vec<bool>>>()?;
    ensure!(marks.len() >= rows.len() - trained, "{name}: fewer labels than rows");
    let marks = marks[..rows.len() - trained].to_vec();
    let columns = (0..width).map(|column| rows.iter().map(|row| row[column]).collect()).collect();
    Ok(Server { columns, trained, marks })
}

fn scores(server: &Server, seconds: f64) -> Scores {
    let rows = server.marks.len();
    let mut all = Scores {
        records: vec![0.0; rows],
        spikes: vec![0.0; rows],
        frozen: vec![0.0; rows],
        on: vec![false; rows],
    };
    for column in &server.columns {
        let (train, test) = column.split_at(server.trained);
        let frozen = Frozen::of(train);
        for (sum, &value) in all.frozen.iter_mut().zip(test) {
            *sum += frozen.score(value, DEVIATION_MIN).abs() / server.columns.len() as f64;
        }
        if column.iter().any(|value| value != &column[0]) {
            moving(column, server.trained, seconds, &mut all);
        }
    }
    all
}

fn moving(column: &[f64], trained: usize, seconds: f64, all: &mut Scores) {
    let mut level = Spikes::default();
    let spikes: Vec<f64> = column.iter().map(|&value| level.take(value, true)).collect();
    for (sum, &score) in all.spikes.iter_mut().zip(&spikes[trained..]) {
        *sum += spikes::sum([score]);
    }
    let hour = |row: usize| ((row as f64 * seconds) as u64 % 86_400 / 3_600) as u8;
    let rows: Vec<Row> = column.iter().enumerate().map(|(row, &value)| (value, hour(row))).collect();
    // The public sets are scaled to 0 to 1, and less than ever counts as well.
    let metric = Metric::resource(1.0, 0.0).looking(Direction::Both);
    let bank = Bank::full();
    // Half of what all streams can add up to: one metric alone must not outweigh all others.
    let most = bank.streams() as f64 / f64::from(1.0 - Tuning::DEFAULT.evidence_kept) / 2.0;
    for (row, judged) in judged(bank, &rows, metric, seconds as f32)[trained..].iter().enumerate() {
        all.records[row] += f64::from(judged.evidence).min(most);
        all.on[row] |= judged.evidence >= judged.threshold;
    }
}
