//! A value that is lent to calls that may never return: while one has it, its owner goes on without.
//!
//! Not here: a copy. Whatever a call that hangs has in hand comes back when it returns, or never.

use std::time::{Duration, Instant};

use crate::workers::{CallError, Pending, Workers};

/// A value and where it is.
#[derive(Debug)]
pub struct Lent<T> {
    place: Place<T>,
}

#[derive(Debug)]
enum Place<T> {
    Here(T),
    Away {
        pending: Pending<T>,
        since: Instant,
    },
    /// The call that had it panicked.
    Lost,
}

impl<T: Send + 'static> Lent<T> {
    /// The value is here.
    pub fn new(value: T) -> Self {
        Self { place: Place::Here(value) }
    }

    /// Lends it to a call and waits for both at most until the deadline. While an earlier call still has it, none is made.
    ///
    /// # Errors
    /// When the call, or the earlier one, is late; when it panics, which loses the value; when it cannot be made.
    pub fn call<R: Send + 'static>(
        &mut self,
        workers: &Workers,
        call: &'static str,
        deadline: Duration,
        run: impl FnOnce(&mut T) -> R + Send + 'static,
    ) -> Result<R, CallError> {
        self.take_back(call)?;
        let (send, answer) = crossbeam_channel::bounded(1);
        let (hand, taken) = crossbeam_channel::bounded::<T>(1);
        // The value follows by a channel, so that it stays here when the call is refused.
        let pending = workers.begin(call, move || {
            // PANIC: its owner hands it over before it waits for anything.
            let mut value = taken.recv().expect("the value");
            drop(send.send(run(&mut value)));
            value
        })?;
        match std::mem::replace(&mut self.place, Place::Away { pending, since: Instant::now() }) {
            Place::Here(value) => drop(hand.send(value)),
            Place::Away { .. } | Place::Lost => {}
        }
        self.wait(call, deadline)?;
        answer.try_recv().map_err(|_| lost(call))
    }

    /// The value, unless a call has it.
    pub fn here(&mut self) -> Option<&mut T> {
        let _is_still_away = self.take_back("");
        match &mut self.place {
            Place::Here(value) => Some(value),
            Place::Away { .. } | Place::Lost => None,
        }
    }

    /// Since when a call has had it, if one has.
    pub fn away_since(&self) -> Option<Instant> {
        match &self.place {
            Place::Away { since, .. } => Some(*since),
            Place::Here(_) | Place::Lost => None,
        }
    }

    /// Whether a call that panicked took it along: it never comes back.
    pub fn is_lost(&self) -> bool {
        matches!(self.place, Place::Lost)
    }

    fn take_back(&mut self, call: &'static str) -> Result<(), CallError> {
        match &self.place {
            Place::Here(_) => Ok(()),
            Place::Away { .. } => self.wait(call, Duration::ZERO),
            Place::Lost => Err(lost(call)),
        }
    }

    fn wait(&mut self, call: &'static str, deadline: Duration) -> Result<(), CallError> {
        let Place::Away { pending, .. } = &mut self.place else { return Err(lost(call)) };
        match pending.wait_more(deadline) {
            Ok(value) => {
                self.place = Place::Here(value);
                Ok(())
            }
            Err(error @ CallError::Panicked { .. }) => {
                self.place = Place::Lost;
                Err(error)
            }
            Err(error) => Err(error),
        }
    }
}

fn lost(call: &'static str) -> CallError {
    CallError::Panicked { call, message: "an earlier call panicked".to_owned() }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::{Receiver, bounded};

    use super::*;

    const SHORT: Duration = Duration::from_millis(5);
    const LONG: Duration = Duration::from_secs(20);

    fn hang(value: &mut u32, gate: &Receiver<()>) {
        let _closed = gate.recv();
        *value += 1;
    }

    #[test]
    fn a_value_that_a_call_hangs_with_comes_back_when_it_returns() {
        let (workers, mut lent) = (Workers::new("test", 4), Lent::new(1));
        let (open, gate) = bounded(0);
        assert!(lent.call(&workers, "hang", SHORT, move |value| hang(value, &gate)).is_err());
        assert!(lent.here().is_none() && lent.away_since().is_some());
        let late = lent.call(&workers, "read", SHORT, |value| *value);
        assert!(matches!(late, Err(CallError::Late { .. })), "{late:?}");
        assert_eq!(workers.counts().begun, 1, "no call is made beside the one that hangs");
        drop(open);
        while lent.here().is_none() {
            std::thread::yield_now();
        }
        assert_eq!(lent.call(&workers, "read", LONG, |value| *value), Ok(2));
    }

    #[test]
    fn a_refused_call_leaves_the_value_here() {
        let (workers, mut lent) = (Workers::new("test", 0), Lent::new(1));
        assert!(matches!(lent.call(&workers, "read", LONG, |value| *value), Err(CallError::Refused { .. })));
        assert_eq!(lent.here(), Some(&mut 1));
    }

    #[test]
    fn a_panic_loses_the_value_and_says_so() {
        let (workers, mut lent) = (Workers::new("test", 1), Lent::new(1));
        assert!(lent.call(&workers, "fail", LONG, |_| panic!("on purpose")).is_err_and(|error| {
            matches!(error, CallError::Panicked { ref message, .. } if message == "on purpose")
        }));
        assert!(lent.is_lost() && lent.here().is_none());
    }
}
