//! The control socket: how the other commands reach a running Tidewatch. Root only, one JSON line each way.
//!
//! Not here: the answers (`live/answer.rs`), who is served when many ask (`control/places.rs`).

mod address;

mod places;

mod serving;

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, never};
use deadline::pulse::Pulses;
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

use crate::control::places::{PLACES_MAX, Places};
use crate::live::EngineError;
use crate::status::Status;

/// Name of the socket in the data directory.
pub const SOCKET: &str = "control.sock";

/// Longest request, in bytes: as many expectations as are kept, with a few kilobytes each.
const REQUEST_BYTES_MAX: u64 = 4 << 20;
/// How much of an answer is handed to the kernel or taken from it at a time: that of many containers has megabytes.
const ANSWER_PIECE_BYTES: usize = 64 << 10;
/// Longest wait for an answer, of a client. The engine's own deadlines are shorter; a stopped one keeps none.
const ANSWER_WAIT: Duration = Duration::from_secs(30);

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
    /// What is not stored yet, and what is open?
    Unstored,
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
    /// What is in memory alone.
    Unstored(Box<Unstored>),
    /// The answer; what was decided holds, but could not be stored yet.
    NotStored {
        /// The answer.
        answer: Box<Self>,
        /// Why it is not stored.
        reason: String,
    },
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

/// What is in memory and not, or not yet, in the store.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Unstored {
    /// Incidents with changes that are not stored, closed ones too.
    pub incidents: Vec<Incident>,
    /// Every incident that is open.
    pub open: Vec<Incident>,
    /// Approvals in force that are not stored.
    pub approvals: Vec<Approval>,
    /// Approvals that were taken back, which the store does not know yet.
    pub revoked: Vec<Approval>,
    /// Why it is not stored; empty while all is well.
    pub reason: String,
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
    places: Arc<Places>,
}

impl Control {
    /// Listens in the data directory. Fails when another Tidewatch listens there.
    pub(crate) fn listen(dir: &Path, pulses: &Pulses) -> Result<Self, EngineError> {
        let candidates = address::places(dir);
        if address::connect(&candidates).is_ok() {
            let message = "another Tidewatch runs on this data directory";
            let source = io::Error::new(io::ErrorKind::AddrInUse, message);
            return Err(EngineError::Control { path: dir.join(SOCKET), source });
        }
        let (to_engine, asked) = bounded(PLACES_MAX);
        let places = Arc::<Places>::default();
        let clients = (Arc::clone(&places), to_engine);
        let serve = |(listener, path)| serving::spawn(listener, clients, pulses).map(|()| path);
        match address::listen(&candidates).and_then(serve) {
            Ok(path) => Ok(Self { path, asked, places }),
            // Detection does not depend on anybody being able to ask.
            Err(error) => {
                tracing::error!(%error, dir = %dir.display(), "there is no control socket: no command reaches this run");
                Ok(Self { path: PathBuf::new(), asked: never(), places: Arc::default() })
            }
        }
    }

    pub(crate) fn asked(&self) -> &Receiver<Asked> {
        &self.asked
    }

    /// Clients turned away or cut off for others since this was last asked.
    pub(crate) fn take_refused(&self) -> u64 {
        self.places.take_refused()
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
    let stream = send(dir, request)?;
    stream.set_read_timeout(Some(ANSWER_WAIT))?;
    let mut line = String::new();
    BufReader::with_capacity(ANSWER_PIECE_BYTES, stream).read_line(&mut line)?;
    if line.is_empty() {
        return Err(AskError::Broken(io::ErrorKind::UnexpectedEof.into()));
    }
    serde_json::from_str::<Reply>(&line)?.map_err(AskError::Refused)
}

/// As [`ask`], for a request that decides something: gives the answer, and why it is not stored when it is not.
pub fn ask_to_keep(dir: &Path, request: &Request) -> Result<(Answer, Option<String>), AskError> {
    Ok(match ask(dir, request)? {
        Answer::NotStored { answer, reason } => (*answer, Some(reason)),
        answer => (answer, None),
    })
}

/// Asks for a recording; its lines come out of the stream until either side closes it.
pub fn ask_recording(dir: &Path) -> Result<UnixStream, AskError> {
    send(dir, &Request::Record)
}

fn send(dir: &Path, request: &Request) -> Result<UnixStream, AskError> {
    let not_running = |source| AskError::NotRunning { dir: dir.to_owned(), source };
    let mut stream = address::connect(&address::places(dir)).map_err(not_running)?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    if line.len() as u64 > REQUEST_BYTES_MAX {
        return Err(AskError::TooLong { bytes: line.len() });
    }
    match stream.write_all(&line) {
        // Turned away before all was read: the answer says why.
        Err(error) if !matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => {
            Err(error.into())
        }
        _ => Ok(stream),
    }
}

#[cfg(test)]
mod tests;
