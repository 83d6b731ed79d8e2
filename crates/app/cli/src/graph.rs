//! `tidewatch graph`: who talks to whom, as a table, JSON, for Graphviz, or as a picture.
//!
//! Not here: any judgement of its own; all comes from the running Tidewatch.

use anyhow::bail;
use engine::control::{Answer, Request, ask};
use model::graph::{GraphView, Standing};
use report::graph_dot::graph_dot;
use report::graph_json::graph_json;
use report::graph_svg::graph_svg;
use report::graph_text::graph_text;
use report::json::json_text;
use report::style::Style;

use crate::Outcome;
use crate::args::communication::GraphArgs;
use crate::output::{is_terminal, say, style};

/// Two names as long as any can be, and the other columns.
const FILE_COLUMNS: usize = 1_024;

pub(crate) fn run(args: &GraphArgs) -> anyhow::Result<Outcome> {
    let Answer::Graph(mut view) = ask(&args.data.data_dir, &Request::Graph)? else {
        bail!("an unexpected answer");
    };
    let wanted: Vec<Standing> = args.standing.iter().map(|standing| (*standing).into()).collect();
    keep(&mut view, &wanted);
    let text = match (args.json, args.dot, args.svg) {
        (true, _, _) => json_text(&graph_json(&view)),
        (_, true, _) => graph_dot(&view),
        (_, _, true) => graph_svg(&view),
        _ if is_terminal() => graph_text(&view, style()),
        // A file or another program has room for whole names.
        _ => graph_text(&view, Style { width: FILE_COLUMNS, ..Style::PLAIN }),
    };
    say(text.trim_end());
    Ok(Outcome::Fine)
}

/// Keeps what stands as wanted; everything when nothing is said.
fn keep(view: &mut GraphView, wanted: &[Standing]) {
    if !wanted.is_empty() {
        view.edges.retain(|edge| wanted.contains(&edge.standing));
        view.listeners.retain(|listener| wanted.contains(&listener.standing));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use model::graph::{ListenerView, Mode};
    use model::ids::NodeId;
    use model::time::Time;
    use model::traffic::{Endpoint, Protocol};

    use super::*;

    #[test]
    fn only_what_stands_as_wanted_is_kept_and_all_when_nothing_is_said() {
        let listener = |standing| ListenerView {
            workload: Endpoint::Host,
            port: 80,
            protocol: Protocol::TCP,
            standing,
            first: Time::default(),
        };
        let view = GraphView {
            node: NodeId::new("node"),
            at: Time::default(),
            mode: Mode::Open,
            edges: Vec::new(),
            listeners: vec![listener(Standing::Learned), listener(Standing::New)],
            forgotten: 0,
            names: BTreeMap::new(),
        };
        let kept = |wanted: &[Standing]| {
            let mut view = view.clone();
            keep(&mut view, wanted);
            view.listeners.iter().map(|listener| listener.standing.name()).collect::<Vec<_>>()
        };
        assert_eq!(kept(&[]), ["learned", "new"]);
        assert_eq!(kept(&[Standing::New, Standing::Unexpected]), ["new"]);
    }
}
