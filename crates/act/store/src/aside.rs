//! Moves what is unusable out of the way under a name with the time, a bounded number of times.
//!
//! Not here: what is unusable, and saying so.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Most things of one name that are kept aside. The first ones stay, since they hold what was there before anything was
/// wrong, and so does the latest; what came in between makes room.
pub(crate) const ASIDE_MAX: usize = 8;

/// Highest number of what is moved aside within one second.
const NUMBER_MAX: u32 = 100;

/// Moves `path` aside together with the files that go with it, each named like `path` with one of `endings`. Gives the
/// new place. Nothing is opened, followed or copied, so it needs no room on the disk.
pub(crate) fn move_aside(path: &Path, endings: &[&str]) -> io::Result<PathBuf> {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let wanted = with_ending(path, &format!(".aside-{seconds}"));
    // Above the last one of the same second, whose numbers tell their order.
    let named =
        |number: u32| if number == 0 { wanted.clone() } else { with_ending(&wanted, &format!("-{number}")) };
    let last = (0..NUMBER_MAX).rev().find(|number| named(*number).symlink_metadata().is_ok());
    let place = named(last.map_or(0, |last| last + 1));
    fs::rename(path, &place)?;
    for ending in endings {
        match fs::rename(with_ending(path, ending), with_ending(&place, ending)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    bound(path, endings);
    Ok(place)
}

/// `path` with something behind its last name.
pub(crate) fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Removes what is neither among the first nor the latest of those kept aside.
fn bound(path: &Path, endings: &[&str]) {
    let mut kept = kept_aside(path, endings);
    while kept.len() > ASIDE_MAX {
        let surplus = kept.remove(ASIDE_MAX - 1);
        // What cannot be removed stays: it is the operator's to look at.
        drop(fs::remove_dir_all(&surplus).or_else(|_| fs::remove_file(&surplus)));
        endings.iter().for_each(|ending| drop(fs::remove_file(with_ending(&surplus, ending))));
    }
}

/// What was moved aside from `path`, the first one first.
fn kept_aside(path: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let start = with_ending(path, ".aside-");
    let (Some(dir), Some(start)) = (path.parent(), start.file_name().and_then(|name| name.to_str())) else {
        return Vec::new();
    };
    let entries = dir.read_dir().into_iter().flatten().filter_map(Result::ok);
    let is_one = |name: &str| name.starts_with(start) && !endings.iter().any(|end| name.ends_with(end));
    let mut kept: Vec<PathBuf> = entries
        .filter(|entry| entry.file_name().to_str().is_some_and(is_one))
        .map(|entry| entry.path())
        .collect();
    // Seconds have ten digits for the next 260 years; a number after them comes in their order below a hundred.
    kept.sort_by_key(|path| (path.as_os_str().len(), path.clone()));
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_with_what_belongs_to_it_and_nothing_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        fs::write(dir.path().join("target"), "precious").unwrap();
        std::os::unix::fs::symlink(dir.path().join("target"), &path).unwrap();
        fs::write(dir.path().join("a.db-wal"), "log").unwrap();
        let place = move_aside(&path, &["-wal", "-shm"]).unwrap();
        assert!(place.is_symlink() && path.symlink_metadata().is_err());
        assert_eq!(fs::read(with_ending(&place, "-wal")).unwrap(), b"log");
        assert_eq!(fs::read(dir.path().join("target")).unwrap(), b"precious");
    }

    #[test]
    fn the_first_ones_and_the_latest_are_kept_and_their_number_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        for round in 0..20 {
            fs::write(&path, round.to_string()).unwrap();
            move_aside(&path, &[]).unwrap();
        }
        let mut kept: Vec<u32> = kept_aside(&path, &[])
            .iter()
            .map(|place| fs::read_to_string(place).unwrap().parse().unwrap())
            .collect();
        kept.sort_unstable();
        assert_eq!(kept, [0, 1, 2, 3, 4, 5, 6, 19]);
    }
}
