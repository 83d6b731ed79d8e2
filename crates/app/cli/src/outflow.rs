//! Text that leaves by a thread of its own: whatever has something to write never waits for a reader.
//!
//! Not here: what the text says. What finds the queue full is left out; once the text flows again a line says how many.

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use deadline::pulse::{Pulse, Pulses, Watched};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// Text that waits to be written: more is left out.
const WAITING_BYTES_MAX: usize = 1024 * 1024;
/// Lines that wait to be written.
const WAITING_LINES_MAX: usize = 4096;
/// A pipe that is ready takes so much without making its writer wait (`PIPE_BUF`).
const CHUNK_BYTES: usize = 4096;
/// How often the thread shows that it runs while the reader does not read, or nothing is to be written.
const BEAT: Duration = Duration::from_millis(500);
/// A write to a file on a file system that does not answer is overdue after this.
const SILENT_MAX: Duration = Duration::from_secs(5);

/// A bounded queue of text, and the thread that writes it. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Outflow {
    shared: Arc<Shared>,
}

/// How many lines were left out, as a line of the stream.
pub(crate) type Gap = fn(u64) -> String;

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
    gap: Gap,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Text>,
    bytes: usize,
    /// Left out since the last line that found room.
    left_out: u64,
    left_out_total: u64,
    /// The thread has taken a line and not yet written it.
    is_writing: bool,
    /// Nobody is left to read, or nothing more is to come.
    is_closed: bool,
}

#[derive(Debug)]
struct Text {
    /// How many lines were left out just before it.
    left_out: u64,
    text: String,
}

/// Where the text goes.
pub(crate) trait Sink: AsFd + Send + 'static {}

impl<S: AsFd + Send + 'static> Sink for S {}

impl Outflow {
    /// Starts the thread that writes to `sink`; `name` is what its pulse is called.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start(
        name: &str,
        sink: impl Sink,
        gap: Gap,
        pulses: &Pulses,
    ) -> io::Result<(Self, Watched)> {
        let shared = Shared { queue: Mutex::default(), changed: Condvar::new(), gap };
        let outflow = Self { shared: Arc::new(shared) };
        let shared = Arc::clone(&outflow.shared);
        let thread = pulses.spawn(name, SILENT_MAX, move |pulse| {
            write_all_that_comes(&shared, &sink, pulse);
            pulse.retire();
        })?;
        Ok((outflow, thread))
    }

    /// Queues a text; never waits.
    pub(crate) fn offer(&self, text: String) {
        let mut queue = self.shared.queue();
        let has_room = queue.waiting.len() < WAITING_LINES_MAX
            && (queue.waiting.is_empty() || queue.bytes + text.len() <= WAITING_BYTES_MAX);
        if !has_room || queue.is_closed {
            queue.left_out += 1;
            queue.left_out_total += 1;
            return;
        }
        queue.bytes += text.len();
        let left_out = std::mem::take(&mut queue.left_out);
        queue.waiting.push_back(Text { left_out, text });
        drop(queue);
        self.shared.changed.notify_all();
    }

    /// Lines left out so far.
    #[cfg(test)]
    pub(crate) fn all_left_out(&self) -> u64 {
        self.shared.queue().left_out_total
    }

    /// Waits until everything is written, at most until the deadline: a reader that does not read ends no later for it.
    pub(crate) fn finish(&self, deadline: Instant) {
        let mut queue = self.shared.queue();
        while !(queue.waiting.is_empty() && !queue.is_writing || queue.is_closed) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.shared.changed.wait_timeout(queue, left);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Lets `tracing` write: each event is one text.
impl io::Write for Outflow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.offer(String::from_utf8_lossy(bytes).into_owned());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next text, or the number of lines left out when no text follows them; `None` when there is nothing to write.
    fn next(&self) -> Option<Text> {
        let mut queue = self.queue();
        queue.is_writing = false;
        if queue.waiting.is_empty() {
            self.changed.notify_all();
            if queue.left_out == 0 || queue.is_closed {
                let waited = self.changed.wait_timeout(queue, BEAT);
                queue = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
        }
        let text = match queue.waiting.pop_front() {
            Some(text) => Some(text),
            None => Some(std::mem::take(&mut queue.left_out))
                .filter(|left_out| *left_out > 0)
                .map(|left_out| Text { left_out, text: String::new() }),
        };
        queue.bytes -= text.as_ref().map_or(0, |text| text.text.len());
        queue.is_writing = text.is_some();
        text
    }

    fn close(&self) {
        let mut queue = self.queue();
        queue.is_closed = true;
        queue.waiting.clear();
        queue.bytes = 0;
        self.changed.notify_all();
    }
}

fn write_all_that_comes(shared: &Shared, sink: &impl Sink, pulse: &Pulse) {
    loop {
        pulse.beat();
        let Some(Text { left_out, text }) = shared.next() else { continue };
        let gap = if left_out > 0 { (shared.gap)(left_out) } else { String::new() };
        let written = [gap, text].iter().try_for_each(|text| write(sink, text.as_bytes(), pulse));
        if written.is_err() {
            // A reader that has gone away (`| head`) is not a failure.
            return shared.close();
        }
    }
}

fn write(sink: &impl Sink, mut bytes: &[u8], pulse: &Pulse) -> Result<(), Errno> {
    while !bytes.is_empty() {
        pulse.beat();
        if !is_ready(sink)? {
            continue;
        }
        match rustix::io::write(sink, &bytes[..bytes.len().min(CHUNK_BYTES)]) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Whether the reader takes something; waits for it as long as a beat lasts.
fn is_ready(sink: &impl Sink) -> Result<bool, Errno> {
    let mut wanted = [PollFd::new(sink, PollFlags::OUT)];
    let beat = Timespec { tv_sec: 0, tv_nsec: i64::from(BEAT.subsec_nanos()) };
    match poll(&mut wanted, Some(&beat)) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::INTR) => Ok(false),
        Err(errno) => Err(errno),
    }
}

#[cfg(test)]
mod tests;
