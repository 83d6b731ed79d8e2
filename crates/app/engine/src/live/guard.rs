//! The run's own protection: sealed once the probes are loaded, and what is noticed of interference with it.
//!
//! Not here: how (`hardening`), and what it weighs (the fold).

use std::path::PathBuf;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use deadline::pulse::{Pulse, Pulses};
use hardening::{Hardening, Tampering, Watch};
use model::coverage::Source;
use model::event::{Body, Event};
use model::integrity::Integrity;
use model::untrusted::Untrusted;

use crate::control::Control;

/// Time between two looks for interference.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A look is a handful of small files; a disk may need seconds for one.
const SILENT_MAX: Duration = Duration::from_secs(10);
/// Things noticed that may wait for the loop; more at once say nothing new.
const NOTICED_MAX: usize = 64;
/// Looks between two moments at which code that was run once is given back, and the first of them: the start is over then.
const RELEASE_LOOKS: u64 = 600;
const FIRST_RELEASE: u64 = 30;
/// Ticks between two notes about clients turned away.
const REFUSED_TICKS: u64 = 20;

/// What protects this run, as far as the kernel let it.
#[derive(Debug)]
pub struct Guard {
    refused: Vec<String>,
    seals: bool,
    noticed: Option<Receiver<Tampering>>,
}

impl Guard {
    /// Restricts this thread and all that it starts from now on: call it before any other thread exists. Watches our program
    /// and `files`, from a thread with a pulse of its own.
    pub fn restrict(files: &[PathBuf], pulses: &Pulses) -> Self {
        // Before the limits: what the watch sees is then what the loader left.
        let watch = Watch::new(files);
        let refused = hardening::restrict();
        Self { refused, seals: true, noticed: Some(watch_from_a_thread(watch, pulses)) }
    }

    /// Protects nothing and notices nothing: for tests in a process that runs others.
    pub fn none() -> Self {
        Self { refused: Vec::new(), seals: false, noticed: None }
    }

    /// Seals the process once the kernel's source has said how it is: then the probes are loaded, or never will be.
    pub(super) fn seal_after(&mut self, event: &Event) {
        let is_loaded = event.source == Source::Kernel && matches!(event.body, Body::Report(_));
        if !self.seals || !is_loaded {
            return;
        }
        self.seals = false;
        if let Err(refusal) = hardening::seal() {
            self.refused.push(refusal);
        }
        for refusal in &self.refused {
            tracing::warn!(%refusal, "the kernel refused a part of our own protection");
        }
    }

    /// What was noticed since the last tick.
    pub(super) fn noticed(&self, tick: u64, control: &Control) -> Vec<Integrity> {
        let found = self.noticed.iter().flat_map(Receiver::try_iter).map(integrity);
        let is_due = tick.is_multiple_of(REFUSED_TICKS);
        let turned_away = if is_due { control.take_refused() } else { 0 };
        let refused = (turned_away > 0)
            .then(|| Integrity::Refused { what: Untrusted::new("control clients"), count: turned_away });
        found.chain(refused).collect()
    }

    /// What is in force now.
    pub(super) fn in_force(&self) -> Hardening {
        Hardening::read(&self.refused)
    }
}

/// Files may lie where a `stat` never returns: the loop must not wait for it. Without a thread nothing is noticed, which the
/// pulse shows.
fn watch_from_a_thread(mut watch: Watch, pulses: &Pulses) -> Receiver<Tampering> {
    let (found, noticed) = bounded(NOTICED_MAX);
    let look = move |pulse: &Pulse| {
        let mut looks: u64 = 0;
        while watch.look().into_iter().all(|one| hand_over(&found, one)) {
            pulse.beat();
            looks += 1;
            if looks % RELEASE_LOOKS == FIRST_RELEASE
                && let Err(error) = hardening::release_code()
            {
                tracing::debug!(%error, "code that was run once stays resident");
            }
            std::thread::park_timeout(LOOK_EVERY);
        }
        pulse.retire();
    };
    if let Err(error) = pulses.spawn("guard", SILENT_MAX, look) {
        pulses.not_started("guard", SILENT_MAX, &error);
    }
    noticed
}

/// Whether the loop is still there.
fn hand_over(found: &Sender<Tampering>, one: Tampering) -> bool {
    !found.try_send(one).is_err_and(|error| error.is_disconnected())
}

fn integrity(found: Tampering) -> Integrity {
    match found {
        Tampering::File { path, how } => {
            Integrity::FileChanged { path: Untrusted::new(&path.to_string_lossy()), how: Untrusted::new(how) }
        }
        Tampering::Process { what, how } => {
            Integrity::Tampered { what: Untrusted::new(what), how: Untrusted::new(&how) }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn the_thread_that_looks_for_interference_beats_while_there_is_none() {
        let pulses = Pulses::default();
        let _noticed = watch_from_a_thread(Watch::new(&[]), &pulses);
        let silent = || pulses.vitals()[0].silent;
        let (began, mut longest) = (Instant::now(), Duration::ZERO);
        while silent() >= longest {
            longest = silent();
            assert!(began.elapsed() < SILENT_MAX, "it never beat");
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }
}
