//! The journal stays within its limit, survives being cut, and tells what it lost.

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
    JournalReader::open(dir).unwrap().map(|event| event.unwrap().seq).collect()
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
    (0..5).for_each(|seq| journal.append(&event(seq)));
    let error = journal.flush().unwrap_err().to_string();
    assert!(error.starts_with("5 events were not kept: ") && error.contains(JOURNAL_DIR), "{error}");
    fs::create_dir(dir.path().join(JOURNAL_DIR)).unwrap();
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
}

/// Lets the current segment go on in a file that every write to fails, as on a full disk.
fn put_on_a_full_disk(journal: &mut Journal) {
    let (segment, _) = journal.current.take().unwrap();
    let full = BufWriter::new(File::options().write(true).open("/dev/full").unwrap());
    // The header stays in the buffer, so only the flush of the events behind it fails.
    let writer = RecordingWriter::new(full, &segment.path, &journal.node).unwrap();
    journal.current = Some((segment, writer));
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
