//! The sources' threads: each is started, started anew when it died, and left when it does not end.
//!
//! Not here: how one is started anew (`deadline`), and whether one is overdue (`watchdog.rs`).

use std::time::{Duration, Instant};

use deadline::pulse::Watched;
use deadline::restarted::{self, Restarted};
use hostfs::error::HostfsError;

/// How long all threads together may take to end.
const STOP_MAX: Duration = Duration::from_secs(2);

/// Starts a source's thread, for the first time or anew.
pub(crate) type Start = restarted::Start<HostfsError>;

/// The threads of all sources.
#[derive(Debug, Default)]
pub(crate) struct Threads(Vec<Restarted<HostfsError>>);

impl Threads {
    /// Starts one more.
    pub(crate) fn start(&mut self, start: Start) -> Result<(), HostfsError> {
        self.0.push(Restarted::new(start)?);
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
        self.0.into_iter().filter_map(Restarted::give_up).filter_map(ended).collect()
    }
}

#[cfg(test)]
mod tests {
    use deadline::pulse::Pulses;

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

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
