//! The control socket: how the other commands reach a running Tidewatch. Root only, one JSON line each way.
//!
//! Not here: the answers (`live/answer.rs`). A client is served by a thread of its own and can stall only itself.

use std::fs;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, after, bounded};
use model::approval::{Approval, Scope};
use model::event::Event;
use model::expectation::{Expectation, ExpectationId};
use model::graph::GraphView;
use model::ids::NodeId;
use model::incident::{Closing, Incident, IncidentId};
use model::inventory::InventoryView;
use model::untrusted::Untrusted;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use store::recording::RecordingWriter;

use crate::live::EngineError;
use crate::status::Status;

/// Name of the socket in the data directory.
pub const SOCKET: &str = "control.sock";

/// Longest request, in bytes: as many expectations as are kept, with a few kilobytes each.
const REQUEST_BYTES_MAX: u64 = 4 << 20;
/// Clients served at once.
const CLIENTS_MAX: usize = 32;
/// How long a client may take to send its request, and the engine to answer it.
const PATIENCE: Duration = Duration::from_secs(10);

/// What can be asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "ask")]
pub enum Request {
    /// How are you, what do you see?
    Status,
    /// Send me every event from now on, after the state they start from.
    Record,
    /// Approve what runs now.
    ApproveRunning {
        /// Who asks.
        owner: Untrusted,
        /// Why.
        note: Untrusted,
    },
    /// Approve something.
    Approve {
        /// What.
        scope: Scope,
        /// Who asks.
        owner: Untrusted,
        /// Why.
        note: Untrusted,
    },
    /// Take an approval back.
    Revoke {
        /// Which.
        id: u64,
        /// Who asks.
        owner: Untrusted,
    },
    /// Expect something, all of it or nothing.
    Expect {
        /// What, when, and who answers for it.
        expectations: Vec<Expectation>,
    },
    /// Take an expectation back.
    Unexpect {
        /// Which.
        id: ExpectationId,
        /// Who asks.
        owner: Untrusted,
    },
    /// Who talks to whom?
    Graph,
    /// Who is there, and what does each view say about it?
    Inventory,
    /// Write who talks to whom as network policies.
    SuggestPolicy {
        /// New and unexpected edges too.
        everything: bool,
    },
    /// Close incidents.
    Close {
        /// Which.
        ids: Vec<IncidentId>,
        /// All open ones instead.
        all: bool,
        /// With what verdict.
        closing: Closing,
    },
}

/// What is answered.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// How it is.
    Status(Box<Status>),
    /// Approvals now in force, and what could not be approved and why.
    Approved {
        /// In force.
        approved: Vec<Approval>,
        /// One sentence each.
        left_out: Vec<String>,
    },
    /// The approval taken back.
    Revoked(Box<Approval>),
    /// The expectations now in force, each in place of the one asked for.
    Expected(Vec<Expectation>),
    /// The expectation taken back.
    Unexpected(Box<Expectation>),
    /// Who talks to whom.
    Graph(Box<GraphView>),
    /// Who is there.
    Inventory(Box<InventoryView>),
    /// Network policies, as YAML.
    Policy(String),
    /// The incidents closed.
    Closed(Vec<IncidentId>),
    /// A recording follows; never sent as it is.
    #[serde(skip)]
    Recording(Box<Recording>),
}

/// An answer, or why there is none.
pub type Reply = Result<Answer, String>;

/// A recording to be sent.
#[derive(Debug)]
pub struct Recording {
    pub(crate) node: NodeId,
    pub(crate) checkpoint_version: u32,
    pub(crate) checkpoint: Box<RawValue>,
    pub(crate) events: Receiver<Event>,
}

/// A request on its way to the engine's loop.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) request: Request,
    pub(crate) reply: Sender<Reply>,
}

/// The listening socket; removed when dropped.
#[derive(Debug)]
pub(crate) struct Control {
    path: PathBuf,
    asked: Receiver<Asked>,
}

impl Control {
    /// Listens in the data directory. Fails when another Tidewatch listens there.
    pub(crate) fn listen(dir: &Path) -> Result<Self, EngineError> {
        let path = dir.join(SOCKET);
        let failed = |source| EngineError::Control { path: path.clone(), source };
        if UnixStream::connect(&path).is_ok() {
            return Err(failed(io::Error::new(
                io::ErrorKind::AddrInUse,
                "another Tidewatch runs on this data directory",
            )));
        }
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        // The directory is 0700 already; the mode of the socket is a second lock.
        let listener = UnixListener::bind(&path).map_err(failed)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        let (to_engine, asked) = bounded(CLIENTS_MAX);
        std::thread::spawn(move || serve(&listener, &to_engine));
        Ok(Self { path, asked })
    }

    pub(crate) fn asked(&self) -> &Receiver<Asked> {
        &self.asked
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // Already gone is fine.
        drop(fs::remove_file(&self.path));
    }
}

/// The open incidents that a request to close means; an unknown name refuses all of it.
pub fn chosen(mut open: Vec<Incident>, ids: &[IncidentId], all: bool) -> Result<Vec<Incident>, String> {
    if let Some(id) = ids.iter().find(|id| !open.iter().any(|incident| incident.id == **id)) {
        return Err(format!("no open incident {id}"));
    }
    open.retain(|incident| all || ids.contains(&incident.id));
    Ok(open)
}

/// Why a running Tidewatch could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// None runs on that data directory.
    #[error("no Tidewatch runs on {dir:?}: {source}")]
    NotRunning {
        /// The data directory.
        dir: PathBuf,
        /// What connecting said.
        #[source]
        source: io::Error,
    },
    /// The connection broke.
    #[error("asking the running Tidewatch failed: {0}")]
    Broken(#[from] io::Error),
    /// What is asked is longer than a request may be.
    #[error("the request has {bytes} bytes; at most {REQUEST_BYTES_MAX} are taken")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// It answered something else.
    #[error("the running Tidewatch answered what this version does not understand: {0}")]
    Answer(#[from] serde_json::Error),
    /// It refused.
    #[error("{0}")]
    Refused(String),
}

/// Asks the Tidewatch that runs on a data directory.
pub fn ask(dir: &Path, request: &Request) -> Result<Answer, AskError> {
    let mut answer = BufReader::new(send(dir, request)?);
    let mut line = String::new();
    answer.read_line(&mut line)?;
    serde_json::from_str::<Reply>(&line)?.map_err(AskError::Refused)
}

/// Asks for a recording; its lines come out of the stream until either side closes it.
pub fn ask_recording(dir: &Path) -> Result<UnixStream, AskError> {
    send(dir, &Request::Record)
}

fn send(dir: &Path, request: &Request) -> Result<UnixStream, AskError> {
    let not_running = |source| AskError::NotRunning { dir: dir.to_owned(), source };
    let mut stream = UnixStream::connect(dir.join(SOCKET)).map_err(not_running)?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    if line.len() as u64 > REQUEST_BYTES_MAX {
        return Err(AskError::TooLong { bytes: line.len() });
    }
    stream.write_all(&line)?;
    Ok(stream)
}

fn serve(listener: &UnixListener, to_engine: &Sender<Asked>) {
    let serving = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        let Ok(stream) = stream else {
            // Out of file descriptors, most likely: trying again at once would only burn a core.
            let _later = after(Duration::from_millis(100)).recv();
            continue;
        };
        if serving.fetch_add(1, Ordering::AcqRel) >= CLIENTS_MAX {
            serving.fetch_sub(1, Ordering::AcqRel);
            continue;
        }
        let (serving, to_engine) = (Arc::clone(&serving), to_engine.clone());
        std::thread::spawn(move || {
            if let Err(error) = serve_one(&stream, &to_engine) {
                tracing::debug!(%error, "a control client went away");
            }
            serving.fetch_sub(1, Ordering::AcqRel);
        });
    }
}

fn serve_one(stream: &UnixStream, to_engine: &Sender<Asked>) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new(stream.take(REQUEST_BYTES_MAX)).read_line(&mut line)?;
    let answer = match serde_json::from_str(&line) {
        Ok(request) => put(request, to_engine),
        Err(error) => Err(format!("the request is not understood: {error}")),
    };
    match answer {
        Ok(Answer::Recording(recording)) => send_recording(stream, &recording),
        answer => {
            let mut out = BufWriter::new(stream);
            serde_json::to_writer(&mut out, &answer)?;
            out.write_all(b"\n")?;
            out.flush()
        }
    }
}

fn put(request: Request, to_engine: &Sender<Asked>) -> Reply {
    let (reply, answer) = bounded(1);
    let busy = || "Tidewatch is too busy to answer".to_owned();
    to_engine.send_timeout(Asked { request, reply }, PATIENCE).map_err(|_| busy())?;
    answer.recv_timeout(PATIENCE).map_err(|_| busy())?
}

fn send_recording(stream: &UnixStream, recording: &Recording) -> io::Result<()> {
    let other = |error: store::error::StoreError| io::Error::other(error.to_string());
    let out = BufWriter::new(stream);
    let mut writer = RecordingWriter::with_checkpoint(
        out,
        Path::new("recording"),
        &recording.node,
        recording.checkpoint_version,
        &recording.checkpoint,
    )
    .map_err(other)?;
    loop {
        match recording.events.recv_timeout(Duration::from_millis(100)) {
            Ok(event) => writer.write(&event).map_err(other)?,
            // Nothing waits: hand on what is buffered, which also tells whether the client is still there.
            Err(RecvTimeoutError::Timeout) => writer.flush().map_err(other)?,
            // The client was too slow and lost its place: the cut tells it so.
            Err(RecvTimeoutError::Disconnected) => return writer.flush().map_err(other),
        }
    }
}

#[cfg(test)]
mod tests;
