//! `tidewatch ads`: list, show and check strategies.

use std::path::Path;

use anyhow::bail;
use serde_json::{Value, json};
use strategy::Strategy;

use crate::Outcome;
use crate::args::{AdsAction, AdsArgs};
use crate::bundles::{embedded, embedded_bundles, load, on_disk};
use crate::output::{complain, say, table};

pub(crate) fn run(args: &AdsArgs) -> anyhow::Result<Outcome> {
    match &args.action {
        AdsAction::List { json } => list(*json),
        AdsAction::Show { slug } => show(slug),
        AdsAction::Lint { dir } => lint(dir.as_deref()),
    }
}

fn list(json: bool) -> anyhow::Result<Outcome> {
    let strategies = embedded()?;
    if json {
        let rows: Value = strategies.iter().map(row).collect();
        say(&report::json::json_text(&rows));
        return Ok(Outcome::Fine);
    }
    let mut table = table(["strategy", "status", "severity", "techniques", "judges", "scenarios"]);
    for strategy in strategies.iter() {
        table.add_row([
            strategy.slug.to_string(),
            strategy.front.status.name().to_owned(),
            strategy.front.severity.name().to_owned(),
            techniques(strategy).join(" "),
            strategy.front.judges.join(" "),
            strategy.scenarios.len().to_string(),
        ]);
    }
    say(&table.trim_fmt());
    Ok(Outcome::Fine)
}

fn show(slug: &str) -> anyhow::Result<Outcome> {
    let strategies = embedded()?;
    let Some(strategy) = strategies.by_slug(slug) else {
        let known: Vec<&str> = strategies.iter().map(|strategy| &*strategy.slug).collect();
        bail!("there is no strategy {slug:?}; there are: {}", known.join(", "));
    };
    let front = &strategy.front;
    say(&format!("# {} ({} {}, {})", front.title, strategy.slug, front.version, front.status.name()));
    say(&format!("\nATT&CK {}: {}", front.attack_version, techniques(strategy).join(", ")));
    say(&format!("Judges: {}", front.judges.join(", ")));
    for telemetry in &front.telemetry {
        let need = if telemetry.required { "required" } else { "optional" };
        say(&format!("Telemetry: {} ({need}; without it: {})", telemetry.source, telemetry.lost));
    }
    for section in &strategy.sections {
        say(&format!("\n## {}\n\n{}", section.heading, section.text.trim()));
    }
    Ok(Outcome::Fine)
}

fn lint(dir: Option<&Path>) -> anyhow::Result<Outcome> {
    let bundles = match dir {
        Some(dir) => on_disk(dir)?,
        None => embedded_bundles(),
    };
    match load(&bundles) {
        Ok(strategies) => {
            say(&format!("{} strategies, no problems", strategies.len()));
            Ok(Outcome::Fine)
        }
        Err(problems) => {
            let place = dir.map(|dir| format!("{}/", dir.display())).unwrap_or_default();
            problems.iter().for_each(|problem| say(&format!("{place}{problem}")));
            complain(&format!("{} problems; none of the strategies is loaded", problems.len()));
            Ok(Outcome::BadNews)
        }
    }
}

fn techniques(strategy: &Strategy) -> Vec<String> {
    strategy.front.attack.iter().map(|technique| technique.id.clone()).collect()
}

fn row(strategy: &Strategy) -> Value {
    json!({
        "slug": &*strategy.slug,
        "title": strategy.front.title,
        "version": strategy.front.version,
        "status": strategy.front.status.name(),
        "severity": strategy.front.severity.name(),
        "attack_version": strategy.front.attack_version,
        "techniques": techniques(strategy),
        "judges": strategy.front.judges,
        "scenarios": strategy.scenarios.iter().map(|scenario| scenario.name.as_str()).collect::<Vec<_>>(),
    })
}
