//! An engine that does not answer is reported within its deadline, whichever question it leaves open and however it does so.
//!
//! Not here: what its silence means for a container (`enrich`).

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::containers::{Follower, impatient, inspect_path, place, quick};
use crate::fake_engine::FakeEngine;

/// Two seconds are allowed, and looked at twice a second; the rest is for a loaded machine.
const REPORTED_WITHIN: Duration = Duration::from_secs(4);

/// The first report that begins so comes in time.
fn reported(follower: &Follower, report: &str) -> String {
    let begun = Instant::now();
    let lines = follower.lines_to(report);
    assert!(begun.elapsed() <= REPORTED_WITHIN, "{:?}: {lines}", begun.elapsed());
    lines
}

#[test]
fn an_engine_that_lists_and_does_not_answer_inspections_is_degraded_with_how_many_since_when() {
    let (_dir, socket) = place();
    let engine = FakeEngine::start(&socket, &[('a', "running"), ('b', "running"), ('c', "running")]);
    for letter in ['a', 'b'] {
        engine.hold(&inspect_path(letter));
    }
    let follower = Follower::start(quick(socket));
    let lines = reported(&follower, "Degraded 2 containers unresolved since ");
    assert!(lines.contains("container c"), "what is answered is told: {lines}");
    engine.release();
    follower.lines_to("Up");
}

#[test]
fn an_engine_that_stops_answering_inspections_after_its_list_is_degraded() {
    let (_dir, socket) = place();
    let engine = FakeEngine::start(&socket, &[('a', "running")]);
    let follower = Follower::start(quick(socket));
    follower.lines_to("Up");
    engine.put('b', "running");
    engine.hold(&inspect_path('b'));
    engine.event("start", 'b');
    reported(&follower, "Degraded 1 containers unresolved since ");
    engine.release();
    follower.lines_to("Up");
}

#[test]
fn an_engine_that_announces_and_does_not_list_is_down() {
    let (_dir, socket) = place();
    let engine = FakeEngine::start(&socket, &[]);
    engine.hold("/containers/json");
    let follower = Follower::start(quick(socket));
    engine.put('a', "running");
    engine.event("start", 'a');
    let lines = reported(&follower, "Down its list is unanswered since ");
    assert!(lines.contains("container a"), "what is announced is told: {lines}");
}

#[test]
fn an_engine_that_answers_inspections_of_one_container_with_an_error_is_degraded_by_its_name() {
    let (_dir, socket) = place();
    let engine = FakeEngine::start(&socket, &[('a', "running"), ('b', "running")]);
    engine.answer(&inspect_path('a'), "500 Internal Server Error", json!({"message": "it is broken"}));
    let follower = Follower::start(quick(socket));
    let lines = reported(&follower, "Degraded inspect: ");
    assert!(lines.contains("it is broken"), "{lines}");
}

#[test]
fn an_engine_that_accepts_and_never_answers_is_down() {
    let (_dir, socket) = place();
    let engine = FakeEngine::start(&socket, &[]);
    engine.hold("/version");
    let follower = Follower::start(impatient(socket));
    reported(&follower, "Down ");
}

/// Does something with each connection, for as long as the test lasts.
fn serve(socket: &Path, each: fn(UnixStream)) {
    let listener = UnixListener::bind(socket).unwrap();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            std::thread::spawn(move || each(connection.unwrap()));
        }
    });
}

#[test]
fn an_engine_that_closes_at_once_is_down() {
    let (_dir, socket) = place();
    serve(&socket, drop);
    let follower = Follower::start(quick(socket));
    reported(&follower, "Down ");
}

#[test]
fn an_engine_that_sends_without_end_is_down_and_what_it_sends_is_not_kept() {
    const HEAD: &[u8] =
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    fn flood(mut connection: UnixStream) {
        let mut asked = [0; 1024];
        let is_asked = connection.read(&mut asked).is_ok_and(|read| read > 0);
        let blanks = [b"100000\r\n".as_slice(), &vec![b' '; 0x10_0000], b"\r\n"].concat();
        let mut is_open = is_asked && connection.write_all(HEAD).is_ok();
        while is_open {
            is_open = connection.write_all(&blanks).is_ok();
        }
    }
    let (_dir, socket) = place();
    serve(&socket, flood);
    let before = resident_mib();
    // Longer than it would take to fill the memory.
    let follower = Follower::start(quick(socket));
    reported(&follower, "Down ");
    let grown = resident_mib().saturating_sub(before);
    assert!(grown < 300, "{grown} MiB");
}

fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() / 1024
}
