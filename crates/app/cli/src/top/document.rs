//! What `top` tells machines: one JSON document, and people who have no terminal: one page of text.
//!
//! Not here: the screen (`screen.rs`).

use engine::status::{ContainerStatus, Status};
use ratatui::text::Line;
use report::json::coverage_json;
use serde_json::{Value, json};

use crate::top::books;
use crate::top::columns::Table;
use crate::top::order::{Order, Totals, sorted, true_cores};
use crate::top::words::cores;

/// Everything the screen shows and what it has no room for; at most `limit` containers, the rest summed up.
pub(super) fn json(status: &Status, order: Order, limit: usize) -> anyhow::Result<Value> {
    let sorted = sorted(&status.containers, order);
    let (told, left_out) = sorted.split_at(limit.min(sorted.len()));
    let containers = told.iter().map(|container| container_json(container)).collect::<Result<Vec<_>, _>>()?;
    let host = status.host.as_ref().map(|host| -> anyhow::Result<Value> {
        let mut value = serde_json::to_value(host)?;
        value["idle_cores"] = json!((f64::from(host.cores) - host.busy_cores).max(0.0));
        Ok(value)
    });
    let detail = &status.host_detail;
    Ok(json!({
        "node": status.node,
        "now": status.now,
        "since": status.since,
        "host": host.transpose()?,
        "tasks": detail.tasks,
        "tasks_runnable": detail.tasks_runnable,
        "objects": detail.objects,
        "disks": detail.disks,
        "spenders": detail.spenders,
        "processes": detail.processes,
        "incidents_open": status.incidents_open,
        "incidents": detail.incidents,
        "sources": status.sources,
        "coverage": coverage_json(&status.coverage),
        "totals": totals_json(&sorted),
        "containers": containers,
        "containers_not_shown": left_out.len(),
        "totals_not_shown": totals_json(left_out),
    }))
}

fn container_json(container: &ContainerStatus) -> anyhow::Result<Value> {
    let mut value = serde_json::to_value(container)?;
    value["true_cpu_cores"] = json!(true_cores(container));
    for (cost, told) in container.costs.iter().zip(value["costs"].as_array_mut().into_iter().flatten()) {
        told["driver"] = json!(cost.class.driver_name());
    }
    Ok(value)
}

fn totals_json(containers: &[&ContainerStatus]) -> Value {
    let totals = Totals::of(containers.iter().copied());
    json!({
        "true_cpu_cores": totals.true_cores(),
        "own_cpu_cores": totals.own,
        "out_of_band_cpu_cores": totals.out_of_band,
    })
}

/// The screen once, as text: every column when `room` is `None`.
pub(super) fn text(status: &Status, order: Order, limit: usize, room: Option<usize>) -> String {
    let sorted = sorted(&status.containers, order);
    let (told, left_out) = sorted.split_at(limit.min(sorted.len()));
    let table = Table::new(told, room);
    let mut lines = vec![title(status, order)];
    let books = books::lines(status, room.unwrap_or(160));
    lines.extend(books.iter().map(plain));
    lines.push(String::new());
    lines.push(plain(&table.titles(order)));
    lines.extend(told.iter().map(|container| plain(&table.row(container))));
    lines.extend(hidden(left_out));
    lines.join("\n")
}

/// The first line: what this is a picture of, and when.
pub(super) fn title(status: &Status, order: Order) -> String {
    let time = status.now.get(11..19).unwrap_or(&status.now);
    format!("tidewatch top - {}, {time} UTC, by {}", status.node, order.words())
}

/// What the rows that are left out cost together.
pub(super) fn hidden(left_out: &[&ContainerStatus]) -> Option<String> {
    let cost = Totals::of(left_out.iter().copied()).true_cores();
    (!left_out.is_empty())
        .then(|| format!("{} more not shown: {} cores together", left_out.len(), cores(cost)))
}

fn plain(line: &Line<'_>) -> String {
    let text: String = line.spans.iter().map(|span| span.content.as_ref()).collect();
    text.trim_end().to_owned()
}
