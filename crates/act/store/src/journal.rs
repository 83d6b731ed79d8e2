//! The journal: what was seen lately, as recordings of bounded size beside each other; the oldest is deleted.
//!
//! Not here: what a line looks like, see `recording.rs`. A disk that is full costs events, which are counted, never
//! the process.

use std::fs::{self, File};
use std::io::{BufReader, BufWriter};
use std::path::{Path, PathBuf};

use model::event::Event;
use model::ids::NodeId;
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::private_file;
use crate::recording::{RecordingReader, RecordingWriter};

/// Name of the journal's directory in the data directory.
pub const JOURNAL_DIR: &str = "journal";

/// Most segments, whatever their size: each start begins one, and something may restart us all day.
pub const SEGMENTS_MAX: usize = 256;

/// Events wait in memory for up to this many bytes or until `flush`.
const BUFFER_BYTES: usize = 64 << 10;

/// How much the journal may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JournalConfig {
    /// All segments together, in bytes.
    pub total_bytes_max: u64,
    /// One segment, in bytes.
    pub segment_bytes_max: u64,
}

impl Default for JournalConfig {
    fn default() -> Self {
        Self { total_bytes_max: 64 << 20, segment_bytes_max: 8 << 20 }
    }
}

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    dir: PathBuf,
    node: NodeId,
    config: JournalConfig,
    /// Whole segments, oldest first, with their bytes.
    closed: Vec<(Segment, u64)>,
    next: u64,
    current: Option<(Segment, RecordingWriter<BufWriter<File>>)>,
    /// Events handed to `current` since it was last flushed.
    unflushed: u64,
    /// The first failure since the last `flush`.
    failure: Option<StoreError>,
    /// Whether events are being lost; on a full disk, trying again with each event would only cost more.
    stopped: bool,
    lost_since_flush: u64,
    lost: u64,
    segments_deleted: u64,
}

/// One file of the journal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Segment {
    /// Its place in the order, from 1.
    pub number: u64,
    /// The file.
    pub path: PathBuf,
}

impl Journal {
    /// Opens the journal in a data directory, makes it when it is missing. What an earlier run wrote stays as it is;
    /// a new segment begins with the first event.
    pub fn open(dir: &Path, node: &NodeId, config: JournalConfig) -> Result<Self, StoreError> {
        let dir = dir.join(JOURNAL_DIR);
        private_file::make_dir(&dir)?;
        let found = list(&dir)?;
        let next = found.last().map_or(1, |last| last.number.saturating_add(1));
        let closed = found.into_iter().map(|segment| {
            // Gone since it was listed, or unreadable: it then counts for nothing, and deleting it will say why.
            let bytes = segment.path.metadata().map_or(0, |found| found.len());
            (segment, bytes)
        });
        Ok(Self {
            closed: closed.collect(),
            dir,
            node: node.clone(),
            config,
            next,
            current: None,
            unflushed: 0,
            failure: None,
            stopped: false,
            lost_since_flush: 0,
            lost: 0,
            segments_deleted: 0,
        })
    }

    /// Adds one event. What fails is reported by the next [`Journal::flush`]; when it is the disk, events
    /// are lost until then.
    pub fn append(&mut self, event: &Event) {
        if self.stopped {
            self.lost_since_flush += 1;
            return;
        }
        match self.write(event) {
            Ok(()) => self.unflushed += 1,
            Err(error @ StoreError::TooLong { .. }) => {
                // Nothing of it was written, so the segment is sound.
                self.lost_since_flush += 1;
                self.failure.get_or_insert(error);
            }
            Err(error) => self.fail(error, 1),
        }
    }

    /// Hands all events to the kernel: after this, kill -9 does not take them. Call it once a second; it reports
    /// what was lost since the last call, and lets the journal try again.
    pub fn flush(&mut self) -> Result<(), StoreError> {
        if let Some((_, writer)) = &mut self.current
            && let Err(error) = writer.flush()
        {
            self.fail(error, 0);
        }
        self.unflushed = 0;
        self.stopped = false;
        let lost = std::mem::take(&mut self.lost_since_flush);
        self.lost += lost;
        match self.failure.take() {
            Some(source) => Err(StoreError::Lost { lost, source: Box::new(source) }),
            None => Ok(()),
        }
    }

    /// Events lost since it was opened, at most: of a buffer that could not be written, a part may have been.
    pub fn lost(&self) -> u64 {
        self.lost + self.lost_since_flush
    }

    /// Segments deleted since it was opened, to stay within the limit.
    pub fn segments_deleted(&self) -> u64 {
        self.segments_deleted
    }

    fn write(&mut self, event: &Event) -> Result<(), StoreError> {
        if self.current.as_ref().is_some_and(|(_, writer)| writer.bytes() >= self.config.segment_bytes_max) {
            self.close_segment()?;
        }
        match &mut self.current {
            Some((_, writer)) => writer.write(event),
            None => self.begin_segment()?.write(event),
        }
    }

    fn close_segment(&mut self) -> Result<(), StoreError> {
        let Some((segment, mut writer)) = self.current.take() else { return Ok(()) };
        let flushed = writer.flush();
        self.closed.push((segment, writer.bytes()));
        flushed?;
        self.unflushed = 0;
        Ok(())
    }

    fn begin_segment(&mut self) -> Result<&mut RecordingWriter<BufWriter<File>>, StoreError> {
        self.make_room()?;
        let segment = Segment { number: self.next, path: self.dir.join(segment_name(self.next)) };
        self.next = self.next.saturating_add(1);
        let file = private_file::create(&segment.path).map_err(StoreError::io(&segment.path))?;
        let out = BufWriter::with_capacity(BUFFER_BYTES, file);
        let mut writer = RecordingWriter::new(out, &segment.path, &self.node)?;
        // At once, so that a reader of the running journal finds a header and not an empty file.
        writer.flush()?;
        Ok(&mut self.current.insert((segment, writer)).1)
    }

    /// Deletes the oldest segments until one more fits.
    fn make_room(&mut self) -> Result<(), StoreError> {
        let room = self.config.total_bytes_max.saturating_sub(self.config.segment_bytes_max);
        while self.closed.len() >= SEGMENTS_MAX || self.closed_bytes() > room {
            let (oldest, _) = self.closed.remove(0);
            self.segments_deleted += 1;
            match fs::remove_file(&oldest.path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(StoreError::io(&oldest.path)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn closed_bytes(&self) -> u64 {
        self.closed.iter().map(|(_, bytes)| bytes).sum()
    }

    /// Gives up the current segment, whose last line may be cut, and loses what its buffer held.
    fn fail(&mut self, error: StoreError, events: u64) {
        self.lost_since_flush += std::mem::take(&mut self.unflushed) + events;
        if let Some((segment, writer)) = self.current.take() {
            self.closed.push((segment, writer.bytes()));
        }
        self.stopped = true;
        self.failure.get_or_insert(error);
    }
}

/// The segments of the journal in a data directory, oldest first; none when there is no journal.
pub fn segments(dir: &Path) -> Result<Vec<Segment>, StoreError> {
    let dir = dir.join(JOURNAL_DIR);
    if dir.exists() { list(&dir) } else { Ok(Vec::new()) }
}

/// Reads a journal from its oldest event to its newest, also while it is being written.
#[derive(Debug)]
pub struct JournalReader {
    segments: std::vec::IntoIter<Segment>,
    current: Option<RecordingReader<BufReader<File>>>,
    torn: u64,
}

impl JournalReader {
    /// Opens the journal in a data directory.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        Ok(Self { segments: segments(dir)?.into_iter(), current: None, torn: 0 })
    }

    /// Segments so far whose last line was cut: one for each run that was killed while it wrote.
    pub fn torn(&self) -> u64 {
        self.torn
    }
}

impl Iterator for JournalReader {
    type Item = Result<Event, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(reader) = &mut self.current {
                match reader.next() {
                    Some(event) => return Some(event),
                    None => self.torn += u64::from(reader.torn().is_some()),
                }
            }
            match RecordingReader::open(&self.segments.next()?.path) {
                Ok(reader) => self.current = Some(reader),
                Err(error) => {
                    self.current = None;
                    return Some(Err(error));
                }
            }
        }
    }
}

fn segment_name(number: u64) -> String {
    format!("events-{number:020}.jsonl")
}

fn segment_number(name: &str) -> Option<u64> {
    name.strip_prefix("events-")?.strip_suffix(".jsonl")?.parse().ok()
}

/// Files of other names are somebody else's: neither read nor deleted.
fn list(dir: &Path) -> Result<Vec<Segment>, StoreError> {
    let mut found = Vec::new();
    for entry in dir.read_dir().map_err(StoreError::io(dir))? {
        let path = entry.map_err(StoreError::io(dir))?.path();
        let number = path.file_name().and_then(|name| name.to_str()).and_then(segment_number);
        found.extend(number.map(|number| Segment { number, path }));
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests;
