//! How text is laid out: width, colours, wrapping, and what may reach a terminal at all.
//!
//! Not here: what is said.

use model::graph::Standing;
use model::incident::Severity;
use model::untrusted::Untrusted;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// What the reader's terminal can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Whether it shows colours (ANSI SGR).
    pub colour: bool,
    /// Its columns; fewer than 40 are taken for 40.
    pub width: usize,
}

impl Style {
    /// Plain text of 100 columns: for files, pipes and tests.
    pub const PLAIN: Self = Self { colour: false, width: 100 };

    pub(crate) fn columns(self) -> usize {
        self.width.max(40)
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    pub(crate) fn faint(self, text: &str) -> String {
        self.paint("2", text)
    }

    pub(crate) fn severity(self, severity: Severity, text: &str) -> String {
        let code = match severity {
            Severity::Low => "36",
            Severity::Medium => "33",
            Severity::High => "31",
            Severity::Critical => "1;31",
        };
        self.paint(code, text)
    }

    pub(crate) fn standing(self, standing: Standing, text: &str) -> String {
        match standing {
            Standing::New => self.paint("33", text),
            Standing::Unexpected => self.paint("1;31", text),
            Standing::Approved | Standing::Expected | Standing::Learned => text.to_owned(),
        }
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Text that was made for people, so is escaped already: backslashes stay, but nothing that could steer a terminal
/// passes, whoever made it. An incident may have been read from somebody's file.
pub fn shown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '\\' || c == ' ' || c.is_ascii_graphic() {
            out.push(c);
        } else {
            out.push_str(&Untrusted::new(c.encode_utf8(&mut [0; 4])).to_string());
        }
    }
    out
}

/// Columns that text takes.
pub fn columns(text: &str) -> usize {
    text.width()
}

/// Text filled up with spaces to so many columns.
pub fn padded(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(columns(text))))
}

/// Text cut to so many columns; `…` shows the cut.
pub fn cut(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut room = width.saturating_sub(1);
    for c in text.chars() {
        let taken = c.width().unwrap_or(0);
        if taken > room {
            break;
        }
        room -= taken;
        out.push(c);
    }
    out + "…"
}

/// Text in lines of at most so many columns. A word that is longer stays whole: a digest or a path is there to be
/// copied. Spaces stay as many as they are, for the same reason.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for (at, word) in text.split(' ').enumerate() {
        if at > 0 && columns(&line) + 1 + columns(word) > width {
            lines.push(std::mem::take(&mut line));
        } else if at > 0 {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

/// Text without the colours that [`Style`] gives.
pub(crate) fn unpainted(text: &str) -> String {
    let mut parts = text.split("\x1b[");
    let mut out = parts.next().unwrap_or_default().to_owned();
    parts.for_each(|part| out.push_str(part.split_once('m').map_or(part, |(_, rest)| rest)));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_to_the_width_that_is_seen_and_words_stay_whole() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("日本 語語 x", 6), ["日本", "語語 x"]);
        assert_eq!(wrapped("a sha256:0123456789 b", 8), ["a", "sha256:0123456789", "b"]);
        assert_eq!(wrapped("a  b", 8), ["a  b"]);
        assert_eq!(wrapped("", 8), [""]);
    }

    #[test]
    fn a_cut_shows_and_never_passes_the_width() {
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdefg", 6), "abcde…");
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!(padded("日本", 6), "日本  ");
    }

    #[test]
    fn colours_take_no_columns() {
        let style = Style { colour: true, ..Style::PLAIN };
        let painted = style.severity(Severity::Critical, "now") + &style.bold(" and ") + &style.faint("here");
        assert_eq!(unpainted(&painted), "now and here");
    }

    #[test]
    fn text_made_for_people_keeps_its_escapes_and_loses_control() {
        assert_eq!(shown(r"a\u{1b} ü b"), r"a\u{1b} ü b");
        assert_eq!(shown("a\x1b[2J\n\u{9b}\u{202e}"), r"a\u{1b}[2J\n\u{9b}\u{202e}");
    }
}
