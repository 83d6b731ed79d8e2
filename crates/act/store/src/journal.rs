//! The journal: what was seen lately, as recordings of bounded size beside each other; the oldest is deleted.
//!
//! Not here: what a line looks like, see `recording.rs`. A disk that is full costs events, which are counted, never
//! the process.

mod disk;

pub mod feed;

mod lines;
mod open_segment;
mod pause;

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use model::coverage::Source;
use model::event::{Body, Event};
use model::ids::NodeId;
use model::integrity::Integrity;
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::journal::disk::{Disk, RealDisk};
use crate::journal::lines::Lines;
use crate::journal::open_segment::OpenSegment;
use crate::journal::pause::Pause;
use crate::recording::RecordingReader;

/// Name of the journal's directory in the data directory.
pub const JOURNAL_DIR: &str = "journal";

/// Most segments, whatever their size: each start begins one, and something may restart us all day. Above it the shortest
/// goes, so that many nearly empty ones do not take the place of long ones.
pub const SEGMENTS_MAX: usize = 256;

/// Highest number of a segment that counts: one a second for thirty thousand years. A file with a higher one is not ours.
pub const SEGMENT_NUMBER_MAX: u64 = 1_000_000_000_000;

/// Names in a row that something else may bear.
const TAKEN_MAX: u64 = 1_000;

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
pub struct Journal<D: Disk = RealDisk> {
    disk: D,
    /// The data directory's journal.
    dir: PathBuf,
    node: NodeId,
    config: JournalConfig,
    /// Whole segments, oldest first, with their bytes.
    closed: Vec<(Segment, u64)>,
    /// Names in the directory that are not those of segments.
    foreign: Vec<String>,
    next: u64,
    current: Option<OpenSegment<D::File>>,
    /// The first failure since the last `flush`.
    failure: Option<StoreError>,
    /// While it is on, events are lost; on a full disk, trying again with each event would only cost more.
    pause: Pause,
    lost_since_flush: u64,
    lost: u64,
    /// Lost since the last event that was written: the gap that the next one is behind.
    gap: u64,
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
        Self::open_on(RealDisk, dir, node, config)
    }
}

impl<D: Disk> Journal<D> {
    /// As [`Journal::open`], on that disk.
    pub(crate) fn open_on(
        disk: D,
        dir: &Path,
        node: &NodeId,
        config: JournalConfig,
    ) -> Result<Self, StoreError> {
        let dir = dir.join(JOURNAL_DIR);
        disk.make_dir(&dir)?;
        let found = disk.list(&dir)?;
        Ok(Self {
            next: found.segments.last().map_or(1, |(last, _)| last.number + 1),
            closed: found.segments,
            foreign: found.foreign,
            disk,
            dir,
            node: node.clone(),
            config,
            current: None,
            failure: None,
            pause: Pause::default(),
            lost_since_flush: 0,
            lost: 0,
            gap: 0,
            segments_deleted: 0,
        })
    }

    /// Adds one event. What fails is reported by the next [`Journal::flush`]; when it is the disk, events
    /// are lost until then.
    pub fn append(&mut self, event: &Event) {
        let mut lines = Lines::default();
        match lines.add(event) {
            Ok(()) => self.append_lines(&lines),
            Err(error) => {
                // Nothing of it was written, so the segment is sound.
                self.lose(1);
                self.failure.get_or_insert(error);
            }
        }
    }

    /// Adds events that are lines already.
    pub fn append_lines(&mut self, lines: &Lines) {
        self.lose(lines.lost);
        if lines.events == 0 {
            return;
        }
        if self.pause.is_on() {
            self.lose(lines.events);
            return;
        }
        if let Err(error) = self.write(lines) {
            self.lose(lines.events);
            self.fail(error);
        }
    }

    /// Hands all events to the kernel: after this, kill -9 does not take them. Call it once a second; it reports
    /// what was lost since the last call, and lets the journal try again, after a failure less and less often.
    pub fn flush(&mut self) -> Result<(), StoreError> {
        if let Err(error) = self.flush_current() {
            self.fail(error);
        }
        self.pause.flushed();
        let lost = std::mem::take(&mut self.lost_since_flush);
        self.lost += lost;
        match self.failure.take() {
            Some(source) => Err(StoreError::Lost { lost, source: Box::new(source) }),
            None => Ok(()),
        }
    }

    fn flush_current(&mut self) -> Result<(), StoreError> {
        let Some(current) = &mut self.current else { return Ok(()) };
        current.flush()?;
        if self.pause.is_on() { Ok(()) } else { self.check_room() }
    }

    /// What is left of a disk that is nearly full is for incidents and decisions.
    fn check_room(&self) -> Result<(), StoreError> {
        match self.disk.has_room(&self.dir) {
            true => Ok(()),
            false => Err(StoreError::io(&self.dir)(std::io::ErrorKind::StorageFull.into())),
        }
    }

    /// Events lost since it was opened, at most: of a buffer that could not be written, a part may have been.
    pub fn lost(&self) -> u64 {
        self.lost + self.lost_since_flush
    }

    /// Whether events are being lost.
    pub fn is_losing(&self) -> bool {
        self.pause.is_on() || self.gap > 0
    }

    /// Segments deleted since it was opened, to stay within the limit.
    pub fn segments_deleted(&self) -> u64 {
        self.segments_deleted
    }

    /// Names in the journal's directory that are not those of segments of ours: neither read nor deleted.
    pub fn foreign(&self) -> &[String] {
        &self.foreign
    }

    fn lose(&mut self, events: u64) {
        self.lost_since_flush += events;
        self.gap += events;
    }

    fn write(&mut self, lines: &Lines) -> Result<(), StoreError> {
        if self.gap > 0 {
            self.check_room()?;
        }
        if self.current.as_ref().is_some_and(|current| current.bytes() >= self.config.segment_bytes_max) {
            self.close_segment()?;
        }
        if self.current.is_none() {
            self.begin_segment()?;
        }
        self.make_room(lines.bytes.len() as u64)?;
        let gap = self.gap_before(lines);
        let Some(current) = &mut self.current else { return Ok(()) };
        if let Some(gap) = gap {
            current.write_gap(&gap)?;
            self.gap = 0;
        }
        current.write(lines)
    }

    /// The gap since the last event that was written, as an event at the time of the first one after it.
    fn gap_before(&self, lines: &Lines) -> Option<Event> {
        let (time, seen) = lines.first.filter(|_| self.gap > 0)?;
        let fact = Integrity::NotStored {
            what: "journal".into(),
            waiting: 0,
            dropped: self.gap,
            reason: "these events are missing before this place in the journal".into(),
        };
        let body = Body::Integrity(Box::new(fact));
        Some(Event { node: self.node.clone(), source: Source::Engine, seq: 0, time, seen, body })
    }

    fn close_segment(&mut self) -> Result<(), StoreError> {
        if let Some(current) = &mut self.current {
            current.flush()?;
        }
        self.closed.extend(self.current.take().map(OpenSegment::close));
        Ok(())
    }

    /// Begins a segment. One whose header finds no room is removed again, and its number is not used; an older one is
    /// deleted only for a segment that was begun.
    fn begin_segment(&mut self) -> Result<(), StoreError> {
        self.check_room()?;
        let (segment, file) = self.create()?;
        let (number, path) = (segment.number, segment.path.clone());
        match OpenSegment::begin(segment, file, &self.node) {
            Ok(begun) => self.current = Some(begun),
            Err(error) => {
                drop(self.disk.remove(&path));
                return Err(error);
            }
        }
        self.next = number + 1;
        self.bound_count()
    }

    /// Makes the next file. Something else that bears its name is left alone, and the next number is taken.
    fn create(&self) -> Result<(Segment, D::File), StoreError> {
        let mut number = self.next;
        loop {
            let path = self.dir.join(segment_name(number));
            match self.disk.create(&path) {
                Ok(file) => return Ok((Segment { number, path }, file)),
                Err(StoreError::Io { source, .. })
                    if source.kind() == std::io::ErrorKind::AlreadyExists
                        && number < self.next + TAKEN_MAX =>
                {
                    number += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Deletes the shortest segments, of equal ones the oldest, while there are too many.
    fn bound_count(&mut self) -> Result<(), StoreError> {
        while self.closed.len() >= SEGMENTS_MAX {
            let lengths = self.closed.iter().map(|(_, bytes)| *bytes).enumerate();
            let Some((shortest, _)) = lengths.min_by_key(|(_, bytes)| *bytes) else { break };
            self.delete(shortest)?;
        }
        Ok(())
    }

    /// Deletes the oldest segments until so many bytes more fit: for bytes that are written, not for those that a segment
    /// may come to hold.
    fn make_room(&mut self, more: u64) -> Result<(), StoreError> {
        while !self.closed.is_empty() && self.bytes() + more > self.config.total_bytes_max {
            self.delete(0)?;
        }
        Ok(())
    }

    fn delete(&mut self, place: usize) -> Result<(), StoreError> {
        let (segment, _) = self.closed.remove(place);
        self.segments_deleted += 1;
        self.disk.remove(&segment.path)
    }

    /// All segments together, in bytes.
    fn bytes(&self) -> u64 {
        let closed: u64 = self.closed.iter().map(|(_, bytes)| bytes).sum();
        closed + self.current.as_ref().map_or(0, OpenSegment::bytes)
    }

    /// Loses what the buffer of the current segment held, and goes on behind its last whole line after a pause. A segment
    /// that cannot be cut back to it is given up.
    fn fail(&mut self, error: StoreError) {
        if let Some(current) = self.current.take() {
            self.lose(current.unflushed());
            match current.cut_back(&self.disk) {
                Ok(current) => self.current = Some(current),
                Err(given_up) => self.closed.push(given_up),
            }
        }
        self.pause.begin();
        self.failure.get_or_insert(error);
    }
}

/// The highest number of a segment in a data directory; zero without one.
pub fn last_number(dir: &Path) -> u64 {
    let found = RealDisk.list(&dir.join(JOURNAL_DIR));
    found.ok().and_then(|found| found.segments.last().map(|(last, _)| last.number)).unwrap_or(0)
}

/// The segments of the journal in a data directory, oldest first; none when there is no journal.
pub fn segments(dir: &Path) -> Result<Vec<Segment>, StoreError> {
    let dir = dir.join(JOURNAL_DIR);
    if !dir.exists() {
        return Ok(Vec::new());
    }
    let found = RealDisk.list(&dir)?;
    Ok(found.segments.into_iter().map(|(segment, _)| segment).collect())
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

/// The number in a segment's name; none for the name of another file, nor for a number that no run of ours reaches.
fn segment_number(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("events-")?.strip_suffix(".jsonl")?;
    let is_ours = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|number| is_ours && *number <= SEGMENT_NUMBER_MAX)
}

#[cfg(test)]
mod tests;
