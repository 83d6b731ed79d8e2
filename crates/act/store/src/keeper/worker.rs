//! The store's thread: opens the store, keeps batches, looks after it once a second, opens it anew when it fails.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use crate::error::StoreError;
use crate::keeper::{Job, News, Opened};
use crate::storage::{Batch, Kept, Opener, Storage};

/// How often the store is looked after.
const TENDED_EVERY: Duration = Duration::from_secs(1);

/// How long a store that could not be opened waits for the next attempt.
const OPENED_AGAIN_AFTER: Duration = Duration::from_secs(2);

/// Failures after which the store is opened anew: one may pass, like a disk that is full.
const FAILURES_MAX: u32 = 3;

/// Called whenever the thread shows that it is alive; at least each [`TENDED_EVERY`].
pub type Heartbeat = Box<dyn Fn() + Send>;

struct Worker {
    opener: Box<dyn Opener>,
    storage: Option<Box<dyn Storage>>,
    news: Sender<News>,
    open_again: Instant,
    /// The problem of the last opening, and whether it was reported.
    problem: String,
    is_reported: bool,
    failures: u32,
    tended: Instant,
}

/// Starts the thread. It ends when `jobs` closes, or when nobody takes its news.
pub(super) fn spawn(
    opener: Box<dyn Opener>,
    jobs: Receiver<Job>,
    news: Sender<News>,
    heartbeat: Heartbeat,
) -> std::io::Result<()> {
    let now = Instant::now();
    let mut worker = Worker {
        opener,
        storage: None,
        news,
        open_again: now,
        problem: "the store is not open yet".to_owned(),
        is_reported: false,
        failures: 0,
        tended: now,
    };
    let run = move || {
        while worker.step(&jobs).is_some() {
            heartbeat();
        }
    };
    // Left to itself when it hangs: nothing ever joins it.
    std::thread::Builder::new().name("store".to_owned()).spawn(run).map(drop)
}

impl Worker {
    /// One batch, or one look after the store; `None` at the end.
    fn step(&mut self, jobs: &Receiver<Job>) -> Option<()> {
        if self.storage.is_none() && self.open_again <= Instant::now() {
            self.open()?;
        }
        match jobs.recv_timeout(TENDED_EVERY) {
            Ok(job) => {
                let news = match self.keep(&job.batch) {
                    Ok(kept) => News::Kept(kept),
                    Err(problem) => News::Failed(problem),
                };
                self.news.send(news).ok()?;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return None,
        }
        if self.tended.elapsed() < TENDED_EVERY { Some(()) } else { self.tend() }
    }

    /// Opens the store. One that can only be read is reported once.
    fn open(&mut self) -> Option<()> {
        let opening = self.opener.open();
        self.open_again = Instant::now() + OPENED_AGAIN_AFTER;
        self.problem.clone_from(&opening.problem);
        self.storage = opening.storage;
        self.failures = 0;
        if self.storage.is_none()
            && std::mem::replace(&mut self.is_reported, true)
            && opening.notes.is_empty()
        {
            return Some(());
        }
        let opened = Opened { contents: opening.contents, notes: opening.notes, problem: opening.problem };
        self.news.send(News::Opened(Box::new(opened))).ok()
    }

    fn keep(&mut self, batch: &Arc<Batch>) -> Result<Kept, String> {
        let Some(storage) = &mut self.storage else { return Err(self.problem.clone()) };
        match storage.keep(batch) {
            Ok(kept) => {
                self.failures = 0;
                Ok(kept)
            }
            Err(error) => {
                self.failed(&error);
                Err(error.to_string())
            }
        }
    }

    fn failed(&mut self, error: &StoreError) {
        self.failures += 1;
        if self.storage.as_ref().is_some_and(|storage| storage.is_only_copy()) {
            return;
        }
        if error.unsound().is_some() || self.failures >= FAILURES_MAX {
            self.problem = error.to_string();
            self.storage = None;
        }
    }

    fn tend(&mut self) -> Option<()> {
        self.tended = Instant::now();
        let Some(storage) = &mut self.storage else { return Some(()) };
        match storage.tend() {
            Ok(tended) => {
                if tended.reopen {
                    self.storage = None;
                    self.open_again = Instant::now();
                }
                self.news.send(News::Tended(tended.notes, tended.has_reserve)).ok()
            }
            Err(error) => {
                self.failed(&error);
                Some(())
            }
        }
    }
}
