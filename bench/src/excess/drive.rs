//! Drives a record bank over a series that is already cut into slots.
//!
//! Not here: cutting (`state::series::resolution`); public series come cut.

use state::series::bank::{Bank, Judged, Lens, Sample};
use state::series::metric::Metric;
use state::series::tuning::Tuning;

/// A value and the hour of the day it belongs to.
pub(crate) type Row = (f64, u8);

/// What the bank says of every row, with the default configuration.
pub(crate) fn judged(mut bank: Bank, rows: &[Row], metric: Metric, seconds: f32) -> Vec<Judged> {
    let lens = Lens { tuning: &Tuning::DEFAULT, metric, seconds, floor_factor: 1.0 };
    let rows = rows
        .iter()
        .map(|&(value, hour)| bank.judge(Sample { value, hour, after_gap: false, learn: true }, &lens));
    rows.collect()
}
