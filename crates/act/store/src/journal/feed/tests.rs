//! The fold's side of the journal never waits, and every event is in the journal or counted.

use std::fs;
use std::time::Instant;

use model::coverage::Source;
use model::event::Body;
use model::time::Time;

use super::*;
use crate::journal::JournalReader;

fn event(seq: u64) -> Event {
    let time = Time::from_secs(1);
    Event { node: NodeId::new("n"), source: Source::Engine, seq, time, seen: time, body: Body::Tick }
}

fn start(dir: &Path) -> JournalFeed {
    JournalFeed::start(dir, &NodeId::new("n"), JournalConfig::default(), Box::new(|| ())).unwrap()
}

fn numbers(dir: &Path) -> Vec<u64> {
    JournalReader::open(dir).unwrap().map(|event| event.unwrap().seq).collect()
}

#[test]
fn what_was_added_is_in_the_journal_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut feed = start(dir.path());
    (0..5_000).for_each(|seq| feed.append(&event(seq)));
    assert!(feed.end(Duration::from_secs(10)));
    assert_eq!(numbers(dir.path()), (0..5_000).collect::<Vec<_>>());
}

#[test]
fn a_file_in_place_of_the_journal_is_moved_aside_and_named() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(JOURNAL_DIR), "a file").unwrap();
    let mut feed = start(dir.path());
    feed.append(&event(1));
    let deadline = Instant::now() + Duration::from_secs(5);
    let mut notes = Vec::new();
    while notes.is_empty() && Instant::now() < deadline {
        notes = feed.notes();
        std::thread::yield_now();
    }
    assert!(matches!(&notes[..], [Integrity::StoreMovedAside { .. }]), "{notes:?}");
    assert!(feed.end(Duration::from_secs(5)));
    assert_eq!(numbers(dir.path()), [1]);
}

#[test]
fn a_thread_that_hangs_costs_events_that_are_counted_and_no_time() {
    let (portions, stuck) = bounded(2);
    let mut feed =
        JournalFeed { portions, lines: Lines::default(), shared: Arc::default(), lost: 0, was_losing: false };
    let began = Instant::now();
    for seq in 0..50 {
        feed.append(&event(seq));
        feed.flush();
    }
    assert!(began.elapsed() < Duration::from_secs(1));
    assert!(matches!(&feed.notes()[..], [Integrity::NotStored { .. }]));
    let taken: u64 = stuck
        .try_iter()
        .map(|portion| if let Portion::Lines(lines) = portion { lines.events } else { 0 })
        .sum();
    assert_eq!(taken + feed.standing().lost, 50);
    // The next lines that arrive say how many are missing before them.
    feed.append(&event(50));
    feed.hand_over();
    let Portion::Lines(lines) = stuck.try_recv().unwrap() else { panic!("lines") };
    assert_eq!((lines.events, lines.lost), (1, 50 - taken));
}
