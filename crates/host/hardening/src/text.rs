//! Gives back pages of the program's own code that only its start or a rare command ran.
//!
//! They are read from the file again when something runs there; until then they are not resident. Not here: data.

use std::ffi::c_void;
use std::fs;
use std::io;
use std::path::Path;

use rustix::mm::{Advice, madvise};

/// Unmaps the pages of the code; those in use come back at once. Gives how many bytes of code there are.
pub(crate) fn release() -> io::Result<usize> {
    let program = fs::read_link("/proc/self/exe")?;
    let maps = fs::read_to_string("/proc/self/maps")?;
    let mut released = 0;
    for (start, bytes) in maps.lines().filter_map(|line| code(line, &program)) {
        give_back(start, bytes)?;
        released += bytes;
    }
    Ok(released)
}

/// Start and length of a mapping of the program that is run and cannot be written.
fn code(line: &str, program: &Path) -> Option<(usize, usize)> {
    let mut words = line.split_ascii_whitespace();
    let (range, access) = (words.next()?, words.next()?);
    let (start, end) = range.split_once('-')?;
    let (start, end) = (usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?);
    let is_ours = Path::new(words.nth(3)?) == program;
    (access == "r-xp" && is_ours).then(|| Some((start, end.checked_sub(start)?)))?
}

#[expect(unsafe_code, reason = "the kernel offers nothing else")]
fn give_back(start: usize, bytes: usize) -> io::Result<()> {
    let start: *mut c_void = std::ptr::with_exposed_provenance_mut(start);
    // SAFETY: a mapping of a file without write access holds what the file holds, so that each page comes back as it was.
    unsafe { madvise(start, bytes, Advice::LinuxDontNeed) }.map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Resident kilobytes of the program's code.
    fn resident() -> u64 {
        let (program, smaps) =
            (fs::read_link("/proc/self/exe").unwrap(), fs::read_to_string("/proc/self/smaps").unwrap());
        let mut lines = smaps.lines();
        let mut sum = 0;
        while let Some(line) = lines.next() {
            if code(line, &program).is_some() {
                let rss = lines.find_map(|line| line.strip_prefix("Rss:")).unwrap();
                sum += rss.trim().trim_end_matches(" kB").parse::<u64>().unwrap();
            }
        }
        sum
    }

    #[test]
    fn code_that_is_not_run_again_is_not_resident_and_what_is_run_comes_back() {
        let before = resident();
        assert!(release().unwrap() > 0);
        let after = resident();
        assert!(after > 0 && after <= before, "{before} kB before, {after} kB after");
    }

    #[test]
    fn only_code_of_the_program_is_meant() {
        let of = |line| code(line, Path::new("/usr/bin/tidewatch"));
        assert_eq!(of("1000-3000 r-xp 00001000 fe:00 77 /usr/bin/tidewatch"), Some((0x1000, 0x2000)));
        assert_eq!(
            of("1000-3000 r--p 00000000 fe:00 77 /usr/bin/tidewatch"),
            None,
            "holds what was relocated"
        );
        assert_eq!(of("1000-3000 r-xp 00000000 fe:00 78 /usr/lib/libc.so.6"), None);
        assert_eq!(of("1000-3000 rwxp 00000000 fe:00 77 /usr/bin/tidewatch"), None);
        assert_eq!(of("1000-3000 r-xp 00000000 00:00 0"), None);
        assert_eq!(of("3000-1000 r-xp 00000000 fe:00 77 /usr/bin/tidewatch"), None);
    }
}
