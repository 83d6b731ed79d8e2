//! Recordings in progress: each gets every event the fold takes, through a bounded queue of its own.

use crossbeam_channel::{Receiver, Sender, bounded};
use model::event::Event;

/// Events that may wait for a recording's reader; a reader slower than that loses its recording, not our time.
const WAITING_MAX: usize = 16_384;

/// The recordings in progress.
#[derive(Debug, Default)]
pub(crate) struct Recorders {
    readers: Vec<Sender<Event>>,
}

impl Recorders {
    /// Starts one; its events come out of the receiver, which closes when the reader was too slow.
    pub(crate) fn start(&mut self) -> Receiver<Event> {
        let (sender, receiver) = bounded(WAITING_MAX);
        self.readers.push(sender);
        receiver
    }

    pub(crate) fn take(&mut self, event: &Event) {
        if !self.readers.is_empty() {
            self.readers.retain(|reader| reader.try_send(event.clone()).is_ok());
        }
    }
}
