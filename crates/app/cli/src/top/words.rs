//! Words and figures for a screen with little room.
//!
//! Not here: where they stand.

use engine::status::host::LevelStatus;
use engine::status::{ContainerStatus, CostStatus};
use model::finding::Value;
use model::identity::Kind;
use model::incident::Severity;
use ratatui::style::{Color, Style};
use report::units;

/// CPU in cores without the word.
pub(super) fn cores(value: f64) -> String {
    // What rounds to nothing has no sign.
    let value = if value.abs() < 0.005 { 0.0 } else { value };
    match value.abs() {
        size if !size.is_finite() => "?".to_owned(),
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// What is known, or a dash.
pub(super) fn or_dash<T>(value: Option<T>, show: impl Fn(T) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), show)
}

/// Bytes without a unit where there are none.
pub(super) fn bytes(value: f64) -> String {
    if value == 0.0 { "0".to_owned() } else { units::bytes(value) }
}

/// A part of one, in whole percent.
pub(super) fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// What drives a class of cost: `output 36 MB/s`.
pub(super) fn driver(cost: &CostStatus) -> String {
    if cost.units_per_second <= 0.0 {
        return "the engine's process that serves it alone".to_owned();
    }
    let (label, figure) = units::evidence(cost.class.driver_name(), &Value::Measure(cost.units_per_second));
    format!("{label} {figure}")
}

/// How far people trust it: what kind it is unless a runtime claims it, else what they said about it.
pub(super) fn trust(container: &ContainerStatus) -> &'static str {
    match container.kind {
        Kind::Managed => crate::status::provenance(container),
        kind => kind.name(),
    }
}

/// How full a level is and when it ends, if it moves towards that.
pub(super) fn level(level: &LevelStatus) -> String {
    let full = level.full_in_seconds.filter(|seconds| *seconds < SOON_SECONDS);
    let full = full.map(|seconds| format!(", full in {}", units::seconds(seconds.round())));
    format!("{}{}", or_dash(level.used_share, percent), full.unwrap_or_default())
}

/// A level that ends within this time, at its pace, is told to end.
pub(super) const SOON_SECONDS: f64 = 1_800.0;

/// The colour of an incident.
pub(super) fn severity(severity: Severity) -> Style {
    match severity {
        Severity::Low => Style::new().fg(Color::Cyan),
        Severity::Medium => Style::new().fg(Color::Yellow),
        Severity::High => Style::new().fg(Color::Red),
        Severity::Critical => Style::new().fg(Color::Red).bold(),
    }
}
