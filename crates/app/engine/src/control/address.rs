//! Where the control socket is: in the data directory, or, where nothing can be made in that, in a directory of root's below
//! `/run`. Whoever asks looks in the same places.

use std::fs::{self, DirBuilder, Permissions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use super::SOCKET;

/// Where sockets are whose data directory takes none: on a disk that is read-only, or that is not there.
const ELSEWHERE: &str = "/run/tidewatch";

/// Where the socket of a data directory may be, the usual place first.
pub(super) fn places(dir: &Path) -> [PathBuf; 2] {
    // A socket's path has at most 107 bytes, and a data directory's may be longer. The same program asks and listens, so any
    // hash will do; and a lexical path, since links may not be readable when they are needed.
    let mut hash = DefaultHasher::new();
    std::path::absolute(dir)
        .unwrap_or_else(|_| dir.to_owned())
        .components()
        .collect::<PathBuf>()
        .hash(&mut hash);
    [dir.join(SOCKET), Path::new(ELSEWHERE).join(format!("{:016x}.sock", hash.finish()))]
}

/// Connects to whoever listens; the error is that of the usual place.
pub(super) fn connect(places: &[PathBuf]) -> io::Result<UnixStream> {
    let mut first = None;
    for place in places {
        match UnixStream::connect(place) {
            Ok(stream) => return Ok(stream),
            Err(error) => drop(first.get_or_insert(error)),
        }
    }
    Err(first.unwrap_or_else(|| io::ErrorKind::NotFound.into()))
}

/// Listens at the first place that can be had; the error is that of the usual place.
pub(super) fn listen(places: &[PathBuf]) -> io::Result<(UnixListener, PathBuf)> {
    let mut first = None;
    for place in places {
        match listen_at(place) {
            Ok(listener) => return Ok((listener, place.clone())),
            Err(error) => drop(first.get_or_insert(error)),
        }
    }
    Err(first.unwrap_or_else(|| io::ErrorKind::NotFound.into()))
}

fn listen_at(place: &Path) -> io::Result<UnixListener> {
    if let Some(dir) = place.parent().filter(|dir| *dir == Path::new(ELSEWHERE)) {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    }
    match fs::remove_file(place) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // The directory is 0700 already; the mode of the socket is a second lock.
    let listener = UnixListener::bind(place)?;
    fs::set_permissions(place, Permissions::from_mode(0o600))?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_takes_no_socket_is_passed_over_and_found_by_who_asks() {
        let dir = tempfile::tempdir().unwrap();
        let places = [dir.path().join("missing/control.sock"), dir.path().join("second.sock")];
        assert!(connect(&places).is_err());
        let (_listener, place) = listen(&places).unwrap();
        assert_eq!(place, places[1]);
        connect(&places).unwrap();
    }

    #[test]
    fn each_data_directory_has_a_place_of_its_own_however_it_is_written() {
        let elsewhere = |dir: &str| places(Path::new(dir))[1].clone();
        assert_eq!(elsewhere("/var/lib/tidewatch"), elsewhere("/var/lib/tidewatch/"));
        assert_ne!(elsewhere("/var/lib/tidewatch"), elsewhere("/var/lib/tidewatch2"));
        assert!(elsewhere(&"/very/long".repeat(50)).as_os_str().len() < 100);
    }
}
