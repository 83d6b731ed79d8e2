//! The graph of who talks to whom for people: one line for each edge, then the ports that are new.
//!
//! Not here: which edges are wanted.

use model::graph::{EdgeView, GraphView, ListenerView, Mode, Standing};
use model::time::Time;
use model::traffic::Endpoint;
use model::untrusted::Untrusted;

use crate::drawn::{STANDINGS, called, served, service};
use crate::style::{Style, columns, cut, padded};
use crate::units;

const HEADS: [&str; 11] =
    ["FROM", "TO", "SERVICE", "STANDING", "FIRST", "LAST", "CONTACTS", "FAILED", "OUT", "IN", "PERIOD"];

/// Columns of names that are cut to what the others leave.
const NAMES: [usize; 2] = [0, 1];
/// The column with the word that is painted.
const STANDING: usize = 3;
/// Columns that are left out when every cell says this.
const SILENT: [(usize, &str); 2] = [(7, "0"), (10, "-")];
/// Least columns of a name.
const NAME_COLUMNS_MIN: usize = 12;

type Row = [String; 11];

/// The graph as a table; ages are before its time. Ends with a newline.
pub fn graph_text(view: &GraphView, style: Style) -> String {
    let mut out = head(view);
    if !view.edges.is_empty() {
        out.push_str(&table(view, style));
    }
    out.push_str(&listeners(view, style));
    if view.forgotten > 0 {
        out.push_str(&format!("{} edges were forgotten to make room for others\n", view.forgotten));
    }
    out
}

fn head(view: &GraphView) -> String {
    let mode = match view.mode {
        Mode::Open => "open",
        Mode::Locked => "locked",
    };
    let count = |standing: Standing| view.edges.iter().filter(|edge| edge.standing == standing).count();
    let counts = STANDINGS.into_iter().map(|standing| (count(standing), standing.name()));
    let counts: Vec<String> =
        counts.filter(|(count, _)| *count > 0).map(|(count, name)| format!("{count} {name}")).collect();
    let counts = if counts.is_empty() { "no edges".to_owned() } else { counts.join(", ") };
    let node = Untrusted::new(view.node.as_str());
    format!("{node}, {}, mode {mode}: {counts}\n", view.at)
}

fn table(view: &GraphView, style: Style) -> String {
    let rows = rows(view);
    let widths = widths(&rows, style);
    let line = |row: &Row, standing: Option<Standing>| {
        let shown = row.iter().zip(widths).enumerate().filter(|(_, (_, width))| *width > 0);
        let cells = shown.map(|(column, (cell, width))| {
            let cell = padded(&cut(cell, width), width);
            match standing.filter(|_| column == STANDING) {
                Some(standing) => style.standing(standing, &cell),
                None => cell,
            }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    let mut out = style.bold(line(&HEADS.map(str::to_owned), None).trim_end()) + "\n";
    for (row, edge) in rows.iter().zip(&view.edges) {
        out.push_str(&line(row, Some(edge.standing)));
    }
    out
}

fn rows(view: &GraphView) -> Vec<Row> {
    let called = called(view);
    let name = |end: &Endpoint| called.get(end).cloned().unwrap_or_default();
    let row = |edge: &EdgeView| {
        [
            name(&edge.key.from),
            name(&edge.key.to),
            service(&edge.key),
            edge.standing.name().to_owned(),
            age(view, edge.first),
            age(view, edge.last),
            edge.opened.saturating_add(edge.failed).to_string(),
            edge.failed.to_string(),
            units::bytes(edge.sent_bytes as f64),
            units::bytes(edge.received_bytes as f64),
            edge.period_seconds.map_or("-".to_owned(), units::seconds),
        ]
    };
    view.edges.iter().map(row).collect()
}

/// Every column as wide as its longest cell, those that say nothing not shown; names share what is left.
fn widths(rows: &[Row], style: Style) -> [usize; 11] {
    let mut widths: [usize; 11] = std::array::from_fn(|column| {
        let cells = rows.iter().map(|row| columns(&row[column]));
        cells.max().unwrap_or(0).max(columns(HEADS[column]))
    });
    for (column, nothing) in SILENT {
        if rows.iter().all(|row| row[column] == nothing) {
            widths[column] = 0;
        }
    }
    let gaps = 2 * widths.iter().filter(|width| **width > 0).count().saturating_sub(1);
    let others: usize =
        widths.iter().enumerate().filter(|(at, _)| !NAMES.contains(at)).map(|(_, width)| width).sum();
    let room = style.columns().saturating_sub(others + gaps).max(2 * NAME_COLUMNS_MIN);
    let [from, to] = NAMES.map(|column| widths[column]);
    // A short name leaves its room to the other.
    let half = room / 2;
    widths[NAMES[0]] = from.min(half.max(room.saturating_sub(to)));
    widths[NAMES[1]] = to.min(room - widths[NAMES[0]]);
    widths
}

/// Ports served, where somebody should look.
fn listeners(view: &GraphView, style: Style) -> String {
    let called = called(view);
    let line = |listener: &ListenerView| {
        let name = called.get(&listener.workload).cloned().unwrap_or_default();
        let port = match listener.port {
            0 => format!("any port/{}", listener.protocol),
            port => served(port, listener.protocol),
        };
        let standing = style.standing(listener.standing, listener.standing.name());
        format!("serves {port}: {name}, {standing}, since {}\n", age(view, listener.first))
    };
    view.listeners.iter().map(line).collect()
}

fn age(view: &GraphView, at: Time) -> String {
    units::duration(view.at.since(at))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::drawn::samples;
    use crate::style::unpainted;

    #[test]
    fn each_edge_is_a_line_with_a_word_for_how_it_stands() {
        expect![[r#"
            shop-1, 2026-01-31T12:00:00.000Z, mode open: 1 approved, 1 expected, 5 learned, 1 new, 1 unexpected
            FROM               TO                SERVICE   STANDING    FIRST    LAST  CONTACTS  FAILED  OUT      IN     PERIOD
            busybox (batch-1)  compose:shop/db   5432/tcp  new         2 d 7 h  5 s   1203      3       98.3 MB  512 B  -
            busybox (batch-1)  compose:shop/db   22/tcp    learned     2 d 7 h  5 s   1203      3       98.3 MB  512 B  -
            busybox [wget]     203.0.113.0/24    443/tcp   unexpected  2 d 7 h  5 s   1200      0       98.3 MB  512 B  1 min
            compose:shop/web   compose:shop/db   5432/tcp  approved    2 d 7 h  5 s   1203      3       98.3 MB  512 B  -
            compose:shop/web   example.com       443/tcp   expected    2 d 7 h  5 s   1203      3       98.3 MB  512 B  -
            compose:shop/web   compose:shop/web  icmp      learned     2 d 7 h  5 s   1203      3       98.3 MB  512 B  -
            host               compose:shop/web  80/tcp    learned     2 d 7 h  5 s   1203      3       98.3 MB  512 B  -
            anybody outside    compose:shop/web  80/tcp    learned     2 d 7 h  5 s   1203      3       98.3 MB  512 B  -
            compose:shop/db    compose:shop/web  9000/tcp  learned     2 d 7 h  5 s   1203      3       98.3 MB  512 B  -
            serves 5432/tcp: compose:shop/db, new, since 1 min 30 s
            2 edges were forgotten to make room for others
        "#]].assert_eq(&graph_text(&samples::shop(), Style { width: 150, ..Style::PLAIN }));
        expect![[r#"
            shop-1, 2026-01-31T12:00:00.000Z, mode open: no edges
        "#]]
        .assert_eq(&graph_text(&samples::empty(), Style::PLAIN));
    }

    #[test]
    fn columns_that_say_nothing_leave_their_room_to_names() {
        let mut view = samples::shop();
        view.edges.truncate(2);
        for edge in &mut view.edges {
            (edge.failed, edge.period_seconds) = (0, None);
        }
        expect![[r#"
            FROM     TO               SERVICE   STANDING  FIRST    LAST  CONTACTS  OUT      IN
            busybox  compose:shop/db  5432/tcp  new       2 d 7 h  5 s   1200      98.3 MB  512 B
        "#]]
        .assert_eq(
            &graph_text(&view, Style::PLAIN)
                .lines()
                .skip(1)
                .take(2)
                .map(|line| format!("{line}\n"))
                .collect::<String>(),
        );
    }

    #[test]
    fn names_are_cut_to_the_width_and_hostile_ones_are_escaped() {
        for width in [120, 150, 200] {
            let text = graph_text(&samples::hostile(), Style { colour: false, width });
            assert!(text.lines().all(|line| columns(line) <= width), "{width}:\n{text}");
            assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text}");
            assert_eq!(text.lines().count(), 3);
        }
    }

    #[test]
    fn colours_change_nothing_but_colours() {
        let coloured = graph_text(&samples::shop(), Style { colour: true, width: 150 });
        assert!(coloured.contains("\x1b[1;31munexpected\x1b[0m"), "{coloured}");
        assert_eq!(unpainted(&coloured), graph_text(&samples::shop(), Style { colour: false, width: 150 }));
    }
}
