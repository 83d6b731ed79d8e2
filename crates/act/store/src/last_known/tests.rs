//! The second place is read and written whole, and what differs from it is named.

use std::os::unix::fs::PermissionsExt;

use super::*;

fn noted() -> Noted {
    Noted { machine: "m".into(), journal: 3, last_beat: Some(Time::from_secs(5)), ..Noted::default() }
}

#[test]
fn it_lies_beside_the_directory_and_only_its_owner_may_read_it() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    for name in ["data", "data/"] {
        let place = LastKnown::beside(&dir.path().join(name)).unwrap();
        assert_eq!(place.path(), dir.path().join("data.last-known"));
    }
    let place = LastKnown::beside(&data).unwrap();
    assert_eq!(place.read(), Found::Missing);
    place.write(&noted()).unwrap();
    assert_eq!(place.read(), Found::Noted(Box::new(Noted { version: VERSION, ..noted() })));
    assert_eq!(place.path().metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(dir.path().read_dir().unwrap().count(), 1, "nothing else is left");
    assert!(LastKnown::beside(Path::new("/")).is_none());
}

#[test]
fn a_version_that_was_shipped_stays_readable() {
    let golden = include_str!("../../test-data/last-known-v1.json");
    let noted: Noted = serde_json::from_str(golden).unwrap();
    assert_eq!((noted.database.approvals, noted.database.audit_head.as_str(), noted.journal), (2, "ab12", 7));
}

#[test]
fn what_is_not_a_file_of_ours_is_unreadable_and_not_a_first_start() {
    let dir = tempfile::tempdir().unwrap();
    let place = LastKnown::beside(&dir.path().join("data")).unwrap();
    for text in ["", "{", "{\"version\":99}", "\0\0"] {
        fs::write(place.path(), text).unwrap();
        assert!(matches!(place.read(), Found::Unreadable(_)), "{text:?}");
    }
    fs::remove_file(place.path()).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", place.path()).unwrap();
    assert!(matches!(place.read(), Found::Unreadable(_)));
    place.write(&noted()).unwrap();
    assert!(matches!(place.read(), Found::Noted(_)), "the link is replaced, not followed");
}
