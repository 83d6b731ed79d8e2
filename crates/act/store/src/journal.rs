//! The journal: what was seen lately, as recordings of bounded size beside each other; the oldest is deleted.
//!
//! Not here: what a line looks like, see `recording.rs`. A disk that is full costs events, which are counted, never
//! the process.

mod disk;

pub mod feed;

mod lines;

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::{Path, PathBuf};

use model::coverage::Source;
use model::event::{Body, Event};
use model::ids::NodeId;
use model::integrity::Integrity;
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::journal::disk::{Disk, RealDisk};
use crate::journal::lines::Lines;
use crate::recording::{RecordingReader, RecordingWriter};

/// Name of the journal's directory in the data directory.
pub const JOURNAL_DIR: &str = "journal";

/// Most segments, whatever their size: each start begins one, and something may restart us all day.
pub const SEGMENTS_MAX: usize = 256;

/// Highest number of a segment that counts: one a second for thirty thousand years. A file with a higher one is not ours.
pub const SEGMENT_NUMBER_MAX: u64 = 1_000_000_000_000;

/// Names in a row that something else may bear.
const TAKEN_MAX: u64 = 1_000;

/// Flushes between two attempts on a disk that stays full, at most.
const PAUSE_FLUSHES_MAX: u32 = 8;

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
    current: Option<(Segment, RecordingWriter<BufWriter<D::File>>)>,
    /// Events handed to `current` since it was last flushed.
    unflushed: u64,
    /// The first failure since the last `flush`.
    failure: Option<StoreError>,
    /// Whether events are being lost; on a full disk, trying again with each event would only cost more.
    stopped: bool,
    /// Flushes until the next attempt, and how many it was last.
    pause: (u32, u32),
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
            unflushed: 0,
            failure: None,
            stopped: false,
            pause: (0, 0),
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
        if self.stopped {
            self.lose(lines.events);
            return;
        }
        match self.write(lines) {
            Ok(()) => self.unflushed += lines.events,
            Err(error) => self.fail(error, lines.events),
        }
    }

    /// Hands all events to the kernel: after this, kill -9 does not take them. Call it once a second; it reports
    /// what was lost since the last call, and lets the journal try again, after a failure less and less often.
    pub fn flush(&mut self) -> Result<(), StoreError> {
        if let Some((_, writer)) = &mut self.current
            && let Err(error) = writer.flush()
        {
            self.fail(error, 0);
        } else if self.current.is_some() && !self.disk.has_room(&self.dir) {
            // What is left of the disk is for incidents and decisions.
            let full = StoreError::io(&self.dir)(std::io::ErrorKind::StorageFull.into());
            self.flushed();
            self.fail(full, 0);
        }
        self.flushed();
        if self.stopped {
            self.pause.0 = self.pause.0.saturating_sub(1);
            self.stopped = self.pause.0 > 0;
        }
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

    /// Whether events are being lost.
    pub fn is_losing(&self) -> bool {
        self.stopped || self.gap > 0
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
        if self.current.as_ref().is_some_and(|(_, writer)| writer.bytes() >= self.config.segment_bytes_max) {
            self.close_segment()?;
        }
        if self.current.is_none() {
            self.begin_segment()?;
        }
        let gap = self.gap_before(lines);
        let Some((_, writer)) = &mut self.current else { return Ok(()) };
        if let Some(gap) = gap {
            // With the kernel at once: a gap that is lost with a buffer would have to be counted twice.
            writer.write(&gap)?;
            writer.flush()?;
            self.unflushed = 0;
            self.gap = 0;
        }
        writer.write_lines(&lines.bytes)
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
        let Some((segment, mut writer)) = self.current.take() else { return Ok(()) };
        let flushed = writer.flush();
        self.closed.push((segment, writer.bytes()));
        flushed?;
        self.flushed();
        Ok(())
    }

    /// Everything is with the kernel.
    fn flushed(&mut self) {
        self.unflushed = 0;
        if self.current.is_some() {
            self.pause = (0, 0);
        }
    }

    /// Begins a segment. One whose header finds no room is removed again, and its number is not used; older ones are
    /// deleted only for a segment that was begun.
    fn begin_segment(&mut self) -> Result<(), StoreError> {
        if !self.disk.has_room(&self.dir) {
            return Err(StoreError::io(&self.dir)(std::io::ErrorKind::StorageFull.into()));
        }
        let (segment, file) = self.create()?;
        let out = BufWriter::with_capacity(BUFFER_BYTES, file);
        // The header at once, so that a reader of the running journal finds it and not an empty file.
        let begun = RecordingWriter::new(out, &segment.path, &self.node)
            .and_then(|mut writer| writer.flush().map(|()| writer));
        let writer = match begun {
            Ok(writer) => writer,
            Err(error) => {
                drop(self.disk.remove(&segment.path));
                return Err(error);
            }
        };
        self.next = segment.number + 1;
        self.current = Some((segment, writer));
        self.make_room()
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

    /// Deletes the oldest segments until one more fits.
    fn make_room(&mut self) -> Result<(), StoreError> {
        let room = self.config.total_bytes_max.saturating_sub(self.config.segment_bytes_max);
        while !self.closed.is_empty() && (self.closed.len() >= SEGMENTS_MAX || self.closed_bytes() > room) {
            let (oldest, _) = self.closed.remove(0);
            self.segments_deleted += 1;
            self.disk.remove(&oldest.path)?;
        }
        Ok(())
    }

    fn closed_bytes(&self) -> u64 {
        self.closed.iter().map(|(_, bytes)| bytes).sum()
    }

    /// Gives up the current segment, whose last line may be cut, and loses what its buffer held.
    fn fail(&mut self, error: StoreError, events: u64) {
        let unflushed = std::mem::take(&mut self.unflushed);
        self.lose(unflushed + events);
        if let Some((segment, writer)) = self.current.take() {
            let bytes = writer.bytes();
            // The buffer is not written once more when it is dropped: what is lost is counted as lost.
            drop(writer.into_inner().into_parts());
            self.closed.push((segment, bytes));
        }
        self.stopped = true;
        let pause = (self.pause.1 * 2).clamp(1, PAUSE_FLUSHES_MAX);
        self.pause = (pause, pause);
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
