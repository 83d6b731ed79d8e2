//! Waiting that Ctrl-C can end, so that every guard still cleans up behind it.
//!
//! Not here: time limits of commands, see `host.rs`.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Signals are the process's, so this is too.
static INTERRUPTED: (Mutex<bool>, Condvar) = (Mutex::new(false), Condvar::new());

/// Turns SIGINT and SIGTERM into an error of the next [`pause`].
pub(crate) fn watch_signals() -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM]).context("cannot watch for signals")?;
    thread::spawn(move || {
        for _ in signals.forever() {
            *INTERRUPTED.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
            INTERRUPTED.1.notify_all();
        }
    });
    Ok(())
}

/// Whether somebody asked us to stop.
pub(crate) fn interrupted() -> bool {
    *INTERRUPTED.0.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits; fails at once when somebody asks us to stop.
pub(crate) fn pause(span: Duration) -> Result<()> {
    let flag = INTERRUPTED.0.lock().unwrap_or_else(PoisonError::into_inner);
    let (flag, _) =
        INTERRUPTED.1.wait_timeout_while(flag, span, |stop| !*stop).unwrap_or_else(PoisonError::into_inner);
    if *flag {
        bail!("interrupted");
    }
    Ok(())
}

/// Waits a short time whatever happens: cleaning up must go on after an interruption.
pub(crate) fn nap(span: Duration) {
    let (_sender, receiver): (Sender<()>, _) = channel();
    // The sender lives, so this can only time out.
    let _: Result<(), RecvTimeoutError> = receiver.recv_timeout(span);
}

/// Asks every 100 ms until there is an answer. An error counts as "not yet" and is told when the time is up.
pub(crate) fn until<T>(limit: Duration, what: &str, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        let last = match ask() {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) => String::new(),
            Err(error) => format!(" (last: {error:#})"),
        };
        if Instant::now() >= deadline {
            bail!("after {:.1} s still not: {what}{last}", limit.as_secs_f64());
        }
        pause(Duration::from_millis(100))?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_comes_is_named_with_the_last_error() {
        let error = until(Duration::ZERO, "the moon", || -> Result<Option<()>> { bail!("clouds") });
        assert_eq!(error.unwrap_err().to_string(), "after 0.0 s still not: the moon (last: clouds)");
    }
}
