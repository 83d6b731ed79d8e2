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

use serde_json::Value;

use crate::wait;

/// What the name of everything of ours holds.
const MARK: &str = "tw-chaos-";

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
        let Ok(value) = serde_json::from_str::<Value>(line) else { return };
        let mut found = HashSet::new();
        collect(&value, &mut found);
        self.names.lock().unwrap_or_else(PoisonError::into_inner).extend(found);
    }
}

/// Every text in it that names something of ours: an incident about several containers names them in its findings.
pub(super) fn collect(value: &Value, into: &mut HashSet<String>) {
    match value {
        Value::String(text) if text.contains(MARK) => {
            into.insert(text.clone());
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, into)),
        Value::Object(fields) => fields.values().for_each(|value| collect(value, into)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_wherever_they_stand() {
        let value = serde_json::json!({ "incident": { "subject": { "cgroup": "/tw-chaos-1-ghost" }, "findings": [
            { "claim": "burns", "evidence": { "container": "tw-chaos-2" } }] } });
        let mut found = HashSet::new();
        collect(&value, &mut found);
        assert_eq!(found, HashSet::from(["/tw-chaos-1-ghost".to_owned(), "tw-chaos-2".to_owned()]));
    }
}
