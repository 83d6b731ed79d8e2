//! Whether everything that was lost is accounted for: a recording of the running Tidewatch, held against its own numbers
//! and against what a flood says it started.
//!
//! Not here: whether little is lost. A flood may lose what it likes, as long as the loss is counted.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Signal;
use serde_json::Value;

use crate::host;
use crate::tidewatch::{Launch, command};

/// Longest time in which a recording is closed after its interruption.
const CLOSES_WITHIN: Duration = Duration::from_secs(5);
/// Records of one program from its start to its end: it is executed, and it ends.
const RECORDS_EACH: u64 = 2;

/// A recording in progress; ended on drop.
pub(super) struct Recording {
    child: Child,
    path: PathBuf,
}

/// What started so many programs in its control group.
pub(super) struct Flood {
    pub(super) cgroup: String,
    pub(super) programs: u64,
}

/// What a recording says of losses.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Account {
    /// Events whose numbers are missing.
    missing: u64,
    /// Events that are reported lost on the way to the fold.
    queue: u64,
    /// Records of a flood's programs that arrived.
    arrived: u64,
    /// Records reported lost by the kernel's side, of the flood's control group or of none in particular.
    lost: u64,
    /// Records that its programs must have made.
    made: u64,
}

impl Recording {
    /// Has the Tidewatch of that data directory recorded.
    pub(super) fn start(bin: &Path, data: &Path, path: &Path) -> Result<Self> {
        let _ = std::fs::remove_file(path);
        let mut record: Command = command(&Launch::default(), bin, &["record"], data);
        record.arg("--out").arg(path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self { child: record.spawn().context("cannot record")?, path: path.to_owned() })
    }

    /// Ends it, and adds it up. One that ended with its Tidewatch counts up to there.
    pub(super) fn add_up(mut self, flood: Option<&Flood>) -> Result<Account> {
        host::signal(self.child.id(), Signal::INT);
        host::wait_for(&mut self.child, CLOSES_WITHIN).context("the recording does not end")?;
        let lines = BufReader::new(File::open(&self.path)?).lines();
        Ok(add_up(lines.map_while(Result::ok).filter_map(|line| serde_json::from_str(&line).ok()), flood))
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        host::end(&mut self.child, Duration::ZERO);
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Account {
    /// Events that are missing without being reported, in words; `None` when there are none.
    pub(super) fn unaccounted(&self) -> Option<String> {
        let by_number = self.missing.saturating_sub(self.queue);
        let by_count = self.made.saturating_sub(self.arrived + self.lost);
        let numbers = (by_number > 0).then(|| format!("{by_number} numbers are missing"));
        let records = (by_count > 0).then(|| format!("{by_count} of {} records of the flood", self.made));
        let words: Vec<String> = numbers.into_iter().chain(records).collect();
        (!words.is_empty()).then(|| words.join(", "))
    }

    /// What is reported lost.
    pub(super) fn lost(&self) -> u64 {
        self.queue + self.lost
    }

    fn take_loss(&mut self, data: &Value, is_ours: bool) {
        let count = data["count"].as_u64().unwrap_or(0);
        if data["stage"].as_str().is_some_and(|stage| stage.starts_with("queue")) {
            self.queue += count;
        } else if is_ours || data["cgroup"].is_null() {
            self.lost += count;
        }
    }
}

fn add_up(events: impl Iterator<Item = Value>, flood: Option<&Flood>) -> Account {
    let mut account =
        Account { made: flood.map_or(0, |flood| flood.programs * RECORDS_EACH), ..Account::default() };
    let mut next: BTreeMap<String, u64> = BTreeMap::new();
    let mut ours: BTreeSet<u64> = BTreeSet::new();
    for event in events {
        let (Some(source), Some(number)) = (event["source"].as_str(), event["seq"].as_u64()) else {
            continue;
        };
        let expected = next.insert(source.to_owned(), number + 1).unwrap_or(number);
        account.missing += number.saturating_sub(expected);
        let (kind, data) = (event["body"]["kind"].as_str().unwrap_or_default(), &event["body"]["data"]);
        let cgroup = data["cgroup"].as_u64();
        let is_flood = flood.is_some_and(|flood| data["path"] == flood.cgroup.as_str());
        if is_flood && kind.starts_with("cgroup_") {
            ours.extend(cgroup);
        }
        let is_ours = cgroup.is_some_and(|cgroup| ours.contains(&cgroup));
        match kind {
            "exec" | "exit" if is_ours => account.arrived += 1,
            "lost" => account.take_loss(data, is_ours),
            _ => {}
        }
    }
    account
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(seq: u64, kind: &str, data: &Value) -> Value {
        json!({ "source": "kernel", "seq": seq, "body": { "kind": kind, "data": data } })
    }

    fn flood() -> Flood {
        Flood { cgroup: "/flood".to_owned(), programs: 3 }
    }

    fn events() -> Vec<Value> {
        vec![
            event(7, "cgroup_attached", &json!({ "cgroup": 9, "path": "/flood" })),
            event(8, "exec", &json!({ "cgroup": 9 })),
            event(9, "exit", &json!({ "cgroup": 9 })),
            event(10, "exec", &json!({ "cgroup": 1 })),
            event(11, "lost", &json!({ "cgroup": 1, "count": 50, "stage": "budget" })),
            event(12, "lost", &json!({ "cgroup": 9, "count": 3, "stage": "budget" })),
            event(13, "lost", &json!({ "cgroup": null, "count": 1, "stage": "ring buffer" })),
        ]
    }

    #[test]
    fn what_arrived_and_what_is_reported_lost_is_all_that_a_flood_made() {
        let account = add_up(events().into_iter(), Some(&flood()));
        assert_eq!((account.arrived, account.lost, account.made), (2, 4, 6));
        assert_eq!(account.unaccounted(), None);
    }

    #[test]
    fn a_loss_that_is_not_reported_is_named() {
        let quiet = events().into_iter().filter(|event| event["seq"] != 12);
        let words = add_up(quiet, Some(&flood())).unaccounted().unwrap();
        assert_eq!(words, "1 numbers are missing, 3 of 6 records of the flood");
    }

    #[test]
    fn numbers_that_are_missing_count_unless_the_queue_reports_them() {
        let mut events = vec![event(1, "tick", &json!({})), event(5, "tick", &json!({}))];
        assert_eq!(add_up(events.clone().into_iter(), None).unaccounted().unwrap(), "3 numbers are missing");
        events.push(event(6, "lost", &json!({ "cgroup": null, "count": 3, "stage": "queue of the engine" })));
        assert_eq!(add_up(events.into_iter(), None).unaccounted(), None);
    }
}
