//! `tidewatch status`: what a running Tidewatch sees now.

use std::io::ErrorKind;
use std::path::Path;

use anyhow::bail;
use engine::control::{Answer, AskError, Request, ask};
use engine::status::integrity::IntegrityStatus;
use engine::status::pulse::ThreadState;
use engine::status::{ContainerStatus, Status, StoreStatus};
use model::coverage::Health;
use report::json::{coverage_json, json_text};
use report::units;
use serde_json::Value;

use crate::Outcome;
use crate::args::StatusArgs;
use crate::output::{say, table};

/// Images named in the first words; a host may run hundreds.
const IMAGES_NAMED: usize = 8;

pub(crate) fn run(args: &StatusArgs) -> anyhow::Result<Outcome> {
    let status = asked(&args.data.data_dir)?;
    if args.json {
        say(&json_text(&status_json(&status)?));
    } else {
        say(&text(&status));
    }
    Ok(if status.incidents_open == 0 { Outcome::Fine } else { Outcome::BadNews })
}

/// The status of the Tidewatch that runs on a data directory; without one, how to start it.
pub(crate) fn asked(data_dir: &Path) -> anyhow::Result<Box<Status>> {
    match ask(data_dir, &Request::Status) {
        Ok(Answer::Status(status)) => Ok(status),
        Ok(_) => bail!("an unexpected answer"),
        Err(AskError::NotRunning { source, .. }) if source.kind() == ErrorKind::PermissionDenied => {
            bail!("only root may ask the Tidewatch on {}", data_dir.display())
        }
        Err(error @ AskError::NotRunning { .. }) => {
            bail!("{error}; start one with: tidewatch run --data-dir {}", data_dir.display())
        }
        Err(error) => Err(error.into()),
    }
}

/// The status as machines get it: its coverage has the form that it has on incidents.
pub(crate) fn status_json(status: &Status) -> anyhow::Result<Value> {
    let mut value = serde_json::to_value(status)?;
    value["coverage"] = coverage_json(&status.coverage);
    Ok(value)
}

/// On a host where nothing was approved yet: what runs, and how to accept it.
pub(crate) fn welcome(status: &Status) -> Vec<String> {
    if status.approvals > 0 {
        return Vec::new();
    }
    let mut images: Vec<String> =
        status.containers.iter().filter(|c| !c.image.is_empty()).map(|c| c.image.to_string()).collect();
    images.sort();
    images.dedup();
    if images.is_empty() {
        return vec![
            "nothing is approved on this host yet, and no container of a known image runs".to_owned(),
        ];
    }
    vec![
        format!(
            "nothing is approved on this host yet; running now: {} containers from {} images: {}",
            status.containers.len(),
            images.len(),
            images.iter().take(IMAGES_NAMED).cloned().collect::<Vec<_>>().join(", ")
        ),
        "if these are yours, accept them with: tidewatch approve --running".to_owned(),
    ]
}

fn text(status: &Status) -> String {
    let mut lines = vec![
        format!("tidewatch {} on {}, since {}", status.version, status.node, status.since),
        format!(
            "{} containers, {} incidents open, {} approvals, {} events",
            status.containers.len(),
            status.incidents_open,
            status.approvals,
            status.events
        ),
    ];
    lines.push(String::new());
    lines.extend(status.sources.iter().map(|source| {
        format!("source {:<8} {} {}", source.source, health(source.health), source.reason)
            .trim_end()
            .to_owned()
    }));
    lines.extend(
        status.blind_strategies.iter().map(|blind| format!("blind: {}: {}", blind.strategy, blind.lost)),
    );
    lines.extend(threads(status));
    if status.coverage.lost_events > 0 {
        lines.push(format!("{} events lost", status.coverage.lost_events));
    }
    lines.extend(status.integrity.iter().map(integrity));
    lines.extend(store_lines(&status.store));
    if !status.containers.is_empty() {
        lines.push(String::new());
        lines.push(containers(&status.containers));
    }
    lines.join("\n")
}

/// One finding about Tidewatch itself, in one line.
pub(crate) fn integrity(found: &IntegrityStatus) -> String {
    let at = found.at.get(..19).unwrap_or(&found.at).replacen('T', " ", 1);
    format!("integrity: {at} UTC {} ({:.1} bits): {}", found.judge, found.bits, found.claim)
}

/// The sensor's threads in one line, and a line for each that is not as it should be.
fn threads(status: &Status) -> Vec<String> {
    if status.threads.is_empty() {
        return Vec::new();
    }
    let silent_ms = status.threads.iter().map(|thread| thread.silent_ms).max().unwrap_or_default();
    let mut lines = vec![format!(
        "{} threads, the last heartbeat of each at most {:.1} s ago",
        status.threads.len(),
        silent_ms as f64 / 1e3
    )];
    lines.extend(status.threads.iter().filter(|thread| thread.state != ThreadState::Runs).map(|thread| {
        let silent = thread.silent_ms as f64 / 1e3;
        match thread.state {
            ThreadState::Died => format!("thread {} ended: {}", thread.name, thread.reason),
            _ => format!("thread {} is overdue: no heartbeat for {silent:.1} s", thread.name),
        }
    }));
    lines.extend(status.calls.iter().filter(|calls| calls.oldest_ms.is_some() || calls.refused > 0).map(
        |calls| {
            format!(
                "{}: {} calls have not returned, the oldest for {:.1} s; {} not made",
                calls.about,
                calls.abandoned - calls.recovered,
                calls.oldest_ms.unwrap_or_default() as f64 / 1e3,
                calls.refused
            )
        },
    ));
    lines
}

/// What is not stored and what is missing in the journal; nothing while all is well.
fn store_lines(store: &StoreStatus) -> Vec<String> {
    let mut lines = Vec::new();
    if !store.reason.is_empty() {
        lines.push(format!(
            "not stored: {} wait in memory, {} given up: {}",
            store.waiting, store.dropped, store.reason
        ));
    }
    if !store.journal_reason.is_empty() || store.journal_lost > 0 {
        let reason = format!("journal: {} events missing {}", store.journal_lost, store.journal_reason);
        lines.push(reason.trim_end().to_owned());
    }
    lines
}

/// One word for how a source is.
pub(crate) fn health(health: Health) -> &'static str {
    match health {
        Health::Up => "up",
        Health::Degraded => "degraded",
        Health::Down => "down",
        Health::Absent => "absent",
    }
}

/// One word for what people said about a container.
pub(crate) fn provenance(container: &ContainerStatus) -> &'static str {
    use model::novelty::Provenance::{Approved, ImageApproved, Pending, Unapproved, Unclaimed};
    match container.provenance {
        Pending => "-",
        Unclaimed => "unclaimed",
        Unapproved => "unapproved",
        ImageApproved => "image approved",
        Approved => "approved",
    }
}

/// Heads of the columns that [`cells`] fills.
pub(crate) const COLUMNS: [&str; 8] =
    ["container", "image", "kind", "provenance", "own cpu", "out of band", "memory", "log"];

/// One container as the cells of a table.
pub(crate) fn cells(container: &ContainerStatus) -> [String; COLUMNS.len()] {
    let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    [
        container.name.to_string(),
        container.image.to_string(),
        container.kind.name().to_owned(),
        provenance(container).to_owned(),
        or_dash(container.own_cpu_cores.map(units::cores)),
        or_dash(container.out_of_band_cpu_cores.map(units::cores)),
        or_dash(container.memory_bytes.map(|bytes| units::bytes(bytes as f64))),
        or_dash(container.log_bytes_per_second.map(units::bytes_per_second)),
    ]
}

fn containers(containers: &[ContainerStatus]) -> String {
    let mut table = table(COLUMNS);
    for container in containers {
        table.add_row(cells(container));
    }
    table.trim_fmt()
}
