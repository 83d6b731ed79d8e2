//! The graph of who talks to whom for machines: the documented form, with times in RFC 3339.

use model::graph::{EdgeView, GraphView, ListenerView};
use serde_json::{Value, json};

/// The graph as a document.
pub fn graph_json(view: &GraphView) -> Value {
    json!({
        "node": view.node,
        "at": view.at.rfc3339(),
        "mode": view.mode,
        "edges": view.edges.iter().map(edge_json).collect::<Value>(),
        "listeners": view.listeners.iter().map(listener_json).collect::<Value>(),
        "forgotten": view.forgotten,
        "names": view.names,
    })
}

fn edge_json(edge: &EdgeView) -> Value {
    json!({
        "from": edge.key.from,
        "to": edge.key.to,
        "port": edge.key.port,
        "protocol": edge.key.protocol.to_string(),
        "standing": edge.standing,
        "first": edge.first.rfc3339(),
        "last": edge.last.rfc3339(),
        "opened": edge.opened,
        "failed": edge.failed,
        "sent_bytes": edge.sent_bytes,
        "received_bytes": edge.received_bytes,
        "containers": edge.containers,
        "period_seconds": edge.period_seconds,
        "judges": edge.judges,
    })
}

fn listener_json(listener: &ListenerView) -> Value {
    json!({
        "workload": listener.workload,
        "port": listener.port,
        "protocol": listener.protocol.to_string(),
        "standing": listener.standing,
        "first": listener.first.rfc3339(),
    })
}

#[cfg(test)]
mod tests {
    use expect_test::expect_file;

    use super::*;
    use crate::drawn::samples;
    use crate::json::json_text;

    #[test]
    fn the_form_is_the_documented_one() {
        let mut view = samples::shop();
        view.edges.retain(|edge| edge.period_seconds.is_some() || edge.key.port == 80);
        expect_file!["../test-data/graph.json"].assert_eq(&(json_text(&graph_json(&view)) + "\n"));
    }
}
