//! The pulse of every thread: when it last showed that it runs, how long it may be silent, and how it ended.
//!
//! Not here: what follows from silence, which is for the fold to judge.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};

use crate::panic_message;

/// Threads whose pulse is kept; those that ended in order make room for others.
pub const PULSES_MAX: usize = 1_024;

/// How a thread is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Life {
    /// It runs.
    Runs,
    /// It ended as it should.
    Retired,
    /// It returned although nothing asked it to.
    Returned,
    /// It panicked, with this message.
    Panicked(String),
    /// The system gave no thread, for this reason.
    NotStarted(String),
}

impl Life {
    /// Whether it ended, or never began, although nothing asked for that.
    pub fn is_death(&self) -> bool {
        !matches!(self, Self::Runs | Self::Retired)
    }
}

/// What the pulse of a thread shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vital {
    /// Tells threads of one name apart.
    pub number: u64,
    /// The thread's name.
    pub thread: Arc<str>,
    /// How it is.
    pub life: Life,
    /// How long ago it beat last.
    pub silent: Duration,
    /// How long it may be silent.
    pub silent_max: Duration,
}

impl Vital {
    /// Whether it should have beaten since.
    pub fn is_overdue(&self) -> bool {
        self.life == Life::Runs && self.silent > self.silent_max
    }
}

/// The pulses of all threads. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Pulses {
    began: Instant,
    threads: Arc<Mutex<Threads>>,
}

#[derive(Debug, Default)]
struct Threads {
    next: u64,
    pulses: Vec<Pulse>,
}

/// The pulse of one thread. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Pulse {
    beat: Arc<Beat>,
}

#[derive(Debug)]
struct Beat {
    number: u64,
    thread: Arc<str>,
    silent_max: Duration,
    began: Instant,
    /// Milliseconds since `began`.
    last_ms: AtomicU64,
    life: Mutex<Life>,
}

/// A thread that was started with a pulse.
#[derive(Debug)]
pub struct Watched {
    pulse: Pulse,
    /// Closes when the thread has done its work; nothing is ever sent.
    done: Receiver<()>,
    /// `None` when the system gave no thread.
    handle: Option<JoinHandle<()>>,
}

impl Default for Pulses {
    fn default() -> Self {
        Self { began: Instant::now(), threads: Arc::default() }
    }
}

impl Pulses {
    /// A pulse that was never shown to beat: for a thread that runs already.
    pub fn begin(&self, thread: &str, silent_max: Duration) -> Pulse {
        let mut threads = lock(&self.threads);
        let number = threads.next;
        threads.next += 1;
        let beat = Beat {
            number,
            thread: thread.into(),
            silent_max,
            began: self.began,
            last_ms: AtomicU64::new(0),
            life: Mutex::new(Life::Runs),
        };
        let pulse = Pulse { beat: Arc::new(beat) };
        pulse.beat();
        if threads.pulses.len() >= PULSES_MAX {
            threads.pulses.retain(|pulse| pulse.life() != Life::Retired);
        }
        if threads.pulses.len() < PULSES_MAX {
            threads.pulses.push(pulse.clone());
        }
        pulse
    }

    /// Starts a thread that must beat at least each `silent_max`. To return without [`Pulse::retire`] is to die.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn spawn(
        &self,
        thread: &str,
        silent_max: Duration,
        run: impl FnOnce(&Pulse) + Send + 'static,
    ) -> std::io::Result<Watched> {
        let pulse = self.begin(thread, silent_max);
        let own = pulse.clone();
        let (working, done) = bounded::<()>(0);
        let work = move || {
            let _closes_at_the_end = working;
            let ended = catch_unwind(AssertUnwindSafe(|| run(&own)));
            own.end(ended.err().map(|panic| panic_message(&*panic)));
        };
        match std::thread::Builder::new().name(thread.to_owned()).spawn(work) {
            Ok(handle) => Ok(Watched { pulse, done, handle: Some(handle) }),
            Err(error) => {
                pulse.retire();
                Err(error)
            }
        }
    }

    /// In the place of a thread that the system did not give: its pulse shows why, until it is retired.
    pub fn not_started(&self, thread: &str, silent_max: Duration, error: &std::io::Error) -> Watched {
        let pulse = self.begin(thread, silent_max);
        *lock(&pulse.beat.life) = Life::NotStarted(error.to_string());
        let (_closed, done) = bounded(0);
        Watched { pulse, done, handle: None }
    }

    /// How every thread is; of those that retired nothing is told.
    pub fn vitals(&self) -> Vec<Vital> {
        let mut threads = lock(&self.threads);
        threads.pulses.retain(|pulse| pulse.life() != Life::Retired);
        threads.pulses.iter().map(Pulse::vital).collect()
    }

    /// Every thread counts as having beaten just now: after a time in which none could.
    pub fn forgive(&self) {
        lock(&self.threads).pulses.iter().for_each(Pulse::beat);
    }
}

impl Pulse {
    /// Shows that the thread runs.
    pub fn beat(&self) {
        self.beat.last_ms.store(millis(self.beat.began.elapsed()), Ordering::Relaxed);
    }

    /// The thread is about to end, as it should.
    pub fn retire(&self) {
        *lock(&self.beat.life) = Life::Retired;
    }

    /// What it shows now.
    pub fn vital(&self) -> Vital {
        let last = Duration::from_millis(self.beat.last_ms.load(Ordering::Relaxed));
        Vital {
            number: self.beat.number,
            thread: Arc::clone(&self.beat.thread),
            life: self.life(),
            silent: self.beat.began.elapsed().saturating_sub(last),
            silent_max: self.beat.silent_max,
        }
    }

    fn life(&self) -> Life {
        lock(&self.beat.life).clone()
    }

    fn end(&self, panic: Option<String>) {
        let mut life = lock(&self.beat.life);
        match panic {
            Some(message) => *life = Life::Panicked(message),
            None if *life == Life::Runs => *life = Life::Returned,
            None => {}
        }
    }
}

impl Watched {
    /// The thread's pulse.
    pub fn pulse(&self) -> &Pulse {
        &self.pulse
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        self.handle.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits for its end, at most until `deadline`; a thread that does not end is left. Tells whether it ended.
    pub fn join_until(self, deadline: Instant) -> bool {
        if self.done.recv_deadline(deadline) == Err(RecvTimeoutError::Timeout) {
            return false;
        }
        // It has ended, so this does not wait; its panic was caught and is told by its pulse.
        self.handle.is_none_or(|handle| handle.join().is_ok())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    fn life(pulses: &Pulses, thread: &str) -> Option<Life> {
        pulses.vitals().into_iter().find(|vital| &*vital.thread == thread).map(|vital| vital.life)
    }

    #[test]
    fn threads_that_panic_or_return_are_told_from_those_that_retire() {
        let pulses = Pulses::default();
        let panics = pulses.spawn("panics", LONG, |_| panic!("on purpose")).unwrap();
        let returns = pulses.spawn("returns", LONG, |_| {}).unwrap();
        let retires = pulses.spawn("retires", LONG, Pulse::retire).unwrap();
        let until = Instant::now() + LONG;
        assert!([panics, returns, retires].into_iter().all(|thread| thread.join_until(until)));
        assert_eq!(life(&pulses, "panics"), Some(Life::Panicked("on purpose".to_owned())));
        assert_eq!(life(&pulses, "returns"), Some(Life::Returned));
        assert_eq!(life(&pulses, "retires"), None);
    }

    #[test]
    fn a_thread_that_hangs_is_overdue_and_is_never_waited_for_beyond_the_deadline() {
        let pulses = Pulses::default();
        let (open, wait) = bounded::<()>(0);
        let hangs = pulses.spawn("hangs", Duration::from_millis(1), move |_| {
            let _closed = wait.recv();
        });
        let hangs = hangs.unwrap();
        while !hangs.pulse().vital().is_overdue() {
            std::thread::yield_now();
        }
        hangs.pulse().beat();
        assert!(hangs.pulse().vital().silent < Duration::from_millis(10));
        let began = Instant::now();
        assert!(!hangs.join_until(began + Duration::from_millis(20)));
        assert!(began.elapsed() < LONG);
        drop(open);
    }

    #[test]
    fn a_thread_that_was_not_started_has_ended_and_shows_why_until_it_is_retired() {
        let pulses = Pulses::default();
        let error = std::io::Error::other("no room");
        let lacking = pulses.not_started("lacking", LONG, &error);
        assert_eq!(life(&pulses, "lacking"), Some(Life::NotStarted("no room".to_owned())));
        assert!(lacking.has_ended());
        lacking.pulse().retire();
        assert_eq!(life(&pulses, "lacking"), None);
        assert!(lacking.join_until(Instant::now() + LONG));
    }

    #[test]
    fn pulses_are_bounded_and_those_that_retired_make_room() {
        let pulses = Pulses::default();
        (0..2 * PULSES_MAX).for_each(|_| pulses.begin("retires", LONG).retire());
        (0..PULSES_MAX + 1).for_each(|_| drop(pulses.begin("stays", LONG)));
        assert_eq!(pulses.vitals().len(), PULSES_MAX);
    }
}
