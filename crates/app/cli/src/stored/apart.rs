//! Reads the store in a process of its own, which can be left behind: a thread that waits for a frozen disk keeps its process
//! from ending, whatever signal it is sent.
//!
//! Not here: waiting for a process that is late. It ends when its disk answers.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use model::approval::Approval;
use model::incident::Incident;
use model::time::Time;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use store::database::Database;
use store::error::StoreError;
use store::incident_store::{IncidentQuery, IncidentStore, Loaded};

use crate::Outcome;
use crate::args::ReadStoreArgs;
use crate::output::say;

/// The name of the hidden command that such a process runs.
const COMMAND: &str = "read-store";
/// Most bytes of an answer: the incidents of a full store.
const ANSWER_BYTES_MAX: u64 = 256 << 20;

/// Rows that could be read, and one sentence for each row that could not.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Rows<T> {
    pub(super) rows: Vec<T>,
    pub(super) problems: Vec<String>,
}

/// A question to the store.
#[derive(Debug, Serialize, Deserialize)]
enum Question {
    Incidents { since: Option<Time>, until: Option<Time>, include_closed: bool, limit: usize },
    Approvals,
}

/// Incidents that are stored; an error when the store has not answered within `patience`.
pub(super) fn incidents(
    dir: &Path,
    query: &IncidentQuery,
    patience: Duration,
) -> anyhow::Result<Rows<Incident>> {
    let &IncidentQuery { since, until, include_closed, limit } = query;
    ask(dir, &Question::Incidents { since, until, include_closed, limit }, patience)
}

/// Approvals that are stored, likewise.
pub(super) fn approvals(dir: &Path, patience: Duration) -> anyhow::Result<Rows<Approval>> {
    ask(dir, &Question::Approvals, patience)
}

/// Answers a question on standard output, as JSON.
pub(crate) fn run(args: &ReadStoreArgs) -> anyhow::Result<Outcome> {
    let question = serde_json::from_str(&args.question).context("the question is not understood")?;
    let answer = Database::open_read_only(&args.data.data_dir).and_then(|store| match question {
        Question::Incidents { since, until, include_closed, limit } => {
            let query = IncidentQuery { since, until, include_closed, limit };
            store.incidents(&query).map(|loaded| json(rows(loaded)))
        }
        Question::Approvals => store.approvals().map(|loaded| json(rows(loaded))),
    });
    say(&serde_json::to_string(&answer.unwrap_or_else(|error| json(Err::<(), _>(error.to_string()))))?);
    Ok(Outcome::Fine)
}

fn rows<T>(loaded: Loaded<T>) -> Result<Rows<T>, String> {
    let problems = loaded.problems.iter().map(StoreError::to_string).collect();
    Ok(Rows { rows: loaded.rows, problems })
}

/// As a value, so that answers of all kinds are one type.
fn json(answer: impl Serialize) -> serde_json::Value {
    serde_json::to_value(answer).unwrap_or_default()
}

fn ask<T: DeserializeOwned>(dir: &Path, question: &Question, patience: Duration) -> anyhow::Result<Rows<T>> {
    let mut reader = Command::new("/proc/self/exe")
        .arg(COMMAND)
        .arg("--data-dir")
        .arg(dir)
        .arg(serde_json::to_string(question)?)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("the process that reads the store cannot be started")?;
    let out = reader.stdout.take().context("the process that reads the store has no output")?;
    let (send, answer) = mpsc::channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        let read = out.take(ANSWER_BYTES_MAX).read_to_string(&mut text).map(|_| text);
        drop(send.send(read));
        // It has closed its output, and ends at once.
        drop(reader.wait());
    });
    let text = answer.recv_timeout(patience).context("the store does not answer")??;
    let answer: Result<Rows<T>, String> =
        serde_json::from_str(&text).context("the store was not read: its answer is not understood")?;
    answer.map_err(|error| anyhow!(error))
}
