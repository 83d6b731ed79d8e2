//! Events as lines of a recording, made where the events are and written where the disk is.

use model::event::Event;
use model::time::Time;

use crate::error::StoreError;
use crate::recording::event_line;

/// Some events as whole lines.
#[derive(Debug, Default)]
pub struct Lines {
    /// The lines, each with its end.
    pub(super) bytes: Vec<u8>,
    /// How many they are.
    pub(super) events: u64,
    /// Events that were lost before these: too long, or no room in a queue.
    pub(super) lost: u64,
    /// When the first one happened and was seen.
    pub(super) first: Option<(Time, Time)>,
}

impl Lines {
    /// Adds an event; one that is too long for a line is refused.
    pub fn add(&mut self, event: &Event) -> Result<(), StoreError> {
        let line = event_line(event)?;
        self.first.get_or_insert((event.time, event.seen));
        self.bytes.extend_from_slice(&line);
        self.events += 1;
        Ok(())
    }
}
