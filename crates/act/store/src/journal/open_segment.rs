//! The segment that is written, and how much of it the kernel has: after a failed write it is cut back to that, and
//! appending goes on behind the last whole line.
//!
//! Not here: when a segment begins and ends, see `journal.rs`.

use std::io::{BufWriter, Write};

use model::event::Event;
use model::ids::NodeId;

use crate::error::StoreError;
use crate::journal::Segment;
use crate::journal::disk::Disk;
use crate::journal::lines::Lines;
use crate::recording::RecordingWriter;

/// Events wait in memory for up to this many bytes or until [`OpenSegment::flush`].
const BUFFER_BYTES: usize = 64 << 10;

/// An open segment.
#[derive(Debug)]
pub(super) struct OpenSegment<F: Write> {
    segment: Segment,
    writer: RecordingWriter<BufWriter<F>>,
    /// Length of the whole lines that the kernel has.
    handed_bytes: u64,
    /// Events behind them.
    unflushed: u64,
}

impl<F: Write> OpenSegment<F> {
    /// Writes the header at once, so that a reader of the running journal finds it and not an empty file.
    pub(super) fn begin(segment: Segment, file: F, node: &NodeId) -> Result<Self, StoreError> {
        let out = BufWriter::with_capacity(BUFFER_BYTES, file);
        let writer = RecordingWriter::new(out, &segment.path, node)?;
        let mut begun = Self { segment, writer, handed_bytes: 0, unflushed: 0 };
        begun.flush()?;
        Ok(begun)
    }

    /// Goes on behind so many bytes of whole lines.
    pub(super) fn continued(segment: Segment, file: F, bytes: u64) -> Self {
        let out = BufWriter::with_capacity(BUFFER_BYTES, file);
        let writer = RecordingWriter::continued(out, &segment.path, bytes);
        Self { segment, writer, handed_bytes: bytes, unflushed: 0 }
    }

    /// Adds events.
    pub(super) fn write(&mut self, lines: &Lines) -> Result<(), StoreError> {
        self.writer.write_lines(&lines.bytes)?;
        self.unflushed += lines.events;
        if self.writer.is_flushed() {
            self.flushed();
        }
        Ok(())
    }

    /// Adds the fact that events are missing. The kernel has it at once: a gap that is lost with a buffer would have to be
    /// counted twice.
    pub(super) fn write_gap(&mut self, gap: &Event) -> Result<(), StoreError> {
        self.writer.write(gap)?;
        self.flush()
    }

    /// Hands everything to the kernel.
    pub(super) fn flush(&mut self) -> Result<(), StoreError> {
        self.writer.flush()?;
        self.flushed();
        Ok(())
    }

    fn flushed(&mut self) {
        self.handed_bytes = self.writer.bytes();
        self.unflushed = 0;
    }

    /// Length, in bytes, with what waits in memory.
    pub(super) fn bytes(&self) -> u64 {
        self.writer.bytes()
    }

    /// Events that are lost when it is given up or cut back now.
    pub(super) fn unflushed(&self) -> u64 {
        self.unflushed
    }

    /// Cuts the file back to its whole lines and forgets what waits in memory. Where that fails, the last line may be cut and
    /// nothing more may be written: gives the segment and its bytes.
    pub(super) fn cut_back<D: Disk<File = F>>(self, disk: &D) -> Result<Self, (Segment, u64)> {
        let Self { segment, writer, handed_bytes, .. } = self;
        let bytes = writer.bytes();
        // Taken apart, so that the buffer is not written once more when it is dropped: what is lost is counted as lost.
        let (mut file, _) = writer.into_inner().into_parts();
        if disk.cut(&mut file, handed_bytes).is_err() {
            return Err((segment, bytes));
        }
        Ok(Self::continued(segment, file, handed_bytes))
    }

    /// The finished segment and its bytes; flush it first.
    pub(super) fn close(self) -> (Segment, u64) {
        let bytes = self.writer.bytes();
        (self.segment, bytes)
    }
}
