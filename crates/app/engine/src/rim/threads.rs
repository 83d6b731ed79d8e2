//! The sources' threads: each is started, started anew when it died, and left when it does not end.
//!
//! Not here: whether one is overdue, see `watchdog.rs`.

use std::time::{Duration, Instant};

use deadline::pulse::{Life, Watched};
use hostfs::error::HostfsError;

/// How long all threads together may take to end.
const STOP_MAX: Duration = Duration::from_secs(2);
/// Pause before a thread that died is started anew: it doubles with each death.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(64);
/// A thread that ran for so long has recovered from its deaths.
const RECOVERED_AFTER: Duration = Duration::from_secs(600);

/// Starts a thread, for the first time or anew.
pub(crate) type Start = Box<dyn FnMut() -> Result<Watched, HostfsError> + Send>;

/// The threads of all sources.
#[derive(Debug, Default)]
pub(crate) struct Threads(Vec<Thread>);

struct Thread {
    start: Start,
    running: Option<Watched>,
    began: Instant,
    deaths: u32,
    /// When it is started anew.
    due: Option<Instant>,
}

impl std::fmt::Debug for Thread {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Thread").field("running", &self.running).field("deaths", &self.deaths).finish()
    }
}

impl Threads {
    /// Starts one more.
    pub(crate) fn start(&mut self, mut start: Start) -> Result<(), HostfsError> {
        let running = Some(start()?);
        self.0.push(Thread { start, running, began: Instant::now(), deaths: 0, due: None });
        Ok(())
    }

    /// Starts those anew that have died, each after a pause; how many were started.
    pub(crate) fn restart_dead(&mut self, now: Instant) -> usize {
        self.0.iter_mut().map(|thread| usize::from(thread.restart_if_dead(now))).sum()
    }

    /// Waits for their end, and names those that do not end in time.
    pub(crate) fn join(self) -> Vec<String> {
        let deadline = Instant::now() + STOP_MAX;
        let ended = |running: Watched| {
            let thread = running.pulse().vital().thread.to_string();
            (!running.join_until(deadline)).then_some(thread)
        };
        self.0.into_iter().filter_map(|thread| thread.running).filter_map(ended).collect()
    }
}

impl Thread {
    fn restart_if_dead(&mut self, now: Instant) -> bool {
        match self.due {
            None if self.has_died() => {
                if now.duration_since(self.began) >= RECOVERED_AFTER {
                    self.deaths = 0;
                }
                self.due = Some(now + (PAUSE_MIN * 2_u32.saturating_pow(self.deaths)).min(PAUSE_MAX));
                self.deaths = self.deaths.saturating_add(1);
                false
            }
            Some(due) if now >= due => self.restart(now),
            _ => false,
        }
    }

    fn has_died(&self) -> bool {
        let life = self.running.as_ref().map(|running| running.pulse().vital().life);
        matches!(life, Some(Life::Returned | Life::Panicked(_)))
    }

    fn restart(&mut self, now: Instant) -> bool {
        match (self.start)() {
            Ok(running) => {
                // Its death has been told; what is shown from now on is the new thread.
                if let Some(dead) = self.running.replace(running) {
                    dead.pulse().retire();
                }
                (self.began, self.due) = (now, None);
                true
            }
            Err(_) => {
                self.due = Some(now + PAUSE_MAX);
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use deadline::pulse::Pulses;

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    fn dies_at_first(pulses: &Pulses, starts: &Arc<AtomicU32>) -> Start {
        let (pulses, starts) = (pulses.clone(), Arc::clone(starts));
        Box::new(move || {
            let is_first = starts.fetch_add(1, Ordering::AcqRel) == 0;
            let run = move |pulse: &deadline::pulse::Pulse| {
                assert!(!is_first, "on purpose");
                pulse.retire();
            };
            Ok(pulses.spawn("source", LONG, run).expect("a thread"))
        })
    }

    #[test]
    fn a_thread_that_died_is_started_anew_after_a_pause_and_one_that_retired_is_not() {
        let (pulses, starts) = (Pulses::default(), Arc::new(AtomicU32::new(0)));
        let mut threads = Threads::default();
        threads.start(dies_at_first(&pulses, &starts)).unwrap();
        let now = Instant::now();
        while !pulses.vitals().iter().any(|vital| matches!(vital.life, Life::Panicked(_))) {
            std::thread::yield_now();
        }
        assert_eq!(threads.restart_dead(now), 0, "not at once");
        assert_eq!(threads.restart_dead(now + PAUSE_MIN), 1);
        while !pulses.vitals().is_empty() {
            std::thread::yield_now();
        }
        assert_eq!((threads.restart_dead(now + LONG), starts.load(Ordering::Acquire)), (0, 2));
        assert_eq!(threads.join(), Vec::<String>::new());
    }

    #[test]
    fn a_thread_that_does_not_end_is_named_and_left() {
        let pulses = Pulses::default();
        let (open, wait) = crossbeam_channel::bounded::<()>(0);
        let mut threads = Threads::default();
        let start: Start = Box::new(move || {
            let wait = wait.clone();
            let hang = move |_: &deadline::pulse::Pulse| {
                let _closed = wait.recv();
            };
            Ok(pulses.spawn("hangs", LONG, hang).expect("a thread"))
        });
        threads.start(start).unwrap();
        let began = Instant::now();
        assert_eq!(threads.join(), ["hangs"]);
        assert!(began.elapsed() < LONG);
        drop(open);
    }
}
