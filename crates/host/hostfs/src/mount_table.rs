//! Lines of a mount table (`/proc/PID/mountinfo`).
//!
//! Not here: what is mounted where (`layout.rs`, `mounts.rs`).

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use crate::text::words;

/// A table of the host that is longer than this is refused; hosts with thousands of containers stay well below.
pub(crate) const HOST_TABLE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// One mount. Paths are escaped, see [`unescaped`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MountLine<'t> {
    /// The file system's device, as `major:minor`.
    pub(crate) device: &'t [u8],
    /// Which part of the file system is shown.
    pub(crate) part: &'t [u8],
    /// Where.
    pub(crate) point: &'t [u8],
    /// How it is mounted there: `rw,relatime`.
    pub(crate) mode: &'t [u8],
    /// Kind of file system.
    pub(crate) kind: &'t [u8],
    /// Options of the file system; empty when there are none.
    pub(crate) options: &'t [u8],
}

impl<'t> MountLine<'t> {
    /// `36 31 0:29 / /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu`.
    pub(crate) fn parse(line: &'t [u8]) -> Option<Self> {
        let mut left = words(line);
        let (device, part, point, mode) = (left.nth(2)?, left.next()?, left.next()?, left.next()?);
        let mut right = left.skip_while(|word| *word != b"-").skip(1);
        let kind = right.next()?;
        Some(Self { device, part, point, mode, kind, options: right.nth(1).unwrap_or_default() })
    }

    /// Whether what is there can be written by way of this mount.
    pub(crate) fn is_writable(&self) -> bool {
        [self.mode, self.options]
            .iter()
            .all(|options| options.split(|&byte| byte == b',').next() == Some(b"rw"))
    }
}

/// A path of the table, in which blanks are written as `\040` and so on.
pub(crate) fn unescaped(escaped: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(escaped.len());
    let mut at = 0;
    while at < escaped.len() {
        let code = escaped.get(at + 1..at + 4).filter(|_| escaped[at] == b'\\').and_then(octal);
        bytes.push(code.unwrap_or(escaped[at]));
        at += if code.is_some() { 4 } else { 1 };
    }
    PathBuf::from(OsString::from_vec(bytes))
}

fn octal(digits: &[u8]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()
}
