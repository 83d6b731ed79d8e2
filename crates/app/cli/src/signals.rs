//! The signals that end a program: the first ends it in order, the second at once.
//!
//! Not here: what an orderly end is.

use std::io::{ErrorKind, Read};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::Context;
use deadline::pulse::{Pulse, Pulses};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::pipe;
use sources::outlet::Stop;

/// The program has ended this long after it was asked to, whatever still hangs.
const END_MAX: Duration = Duration::from_secs(10);
/// How often the thread that waits for signals beats.
const BEAT_EVERY: Duration = Duration::from_secs(1);
const SILENT_MAX: Duration = Duration::from_secs(5);

/// A [`Stop`] that is set by the signals that end a program.
pub(crate) fn stop_on_signals(pulses: &Pulses) -> anyhow::Result<Stop> {
    let (stopper, stop) = Stop::new();
    let (asked, signals) = (stop.clone(), signals().context("signals")?);
    pulses.spawn("signals", SILENT_MAX, move |pulse| {
        let _until_the_end = stopper;
        wait(signals, &asked, pulse);
        std::process::exit(2);
    })?;
    Ok(stop)
}

/// A byte comes out of it for each signal, and an error when none has come for a while.
fn signals() -> std::io::Result<UnixStream> {
    let (signals, inlet) = UnixStream::pair()?;
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        pipe::register(signal, inlet.try_clone()?)?;
    }
    signals.set_read_timeout(Some(BEAT_EVERY))?;
    Ok(signals)
}

/// Asks for the stop at the first signal; returns at the second, or when the program should have ended.
fn wait(mut signals: impl Read, stop: &Stop, pulse: &Pulse) {
    let mut ends: Option<Instant> = None;
    while ends.is_none_or(|ends| Instant::now() < ends) {
        pulse.beat();
        let has_come = has_come(&mut signals);
        if has_come && ends.is_some() {
            return;
        }
        if has_come {
            stop.ask();
            ends = Some(Instant::now() + END_MAX);
        }
    }
}

/// Whether a signal came within a beat; several at once are one.
fn has_come(signals: &mut impl Read) -> bool {
    match signals.read(&mut [0; 16]) {
        Ok(1..) => return true,
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
        // No reason is known; to try again at once would only burn a core.
        Ok(_) | Err(_) => std::thread::park_timeout(BEAT_EVERY),
    }
    false
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn the_first_signal_asks_for_the_stop_and_the_second_is_not_waited_out() {
        let (signals, mut inlet) = UnixStream::pair().unwrap();
        signals.set_read_timeout(Some(BEAT_EVERY)).unwrap();
        let ((_stopper, stop), pulses) = (Stop::new(), Pulses::default());
        let asked = stop.clone();
        let run = move |pulse: &Pulse| {
            wait(signals, &asked, pulse);
            pulse.retire();
        };
        let thread = pulses.spawn("signals", LONG, run).unwrap();
        assert!(!stop.is_set());
        inlet.write_all(b"X").unwrap();
        assert!(stop.wait(LONG));
        inlet.write_all(b"X").unwrap();
        let began = Instant::now();
        assert!(thread.join_until(began + END_MAX / 2));
    }

    #[test]
    fn the_thread_beats_while_no_signal_comes() {
        let pulses = Pulses::default();
        let _stop = stop_on_signals(&pulses).unwrap();
        let silent = || pulses.vitals()[0].silent;
        let (began, mut longest) = (Instant::now(), Duration::ZERO);
        while silent() >= longest {
            longest = silent();
            assert!(began.elapsed() < LONG, "it never beat");
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }
}
