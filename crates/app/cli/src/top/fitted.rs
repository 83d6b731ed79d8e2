//! Spans fitted into columns of a terminal: cut, filled up, flowed into lines.
//!
//! Not here: what is said.

use ratatui::style::Style;
use ratatui::text::{Line, Span};
use report::style::{columns, cut};

/// Columns that spans take.
pub(super) fn width(spans: &[Span<'_>]) -> usize {
    spans.iter().map(|span| columns(&span.content)).sum()
}

/// Spans cut to so many columns; `…` shows the cut.
pub(super) fn cut_to(spans: Vec<Span<'static>>, room: usize) -> Vec<Span<'static>> {
    if width(&spans) <= room {
        return spans;
    }
    let mut left = room;
    let mut kept = Vec::new();
    for span in spans {
        let taken = columns(&span.content);
        // What ends exactly at the edge is not whole either: something follows it.
        if taken >= left {
            let more = format!("{}…", span.content);
            kept.push(Span::styled(if left == 0 { String::new() } else { cut(&more, left) }, span.style));
            break;
        }
        left -= taken;
        kept.push(span);
    }
    kept
}

/// Spans cut or filled up to exactly so many columns.
pub(super) fn cell(spans: Vec<Span<'static>>, room: usize, is_right: bool) -> Vec<Span<'static>> {
    let mut spans = cut_to(spans, room);
    let gap = Span::raw(" ".repeat(room.saturating_sub(width(&spans))));
    spans.insert(if is_right { 0 } else { spans.len() }, gap);
    spans
}

/// Pieces one after the other, in as few lines as they fit into, later lines indented; at most `lines_max`. How many
/// were left out then stands at the end.
pub(super) fn flowed(
    head: Span<'static>,
    pieces: Vec<Vec<Span<'static>>>,
    room: usize,
    lines_max: usize,
) -> Vec<Line<'static>> {
    let indent = " ".repeat(columns(&head.content).min(room / 3));
    let (mut lines, mut line, mut pieces_on_line) = (Vec::new(), vec![head], 0);
    let mut left_out = 0;
    for piece in pieces {
        let fits = pieces_on_line == 0 || width(&line) + width(&piece) <= room;
        if left_out > 0 || !fits && lines.len() + 1 >= lines_max {
            left_out += 1;
            continue;
        }
        if !fits {
            lines.push(std::mem::replace(&mut line, vec![Span::raw(indent.clone())]));
            pieces_on_line = 0;
        }
        line.extend(piece);
        pieces_on_line += 1;
    }
    if left_out > 0 {
        let more = dim(format!(" +{left_out} more"));
        line = cut_to(line, room.saturating_sub(columns(&more.content)));
        line.push(more);
    }
    lines.push(line);
    lines.into_iter().map(|line| Line::from(cut_to(line, room))).collect()
}

/// Plain text as a span that stands back.
pub(super) fn dim(text: impl Into<String>) -> Span<'static> {
    Span::styled(text.into(), Style::new().dim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(spans: &[Span<'_>]) -> String {
        spans.iter().map(|span| span.content.as_ref()).collect()
    }

    #[test]
    fn a_cell_is_exactly_as_wide_as_its_column_whatever_it_holds() {
        for (parts, room, is_right, wanted) in [
            (vec!["abc"], 5, false, "abc  "),
            (vec!["abc"], 5, true, "  abc"),
            (vec!["abc", "def"], 6, false, "abcdef"),
            (vec!["abc", "def"], 5, false, "abcd…"),
            (vec!["abc", "def"], 3, false, "ab…"),
            (vec!["日本", "語"], 5, false, "日本…"),
            (vec!["日本", "語"], 4, false, "日… "),
            (vec!["abc"], 1, false, "…"),
            (vec!["abc"], 0, false, ""),
        ] {
            let cell = cell(parts.into_iter().map(Span::raw).collect(), room, is_right);
            assert_eq!(text(&cell), wanted);
            assert_eq!(width(&cell), room, "{wanted}");
        }
    }

    #[test]
    fn pieces_flow_into_lines_and_what_does_not_fit_is_counted() {
        let flow = |room, lines_max| -> Vec<String> {
            let pieces = ["one ", "two ", "three ", "four "].map(|piece| vec![Span::raw(piece)]);
            let lines = flowed(Span::raw("in: "), pieces.into(), room, lines_max);
            lines.iter().map(|line| text(&line.spans)).collect()
        };
        assert_eq!(flow(40, 2), ["in: one two three four "]);
        assert_eq!(flow(12, 9), ["in: one two ", "    three ", "    four "]);
        assert_eq!(flow(18, 1), ["in: one t… +1 more"]);
        assert_eq!(flow(6, 1).len(), 1);
        assert_eq!(flow(0, 1), [""]);
    }
}
