//! A pipe that is not read holds up nobody, and what it did not take is counted.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;

use super::*;

const LONG: Duration = Duration::from_secs(20);
const LINES: u64 = 20_000;

fn started() -> (Outflow, Watched, OwnedFd) {
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    let gap = |count| format!("{count} left out\n");
    let (outflow, thread) = Outflow::start("output", writer, gap, &Pulses::default()).unwrap();
    (outflow, thread, reader)
}

#[test]
fn lines_are_written_in_their_order() {
    let (outflow, _thread, reader) = started();
    (0..100).for_each(|number| outflow.offer(format!("{number}\n")));
    let lines = BufReader::new(File::from(reader)).lines().take(100).map(Result::unwrap);
    assert!(lines.eq((0..100).map(|number| number.to_string())));
    outflow.finish(Instant::now() + LONG);
}

#[test]
fn a_reader_that_does_not_read_holds_up_nobody_and_is_shown_how_many_lines_it_missed() {
    let (outflow, thread, reader) = started();
    let began = Instant::now();
    (0..LINES).for_each(|number| outflow.offer(format!("{number:0200}\n")));
    outflow.finish(Instant::now() + Duration::from_millis(20));
    assert!(began.elapsed() < LONG, "nothing waited for the reader");
    assert!(!thread.pulse().vital().is_overdue(), "the thread waits, and shows that it runs");
    assert!(outflow.all_left_out() > 0);
    let mut lines = BufReader::new(File::from(reader)).lines().map(Result::unwrap);
    let (read, told) = read_until_all_is_told(&mut lines, &outflow);
    assert_eq!((told, read + told), (outflow.all_left_out(), LINES));
    outflow.offer("after\n".to_owned());
    assert_eq!(lines.next().as_deref(), Some("after"));
}

/// How many lines came, and how many are said to have been left out, once all that were left out are told of.
fn read_until_all_is_told(lines: &mut impl Iterator<Item = String>, outflow: &Outflow) -> (u64, u64) {
    let (mut read, mut told) = (0, 0);
    while told < outflow.all_left_out() {
        let line = lines.next().unwrap();
        match line.strip_suffix(" left out") {
            Some(count) => told += count.parse::<u64>().unwrap(),
            None => read += 1,
        }
    }
    (read, told)
}

#[test]
fn a_reader_that_has_gone_ends_the_thread_and_nothing_waits_for_it() {
    let (outflow, thread, reader) = started();
    drop(reader);
    outflow.offer("x\n".to_owned());
    assert!(thread.join_until(Instant::now() + LONG));
    outflow.offer("y\n".to_owned());
    outflow.finish(Instant::now() + LONG);
}
