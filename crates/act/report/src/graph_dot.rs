//! The graph of who talks to whom in the language of Graphviz.
//!
//! Not here: a layout, which `dot` makes.

use std::collections::BTreeMap;
use std::fmt::Write;

use model::graph::GraphView;
use model::traffic::Endpoint;

use crate::drawn::{STANDINGS, called, lines, look};

/// The graph, with a legend. Ends with a newline.
pub fn graph_dot(view: &GraphView) -> String {
    let mut out = String::new();
    // Writing into a string cannot fail.
    let _written = write_dot(&mut out, view);
    out
}

fn write_dot(out: &mut String, view: &GraphView) -> std::fmt::Result {
    let called = called(view);
    let numbers: BTreeMap<&Endpoint, usize> = called.keys().enumerate().map(|(at, end)| (*end, at)).collect();
    writeln!(out, "digraph tidewatch {{\n  rankdir=LR;")?;
    writeln!(
        out,
        "  node [shape=box, fontname=\"sans-serif\"];\n  edge [fontname=\"sans-serif\", fontsize=10];"
    )?;
    for ((end, name), number) in called.iter().zip(0..) {
        writeln!(out, "  n{number} [label={}, style=\"{}\"];", quoted(name), shape(end))?;
    }
    for line in lines(view) {
        if let (Some(from), Some(to)) = (numbers.get(line.from), numbers.get(line.to)) {
            write!(out, "  n{from} -> n{to} [label={}, ", quoted(&line.label))?;
            writeln!(out, "{}, tooltip=\"{}\"];", styled(&look(line.standing)), line.standing.name())?;
        }
    }
    writeln!(out, "  subgraph cluster_legend {{\n    label=\"edges\"; node [shape=plaintext];")?;
    for (number, standing) in STANDINGS.into_iter().enumerate() {
        let name = standing.name();
        writeln!(out, "    a{number} [label=\"\"]; b{number} [label=\"{name}\"];")?;
        writeln!(out, "    a{number} -> b{number} [{}];", styled(&look(standing)))?;
    }
    writeln!(out, "  }}\n}}")
}

/// Whoever is not of this host stands in a rounded box.
fn shape(end: &Endpoint) -> &'static str {
    match end {
        Endpoint::Workload(_) | Endpoint::Host => "solid",
        Endpoint::Inside(_) | Endpoint::Outside(_) | Endpoint::Anybody => "rounded",
    }
}

fn styled(look: &crate::drawn::Look) -> String {
    let style = if look.is_dashed { "dashed" } else { "solid" };
    format!("color=\"{}\", style={style}, penwidth={}", look.colour, look.width)
}

/// A text that was escaped for people already, as a string of the language: its backslashes mean themselves.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::drawn::samples;

    #[test]
    fn new_and_unexpected_edges_are_marked_by_colour_dashes_and_width() {
        expect![[r##"
            digraph tidewatch {
              rankdir=LR;
              node [shape=box, fontname="sans-serif"];
              edge [fontname="sans-serif", fontsize=10];
              n0 [label="busybox (batch-1)", style="solid"];
              n1 [label="busybox [wget]", style="solid"];
              n2 [label="compose:shop/db", style="solid"];
              n3 [label="compose:shop/web", style="solid"];
              n4 [label="host", style="solid"];
              n5 [label="203.0.113.0/24", style="rounded"];
              n6 [label="example.com", style="rounded"];
              n7 [label="anybody outside", style="rounded"];
              n0 -> n2 [label="5432/tcp, 22/tcp", color="#c77700", style=dashed, penwidth=2, tooltip="new"];
              n1 -> n5 [label="443/tcp", color="#c1121f", style=dashed, penwidth=3, tooltip="unexpected"];
              n2 -> n3 [label="9000/tcp", color="#555555", style=solid, penwidth=1, tooltip="learned"];
              n3 -> n2 [label="5432/tcp", color="#1b6e3c", style=solid, penwidth=1, tooltip="approved"];
              n3 -> n3 [label="icmp", color="#555555", style=solid, penwidth=1, tooltip="learned"];
              n3 -> n6 [label="443/tcp", color="#1b6e3c", style=solid, penwidth=1, tooltip="expected"];
              n4 -> n3 [label="80/tcp", color="#555555", style=solid, penwidth=1, tooltip="learned"];
              n7 -> n3 [label="80/tcp", color="#555555", style=solid, penwidth=1, tooltip="learned"];
              subgraph cluster_legend {
                label="edges"; node [shape=plaintext];
                a0 [label=""]; b0 [label="approved"];
                a0 -> b0 [color="#1b6e3c", style=solid, penwidth=1];
                a1 [label=""]; b1 [label="expected"];
                a1 -> b1 [color="#1b6e3c", style=solid, penwidth=1];
                a2 [label=""]; b2 [label="learned"];
                a2 -> b2 [color="#555555", style=solid, penwidth=1];
                a3 [label=""]; b3 [label="new"];
                a3 -> b3 [color="#c77700", style=dashed, penwidth=2];
                a4 [label=""]; b4 [label="unexpected"];
                a4 -> b4 [color="#c1121f", style=dashed, penwidth=3];
              }
            }
        "##]]
        .assert_eq(&graph_dot(&samples::shop()));
    }

    #[test]
    fn hostile_names_stay_within_their_strings() {
        let text = graph_dot(&samples::hostile());
        let names: String =
            text.lines().skip(4).take(3).map(|line| format!("{}\n", line.trim_start())).collect();
        expect![[r##"
              n0 [label="x\\u{1b}[2J\\n\"];\\\\N</text><script>alert(1)</script>&'\\u{202e}", style="solid"];
              n1 [label="x\\u{1b}[2J\\n\"];\\\\N</text><script>alert(1)</script>&'\\u{202e}", style="rounded"];
              n0 -> n1 [label="443/tcp", color="#c1121f", style=dashed, penwidth=3, tooltip="unexpected"];
        "##]].assert_eq(&names);
        assert!(!text.contains(['\u{1b}', '\u{202e}']));
    }
}
