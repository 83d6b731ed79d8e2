//! A recording is read as it was written, and whatever else a file may hold is told with its line.

mod bodies;

use std::collections::BTreeMap;
use std::io::Cursor;

use expect_test::{Expect, expect, expect_file};
use model::event::Body;
use model::time::Time;
use model::usage::Usage;
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

use testkit::incidents::{HOSTILE, IncidentBuilder};

use self::bodies::{events, node, usage};
use super::*;

const GOLDEN: &str = include_str!("../../test-data/recording-v1.jsonl");

fn path() -> &'static Path {
    Path::new("day.jsonl")
}

fn recorded(events: &[Event]) -> Vec<u8> {
    let mut writer = RecordingWriter::new(Vec::new(), path(), &node()).unwrap();
    events.iter().for_each(|event| writer.write(event).unwrap());
    assert_eq!(writer.bytes(), writer.out.len() as u64);
    writer.into_inner()
}

fn read(bytes: &[u8]) -> (Vec<Event>, Vec<String>, Option<u64>) {
    let mut reader = RecordingReader::new(bytes, path()).unwrap();
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for event in reader.by_ref() {
        match event {
            Ok(event) => good.push(event),
            Err(error) => bad.push(error.to_string()),
        }
    }
    (good, bad, reader.torn())
}

/// The name of the kind; a kind that is new has to be named here, and then `bodies` has to hold one.
fn kind(body: &Body) -> &'static str {
    match body {
        Body::Exec(_) => "exec",
        Body::Process(_) => "process",
        Body::Exit(_) => "exit",
        Body::CgroupCreated(_) => "cgroup_created",
        Body::CgroupRemoved(_) => "cgroup_removed",
        Body::CgroupAttached(_) => "cgroup_attached",
        Body::Socket(_) => "socket",
        Body::Flows(_) => "flows",
        Body::Dns(_) => "dns",
        Body::Interfaces(_) => "interfaces",
        Body::Counts(_) => "counts",
        Body::Usage(_) => "usage",
        Body::Log(_) => "log",
        Body::Deep(_) => "deep",
        Body::Processes(_) => "processes",
        Body::Host(_) => "host",
        Body::Container(_) => "container",
        Body::ContainerGone { .. } => "container_gone",
        Body::ContainerList { .. } => "container_list",
        Body::EngineExec { .. } => "engine_exec",
        Body::EngineWork(_) => "engine_work",
        Body::Service(_) => "service",
        Body::Approved(_) => "approved",
        Body::Revoked { .. } => "revoked",
        Body::Expected(_) => "expected",
        Body::Unexpected { .. } => "unexpected",
        Body::Restored(_) => "restored",
        Body::Closed { .. } => "closed",
        Body::Report(_) => "report",
        Body::Lost(_) => "lost",
        Body::Resumed { .. } => "resumed",
        Body::Own(_) => "own",
        Body::Vanished(_) => "vanished",
        Body::Engine(_) => "engine",
        Body::Units(_) => "units",
        Body::Setup(_) => "setup",
        Body::Integrity(_) => "integrity",
        Body::FirstLook { .. } => "first_look",
        Body::Tick => "tick",
    }
}

#[test]
fn version_1_holds_every_kind_and_is_read_as_it_was_shipped() {
    let (golden, problems, torn) = read(GOLDEN.as_bytes());
    assert!(problems.is_empty() && torn.is_none(), "{problems:?}");
    assert_eq!(golden, events());
    let kinds: BTreeMap<&str, usize> = golden.iter().map(|event| (kind(&event.body), 1)).collect();
    assert_eq!(kinds.len(), 39, "one of each kind: {kinds:?}");
    let named = |event: &Event| GOLDEN.contains(&format!("\"kind\":\"{}\"", kind(&event.body)));
    assert!(golden.iter().all(named));
}

#[test]
fn version_1_is_written_as_it_was_shipped() {
    let text = String::from_utf8(recorded(&events())).unwrap();
    expect_file!["../../test-data/recording-v1.jsonl"].assert_eq(&text);
}

#[test]
fn a_recording_cut_anywhere_gives_the_events_before_the_cut_and_says_so() {
    let all = &events()[..6];
    let whole = recorded(all);
    let header = whole.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    for end in header..whole.len() {
        let (good, problems, torn) = read(&whole[..end]);
        let lines = whole[header..end].iter().filter(|&&byte| byte == b'\n').count();
        let at_event = matches!(whole[end], b'\n') || whole[end - 1] == b'\n';
        assert_eq!(torn, (!at_event).then_some(lines as u64 + 2), "cut at {end}");
        assert!(problems.is_empty() && good[..] == all[..good.len()] && good.len() >= lines, "cut at {end}");
    }
}

fn check_line(line: &[u8], problem: &Expect) {
    let whole = recorded(&events()[..2]);
    let mut bytes = whole.clone();
    bytes.extend_from_slice(line);
    bytes.push(b'\n');
    bytes.extend_from_slice(whole.splitn(2, |&byte| byte == b'\n').nth(1).unwrap());
    let (good, problems, torn) = read(&bytes);
    assert_eq!((good.len(), torn), (4, None), "the lines around it are read");
    problem.assert_eq(&problems.join("\n"));
}

#[test]
fn a_bad_line_is_told_with_its_number_and_the_next_is_read() {
    check_line(b"", &expect!["day.jsonl:4: EOF while parsing a value, column 0"]);
    check_line(b"\x00\xff", &expect!["day.jsonl:4: expected value, column 1"]);
    check_line(b"{\"node\":\"a\"}", &expect!["day.jsonl:4: missing field `source`, column 12"]);
    check_line(
        ["{\"x\":", &"[".repeat(100_000)].concat().as_bytes(),
        &expect!["day.jsonl:4: EOF while parsing a list, column 100005"],
    );
    check_line(&vec![b'x'; LINE_BYTES_MAX + 1], &expect!["day.jsonl:4: longer than 1048576 bytes"]);
    check_line(
        "{\"node\":\"a\",\"source\":\"\x1b[2J\"}".as_bytes(),
        &expect![[
            r#"day.jsonl:4: control character (\\u0000-\\u001F) found while parsing a string, column 23"#
        ]],
    );
    check_line(
        b"{\"checkpoint\":{},\"checkpoint_version\":1}",
        &expect!["day.jsonl:4: missing field `node`, column 40"],
    );
}

fn check_header(text: &[u8], problem: &Expect) {
    problem.assert_eq(&RecordingReader::new(text, path()).unwrap_err().to_string());
}

#[test]
fn what_is_no_recording_is_refused_by_its_first_line() {
    check_header(b"", &expect!["day.jsonl: is empty, not even a header was written"]);
    check_header(
        b"time,cpu\n1,2\n",
        &expect![
            "day.jsonl: is no recording of tidewatch, its first line is no header: expected ident, column 2"
        ],
    );
    check_header(
        br#"{"tidewatch":"events","version":2,"node":"a"}"#,
        &expect!["day.jsonl: is of version 2, this program reads up to 1"],
    );
    check_header(
        br#"{"tidewatch":"rows","version":1,"node":"a"}"#,
        &expect![[r#"day.jsonl: holds "rows", not "events""#]],
    );
    check_header(
        br#"{"tidewatch":"events","version":-1,"node":"a"}"#,
        &expect![
            "day.jsonl: is no recording of tidewatch, its first line is no header: invalid value: integer `-1`, expected u32, column 34"
        ],
    );
    check_header(
        &vec![b' '; LINE_BYTES_MAX * 2],
        &expect![
            "day.jsonl: is no recording of tidewatch, its first line is no header: EOF while parsing a value, column 1048577"
        ],
    );
}

#[test]
fn a_header_alone_is_an_empty_recording_with_a_node() {
    let bytes = recorded(&[]);
    assert_eq!(RecordingReader::new(&bytes[..], path()).unwrap().node(), &node());
    assert_eq!(read(&bytes), (Vec::new(), Vec::new(), None));
}

#[test]
fn a_checkpoint_comes_back_as_it_was_given() {
    let state = (7_u8, vec![0.1_f64 + 0.2, 1e-320], HOSTILE.to_owned());
    let mut writer = RecordingWriter::with_checkpoint(Vec::new(), path(), &node(), 5, &state).unwrap();
    events().iter().for_each(|event| writer.write(event).unwrap());
    let bytes = writer.into_inner();
    let mut reader = RecordingReader::new(&bytes[..], path()).unwrap();
    let checkpoint = reader.take_checkpoint().unwrap();
    assert_eq!(checkpoint.version, 5);
    assert_eq!(checkpoint.parse::<(u8, Vec<f64>, String)>().unwrap(), state);
    assert_eq!(checkpoint.parse::<serde_json::Value>().unwrap()[0], 7);
    let error = checkpoint.parse::<u8>().unwrap_err().to_string();
    assert!(error.starts_with("day.jsonl:2: "), "{error}");
    assert_eq!(reader.map(Result::unwrap).collect::<Vec<_>>(), events());
}

#[test]
fn a_checkpoint_may_be_longer_than_an_event_but_is_bounded_too() {
    let long = "x".repeat(LINE_BYTES_MAX * 2);
    let bytes = RecordingWriter::with_checkpoint(Vec::new(), path(), &node(), 1, &long).unwrap().into_inner();
    let checkpoint = RecordingReader::new(&bytes[..], path()).unwrap().take_checkpoint().unwrap();
    assert_eq!(checkpoint.parse::<String>().unwrap(), long);

    let too_long = "x".repeat(CHECKPOINT_BYTES_MAX);
    let refused = RecordingWriter::with_checkpoint(Vec::new(), path(), &node(), 1, &too_long).unwrap_err();
    assert!(matches!(refused, StoreError::TooLong { .. }), "{refused}");

    let start = recorded(&[]).into_iter().chain(CHECKPOINT_START.iter().copied()).collect::<Vec<u8>>();
    let endless = BufReader::new(
        Cursor::new(start).chain(io::repeat(b'1').take(CHECKPOINT_BYTES_MAX as u64 + (1 << 20))),
    );
    let error = RecordingReader::new(endless, path()).unwrap_err();
    assert_eq!(error.to_string(), "day.jsonl:2: the checkpoint is longer than 67108864 bytes");
}

#[test]
fn a_second_line_that_is_too_long_for_an_event_is_one_problem() {
    let mut bytes = recorded(&[]);
    bytes.resize(bytes.len() + LINE_BYTES_MAX + 1, b'x');
    bytes.push(b'\n');
    bytes.extend_from_slice(recorded(&events()[..1]).splitn(2, |&byte| byte == b'\n').nth(1).unwrap());
    let (good, problems, torn) = read(&bytes);
    assert_eq!((good.len(), torn), (1, None));
    assert_eq!(problems, ["day.jsonl:2: longer than 1048576 bytes"]);
}

#[test]
fn an_event_longer_than_a_line_is_refused_and_nothing_of_it_is_written() {
    let mut writer = RecordingWriter::new(Vec::new(), path(), &node()).unwrap();
    let ids = vec![Untrusted::new(&"x".repeat(512)); 3000];
    let mut event = events().remove(0);
    event.body = Body::listed(ids);
    let error = writer.write(&event).unwrap_err();
    assert!(matches!(error, StoreError::TooLong { what: "an event", .. }), "{error}");
    assert_eq!(writer.into_inner(), recorded(&[]));
}

#[test]
fn a_reader_that_fails_is_told_once_and_ends() {
    struct Fails;
    impl Read for Fails {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk is gone"))
        }
    }
    let input = BufReader::new(Cursor::new(recorded(&events()[..3])).chain(Fails));
    let told: Vec<_> = RecordingReader::new(input, path()).unwrap().map(|event| event.is_ok()).collect();
    assert_eq!(told, [true, true, true, false]);
}

#[test]
fn a_full_disk_is_an_error_with_the_path() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let error = RecordingWriter::new(full, Path::new("/dev/full"), &node()).unwrap_err();
    assert!(error.to_string().starts_with("/dev/full: No space left"), "{error}");
}

proptest! {
    #[test]
    fn any_bytes_after_the_header_are_read_without_a_panic(noise: Vec<u8>) {
        let (good, ..) = read(&[recorded(&[]), noise].concat());
        prop_assert!(good.is_empty());
    }

    #[test]
    fn any_byte_changed_costs_at_most_the_lines_it_touches(at in any::<proptest::sample::Index>(), byte: u8) {
        let mut bytes = recorded(&events());
        let header = recorded(&[]).len();
        let at = header + at.index(bytes.len() - header);
        bytes[at] = byte;
        let (good, problems, torn) = read(&bytes);
        let lost = events().len().saturating_sub(good.len());
        prop_assert!(lost <= 2 && problems.len() <= 2);
        prop_assert!(torn.is_none() || at + 1 >= bytes.len());
    }

    #[test]
    fn any_numbers_and_texts_come_back_equal(ns: i64, number: f64, single: f32, count: u64, text: String) {
        let mut incident = IncidentBuilder::attack().workload(&text).opened(Time::from_ns(ns)).build();
        incident.findings[0].evidence[0].1 = model::finding::Value::Count(count);
        incident.bits = if number.is_finite() { number } else { 0.0 };
        let limit = Some(single).filter(|limit| limit.is_finite());
        let mut sent = events();
        sent.truncate(2);
        sent[0].body = Body::Restored(Box::new(incident));
        sent[1].body = Body::Usage(Box::new(Usage { cpu_limit_cores: limit, ..usage() }));
        let (good, problems, _) = read(&recorded(&sent));
        prop_assert_eq!(problems, Vec::<String>::new());
        prop_assert_eq!(good, sent);
    }
}
