//! A log line by line: bounded, each line accounted for.
//!
//! Not here: what a line says.

use crate::problem::{LINE_BYTES_MAX, Reason};
use crate::record::Parsed;

/// What a line that could be read was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// It told of a flow or a name.
    Record,
    /// It told of something else.
    Other,
    /// It names columns, or comments.
    Heading,
}

/// What reading a line gives.
pub(crate) type Read = Result<Line, Reason>;

/// Has `read` take each line that is not blank, and counts what it makes of it.
pub(crate) fn each_line(bytes: &[u8], mut read: impl FnMut(&str, &mut Parsed) -> Read) -> Parsed {
    let mut parsed = Parsed::default();
    for (number, line) in (1..).zip(bytes.split(|&byte| byte == b'\n')) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let was = text(line).and_then(|line| read(line, &mut parsed));
        count(&mut parsed, number, was);
    }
    parsed
}

/// Counts what became of a line, or of an element that stands for one.
pub(crate) fn count(parsed: &mut Parsed, number: u64, was: Read) {
    match was {
        Ok(Line::Record) => parsed.records += 1,
        Ok(Line::Other) => parsed.others += 1,
        Ok(Line::Heading) => (),
        Err(reason) => parsed.problems.add(number, reason),
    }
}

fn text(line: &[u8]) -> Result<&str, Reason> {
    if line.len() > LINE_BYTES_MAX {
        return Err(Reason::TooLong { bytes: line.len() });
    }
    str::from_utf8(line).map_err(|_| Reason::NotText)
}
