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

#[cfg(test)]
mod tests {
    use model::coverage::Source;
    use model::event::Body;
    use model::ids::NodeId;
    use model::time::Time;

    use super::*;

    fn event(seq: u64) -> Event {
        let (time, node) = (Time::default(), NodeId::new("node"));
        Event { node, source: Source::Engine, seq, time, seen: time, body: Body::Tick }
    }

    #[test]
    fn a_reader_that_is_too_slow_loses_its_recording_and_the_others_go_on() {
        let mut recorders = Recorders::default();
        let (slow, quick) = (recorders.start(), recorders.start());
        let all = WAITING_MAX as u64 + 5;
        let mut heard = 0;
        for seq in 0..all {
            recorders.take(&event(seq));
            heard += quick.try_iter().count() as u64;
        }
        assert_eq!(heard, all);
        let kept: Vec<u64> = slow.iter().map(|event| event.seq).collect();
        assert_eq!(kept, (0..WAITING_MAX as u64).collect::<Vec<_>>(), "whole up to where it was cut off");
    }

    #[test]
    fn a_reader_that_went_away_is_forgotten() {
        let mut recorders = Recorders::default();
        drop(recorders.start());
        recorders.take(&event(0));
        assert!(recorders.readers.is_empty());
    }
}
