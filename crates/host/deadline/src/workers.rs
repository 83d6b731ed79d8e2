//! A pool of threads for calls that may never return. A call that misses its deadline keeps its thread, and its caller
//! goes on without it.
//!
//! Not here: a queue. A call that finds every thread taken is refused at once, and counted.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use crate::panic_message;

/// Threads of a pool that are kept while they have nothing to do.
const IDLE_MAX: usize = 2;

/// Why a call has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// It has not returned within its deadline; its thread is left to it.
    #[error("{call} has not returned within {} ms", deadline.as_millis())]
    Late {
        /// The call.
        call: &'static str,
        /// How long it was waited for.
        deadline: Duration,
    },
    /// As many calls as the pool has threads have not returned: this one was not made.
    #[error("{call} was not made: {unfinished} calls have not returned")]
    Refused {
        /// The call.
        call: &'static str,
        /// Calls of this pool that have not returned.
        unfinished: usize,
    },
    /// It panicked.
    #[error("{call} panicked: {message}")]
    Panicked {
        /// The call.
        call: &'static str,
        /// The panic's message.
        message: String,
    },
}

/// How the calls of a pool went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls that were begun.
    pub begun: u64,
    /// Calls that missed their deadline or that nobody waits for, in all.
    pub abandoned: u64,
    /// Of these, how many have returned since.
    pub recovered: u64,
    /// Calls that were not made because every thread was taken.
    pub refused: u64,
    /// Calls that panicked.
    pub panicked: u64,
    /// Calls that have not returned.
    pub unfinished: usize,
    /// The oldest of the abandoned calls that have not returned, and since when it has not.
    pub oldest: Option<(&'static str, Instant)>,
}

impl Counts {
    /// Abandoned calls that have not returned.
    pub fn stuck(&self) -> u64 {
        self.abandoned - self.recovered
    }
}

/// A pool of threads for calls that may never return. Cheap to clone; clones share the threads.
///
/// A pool is for one purpose: calls that hang use up its threads and those of no other pool.
#[derive(Clone, Debug)]
pub struct Workers {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    name: &'static str,
    unfinished_max: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    idle: Vec<Sender<Job>>,
    running: BTreeMap<u64, Running>,
    next: u64,
    counts: Counts,
}

#[derive(Debug)]
struct Running {
    call: &'static str,
    since: Instant,
    is_abandoned: bool,
}

struct Job {
    number: u64,
    run: Box<dyn FnOnce() + Send>,
}

/// A call that was begun. Dropping it abandons the call.
#[derive(Debug)]
pub struct Pending<T> {
    call: &'static str,
    number: u64,
    answer: Receiver<Result<T, String>>,
    shared: Arc<Shared>,
    is_answered: bool,
}

impl Workers {
    /// A pool whose threads bear this name, of which at most `unfinished_max` are taken at once.
    pub fn new(name: &'static str, unfinished_max: usize) -> Self {
        Self { shared: Arc::new(Shared { name, unfinished_max, state: Mutex::default() }) }
    }

    /// Makes a call and waits for it at most until its deadline; then it is abandoned.
    ///
    /// # Errors
    /// When it is late, panics, or cannot be made because too many others have not returned.
    pub fn call<T: Send + 'static>(
        &self,
        call: &'static str,
        deadline: Duration,
        run: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, CallError> {
        self.begin(call, run)?.wait(deadline)
    }

    /// Begins a call without waiting for it.
    ///
    /// # Errors
    /// When too many others have not returned, or the system gives no thread.
    pub fn begin<T: Send + 'static>(
        &self,
        call: &'static str,
        run: impl FnOnce() -> T + Send + 'static,
    ) -> Result<Pending<T>, CallError> {
        let (send, answer) = bounded(1);
        let run = move || {
            #[cfg(feature = "faults")]
            crate::faults::pass(call);
            let returned = catch_unwind(AssertUnwindSafe(run));
            // The caller may have gone: then nobody wants the answer.
            drop(send.send(returned.map_err(|panic| panic_message(&*panic))));
        };
        let number = self.shared.start(call, Box::new(run))?;
        Ok(Pending { call, number, answer, shared: Arc::clone(&self.shared), is_answered: false })
    }

    /// How the calls went so far.
    pub fn counts(&self) -> Counts {
        let state = self.shared.state();
        let oldest = state.running.values().find(|running| running.is_abandoned);
        Counts {
            unfinished: state.running.len(),
            oldest: oldest.map(|running| (running.call, running.since)),
            ..state.counts.clone()
        }
    }
}

impl<T> Pending<T> {
    /// Waits for the call at most until the deadline. After `Late` it can be waited for again.
    ///
    /// # Errors
    /// When it is late or panicked.
    pub fn wait_more(&mut self, deadline: Duration) -> Result<T, CallError> {
        let call = self.call;
        let answer = self.answer.recv_timeout(deadline);
        self.is_answered = !matches!(answer, Err(RecvTimeoutError::Timeout));
        match answer {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(message)) => {
                self.shared.state().counts.panicked += 1;
                Err(CallError::Panicked { call, message })
            }
            Err(RecvTimeoutError::Timeout) => {
                self.shared.abandon(self.number);
                Err(CallError::Late { call, deadline })
            }
            Err(RecvTimeoutError::Disconnected) => {
                Err(CallError::Panicked { call, message: "it was answered already".to_owned() })
            }
        }
    }

    /// Waits for the call at most until the deadline; then it is abandoned.
    ///
    /// # Errors
    /// When it is late or panicked.
    pub fn wait(mut self, deadline: Duration) -> Result<T, CallError> {
        self.wait_more(deadline)
    }
}

impl<T> Drop for Pending<T> {
    fn drop(&mut self) {
        if !self.is_answered {
            self.shared.abandon(self.number);
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(self: &Arc<Self>, call: &'static str, run: Box<dyn FnOnce() + Send>) -> Result<u64, CallError> {
        let mut state = self.state();
        let refused = CallError::Refused { call, unfinished: state.running.len() };
        if state.running.len() >= self.unfinished_max {
            state.counts.refused += 1;
            return Err(refused);
        }
        let number = state.next;
        let worker = state.idle.pop().or_else(|| self.spawn());
        // An idle thread takes the job at once; a system that gives no thread refuses the call.
        if worker.is_none_or(|worker| worker.send(Job { number, run }).is_err()) {
            state.counts.refused += 1;
            return Err(refused);
        }
        state.next += 1;
        state.counts.begun += 1;
        state.running.insert(number, Running { call, since: Instant::now(), is_abandoned: false });
        Ok(number)
    }

    fn spawn(self: &Arc<Self>) -> Option<Sender<Job>> {
        // Room for one job: to hand one over never waits.
        let (worker, mut jobs) = bounded::<Job>(1);
        let shared = Arc::downgrade(self);
        let work = move || {
            while let Ok(Job { number, run }) = jobs.recv() {
                run();
                match shared.upgrade().and_then(|shared| shared.finished(number)) {
                    Some(next) => jobs = next,
                    None => return,
                }
            }
        };
        std::thread::Builder::new().name(self.name.to_owned()).spawn(work).ok().map(|_| worker)
    }

    fn abandon(&self, number: u64) {
        let mut state = self.state();
        // It may have returned between its deadline and now.
        if let Some(running) = state.running.get_mut(&number).filter(|running| !running.is_abandoned) {
            running.is_abandoned = true;
            state.counts.abandoned += 1;
        }
    }

    /// Where the thread gets its next job from; `None` when it is not kept.
    fn finished(&self, number: u64) -> Option<Receiver<Job>> {
        let mut state = self.state();
        let was_abandoned = state.running.remove(&number).is_some_and(|running| running.is_abandoned);
        state.counts.recovered += u64::from(was_abandoned);
        if state.idle.len() >= IDLE_MAX {
            return None;
        }
        let (worker, jobs) = bounded(1);
        state.idle.push(worker);
        Some(jobs)
    }
}

#[cfg(test)]
mod tests;
