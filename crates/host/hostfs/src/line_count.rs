//! Counts the lines of a file piece by piece, so that a table of any length costs no memory.
//!
//! Not here: what the lines say.

use std::path::Path;

use rustix::buffer::spare_capacity;
use rustix::io::Errno;

use crate::kept::{BUFFER_BYTES, open};

/// No line of the tables counted is longer on average: a file without line ends has an end for us.
const BYTES_A_LINE_MAX: u64 = 1024;

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LineCount {
    /// All lines.
    pub(crate) lines: u64,
    /// Those that begin with the prefix.
    pub(crate) fitting: u64,
    /// Whether the file ended before the limit.
    pub(crate) is_whole: bool,
}

/// Counts lines, and those that begin with `prefix`; stops some lines after `lines_max`.
pub(crate) fn count_lines(path: &Path, prefix: &[u8], lines_max: u64) -> Result<LineCount, Errno> {
    let fd = open(path)?;
    let (mut count, mut line) = (LineCount::default(), Line::default());
    let mut piece = Vec::with_capacity(BUFFER_BYTES);
    let mut bytes = 0u64;
    while count.lines <= lines_max && bytes <= lines_max.saturating_mul(BYTES_A_LINE_MAX) {
        piece.clear();
        if rustix::io::read(&fd, spare_capacity(&mut piece))? == 0 {
            count.is_whole = true;
            break;
        }
        bytes += piece.len() as u64;
        for &byte in &piece {
            line.take(byte, prefix, &mut count);
        }
    }
    Ok(count)
}

/// How far the line being read agrees with the prefix.
#[derive(Default)]
struct Line {
    bytes: usize,
    differs: bool,
}

impl Line {
    fn take(&mut self, byte: u8, prefix: &[u8], count: &mut LineCount) {
        if byte == b'\n' {
            count.lines += 1;
            count.fitting += u64::from(!self.differs && self.bytes >= prefix.len());
            *self = Self::default();
        } else if self.bytes < prefix.len() {
            self.differs |= byte != prefix[self.bytes];
            self.bytes += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use testkit::host_tree::FakeHost;

    use super::*;

    fn check(text: &[u8], prefix: &str, lines_max: u64) -> (u64, u64, bool) {
        let host = FakeHost::v2().unwrap();
        host.write("table", text).unwrap();
        let count = count_lines(&host.root().join("table"), prefix.as_bytes(), lines_max).unwrap();
        (count.lines, count.fitting, count.is_whole)
    }

    #[test]
    fn whole_lines_are_counted_and_a_prefix_holds_from_their_beginning() {
        assert_eq!(check(b"", "", 10), (0, 0, true));
        assert_eq!(check(b"a\nb\n\nno end", "", 10), (3, 3, true));
        let inotify = b"pos:\t0\ninotify wd:2 ino:1\nxinotify wd:9\ninotif\ninotify wd:1\n";
        assert_eq!(check(inotify, "inotify wd:", 10), (5, 2, true));
    }

    #[test]
    fn a_line_across_two_pieces_is_one() {
        let mut text = vec![b'x'; BUFFER_BYTES - 4];
        text.extend_from_slice(b"\ninotify wd:1\n");
        assert_eq!(check(&text, "inotify wd:", 100), (2, 1, true));
    }

    #[test]
    fn counting_ends_after_the_limit_and_without_line_ends_too() {
        let (lines, fitting, is_whole) = check(&b"x\n".repeat(200_000), "x", 1_000);
        assert!(lines > 1_000 && lines < 20_000 && lines == fitting && !is_whole);
        assert_eq!(check(&vec![b'x'; 4 * 1024 * 1024], "x", 1_000), (0, 0, false));
    }
}
