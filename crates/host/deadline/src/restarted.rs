//! A thread that is started anew when it died, each time after a longer pause; also when the system gives no thread.
//!
//! Not here: what follows from its death, which is for the fold to judge.

use std::time::{Duration, Instant};

use crate::pulse::Watched;

/// Pause before a thread that died is started anew: it doubles with each death.
pub const PAUSE_MIN: Duration = Duration::from_secs(1);
/// The longest pause.
pub const PAUSE_MAX: Duration = Duration::from_secs(64);
/// A thread that ran for so long has recovered from its deaths.
const RECOVERED_AFTER: Duration = Duration::from_secs(600);

/// Starts a thread, for the first time or anew.
pub type Start<E> = Box<dyn FnMut() -> Result<Watched, E> + Send>;

/// A thread and how it is started.
pub struct Restarted<E> {
    start: Start<E>,
    running: Option<Watched>,
    began: Instant,
    deaths: u32,
    /// When it is started anew.
    due: Option<Instant>,
}

impl<E> std::fmt::Debug for Restarted<E> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Restarted").field("running", &self.running).field("deaths", &self.deaths).finish()
    }
}

impl<E> Restarted<E> {
    /// Starts it for the first time.
    ///
    /// # Errors
    /// When what it needs is not there; not when the system gives no thread: that is a death.
    pub fn new(mut start: Start<E>) -> Result<Self, E> {
        let running = Some(start()?);
        Ok(Self { start, running, began: Instant::now(), deaths: 0, due: None })
    }

    /// Starts it anew when it has died and its pause is over; whether it was started.
    pub fn restart_if_dead(&mut self, now: Instant) -> bool {
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

    /// The thread, which is no longer started anew.
    pub fn give_up(mut self) -> Option<Watched> {
        self.retire_dead();
        self.running.take()
    }

    /// Whether it has died and is not started anew yet.
    pub fn has_died(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.pulse().vital().life.is_death())
    }

    fn restart(&mut self, now: Instant) -> bool {
        match (self.start)() {
            Ok(running) => {
                // Its death has been reported; what is shown from now on is the new thread.
                self.retire_dead();
                self.running = Some(running);
                (self.began, self.due) = (now, None);
                true
            }
            Err(_) => {
                self.due = Some(now + PAUSE_MAX);
                false
            }
        }
    }

    fn retire_dead(&self) {
        if let Some(running) = self.running.as_ref().filter(|_| self.has_died()) {
            running.pulse().retire();
        }
    }
}

impl<E> Drop for Restarted<E> {
    /// A death that nobody can make good any more is not shown for ever.
    fn drop(&mut self) {
        self.retire_dead();
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::pulse::{Life, Pulse, Pulses};

    const LONG: Duration = Duration::from_secs(20);

    fn wait_until(mut is_so: impl FnMut() -> bool) {
        while !is_so() {
            std::thread::yield_now();
        }
    }

    fn dies_at_first(pulses: &Pulses, starts: &Arc<AtomicU32>) -> Restarted<std::io::Error> {
        let (pulses, starts) = (pulses.clone(), Arc::clone(starts));
        let start = move || {
            let is_first = starts.fetch_add(1, Ordering::AcqRel) == 0;
            pulses.spawn("source", LONG, move |pulse| {
                assert!(!is_first, "on purpose");
                pulse.retire();
            })
        };
        Restarted::new(Box::new(start)).unwrap()
    }

    #[test]
    fn a_thread_that_died_is_started_anew_after_a_pause_and_one_that_retired_is_not() {
        let (pulses, starts) = (Pulses::default(), Arc::new(AtomicU32::new(0)));
        let mut thread = dies_at_first(&pulses, &starts);
        let now = Instant::now();
        wait_until(|| thread.has_died());
        assert!(!thread.restart_if_dead(now), "not at once");
        assert!(thread.restart_if_dead(now + PAUSE_MIN));
        wait_until(|| pulses.vitals().is_empty());
        assert!(!thread.restart_if_dead(now + LONG));
        assert_eq!(starts.load(Ordering::Acquire), 2);
    }

    #[test]
    fn where_the_system_gives_no_thread_its_lack_is_a_death_and_it_is_tried_again() {
        let (pulses, starts) = (Pulses::default(), Arc::new(AtomicU32::new(0)));
        let (own, tried) = (pulses.clone(), Arc::clone(&starts));
        let start = move || {
            let no_thread = std::io::Error::from(std::io::ErrorKind::WouldBlock);
            let has_room = tried.fetch_add(1, Ordering::AcqRel) == 2;
            let thread = if has_room { own.spawn("source", LONG, Pulse::retire) } else { Err(no_thread) };
            Ok::<_, Infallible>(thread.unwrap_or_else(|error| own.not_started("source", LONG, &error)))
        };
        let mut thread = Restarted::new(Box::new(start)).unwrap();
        let lives = || pulses.vitals().into_iter().map(|vital| vital.life).collect::<Vec<_>>();
        assert!(matches!(lives()[..], [Life::NotStarted(_)]), "{:?}", lives());
        let now = Instant::now();
        assert!(!thread.restart_if_dead(now));
        assert!(thread.restart_if_dead(now + PAUSE_MIN));
        assert!(matches!(lives()[..], [Life::NotStarted(_)]), "one pulse, not two");
        assert!(!thread.restart_if_dead(now + PAUSE_MIN));
        assert!(!thread.restart_if_dead(now + PAUSE_MIN * 2), "the pause has doubled");
        assert!(thread.restart_if_dead(now + PAUSE_MIN * 3));
        wait_until(|| pulses.vitals().is_empty());
    }

    #[test]
    fn one_that_died_and_is_given_up_is_no_longer_shown() {
        let (pulses, starts) = (Pulses::default(), Arc::new(AtomicU32::new(0)));
        let thread = dies_at_first(&pulses, &starts);
        wait_until(|| thread.has_died());
        assert!(thread.give_up().is_some());
        assert!(pulses.vitals().is_empty());
    }
}
