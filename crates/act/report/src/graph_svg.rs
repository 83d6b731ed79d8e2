//! The graph of who talks to whom as a picture: ends in layers from left to right, lines between them, a legend.
//!
//! The layers are `rust-sugiyama`'s, the document `svg`'s, which escapes texts. Not here: what lines mean (`drawn.rs`).

mod placed;

use model::graph::{GraphView, Standing};
use model::traffic::Endpoint;
use svg::Document;
use svg::node::element::{Definitions, Group, Marker, Path, Rectangle, Text, Title};

use crate::drawn::{Line, STANDINGS, called, lines, look};
use crate::graph_svg::placed::{Box, Placed, place};
use crate::style::{columns, cut};

/// Most lines drawn, the worst first: nobody could read more, and a layout takes time that grows with their square.
const LINES_MAX: usize = 400;
/// Most columns of a name or a label.
const NAME_COLUMNS_MAX: usize = 40;
/// Size of a character in a box, in pixels.
const CHARACTER: f64 = 7.3;
/// Height of a line of text, in pixels.
const TEXT: f64 = 16.0;
/// Room around everything, in pixels.
const MARGIN: f64 = 20.0;

/// The graph as an SVG document. Ends with a newline.
pub fn graph_svg(view: &GraphView) -> String {
    let mut drawn = lines(view);
    // Stable: those that stand alike keep their order.
    drawn.sort_by_key(|line| std::cmp::Reverse(line.standing));
    let left_out = drawn.len().saturating_sub(LINES_MAX);
    drawn.truncate(LINES_MAX);
    let placed = place(&drawn, &named(view, &drawn));
    let (width, legend_top) = (placed.width.max(560.0) + 2.0 * MARGIN, placed.height + 2.0 * MARGIN);
    let height = legend_top + 4.0 * TEXT;
    let mut picture = Group::new().set("transform", format!("translate({MARGIN} {MARGIN})"));
    for line in &drawn {
        picture = picture.add(edge(line, &placed));
    }
    for (end, place) in &placed.boxes {
        picture = picture.add(node(end, place));
    }
    let document = Document::new()
        .set("viewBox", format!("0 0 {width} {height}"))
        .set("width", width)
        .set("height", height)
        .set("font-family", "monospace")
        .set("font-size", 12)
        .add(Title::new(format!("who talks to whom on {}, {}", view.node, view.at)))
        .add(arrows())
        .add(Rectangle::new().set("width", "100%").set("height", "100%").set("fill", "white"))
        .add(picture)
        .add(legend(legend_top, left_out));
    format!("{document}\n")
}

/// The ends of the lines, each with what stands in its box.
fn named<'a>(view: &'a GraphView, drawn: &[Line<'a>]) -> Vec<(&'a Endpoint, String)> {
    let is_drawn = |end: &Endpoint| drawn.iter().any(|line| line.from == end || line.to == end);
    let ends = called(view).into_iter().filter(|(end, _)| is_drawn(end));
    ends.map(|(end, name)| (end, cut(&name, NAME_COLUMNS_MAX))).collect()
}

fn node(end: &Endpoint, place: &Box) -> Group {
    let (fill, corner) = match end {
        Endpoint::Workload(_) => ("#eef4fb", 2),
        Endpoint::Host => ("#f3f3f3", 2),
        Endpoint::Inside(_) => ("#ffffff", 10),
        Endpoint::Outside(_) | Endpoint::Anybody => ("#fff7e6", 10),
    };
    let frame = Rectangle::new()
        .set("x", place.x)
        .set("y", place.y)
        .set("width", place.width)
        .set("height", place.height)
        .set("rx", corner)
        .set("fill", fill)
        .set("stroke", "#333333");
    let name = Text::new(place.name.clone())
        .set("x", place.x + place.width / 2.0)
        .set("y", place.y + place.height / 2.0 + 4.0)
        .set("text-anchor", "middle");
    Group::new().add(Title::new(end.to_string())).add(frame).add(name)
}

/// A curve from the right of one box to the left of another; above the box when both are the same.
fn edge(line: &Line<'_>, placed: &Placed<'_>) -> Group {
    let group =
        Group::new().add(Title::new(format!("{} -> {}: {}", line.from, line.to, line.standing.name())));
    let (Some(from), Some(to)) = (placed.boxes.get(line.from), placed.boxes.get(line.to)) else {
        return group;
    };
    let (curve, (x, y)) = if line.from == line.to { around(from) } else { between(from, to) };
    let label = Text::new(cut(&line.label, NAME_COLUMNS_MAX))
        .set("x", x)
        .set("y", y - 3.0)
        .set("text-anchor", "middle")
        .set("font-size", 10)
        .set("fill", look(line.standing).colour);
    group.add(stroke(curve, line.standing)).add(label)
}

fn between(from: &Box, to: &Box) -> (String, (f64, f64)) {
    let (start, end) = ((from.x + from.width, from.middle()), (to.x, to.middle()));
    let bend = ((end.0 - start.0).abs() / 2.0).max(30.0);
    let curve = format!(
        "M {} {} C {} {}, {} {}, {} {}",
        start.0,
        start.1,
        start.0 + bend,
        start.1,
        end.0 - bend,
        end.1,
        end.0,
        end.1
    );
    // Past the middle, where fewer lines meet than at their ends, and not where the line back has its own.
    let part = if start.0 < end.0 { 0.55 } else { 0.3 };
    (curve, ((start.0 + (end.0 - start.0) * part).round(), (start.1 + (end.1 - start.1) * part).round()))
}

fn around(own: &Box) -> (String, (f64, f64)) {
    let (right, top, middle) = (own.x + own.width, own.y, own.x + own.width / 2.0);
    let (above, beside) = (top - 22.0, right + 22.0);
    (
        format!("M {right} {} C {beside} {above}, {middle} {above}, {middle} {top}", own.middle()),
        (right, above + 6.0),
    )
}

fn stroke(curve: String, standing: Standing) -> Path {
    let look = look(standing);
    let path = Path::new()
        .set("d", curve)
        .set("fill", "none")
        .set("stroke", look.colour)
        .set("stroke-width", look.width)
        .set("marker-end", format!("url(#{})", standing.name()));
    if look.is_dashed { path.set("stroke-dasharray", "6 4") } else { path }
}

/// One head of an arrow for each standing: not every viewer can take the colour from the line.
fn arrows() -> Definitions {
    STANDINGS.into_iter().fold(Definitions::new(), |all, standing| {
        let head = Path::new().set("d", "M 0 0 L 8 4 L 0 8 z").set("fill", look(standing).colour);
        let marker = Marker::new()
            .set("id", standing.name())
            .set("markerWidth", 8)
            .set("markerHeight", 8)
            .set("refX", 8)
            .set("refY", 4)
            .set("markerUnits", "userSpaceOnUse")
            .set("orient", "auto");
        all.add(marker.add(head))
    })
}

fn legend(top: f64, left_out: usize) -> Group {
    let mut group = Group::new().set("transform", format!("translate({MARGIN} {top})"));
    for (standing, x) in STANDINGS.into_iter().zip([0.0, 110.0, 220.0, 330.0, 440.0]) {
        group = group.add(stroke(format!("M {x} 0 L {} 0", x + 30.0), standing));
        group = group.add(Text::new(standing.name()).set("x", x + 36.0).set("y", 4));
    }
    if left_out > 0 {
        let text = format!("{left_out} lines more are not drawn; the table and --json have them");
        group = group.add(Text::new(text).set("x", 0).set("y", 2.0 * TEXT));
    }
    group
}

/// The size of a box for a name, in pixels.
fn size(name: &str) -> (f64, f64) {
    (columns(name) as f64 * CHARACTER + 16.0, 28.0)
}

#[cfg(test)]
mod tests {
    use expect_test::expect_file;

    use super::*;
    use crate::drawn::samples;

    #[test]
    fn the_shop_looks_the_same_each_time() {
        let drawn = graph_svg(&samples::shop());
        expect_file!["../test-data/graph.svg"].assert_eq(&drawn);
        (0..5).for_each(|_| assert_eq!(graph_svg(&samples::shop()), drawn));
    }

    #[test]
    fn hostile_names_are_text_and_nothing_else() {
        let drawn = graph_svg(&samples::hostile());
        assert!(!drawn.contains(['\u{1b}', '\u{202e}']) && !drawn.contains("<script"), "{drawn}");
        assert!(drawn.contains("&lt;script&gt;"), "{drawn}");
        let opened = drawn.matches("<text").count();
        assert_eq!(drawn.matches("</text>").count(), opened);
    }

    #[test]
    fn an_empty_graph_is_a_legend() {
        let drawn = graph_svg(&samples::empty());
        assert!(drawn.contains("\nunexpected\n</text>") && !drawn.contains("NaN"), "{drawn}");
    }

    #[test]
    fn of_a_crowd_the_worst_are_drawn_and_the_rest_is_counted() {
        let drawn = graph_svg(&samples::crowd(1_000));
        assert!(drawn.contains("600 lines more are not drawn"));
        assert_eq!(
            drawn.matches("stroke-dasharray").count(),
            1_000 / 50 + 2,
            "all that are new, and the legend"
        );
    }
}
