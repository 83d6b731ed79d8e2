//! The journal stays within its limit, survives being cut, and tells what it lost.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use model::coverage::Source;
use model::event::Body;
use model::time::Time;
use model::untrusted::Untrusted;

use super::*;

fn event(seq: u64) -> Event {
    let (time, seen) = (Time::from_secs(1), Time::from_secs(2));
    Event { node: NodeId::new("shop-1"), source: Source::Engine, seq, time, seen, body: Body::Tick }
}

fn open(dir: &Path, config: JournalConfig) -> Journal {
    Journal::open(dir, &NodeId::new("shop-1"), config).unwrap()
}

fn small() -> JournalConfig {
    JournalConfig { total_bytes_max: 4000, segment_bytes_max: 1000 }
}

fn numbers(dir: &Path) -> Vec<u64> {
    let events = JournalReader::open(dir).unwrap().map(Result::unwrap);
    events.filter(|event| event.body == Body::Tick).map(|event| event.seq).collect()
}

/// How many events are missing before which event, as the journal itself says.
fn gaps(dir: &Path) -> Vec<(u64, u64)> {
    let events: Vec<Event> = JournalReader::open(dir).unwrap().map(Result::unwrap).collect();
    let pairs = events.windows(2).filter_map(|pair| match &pair[0].body {
        Body::Integrity(fact) => match **fact {
            Integrity::NotStored { dropped, .. } => Some((dropped, pair[1].seq)),
            _ => None,
        },
        _ => None,
    });
    pairs.collect()
}

fn total_bytes(dir: &Path) -> u64 {
    segments(dir).unwrap().iter().map(|segment| segment.path.metadata().unwrap().len()).sum()
}

#[test]
fn what_was_flushed_is_read_back_in_order_by_a_reader_beside_the_writer() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path(), JournalConfig::default());
    (0..100).for_each(|seq| journal.append(&event(seq)));
    assert_eq!(numbers(dir.path()), [0; 0], "still in the buffer");
    journal.flush().unwrap();
    assert_eq!(numbers(dir.path()), (0..100).collect::<Vec<_>>());
}

#[test]
fn the_oldest_events_go_and_the_limit_holds() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path(), small());
    for seq in 0..1000 {
        journal.append(&event(seq));
        journal.flush().unwrap();
        assert!(total_bytes(dir.path()) <= small().total_bytes_max + 200, "after {seq}");
    }
    let kept = numbers(dir.path());
    assert_eq!(kept.last(), Some(&999));
    assert!(kept.windows(2).all(|pair| pair[1] == pair[0] + 1));
    assert!(total_bytes(dir.path()) > 2000 && journal.segments_deleted() > 50 && journal.lost() == 0);
}

#[test]
fn each_run_begins_a_segment_and_the_limit_covers_earlier_runs() {
    let dir = tempfile::tempdir().unwrap();
    for run in 0..20 {
        let mut journal = open(dir.path(), small());
        (0..5).for_each(|seq| journal.append(&event(run * 5 + seq)));
        journal.flush().unwrap();
    }
    assert!(total_bytes(dir.path()) <= small().total_bytes_max + 200);
    assert_eq!(numbers(dir.path()).last(), Some(&99));
}

#[test]
fn a_thousand_restarts_leave_a_bounded_number_of_segments() {
    let dir = tempfile::tempdir().unwrap();
    for run in 0..1000 {
        let mut journal = open(dir.path(), JournalConfig::default());
        journal.append(&event(run));
        journal.flush().unwrap();
    }
    assert_eq!(segments(dir.path()).unwrap().len(), SEGMENTS_MAX);
    assert_eq!(numbers(dir.path()).last(), Some(&999));
}

#[test]
fn a_torn_last_line_is_counted_and_the_next_run_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    for run in 0..2 {
        let mut journal = open(dir.path(), JournalConfig::default());
        (0..3).for_each(|seq| journal.append(&event(run * 3 + seq)));
        journal.flush().unwrap();
        let last = segments(dir.path()).unwrap().pop().unwrap();
        let file = File::options().write(true).open(&last.path).unwrap();
        file.set_len(last.path.metadata().unwrap().len() - 10).unwrap();
    }
    let mut reader = JournalReader::open(dir.path()).unwrap();
    let kept: Vec<u64> = reader.by_ref().map(|event| event.unwrap().seq).collect();
    assert_eq!((kept, reader.torn()), (vec![0, 1, 3, 4], 2));
}

#[test]
fn a_segment_that_is_no_recording_is_a_problem_and_the_others_are_read() {
    let dir = tempfile::tempdir().unwrap();
    for run in 0..3 {
        let mut journal = open(dir.path(), JournalConfig::default());
        journal.append(&event(run));
        journal.flush().unwrap();
    }
    fs::write(&segments(dir.path()).unwrap()[1].path, "rubbish\n").unwrap();
    fs::write(dir.path().join("journal/notes.txt"), "not ours").unwrap();
    let told: Vec<_> =
        JournalReader::open(dir.path()).unwrap().map(|event| event.ok().map(|e| e.seq)).collect();
    assert_eq!(told, [Some(0), None, Some(2)]);
}

#[test]
fn only_the_owner_may_read_the_journal() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path(), JournalConfig::default());
    journal.append(&event(1));
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir.path().join(JOURNAL_DIR)), 0o700);
    assert_eq!(mode(&segments(dir.path()).unwrap()[0].path), 0o600);
}

#[test]
fn an_unwritable_journal_counts_what_it_loses_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path(), JournalConfig::default());
    fs::remove_dir(dir.path().join(JOURNAL_DIR)).unwrap();
    fs::write(dir.path().join(JOURNAL_DIR), "in the way").unwrap();
    (0..5).for_each(|seq| journal.append(&event(seq)));
    let error = journal.flush().unwrap_err().to_string();
    assert!(error.starts_with("5 events were not kept: ") && error.contains(JOURNAL_DIR), "{error}");
    fs::remove_file(dir.path().join(JOURNAL_DIR)).unwrap();
    (5..8).for_each(|seq| journal.append(&event(seq)));
    journal.flush().unwrap();
    assert_eq!((numbers(dir.path()), journal.lost()), (vec![5, 6, 7], 5));
}

#[test]
fn a_full_disk_counts_what_the_buffer_held_and_the_next_segment_is_tried_later() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path(), JournalConfig::default());
    journal.append(&event(0));
    journal.flush().unwrap();
    put_on_a_full_disk(&mut journal);
    (1..5).for_each(|seq| journal.append(&event(seq)));
    let error = journal.flush().unwrap_err().to_string();
    assert!(error.starts_with("4 events were not kept: ") && error.contains("No space left"), "{error}");
    journal.append(&event(5));
    journal.flush().unwrap();
    assert_eq!((numbers(dir.path()), journal.lost()), (vec![0, 5], 4));
    assert_eq!(gaps(dir.path()), [(4, 5)]);
}

/// Lets the current segment go on in a file that every write to fails, as on a full disk.
fn put_on_a_full_disk(journal: &mut Journal) {
    let (segment, bytes) = journal.current.take().unwrap().close();
    let full = File::options().write(true).open("/dev/full").unwrap();
    // It cannot be cut either, so the segment is given up.
    journal.current = Some(OpenSegment::continued(segment, full, bytes));
}

#[test]
fn an_event_too_long_for_a_line_costs_only_itself() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path(), JournalConfig::default());
    let ids = vec![Untrusted::new(&"x".repeat(512)); 3000];
    journal.append(&event(0));
    journal.append(&Event { body: Body::listed(ids), ..event(1) });
    journal.append(&event(2));
    let error = journal.flush().unwrap_err().to_string();
    assert!(error.starts_with("1 events were not kept: "), "{error}");
    assert_eq!((numbers(dir.path()), journal.lost()), (vec![0, 2], 1));
}

#[test]
fn what_is_named_like_a_segment_and_is_none_is_left_alone_and_reported() {
    let dir = tempfile::tempdir().unwrap();
    let journal_dir = dir.path().join(JOURNAL_DIR);
    fs::create_dir_all(journal_dir.join("events-00000000000000000007.jsonl")).unwrap();
    fs::write(journal_dir.join(format!("events-{}.jsonl", u64::MAX)), "").unwrap();
    fs::write(journal_dir.join("notes.txt"), "not ours").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", journal_dir.join(segment_name(9))).unwrap();
    let mut journal = open(dir.path(), small());
    assert_eq!(journal.foreign().len(), 4);
    for seq in 0..200 {
        journal.append(&event(seq));
        journal.flush().unwrap();
    }
    assert_eq!(segments(dir.path()).unwrap().last().map(|last| last.number < 100), Some(true));
    assert_eq!(journal_dir.read_dir().unwrap().count(), segments(dir.path()).unwrap().len() + 4);
}

/// A disk in memory with so many bytes, which fails at chosen writes. Counts what is made and removed.
#[derive(Clone, Debug, Default)]
struct FakeDisk {
    state: std::rc::Rc<std::cell::RefCell<FakeState>>,
}

#[derive(Debug, Default)]
struct FakeState {
    files: std::collections::BTreeMap<PathBuf, Vec<u8>>,
    room: usize,
    writes: u64,
    fails_at: std::collections::BTreeSet<u64>,
    removed: u64,
    has_no_room: bool,
}

#[derive(Debug)]
struct FakeFile {
    path: PathBuf,
    disk: FakeDisk,
}

impl std::io::Write for FakeFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut state = self.disk.state.borrow_mut();
        state.writes += 1;
        let number = state.writes;
        if state.fails_at.contains(&number) {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        let used: usize = state.files.values().map(Vec::len).sum();
        let taken = bytes.len().min(state.room.saturating_sub(used));
        if taken == 0 {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        state.files.entry(self.path.clone()).or_default().extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Disk for FakeDisk {
    type File = FakeFile;

    fn make_dir(&self, _: &Path) -> Result<(), StoreError> {
        Ok(())
    }

    fn list(&self, _: &Path) -> Result<disk::Listing, StoreError> {
        Ok(disk::Listing::default())
    }

    fn has_room(&self, _: &Path) -> bool {
        !self.state.borrow().has_no_room
    }

    fn create(&self, path: &Path) -> Result<FakeFile, StoreError> {
        self.state.borrow_mut().files.insert(path.to_owned(), Vec::new());
        Ok(FakeFile { path: path.to_owned(), disk: self.clone() })
    }

    fn cut(&self, file: &mut FakeFile, bytes: u64) -> std::io::Result<()> {
        let mut state = self.state.borrow_mut();
        state.files.entry(file.path.clone()).or_default().truncate(usize::try_from(bytes).unwrap());
        Ok(())
    }

    fn remove(&self, path: &Path) -> Result<(), StoreError> {
        let mut state = self.state.borrow_mut();
        state.removed += 1;
        state.files.remove(path);
        Ok(())
    }
}

/// The numbers of the events and the sum of the gaps that are written in all files.
fn written(disk: &FakeDisk) -> (Vec<u64>, u64) {
    let (mut seqs, mut missing) = (Vec::new(), 0);
    for (path, bytes) in &disk.state.borrow().files {
        let Ok(reader) = RecordingReader::new(&bytes[..], path) else { continue };
        for event in reader.filter_map(Result::ok) {
            match &event.body {
                Body::Integrity(fact) => match **fact {
                    Integrity::NotStored { dropped, .. } => missing += dropped,
                    _ => panic!("{event:?}"),
                },
                _ => seqs.push(event.seq),
            }
        }
    }
    (seqs, missing)
}

#[test]
fn a_disk_that_stays_full_gets_no_empty_segments_and_loses_no_good_ones() {
    let disk = FakeDisk::default();
    disk.state.borrow_mut().room = 3_500;
    let config = JournalConfig { total_bytes_max: 100_000, segment_bytes_max: 1_000 };
    let mut journal = Journal::open_on(disk.clone(), Path::new("/d"), &NodeId::new("n"), config).unwrap();
    let mut failed = 0;
    for seq in 0..2_000 {
        journal.append(&event(seq));
        failed += u32::from(journal.flush().is_err());
    }
    let state = disk.state.borrow();
    assert!(failed > 0 && journal.is_losing());
    assert!(state.files.len() <= 5, "{} files", state.files.len());
    assert!(state.files.values().all(|bytes| !bytes.is_empty()));
    let good = state.files.values().filter(|bytes| bytes.len() > 500).count();
    assert!(good >= 3 && journal.segments_deleted() == 0, "{good}");
    assert!(state.writes < 1_200, "{} writes: attempts become fewer", state.writes);
}

/// Appends and flushes while the disk is full every third second, in the given way.
fn toggle(full: impl Fn(&mut FakeState, bool)) -> (Journal<FakeDisk>, FakeDisk) {
    let disk = FakeDisk::default();
    disk.state.borrow_mut().room = usize::MAX;
    let config = JournalConfig { total_bytes_max: 10_000_000, segment_bytes_max: 10_000 };
    let mut journal = Journal::open_on(disk.clone(), Path::new("/d"), &NodeId::new("n"), config).unwrap();
    for seq in 0..4_000 {
        full(&mut disk.state.borrow_mut(), seq % 3 == 1);
        journal.append(&event(seq));
        drop(journal.flush());
    }
    (journal, disk)
}

#[test]
fn a_disk_that_is_filled_and_freed_in_turn_pushes_no_good_segment_out() {
    type Full = fn(&mut FakeState, bool);
    let no_room: Full = |state, is_full| state.has_no_room = is_full;
    let no_write: Full = |state, is_full| state.room = if is_full { 0 } else { usize::MAX };
    for full in [no_room, no_write] {
        let (journal, disk) = toggle(full);
        let bytes: usize = disk.state.borrow().files.values().map(Vec::len).sum();
        let kept = disk.state.borrow().files.len();
        assert!(kept <= bytes / 10_000 + 1, "{kept} segments for {bytes} bytes");
        assert_eq!(journal.segments_deleted(), 0);
        let (seqs, missing) = written(&disk);
        assert_eq!(seqs[0], 0);
        assert_eq!(seqs.len() as u64 + journal.lost(), 4_000);
        assert!(missing <= journal.lost() && missing > 0);
    }
}

#[test]
fn a_short_segment_of_each_start_takes_no_place_of_a_long_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path(), JournalConfig::default());
    (0..100).for_each(|seq| journal.append(&event(seq)));
    journal.flush().unwrap();
    for run in 0..400 {
        let mut journal = open(dir.path(), JournalConfig::default());
        journal.append(&event(100 + run));
        journal.flush().unwrap();
    }
    assert_eq!(segments(dir.path()).unwrap().len(), SEGMENTS_MAX);
    assert_eq!(numbers(dir.path())[..100], (0..100).collect::<Vec<_>>());
    assert_eq!(numbers(dir.path()).last(), Some(&499));
}

proptest::proptest! {
    /// Whichever writes fail: every event is in the journal or counted as lost, in order, and once room is back each gap is
    /// written into it.
    #[test]
    fn whatever_write_fails_each_event_is_kept_or_counted(
        fails in proptest::collection::btree_set(1..120_u64, 0..30),
        flush_every in 1..20_u64,
    ) {
        let disk = FakeDisk::default();
        disk.state.borrow_mut().room = usize::MAX;
        disk.state.borrow_mut().fails_at = fails;
        let config = JournalConfig { total_bytes_max: 1 << 30, segment_bytes_max: 2_000 };
        let mut journal = Journal::open_on(disk.clone(), Path::new("/d"), &NodeId::new("n"), config).unwrap();
        for seq in 0..600 {
            journal.append(&event(seq));
            if seq % flush_every == 0 {
                drop(journal.flush());
            }
        }
        disk.state.borrow_mut().fails_at.clear();
        for seq in 600..640 {
            journal.append(&event(seq));
            drop(journal.flush());
        }
        let (seqs, missing) = written(&disk);
        proptest::prop_assert!(seqs.windows(2).all(|pair| pair[0] < pair[1]), "in order, none twice");
        proptest::prop_assert_eq!(seqs.last(), Some(&639));
        proptest::prop_assert!(seqs.len() as u64 + journal.lost() >= 640, "{} and {}", seqs.len(), journal.lost());
        proptest::prop_assert_eq!(missing, journal.lost());
        proptest::prop_assert_eq!(journal.segments_deleted(), 0);
    }
}
