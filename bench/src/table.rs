//! The figures as one table for people (Markdown, to be pasted) or as JSON.
//!
//! Not here: how they were measured.

use serde_json::{Value, json};

use crate::figure::{Figure, Goal};
use crate::machine::Machine;

const HEADS: [&str; 6] = ["what", "median", "low to high", "goal", "against the goal", "load"];

/// The figures of one part of the bench, and the load average when it began.
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) name: &'static str,
    pub(crate) load: f64,
    pub(crate) figures: Vec<Figure>,
}

/// Everything that was measured.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) command: String,
    pub(crate) machine: Machine,
    pub(crate) sections: Vec<Section>,
}

impl Report {
    /// For people.
    pub(crate) fn text(&self) -> String {
        let rows: Vec<[String; HEADS.len()]> = self.sections.iter().flat_map(rows).collect();
        let width = |column: usize| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.max().unwrap_or(0).max(HEADS[column].len())
        };
        let widths: [usize; HEADS.len()] = std::array::from_fn(width);
        let rule = widths.map(|width| "-".repeat(width));
        let Machine { cores, processor, kernel } = &self.machine;
        let head = [
            format!("`{}`: {cores} cores ({processor}), {kernel}", self.command),
            String::new(),
            line(&HEADS.map(str::to_owned), widths),
            line(&rule, widths),
        ];
        head.into_iter().chain(rows.iter().map(|row| line(row, widths))).map(|line| line + "\n").collect()
    }

    /// For programs; figures keep their full precision.
    pub(crate) fn json(&self) -> Value {
        let Machine { cores, processor, kernel } = &self.machine;
        let sections = self.sections.iter().flat_map(|section| {
            section.figures.iter().map(|figure| figure_json(section, figure)).collect::<Vec<_>>()
        });
        json!({
            "command": self.command,
            "machine": { "cores": cores, "processor": processor, "kernel": kernel },
            "figures": sections.collect::<Vec<_>>(),
        })
    }
}

fn rows(section: &Section) -> Vec<[String; HEADS.len()]> {
    let cells = |figure: &Figure| {
        let spread = (figure.rounds > 1)
            .then(|| format!("{} to {} ({})", short(figure.low), short(figure.high), figure.rounds));
        let goal = figure.goal.map(|goal| match goal {
            Goal::AtLeast(value) => format!("at least {}", short(value)),
            Goal::AtMost(value) => format!("at most {}", short(value)),
        });
        [
            format!("{}: {}", section.name, figure.name),
            format!("{} {}", short(figure.median), figure.unit).trim_end().to_owned(),
            spread.unwrap_or_default(),
            goal.unwrap_or_default(),
            figure.against_goal(),
            format!("{:.1}", section.load),
        ]
    };
    section.figures.iter().map(cells).collect()
}

fn figure_json(section: &Section, figure: &Figure) -> Value {
    let (at_least, at_most) = match figure.goal {
        Some(Goal::AtLeast(value)) => (Some(value), None),
        Some(Goal::AtMost(value)) => (None, Some(value)),
        None => (None, None),
    };
    json!({
        "section": section.name,
        "name": figure.name,
        "unit": figure.unit,
        "median": figure.median,
        "low": figure.low,
        "high": figure.high,
        "rounds": figure.rounds,
        "goal_at_least": at_least,
        "goal_at_most": at_most,
        "load_average": section.load,
    })
}

/// Three significant digits: none of the measurements carries more.
fn short(value: f64) -> String {
    let digits = if value == 0.0 { 0.0 } else { value.abs().log10().floor() };
    let decimals = (2.0 - digits).clamp(0.0, 3.0) as usize;
    format!("{value:.decimals$}")
}

fn line(cells: &[String; HEADS.len()], widths: [usize; HEADS.len()]) -> String {
    let padded = cells.iter().zip(widths).map(|(cell, width)| format!(" {cell:width$} |"));
    std::iter::once("|".to_owned()).chain(padded).collect()
}

#[cfg(test)]
mod tests {
    use super::short;

    #[test]
    fn figures_are_shown_with_three_digits() {
        let shown = [0.0, 0.001_23, 0.0456, 1.0, 1.234, 12.34, 1234.5].map(short);
        assert_eq!(shown, ["0.00", "0.001", "0.046", "1.00", "1.23", "12.3", "1234"]);
    }
}
