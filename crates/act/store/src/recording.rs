//! Recordings of events as JSON lines: a header, at most one checkpoint, then one event a line.
//!
//! Not here: segments and their limit, see `journal.rs`. What a checkpoint holds is its writer's business. A recording
//! may come from anybody: lines are bounded, and whatever cannot be read is a problem with its line number.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use model::event::Event;
use model::ids::NodeId;
use model::untrusted::Untrusted;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::error::StoreError;

/// The version written; a reader refuses later ones.
pub const RECORDING_VERSION: u32 = 1;

/// Longest line of an event, in bytes.
pub const LINE_BYTES_MAX: usize = 1 << 20;

/// Longest line of a checkpoint, in bytes.
pub const CHECKPOINT_BYTES_MAX: usize = 64 << 20;

/// What the `tidewatch` field of a header says, to tell a recording from any other JSON lines.
const MAGIC: &str = "events";

/// How a checkpoint line begins; no event does.
const CHECKPOINT_START: &[u8] = b"{\"checkpoint\":";

#[derive(Serialize, Deserialize)]
struct Header {
    tidewatch: String,
    version: u32,
    node: NodeId,
}

#[derive(Serialize)]
struct CheckpointLine<'a, T> {
    checkpoint: &'a T,
    checkpoint_version: u32,
}

#[derive(Deserialize)]
struct RawCheckpointLine {
    checkpoint: Box<RawValue>,
    checkpoint_version: u32,
}

/// State to start a replay from, unread: parsing 64 MiB of foreign JSON into a tree would take gigabytes.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// Version of the form, as its writer counts.
    pub version: u32,
    state: Box<RawValue>,
    path: PathBuf,
}

impl Checkpoint {
    /// The state as its writer's type, or as a [`serde_json::Value`].
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, StoreError> {
        serde_json::from_str(self.state.get()).map_err(|error| at_line(&self.path, 2, &json_problem(&error)))
    }
}

/// Writes a recording. Nothing is buffered here: give it a `BufWriter`, and flush it.
#[derive(Debug)]
pub struct RecordingWriter<W: Write> {
    out: W,
    path: PathBuf,
    bytes: u64,
}

impl<W: Write> RecordingWriter<W> {
    /// Begins a recording with its header; `path` is for messages.
    pub fn new(out: W, path: &Path, node: &NodeId) -> Result<Self, StoreError> {
        let mut writer = Self { out, path: path.to_owned(), bytes: 0 };
        let header = Header { tidewatch: MAGIC.to_owned(), version: RECORDING_VERSION, node: node.clone() };
        writer.write_line("a header", &header, LINE_BYTES_MAX)?;
        Ok(writer)
    }

    /// Begins a recording with its header and the state that a replay of it starts from.
    pub fn with_checkpoint<T: Serialize>(
        out: W,
        path: &Path,
        node: &NodeId,
        checkpoint_version: u32,
        state: &T,
    ) -> Result<Self, StoreError> {
        let mut writer = Self::new(out, path, node)?;
        let line = CheckpointLine { checkpoint: state, checkpoint_version };
        writer.write_line("a checkpoint", &line, CHECKPOINT_BYTES_MAX)?;
        Ok(writer)
    }

    /// Goes on with a recording that has its header and is that long.
    pub(crate) fn continued(out: W, path: &Path, bytes: u64) -> Self {
        Self { out, path: path.to_owned(), bytes }
    }

    /// Adds one event. After an [`StoreError::Io`] the last line may be cut: write no more to this recording.
    pub fn write(&mut self, event: &Event) -> Result<(), StoreError> {
        self.write_line("an event", event, LINE_BYTES_MAX)
    }

    /// Adds lines that are whole events already. After an error the last line may be cut, as after [`Self::write`].
    pub(crate) fn write_lines(&mut self, lines: &[u8]) -> Result<(), StoreError> {
        self.out.write_all(lines).map_err(StoreError::io(&self.path))?;
        self.bytes += lines.len() as u64;
        Ok(())
    }

    /// Hands on what a buffer below holds.
    pub fn flush(&mut self) -> Result<(), StoreError> {
        self.out.flush().map_err(StoreError::io(&self.path))
    }

    /// Bytes written so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Gives back what was written to.
    pub fn into_inner(self) -> W {
        self.out
    }

    fn write_line<T: Serialize>(
        &mut self,
        what: &'static str,
        line: &T,
        limit: usize,
    ) -> Result<(), StoreError> {
        let io_error = |error: serde_json::Error| StoreError::io(&self.path)(error.into());
        let mut text = serde_json::to_vec(line).map_err(io_error)?;
        if text.len() > limit {
            return Err(StoreError::TooLong { path: self.path.clone(), what, bytes: text.len(), limit });
        }
        text.push(b'\n');
        self.out.write_all(&text).map_err(StoreError::io(&self.path))?;
        self.bytes += text.len() as u64;
        Ok(())
    }
}

impl<W: Write> RecordingWriter<BufWriter<W>> {
    /// Whether the buffer below holds nothing.
    pub(crate) fn is_flushed(&self) -> bool {
        self.out.buffer().is_empty()
    }
}

/// An event as a line of a recording, with its end.
pub(crate) fn event_line(event: &Event) -> Result<Vec<u8>, StoreError> {
    let path = Path::new("an event");
    let mut line = serde_json::to_vec(event).map_err(|error| StoreError::io(path)(error.into()))?;
    if line.len() > LINE_BYTES_MAX {
        let (path, bytes) = (path.to_owned(), line.len());
        return Err(StoreError::TooLong { path, what: "an event", bytes, limit: LINE_BYTES_MAX });
    }
    line.push(b'\n');
    Ok(line)
}

/// Reads a recording as an iterator of events. A line that cannot be read is an error with its number, and the next
/// line follows; a failing read is an error, and nothing follows.
#[derive(Debug)]
pub struct RecordingReader<R: BufRead> {
    input: R,
    path: PathBuf,
    node: NodeId,
    checkpoint: Option<Checkpoint>,
    /// Number of the last line read.
    line: u64,
    /// The line after the header, when it turned out to be no checkpoint.
    second: Option<(Vec<u8>, Ending)>,
    torn: Option<u64>,
    ended: bool,
}

/// How a line ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// With a newline.
    Whole,
    /// With the input.
    Cut,
    /// Not within the limit; the rest of it was skipped.
    TooLong,
}

impl RecordingReader<BufReader<File>> {
    /// Opens a recording in a file and reads its header and checkpoint.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let file = File::open(path).map_err(StoreError::io(path))?;
        Self::new(BufReader::new(file), path)
    }
}

impl<R: BufRead> RecordingReader<R> {
    /// Reads the header and the checkpoint; `path` is for messages.
    pub fn new(mut input: R, path: &Path) -> Result<Self, StoreError> {
        let mut text = Vec::new();
        let ending = read_line(&mut input, &mut text, LINE_BYTES_MAX).map_err(StoreError::io(path))?;
        let header = parse_header(&text, ending).map_err(|problem| StoreError::Header {
            path: path.to_owned(),
            problem: Untrusted::new(&problem),
        })?;
        let mut reader = Self {
            input,
            path: path.to_owned(),
            node: header.node,
            checkpoint: None,
            line: 1,
            second: None,
            torn: None,
            ended: false,
        };
        reader.read_second()?;
        Ok(reader)
    }

    /// The host it was recorded on.
    pub fn node(&self) -> &NodeId {
        &self.node
    }

    /// The state that a replay starts from, when there is one; gone once taken.
    pub fn take_checkpoint(&mut self) -> Option<Checkpoint> {
        self.checkpoint.take()
    }

    /// The number of the last line when it was cut short, as kill -9 or a copy of a growing file leaves it; known
    /// once the iteration has ended.
    pub fn torn(&self) -> Option<u64> {
        self.torn
    }

    fn read_second(&mut self) -> Result<(), StoreError> {
        let mut text = Vec::new();
        let ending = read_line(&mut self.input, &mut text, CHECKPOINT_BYTES_MAX)
            .map_err(StoreError::io(&self.path))?;
        if !text.starts_with(CHECKPOINT_START) {
            let ending = if text.len() > LINE_BYTES_MAX { Ending::TooLong } else { ending };
            self.second = Some((text, ending));
            return Ok(());
        }
        self.line = 2;
        if ending == Ending::TooLong {
            let problem = format!("the checkpoint is longer than {CHECKPOINT_BYTES_MAX} bytes");
            return Err(at_line(&self.path, 2, &problem));
        }
        let line: RawCheckpointLine =
            serde_json::from_slice(&text).map_err(|error| at_line(&self.path, 2, &json_problem(&error)))?;
        let path = self.path.clone();
        self.checkpoint = Some(Checkpoint { version: line.checkpoint_version, state: line.checkpoint, path });
        Ok(())
    }

    fn next_line(&mut self) -> io::Result<(Vec<u8>, Ending)> {
        if let Some(second) = self.second.take() {
            return Ok(second);
        }
        let mut text = Vec::new();
        let ending = read_line(&mut self.input, &mut text, LINE_BYTES_MAX)?;
        Ok((text, ending))
    }

    fn event(&mut self, text: &[u8], ending: Ending) -> Option<Result<Event, StoreError>> {
        if ending == Ending::TooLong {
            return Some(Err(at_line(&self.path, self.line, &format!("longer than {LINE_BYTES_MAX} bytes"))));
        }
        match serde_json::from_slice(text) {
            Ok(event) => Some(Ok(event)),
            // A newline that is missing is no harm when the event before it is whole.
            Err(_) if ending == Ending::Cut => {
                self.torn = Some(self.line);
                None
            }
            Err(error) => Some(Err(at_line(&self.path, self.line, &json_problem(&error)))),
        }
    }
}

impl<R: BufRead> Iterator for RecordingReader<R> {
    type Item = Result<Event, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        match self.next_line() {
            Ok((text, ending)) => {
                self.ended = ending == Ending::Cut;
                if self.ended && text.is_empty() {
                    return None;
                }
                self.line += 1;
                self.event(&text, ending)
            }
            Err(error) => {
                self.ended = true;
                Some(Err(StoreError::io(&self.path)(error)))
            }
        }
    }
}

fn parse_header(text: &[u8], ending: Ending) -> Result<Header, String> {
    if ending == Ending::Cut && text.is_empty() {
        return Err("is empty, not even a header was written".to_owned());
    }
    let header: Header = serde_json::from_slice(text).map_err(|error| {
        format!("is no recording of tidewatch, its first line is no header: {}", json_problem(&error))
    })?;
    if header.tidewatch != MAGIC {
        return Err(format!("holds {:?}, not {MAGIC:?}", header.tidewatch));
    }
    if header.version > RECORDING_VERSION {
        return Err(format!(
            "is of version {}, this program reads up to {RECORDING_VERSION}",
            header.version
        ));
    }
    Ok(header)
}

/// Reads up to and without the newline, at most `limit` bytes; of a longer line the rest is skipped, not kept.
fn read_line(input: &mut impl BufRead, text: &mut Vec<u8>, limit: usize) -> io::Result<Ending> {
    input.by_ref().take(limit as u64 + 1).read_until(b'\n', text)?;
    if text.last() == Some(&b'\n') {
        text.pop();
        return Ok(Ending::Whole);
    }
    if text.len() <= limit {
        return Ok(Ending::Cut);
    }
    input.skip_until(b'\n')?;
    Ok(Ending::TooLong)
}

fn at_line(path: &Path, line: u64, problem: &str) -> StoreError {
    StoreError::Line { path: path.to_owned(), line, problem: Untrusted::new(problem) }
}

/// The parser counts lines too, but it is always given one: its number would contradict ours.
fn json_problem(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let problem = text.rsplit_once(" at line ").map_or(text.as_str(), |(problem, _)| problem);
    format!("{problem}, column {}", error.column())
}

#[cfg(test)]
mod tests;
