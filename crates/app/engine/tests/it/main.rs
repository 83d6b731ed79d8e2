//! Whole scenes through the whole core: from what happened on a made-up host to the incidents people get.
//!
//! Not here: the loop, its sources and its store, which only a real host can show (`tests/live`); but for calls that never
//! return (`hanging.rs`).

#![allow(clippy::unwrap_used, reason = "what these cases share is test code as well")]

mod expected;

mod fold;

mod hanging;

mod hostile;

mod laws;

mod recordings;

mod replay;

mod scenes;

mod stage;

mod watch;
