//! The socket with a stand-in for the engine behind it.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::thread::{JoinHandle, spawn};

use model::coverage::Source;
use model::event::Body;
use model::time::Time;
use store::recording::RecordingReader;
use tempfile::TempDir;
use testkit::inventory::{hostile, sample};

use super::serving::PATIENCE;
use super::*;

/// A listening socket; the stand-in answers one request and gives back what it was asked.
fn answering(reply: Reply) -> (TempDir, Control, JoinHandle<Request>) {
    let dir = tempfile::tempdir().unwrap();
    let control = Control::listen(dir.path(), &Pulses::default()).unwrap();
    let asked = control.asked().clone();
    let engine = spawn(move || {
        let Asked { request, reply: to } = asked.recv_timeout(PATIENCE).unwrap();
        to.send(reply).unwrap();
        request
    });
    (dir, control, engine)
}

/// What a client gets back for bytes that it sends.
fn answer_to(dir: &Path, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(dir.join(SOCKET)).unwrap();
    // The other side may have read enough and answered before all is written.
    drop(stream.write_all(bytes));
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    line
}

#[test]
fn what_is_asked_reaches_the_engine_and_its_answer_comes_back() {
    let id = IncidentId::from_text("TW-1");
    let (dir, _control, engine) = answering(Ok(Answer::Closed(vec![id.clone()])));
    let hostile = Untrusted::new("\"}\n{\u{202e}");
    let answer = ask(dir.path(), &Request::Revoke { id: 7, owner: hostile.clone() }).unwrap();
    assert!(matches!(answer, Answer::Closed(ids) if ids == [id]));
    let request = engine.join().unwrap();
    assert!(matches!(request, Request::Revoke { id: 7, owner } if owner == hostile));
}

#[test]
fn the_inventory_comes_over_the_socket_as_it_is() {
    for view in [sample(), hostile()] {
        let (dir, _control, engine) = answering(Ok(Answer::Inventory(Box::new(view.clone()))));
        let answer = ask(dir.path(), &Request::Inventory).unwrap();
        assert!(matches!(answer, Answer::Inventory(told) if *told == view));
        assert!(matches!(engine.join().unwrap(), Request::Inventory));
    }
}

#[test]
fn a_refusal_is_told_in_the_engines_words() {
    let (dir, _control, _engine) = answering(Err("no approval 7 is in force".to_owned()));
    let refused = ask(dir.path(), &Request::Revoke { id: 7, owner: "tester".into() }).unwrap_err();
    assert_eq!(refused.to_string(), "no approval 7 is in force");
}

#[test]
fn what_is_no_request_is_refused_without_asking_the_engine() {
    let dir = tempfile::tempdir().unwrap();
    let control = Control::listen(dir.path(), &Pulses::default()).unwrap();
    let too_long = vec![b'['; REQUEST_BYTES_MAX as usize + 44 * 1024];
    for bytes in [&b"nonsense\n"[..], b"{\"ask\":\"reboot\"}\n", b"\xff\xfe\n", b"{}\n", &too_long] {
        let answer = answer_to(dir.path(), bytes);
        assert!(bytes.starts_with(b"\xff") || answer.contains("not understood"), "{answer:?}");
    }
    assert!(control.asked().is_empty());
}

#[test]
fn deep_nesting_is_refused_and_does_not_exhaust_the_stack() {
    let dir = tempfile::tempdir().unwrap();
    let _control = Control::listen(dir.path(), &Pulses::default()).unwrap();
    let deep = format!("{{\"ask\":{}\n", "[".repeat(200_000));
    assert!(answer_to(dir.path(), deep.as_bytes()).contains("not understood"));
}

#[test]
fn an_engine_that_ended_is_told_as_too_busy_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let control = Control::listen(dir.path(), &Pulses::default()).unwrap();
    let engine = spawn({
        let asked = control.asked().clone();
        move || drop(asked.recv().unwrap())
    });
    let refused = ask(dir.path(), &Request::Status).unwrap_err();
    assert_eq!(refused.to_string(), "Tidewatch is too busy to answer");
    engine.join().unwrap();
}

#[test]
fn only_root_may_connect_and_only_one_may_listen() {
    let dir = tempfile::tempdir().unwrap();
    let control = Control::listen(dir.path(), &Pulses::default()).unwrap();
    let mode = fs::metadata(dir.path().join(SOCKET)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let second = Control::listen(dir.path(), &Pulses::default()).unwrap_err().to_string();
    assert!(second.contains("another Tidewatch runs"), "{second}");
    drop(control);
    assert!(!dir.path().join(SOCKET).exists(), "it is taken away at the end");
}

#[test]
fn the_socket_of_a_killed_engine_is_no_obstacle() {
    let dir = tempfile::tempdir().unwrap();
    drop(UnixListener::bind(dir.path().join(SOCKET)).unwrap());
    let refused = ask(dir.path(), &Request::Status).unwrap_err().to_string();
    assert!(refused.contains("no Tidewatch runs on"), "{refused}");
    Control::listen(dir.path(), &Pulses::default()).unwrap();
}

#[test]
fn a_recording_holds_its_state_and_every_event_until_the_engine_lets_go() {
    let event = |seq| Event {
        node: NodeId::new("node"),
        source: Source::Engine,
        seq,
        time: Time::default(),
        seen: Time::default(),
        body: Body::Tick,
    };
    let (to_reader, events) = bounded(10);
    let checkpoint = RawValue::from_string("{\"all\":\"it knows\"}".to_owned()).unwrap();
    let recording = Recording { node: NodeId::new("node"), checkpoint_version: 3, checkpoint, events };
    let (dir, _control, _engine) = answering(Ok(Answer::Recording(Box::new(recording))));
    let stream = ask_recording(dir.path()).unwrap();
    for seq in 0..3 {
        to_reader.send(event(seq)).unwrap();
    }
    drop(to_reader);
    let mut reader = RecordingReader::new(BufReader::new(stream), Path::new("stream")).unwrap();
    let checkpoint = reader.take_checkpoint().unwrap();
    assert_eq!(checkpoint.version, 3);
    assert_eq!(checkpoint.parse::<serde_json::Value>().unwrap()["all"], "it knows");
    let events: Vec<Event> = reader.map(Result::unwrap).collect();
    assert_eq!(events, [event(0), event(1), event(2)]);
}

/// Connects without a word.
fn silent(dir: &Path) -> UnixStream {
    UnixStream::connect(dir.join(SOCKET)).unwrap()
}

#[test]
fn thirty_two_silent_clients_do_not_lock_out_the_next_one() {
    let (dir, control, _engine) = answering(Ok(Answer::Closed(Vec::new())));
    let held: Vec<UnixStream> = (0..2 * PLACES_MAX).map(|_| silent(dir.path())).collect();
    let begun = std::time::Instant::now();
    let answer = (0..20).find_map(|_| {
        let answer = ask(dir.path(), &Request::Status);
        let _pause = crossbeam_channel::after(Duration::from_millis(50)).recv();
        answer.ok()
    });
    assert!(matches!(answer, Some(Answer::Closed(_))));
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert!(control.take_refused() > 0, "who was turned away is counted");
    drop(held);
}

#[test]
fn a_byte_a_moment_is_cut_off_in_seconds_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let _control = Control::listen(dir.path(), &Pulses::default()).unwrap();
    let mut stream = silent(dir.path());
    let begun = std::time::Instant::now();
    let drip = spawn({
        let mut stream = stream.try_clone().unwrap();
        move || {
            while stream.write_all(b" ").is_ok() {
                let _pause = crossbeam_channel::after(Duration::from_millis(200)).recv();
            }
        }
    });
    let mut answer = String::new();
    let _cut = stream.read_to_string(&mut answer);
    assert!(answer.contains("longer than 3 s"), "{answer:?}");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    drip.join().unwrap();
}

#[test]
fn a_client_that_is_turned_away_is_told_that_it_is_full() {
    let dir = tempfile::tempdir().unwrap();
    let _control = Control::listen(dir.path(), &Pulses::default()).unwrap();
    let held: Vec<UnixStream> = (0..PLACES_MAX).map(|_| silent(dir.path())).collect();
    let refused = ask(dir.path(), &Request::Status).unwrap_err().to_string();
    assert!(refused.contains("full"), "{refused}");
    drop(held);
}

#[test]
fn a_half_closed_client_and_ten_megabytes_are_answered_and_gone() {
    let dir = tempfile::tempdir().unwrap();
    let _control = Control::listen(dir.path(), &Pulses::default()).unwrap();
    let mut half = silent(dir.path());
    half.write_all(b"{\"ask\":").unwrap();
    half.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    half.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("not understood"), "{answer:?}");
    let huge = vec![b' '; 10 << 20];
    assert!(answer_to(dir.path(), &huge).contains("not understood"));
}

#[test]
fn a_reader_that_takes_nothing_of_a_big_answer_is_cut_off() {
    let big = Answer::Policy("x".repeat(32 << 20));
    let (dir, _control, _engine) = answering(Ok(big));
    let mut stream = silent(dir.path());
    stream.write_all(b"{\"ask\":\"graph\"}\n").unwrap();
    let _while_nothing_is_read = crossbeam_channel::after(Duration::from_secs(11)).recv();
    let mut taken = Vec::new();
    let _cut = stream.read_to_end(&mut taken);
    assert!(taken.len() < 32 << 20, "{} bytes came all the same", taken.len());
}

#[test]
fn the_thread_that_takes_clients_in_beats_while_nobody_connects() {
    let (dir, pulses) = (tempfile::tempdir().unwrap(), Pulses::default());
    let _control = Control::listen(dir.path(), &pulses).unwrap();
    let silent = || pulses.vitals()[0].silent;
    let (began, mut longest) = (std::time::Instant::now(), Duration::ZERO);
    while silent() >= longest {
        longest = silent();
        assert!(began.elapsed() < PATIENCE, "it never beat");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}
