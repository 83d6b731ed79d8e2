//! The journal as the fold uses it: lines are made at once and written by a thread of its own, through a bounded queue.
//! Nothing here waits for a disk.
//!
//! Not here: segments and their limits, see `journal.rs`.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use model::event::Event;
use model::ids::NodeId;
use model::integrity::Integrity;
use model::untrusted::Untrusted;

use crate::aside::move_aside;
use crate::error::StoreError;
use crate::journal::lines::Lines;
use crate::journal::{JOURNAL_DIR, Journal, JournalConfig};
use crate::keeper::Heartbeat;

/// Bytes of lines that are handed over at once.
const HANDED_BYTES: usize = 64 << 10;

/// Portions that may wait for the disk: 4 MiB, a quarter of a second of the worst flood.
const PORTIONS_MAX: usize = 64;

/// How long a journal that could not be opened waits for the next attempt.
const OPENED_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// How the journal is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JournalStanding {
    /// Events that are in no journal, since the start.
    pub lost: u64,
    /// Why events are being lost; empty while none is.
    pub reason: String,
    /// Names in its directory that are not those of segments.
    pub foreign: u64,
}

/// The fold's side of the journal.
#[derive(Debug)]
pub struct JournalFeed {
    portions: Sender<Portion>,
    /// Lines that are not handed over yet.
    lines: Lines,
    shared: Arc<Mutex<Shared>>,
    /// Lost here, since the queue was full.
    lost: u64,
    was_losing: bool,
}

#[derive(Debug, Default)]
struct Shared {
    standing: JournalStanding,
    notes: Vec<Integrity>,
}

#[derive(Debug)]
enum Portion {
    Lines(Lines),
    /// Hand everything to the kernel.
    Flush,
    /// Hand everything to the kernel, and say so.
    End(Sender<()>),
}

impl JournalFeed {
    /// Starts the journal's thread, which opens the journal first.
    pub fn start(
        dir: &Path,
        node: &NodeId,
        config: JournalConfig,
        heartbeat: Heartbeat,
    ) -> Result<Self, StoreError> {
        let (portions, received) = bounded(PORTIONS_MAX);
        let shared = Arc::new(Mutex::new(Shared::default()));
        let mut writer = Writer {
            dir: dir.to_owned(),
            node: node.clone(),
            config,
            journal: None,
            lost: 0,
            shared: Arc::clone(&shared),
        };
        let run = move || writer.run(&received, &heartbeat);
        // Left to itself when it hangs: nothing ever joins it.
        std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(run)
            .map_err(StoreError::io(Path::new("the journal's thread")))?;
        Ok(Self { portions, lines: Lines::default(), shared, lost: 0, was_losing: false })
    }

    /// Adds one event.
    pub fn append(&mut self, event: &Event) {
        if self.lines.add(event).is_err() {
            self.lines.lost += 1;
        }
        if self.lines.bytes.len() >= HANDED_BYTES {
            self.hand_over();
        }
    }

    /// Hands over what was added, and has it written to the kernel.
    pub fn flush(&mut self) {
        self.hand_over();
        // When the queue is full, the thread is behind and flushes anyway.
        drop(self.portions.try_send(Portion::Flush));
    }

    fn hand_over(&mut self) {
        let lines = std::mem::take(&mut self.lines);
        if let Err(
            TrySendError::Full(Portion::Lines(lines)) | TrySendError::Disconnected(Portion::Lines(lines)),
        ) = self.portions.try_send(Portion::Lines(lines))
        {
            self.lost += lines.events;
            // What is lost here is a gap before the next lines that arrive.
            self.lines.lost = lines.lost + lines.events;
        }
    }

    /// How the journal is.
    pub fn standing(&self) -> JournalStanding {
        let mut standing = self.shared().standing.clone();
        if self.lines.lost > 0 {
            standing.lost += self.lines.lost;
            if standing.reason.is_empty() {
                "the disk is slower than the events".clone_into(&mut standing.reason);
            }
        }
        standing
    }

    /// What was noticed since the last call: what was moved aside, and that events are lost, or no longer.
    pub fn notes(&mut self) -> Vec<Integrity> {
        let standing = self.standing();
        let mut notes = std::mem::take(&mut self.shared().notes);
        let is_losing = !standing.reason.is_empty();
        if std::mem::replace(&mut self.was_losing, is_losing) != is_losing {
            let what = Untrusted::new("journal");
            notes.push(match is_losing {
                true => Integrity::NotStored {
                    what,
                    waiting: 0,
                    dropped: standing.lost,
                    reason: Untrusted::new(&standing.reason),
                },
                false => Integrity::StoredAgain { what },
            });
        }
        notes
    }

    /// Writes what is left, but does not wait longer than `patience`; tells whether all was written.
    pub fn end(mut self, patience: Duration) -> bool {
        self.hand_over();
        let (done, is_done) = bounded(1);
        self.portions.send_timeout(Portion::End(done), patience).is_ok()
            && is_done.recv_timeout(patience).is_ok()
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread's side.
struct Writer {
    dir: PathBuf,
    node: NodeId,
    config: JournalConfig,
    journal: Option<Journal>,
    /// Lost while there was no journal.
    lost: u64,
    shared: Arc<Mutex<Shared>>,
}

impl Writer {
    fn run(&mut self, portions: &Receiver<Portion>, heartbeat: &Heartbeat) {
        let mut open_again = std::time::Instant::now();
        loop {
            if self.journal.is_none() && open_again <= std::time::Instant::now() {
                self.open();
                open_again = std::time::Instant::now() + OPENED_AGAIN_AFTER;
            }
            match portions.recv_timeout(Duration::from_secs(1)) {
                Ok(Portion::Lines(lines)) => self.append(&lines),
                Ok(Portion::Flush) => self.flush(),
                Ok(Portion::End(done)) => {
                    self.flush();
                    let _ended = done.send(());
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            heartbeat();
        }
    }

    fn append(&mut self, lines: &Lines) {
        match &mut self.journal {
            Some(journal) => journal.append_lines(lines),
            None => self.lost += lines.events + lines.lost,
        }
    }

    fn flush(&mut self) {
        let Some(journal) = &mut self.journal else {
            self.shared().standing.lost = self.lost;
            return;
        };
        let failure = journal.flush().err().map(|error| match error {
            // The count changes each second and stands beside it.
            StoreError::Lost { source, .. } => source.to_string(),
            error => error.to_string(),
        });
        let (lost, is_losing) = (journal.lost() + self.lost, journal.is_losing());
        let mut shared = self.shared();
        shared.standing.lost = lost;
        match failure {
            Some(reason) => shared.standing.reason = reason,
            None if !is_losing => shared.standing.reason.clear(),
            None => {}
        }
    }

    /// Opens the journal; what stands in its place and is not a directory is moved aside.
    fn open(&mut self) {
        let opened = self.attempt().or_else(|error| {
            let Some(path) = error.unsound() else { return Err(error) };
            let place = move_aside(path, &[]);
            let kept_as = place.as_ref().map_or(String::new(), |place| place.display().to_string());
            let note = Integrity::StoreMovedAside {
                what: "journal".into(),
                reason: Untrusted::new(&error.to_string()),
                kept_as: Untrusted::new(&kept_as),
            };
            self.shared().notes.push(note);
            place.map_err(StoreError::io(&self.dir.join(JOURNAL_DIR))).and_then(|_| self.attempt())
        });
        match opened {
            Ok(journal) => self.opened(journal),
            Err(error) => self.shared().standing.reason = error.to_string(),
        }
    }

    fn attempt(&self) -> Result<Journal, StoreError> {
        Journal::open(&self.dir, &self.node, self.config)
    }

    fn opened(&mut self, mut journal: Journal) {
        // What was lost before there was one is the gap before its first event.
        journal.append_lines(&Lines { lost: self.lost, ..Lines::default() });
        self.lost = 0;
        let foreign = journal.foreign();
        let mut shared = self.shared();
        shared.standing.reason.clear();
        shared.standing.foreign = foreign.len() as u64;
        // Named like a segment, and not one that we wrote: somebody meant to mislead us.
        let posing: Vec<&str> =
            foreign.iter().map(String::as_str).filter(|name| name.starts_with("events-")).take(3).collect();
        if !posing.is_empty() {
            shared.notes.push(Integrity::StoreChanged {
                what: "journal".into(),
                expected: "segments of this program".into(),
                found: Untrusted::new(&format!(
                    "{} files named like segments: {}",
                    foreign.len(),
                    posing.join(", ")
                )),
            });
        }
        drop(shared);
        self.journal = Some(journal);
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
