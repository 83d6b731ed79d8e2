//! JSON written in ASCII alone, straight to where it goes.
//!
//! Not here: the documents. Neither a tree of values nor a copy of the text is needed: a large inventory has 10 MB.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter, Serializer};

/// A document on many lines, indented by two spaces.
pub(super) fn indented(out: &mut impl Write, document: &impl Serialize) -> io::Result<()> {
    Ok(document.serialize(&mut Serializer::with_formatter(out, Ascii(PrettyFormatter::new())))?)
}

/// A document on one line.
pub(super) fn on_one_line(out: &mut impl Write, document: &impl Serialize) -> io::Result<()> {
    Ok(document.serialize(&mut Serializer::with_formatter(out, Ascii(CompactFormatter)))?)
}

/// A form of JSON, with what is beyond printable ASCII as `\u` escapes.
struct Ascii<F>(F);

/// Writes what the inner form leaves alone within strings: all but quotes, backslashes and the controls below space.
fn write_escaped(out: &mut (impl Write + ?Sized), fragment: &str) -> io::Result<()> {
    if fragment.is_ascii() && !fragment.as_bytes().contains(&b'\x7f') {
        return out.write_all(fragment.as_bytes());
    }
    for c in fragment.chars() {
        if c.is_ascii() && c != '\x7f' {
            out.write_all(&[c as u8])?;
        } else {
            let mut units = [0; 2];
            c.encode_utf16(&mut units).iter().try_for_each(|unit| write!(out, "\\u{unit:04x}"))?;
        }
    }
    Ok(())
}

impl<F: Formatter> Formatter for Ascii<F> {
    fn write_string_fragment<W: Write + ?Sized>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        write_escaped(out, fragment)
    }

    fn begin_array<W: Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.begin_array(out)
    }

    fn end_array<W: Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_array(out)
    }

    fn begin_array_value<W: Write + ?Sized>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_array_value(out, first)
    }

    fn end_array_value<W: Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_array_value(out)
    }

    fn begin_object<W: Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.begin_object(out)
    }

    fn end_object<W: Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_object(out)
    }

    fn begin_object_key<W: Write + ?Sized>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(out, first)
    }

    fn begin_object_value<W: Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.begin_object_value(out)
    }

    fn end_object_value<W: Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_object_value(out)
    }
}
