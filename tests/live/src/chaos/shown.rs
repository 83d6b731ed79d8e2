//! What Tidewatch prints, read as it comes, unless reading is stalled.
//!
//! Not here: what is made of it.

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::process::ChildStdout;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::wait;

/// Names and control groups of incidents that were printed.
#[derive(Default)]
pub(super) struct Shown {
    stalls: AtomicBool,
    names: Mutex<HashSet<String>>,
}

impl Shown {
    /// Reads lines of JSON until the other side ends.
    pub(super) fn read(self: &Arc<Self>, from: ChildStdout) {
        let shown = Arc::clone(self);
        thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                shown.take(&line);
                while shown.stalls.load(Ordering::Acquire) {
                    wait::nap(Duration::from_millis(50));
                }
            }
        });
    }

    /// Stops reading, or goes on.
    pub(super) fn stall(&self, stalls: bool) {
        self.stalls.store(stalls, Ordering::Release);
    }

    /// All so far.
    pub(super) fn names(&self) -> HashSet<String> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn take(&self, line: &str) {
        let Ok(value) = serde_json::from_str::<serde_json::Value>(line) else { return };
        let subject = &value["incident"]["subject"];
        let fields =
            ["container", "cgroup"].map(|field| subject[field].as_str().unwrap_or_default().to_owned());
        self.names
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(fields.into_iter().filter(|it| !it.is_empty()));
    }
}
