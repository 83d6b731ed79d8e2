//! Text chosen by somebody else: container names, labels, image names, command lines, paths.
//!
//! Kept bounded, compared raw, shown escaped. Not here: escaping for HTML or SQL, which the writers of those do.

use std::fmt;
use std::fmt::Write;

use arcstr::ArcStr;
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize};

/// Longest foreign text kept, in bytes; what is cut is marked with `…` and counted nowhere else.
pub const UNTRUSTED_BYTES_MAX: usize = 512;

/// Foreign text of at most [`UNTRUSTED_BYTES_MAX`] bytes. `Display` escapes control characters, invisible and
/// direction-changing code points, so that showing it can neither steer a terminal nor reorder a line. Copies share the text.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Untrusted(ArcStr);

impl Untrusted {
    /// Takes the text, cut to the limit on a character boundary.
    pub fn new(text: &str) -> Self {
        Self::bounded(text, UNTRUSTED_BYTES_MAX)
    }

    /// Takes the text, cut to `bytes_max` (itself at most [`UNTRUSTED_BYTES_MAX`]).
    pub fn bounded(text: &str, bytes_max: usize) -> Self {
        let bytes_max = bytes_max.min(UNTRUSTED_BYTES_MAX);
        if text.len() <= bytes_max {
            return Self(text.into());
        }
        let room = bytes_max.saturating_sub('…'.len_utf8());
        let end = (0..=room).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        Self(format!("{}…", &text[..end]).into())
    }

    /// Takes bytes that may not be UTF-8; bad sequences become U+FFFD.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        // Bound before converting, so that a huge argument costs nothing; one byte more than is kept, so that a cut shows.
        let kept = &bytes[..bytes.len().min(UNTRUSTED_BYTES_MAX + 1)];
        Self::new(&String::from_utf8_lossy(kept))
    }

    /// The text as it came: for comparing and matching, never for showing.
    pub fn raw(&self) -> &str {
        &self.0
    }

    /// Whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.width().is_none() {
            return self.0.chars().try_for_each(|c| write_escaped(f, c));
        }
        let mut escaped = String::with_capacity(self.0.len());
        self.0.chars().try_for_each(|c| write_escaped(&mut escaped, c))?;
        f.pad(&escaped)
    }
}

impl fmt::Debug for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl From<&str> for Untrusted {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

// A recording is foreign too: reading one back must not bring in longer text than sensing it could.
impl<'de> Deserialize<'de> for Untrusted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(BoundedText)
    }
}

/// Takes text from wherever the deserializer holds it: an inventory has 100,000 of them, and each would be copied twice.
struct BoundedText;

impl Visitor<'_> for BoundedText {
    type Value = Untrusted;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E>(self, text: &str) -> Result<Untrusted, E> {
        Ok(Untrusted::new(text))
    }
}

fn write_escaped(out: &mut impl Write, c: char) -> fmt::Result {
    match c {
        '\\' => out.write_str("\\\\"),
        '\n' => out.write_str("\\n"),
        '\r' => out.write_str("\\r"),
        '\t' => out.write_str("\\t"),
        c if c.is_control() || is_deceptive(c) => write!(out, "\\u{{{:x}}}", c as u32),
        c => out.write_char(c),
    }
}

/// Code points that hide or reorder what a reader sees (Unicode TR 36): zero-width, bidirectional controls,
/// line and paragraph separators, tags, the byte-order mark.
fn is_deceptive(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(text: &str, shown: &Expect) {
        shown.assert_eq(&Untrusted::new(text).to_string());
    }

    #[test]
    fn terminal_escapes_and_newlines_are_shown_as_text() {
        check("a\x1b[2Jb\nc\\d", &expect![[r"a\u{1b}[2Jb\nc\\d"]]);
        check("\u{202e}gnp.exe\u{200b}", &expect![[r"\u{202e}gnp.exe\u{200b}"]]);
        check("<b>\"ü'</b>", &expect![[r#"<b>"ü'</b>"#]]);
    }

    #[test]
    fn a_hundred_kilobytes_become_the_limit() {
        let text = Untrusted::new(&"é".repeat(50_000));
        assert!(text.raw().len() <= UNTRUSTED_BYTES_MAX && text.raw().ends_with('…'));
        assert!(Untrusted::from_bytes(&[0xff; 100_000]).raw().len() <= UNTRUSTED_BYTES_MAX);
    }

    #[test]
    fn reading_back_is_bounded_too() {
        let long = format!("\"{}\"", "x".repeat(10_000));
        let text: Untrusted = serde_json::from_str(&long).unwrap();
        assert_eq!(text.raw().len(), UNTRUSTED_BYTES_MAX);
    }
}
