//! A data directory that is damaged, emptied, rolled back, exchanged, of another host, or cannot be written.

use std::collections::BTreeSet;

use model::approval::{Approval, Scope};
use model::incident::{Change, ChangeKind};
use testkit::incidents::IncidentBuilder;

use super::*;
use crate::storage::Decision;

struct Room {
    dir: tempfile::TempDir,
}

impl Room {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn open_on(&self, machine: &str, secs: i64) -> Opening {
        PlaceOpener::new(&self.data(), machine, this_run(secs)).open()
    }

    fn open(&self, secs: i64) -> Opening {
        self.open_on("machine-a", secs)
    }

    /// One run in order, with two approvals and an incident.
    fn filled() -> Self {
        let room = Self::new();
        let mut storage = room.open(1).storage.unwrap();
        storage.keep(&batch(1)).unwrap();
        storage.keep(&Batch { ends_run: true, beat: Some(Time::from_secs(9)), ..Batch::default() }).unwrap();
        room
    }

    fn asides(&self) -> usize {
        let entries = self.data().read_dir().unwrap().filter_map(Result::ok);
        let is_database = |name: &str| !DATABASE_ENDINGS.iter().any(|ending| name.ends_with(ending));
        entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .filter(|name| name.starts_with("tidewatch.db.aside-") && is_database(name))
            .count()
    }
}

fn approval(id: u64, pattern: &str) -> Approval {
    Approval {
        id,
        scope: Scope::Pattern { pattern: pattern.into() },
        owner: "ann".into(),
        at: Time::from_secs(2),
        note: "".into(),
    }
}

fn batch(first: u64) -> Batch {
    let incident = IncidentBuilder::attack().workload(&format!("w{first}")).build();
    let patterns = [first, first + 1].map(|id| Decision::Approve(approval(id, &format!("p{id}/*"))));
    Batch {
        incidents: vec![Change { kind: ChangeKind::Opened, incident }],
        decisions: patterns.into(),
        ..Batch::default()
    }
}

fn what(notes: &[Integrity]) -> BTreeSet<String> {
    notes
        .iter()
        .map(|note| match note {
            Integrity::StoreMovedAside { what, .. } => format!("aside {what}"),
            Integrity::StoreChanged { what, .. } => format!("changed {what}"),
            Integrity::NotStored { what, .. } => format!("not stored {what}"),
            other => format!("{other:?}"),
        })
        .collect()
}

fn said(notes: &[Integrity]) -> Vec<String> {
    what(notes).into_iter().collect()
}

fn sql(room: &Room, statement: &str) {
    let path = room.data().join(DATABASE_FILE);
    rusqlite::Connection::open(path).unwrap().execute_batch(statement).unwrap();
}

#[test]
fn a_first_start_and_a_restart_in_order_say_nothing() {
    let room = Room::filled();
    let opening = room.open(20);
    assert_eq!(said(&opening.notes), [""; 0]);
    assert_eq!((opening.contents.approvals.rows.len(), opening.contents.open.rows.len()), (2, 1));
    assert_eq!(opening.contents.last_run.ended_in_order, Some(true));
}

#[test]
fn a_damaged_database_is_moved_aside_and_the_run_goes_on() {
    for damage in ["rubbish that is not a database at all, by far", ""] {
        let room = Room::filled();
        let path = room.data().join(DATABASE_FILE);
        for ending in DATABASE_ENDINGS {
            drop(fs::remove_file(with_ending(&path, ending)));
        }
        fs::write(&path, damage).unwrap();
        let mut opening = room.open(20);
        let notes = said(&opening.notes);
        assert!(notes.contains(&"changed database".to_owned()), "{damage:?}: {notes:?}");
        assert_eq!(room.asides(), usize::from(!damage.is_empty()));
        assert_eq!(opening.contents.approvals_given, 2, "no number is given twice");
        opening.storage.as_mut().unwrap().keep(&batch(3)).unwrap();
        assert_eq!(room.open(30).contents.approvals.rows.len(), 2);
        assert_eq!(said(&room.open(40).notes), [""; 0], "said once");
    }
}

#[test]
fn pages_that_are_overwritten_are_found_at_the_start() {
    let room = Room::filled();
    sql(&room, "PRAGMA wal_checkpoint(TRUNCATE)");
    let path = room.data().join(DATABASE_FILE);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 3;
    bytes[middle..middle + 8192].fill(0xa5);
    fs::write(&path, bytes).unwrap();
    let opening = room.open(20);
    assert!(said(&opening.notes).contains(&"aside database".to_owned()), "{:?}", opening.notes);
    assert!(opening.storage.is_some());
}

#[test]
fn what_is_not_a_file_in_place_of_the_database_is_moved_aside() {
    for make in [(|path: &Path| fs::create_dir(path).unwrap()) as fn(&Path), |path| {
        std::os::unix::fs::symlink("/etc/passwd", path).unwrap();
    }] {
        let room = Room::filled();
        let path = room.data().join(DATABASE_FILE);
        fs::remove_file(&path).unwrap();
        make(&path);
        let opening = room.open(20);
        assert!(said(&opening.notes).contains(&"aside database".to_owned()), "{:?}", opening.notes);
        assert!(opening.storage.is_some() && path.is_file());
    }
}

#[test]
fn the_database_of_another_host_is_moved_aside() {
    let room = Room::filled();
    let opening = room.open_on("machine-b", 20);
    assert!(said(&opening.notes).contains(&"aside database".to_owned()), "{:?}", opening.notes);
    assert_eq!(opening.contents.approvals.rows.len(), 0, "its approvals are not about this host");
}

#[test]
fn rows_that_vanish_behind_our_back_are_noticed() {
    for (statement, expected) in [
        ("DELETE FROM approvals WHERE id = 1", "changed database"),
        ("UPDATE approvals SET revoked_ns = 5 WHERE id = 1", "changed database"),
        ("DELETE FROM incidents", "changed database"),
        ("DROP TRIGGER audit_keeps_rows; DELETE FROM audit WHERE id = 2", "changed audit"),
        ("DROP TRIGGER audit_keeps_words; UPDATE audit SET owner = 'eve' WHERE id = 1", "changed audit"),
    ] {
        let room = Room::filled();
        sql(&room, statement);
        let notes = said(&room.open(20).notes);
        assert!(notes.contains(&expected.to_owned()), "{statement}: {notes:?}");
    }
}

#[test]
fn a_database_that_was_rolled_back_is_noticed_unless_power_was_lost() {
    let copy = |room: &Room| {
        sql(room, "PRAGMA wal_checkpoint(TRUNCATE)");
        fs::read(room.data().join(DATABASE_FILE)).unwrap()
    };
    let room = Room::filled();
    let earlier = copy(&room);
    let mut storage = room.open(20).storage.unwrap();
    storage.keep(&batch(3)).unwrap();
    drop(storage);
    copy(&room);
    fs::write(room.data().join(DATABASE_FILE), earlier).unwrap();
    let notes = said(&room.open(30).notes);
    assert_eq!(notes, ["changed audit", "changed database"]);
}

#[test]
fn what_a_power_cut_takes_of_incidents_is_not_a_change() {
    let room = Room::new();
    let mut storage = room.open(1).storage.unwrap();
    storage.keep(&batch(1)).unwrap();
    drop(storage);
    sql(&room, "PRAGMA wal_checkpoint(TRUNCATE)");
    let earlier = fs::read(room.data().join(DATABASE_FILE)).unwrap();
    let mut storage = room.open(5).storage.unwrap();
    storage.keep(&Batch { decisions: Vec::new(), ..batch(3) }).unwrap();
    storage.tend().unwrap();
    drop(storage);
    sql(&room, "PRAGMA wal_checkpoint(TRUNCATE)");
    fs::write(room.data().join(DATABASE_FILE), earlier).unwrap();
    let next_boot = ThisRun { boot_id: "next boot".into(), ..this_run(20) };
    let opening = PlaceOpener::new(&room.data(), "machine-a", next_boot).open();
    assert_eq!(said(&opening.notes), [""; 0]);
    assert_eq!(said(&room.open(30).notes), [""; 0]);
}

#[test]
fn a_second_place_that_is_gone_or_damaged_is_noticed_once() {
    for damage in [None, Some("{")] {
        let room = Room::filled();
        let path = LastKnown::beside(&room.data()).unwrap().path().to_owned();
        match damage {
            None => fs::remove_file(&path).unwrap(),
            Some(text) => fs::write(&path, text).unwrap(),
        }
        assert_eq!(said(&room.open(20).notes), ["changed database"], "{damage:?}");
        assert_eq!(said(&room.open(30).notes), [""; 0]);
    }
}

#[test]
fn a_data_directory_that_was_emptied_is_not_a_first_start() {
    let room = Room::filled();
    fs::remove_dir_all(room.data()).unwrap();
    let opening = room.open(20);
    assert_eq!(said(&opening.notes), ["changed database"]);
    let last = &opening.contents.last_run;
    assert_eq!(last.first_look, Some(Time::from_secs(1)), "the second place knows it");
    assert_eq!(last.last_beat, Some(Time::from_secs(9)));
    let noted = format!("{:?}", opening.notes);
    assert!(noted.contains("2 approvals") && noted.contains("0 approvals"), "{noted}");
}

#[test]
fn a_link_in_place_of_the_data_directory_leads_to_a_store_that_is_not_ours() {
    let (room, other) = (Room::filled(), Room::filled());
    fs::remove_dir_all(room.data()).unwrap();
    std::os::unix::fs::symlink(other.data(), room.data()).unwrap();
    assert!(said(&room.open(20).notes).contains(&"changed database".to_owned()));
}

#[test]
fn a_database_that_is_exchanged_or_removed_while_it_is_open_is_written_again() {
    for exchanged in [false, true] {
        let room = Room::filled();
        let mut opener = PlaceOpener::new(&room.data(), "machine-a", this_run(20));
        let mut storage = opener.open().storage.unwrap();
        storage.keep(&batch(3)).unwrap();
        let path = room.data().join(DATABASE_FILE);
        fs::remove_file(&path).unwrap();
        drop(fs::remove_file(with_ending(&path, "-wal")));
        if exchanged {
            fs::write(&path, "another").unwrap();
        }
        let tended = storage.tend().unwrap();
        assert!(tended.reopen && said(&tended.notes).contains(&"changed database".to_owned()), "{tended:?}");
        assert_eq!(room.asides(), usize::from(exchanged));
        drop(storage);
        let opening = opener.open();
        assert_eq!(opening.contents.approvals.rows.len(), 4, "nothing is lost");
        assert!(opening.storage.is_some() && opening.notes.is_empty(), "{:?}", opening.notes);
    }
}

#[test]
fn what_is_refused_by_itself_keeps_nothing_else_out() {
    let room = Room::new();
    let mut storage = room.open(1).storage.unwrap();
    let mut batch = batch(1);
    let mut unsound = IncidentBuilder::attack().workload("unsound").build();
    unsound.bits = f64::NAN;
    batch.incidents.push(Change { kind: ChangeKind::Opened, incident: unsound });
    let filled = u64::try_from(model::approval::APPROVALS_MAX).unwrap();
    batch.decisions =
        (1..=filled + 2).map(|id| Decision::Approve(approval(id, &format!("p{id}/*")))).collect();
    let withdrawn = approval(1, "p1/*");
    batch.decisions.push(Decision::Revoke {
        approval: withdrawn,
        owner: "ann".into(),
        at: Time::from_secs(3),
    });
    let kept = storage.keep(&batch).unwrap();
    assert_eq!(kept.refused.len(), 3, "{:?}", kept.refused);
    let contents = room.open(2).contents;
    assert_eq!((contents.approvals.rows.len() as u64, contents.open.rows.len()), (filled - 1, 1));
}

#[test]
fn a_database_that_cannot_be_written_again_yet_stays_open_and_is_not_lost() {
    let room = Room::filled();
    let mut opener = PlaceOpener::new(&room.data(), "machine-a", this_run(20));
    let mut storage = opener.open().storage.unwrap();
    storage.keep(&batch(3)).unwrap();
    for ending in ["", "-wal", "-shm"] {
        drop(fs::remove_file(with_ending(&room.data().join(DATABASE_FILE), ending)));
    }
    // Nothing can be written while its directory has another name.
    let away = room.dir.path().join("away");
    fs::rename(room.data(), &away).unwrap();
    let tended = storage.tend().unwrap();
    assert!(!tended.reopen && storage.is_only_copy(), "{tended:?}");
    assert!(storage.tend().unwrap().notes.is_empty(), "reported once");
    storage.keep(&batch(5)).unwrap_err();
    fs::rename(&away, room.data()).unwrap();
    assert!(storage.tend().unwrap().reopen && !storage.is_only_copy());
    drop(storage);
    assert_eq!(opener.open().contents.approvals.rows.len(), 4, "nothing is lost");
}

#[test]
fn what_an_earlier_rescue_left_is_moved_aside() {
    let room = Room::filled();
    let mut storage = room.open(20).storage.unwrap();
    let path = room.data().join(DATABASE_FILE);
    fs::write(with_ending(&path, ".rescued"), "the only copy").unwrap();
    fs::remove_file(&path).unwrap();
    assert!(storage.tend().unwrap().reopen);
    let names = room.data().read_dir().unwrap().map(|entry| entry.unwrap().path());
    let left: Vec<PathBuf> =
        names.filter(|name| name.display().to_string().contains(".rescued.aside-")).collect();
    assert_eq!(fs::read(&left[0]).unwrap(), b"the only copy");
}

#[test]
fn a_data_directory_in_place_of_which_a_file_stands_is_a_store_in_memory() {
    let room = Room::new();
    fs::write(room.data(), "a file").unwrap();
    let opening = room.open(1);
    assert!(opening.storage.is_none() && !opening.problem.is_empty());
}

#[test]
fn a_database_whose_log_cannot_be_written_is_read_from_a_copy() {
    let room = Room::filled();
    let path = room.data().join(DATABASE_FILE);
    // A directory in place of the index: SQLite can open nothing here, whatever is given up.
    drop(fs::remove_file(with_ending(&path, "-shm")));
    fs::create_dir(with_ending(&path, "-shm")).unwrap();
    let opening = room.open(20);
    assert!(opening.storage.is_none(), "it cannot be written");
    assert_eq!(opening.contents.approvals.rows.len(), 2, "and is read: {}", opening.problem);
    fs::remove_dir(with_ending(&path, "-shm")).unwrap();
    assert!(room.open(30).storage.is_some(), "and written again as soon as that is possible");
}

#[test]
fn one_process_claims_a_data_directory() {
    let room = Room::new();
    let claim = Claim::new(&room.data()).unwrap();
    assert!(matches!(Claim::new(&room.data()), Err(StoreError::InUse { .. })));
    drop(claim);
    Claim::new(&room.data()).unwrap();
}

#[test]
fn incidents_leave_room_in_the_database_for_decisions() {
    let room = Room::new();
    let mut database = Database::open(&room.data()).unwrap().with_incidents_bytes_max(2 << 20);
    for number in 0..60 {
        let incidents = (0..20)
            .map(|second| {
                let workload = format!("w{number}-{second}");
                Change {
                    kind: ChangeKind::Opened,
                    incident: IncidentBuilder::attack().workload(&workload).build(),
                }
            })
            .collect();
        database.keep(&Batch { incidents, ..Batch::default() }).unwrap();
    }
    let dropped = crate::incident_store::IncidentStore::incidents_dropped(&database).unwrap();
    assert!(dropped > 0, "{dropped}");
    let bytes = room.data().join(DATABASE_FILE).metadata().unwrap().len();
    assert!(bytes < 4 << 20, "{bytes}");
}
