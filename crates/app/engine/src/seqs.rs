//! Holds the numbers that sources stamp on events against those that arrive: a gap is loss, and becomes an event.

use std::collections::BTreeMap;

use model::coverage::{Loss, Source};
use model::event::Event;
use model::untrusted::Untrusted;

/// What arrived from each source.
#[derive(Debug, Default)]
pub(crate) struct Seqs {
    next: BTreeMap<Source, u64>,
}

impl Seqs {
    /// Notes an arrival; gives the loss that it reveals.
    pub(crate) fn arrived(&mut self, event: &Event) -> Option<Loss> {
        let expected = self.next.insert(event.source, event.seq + 1).unwrap_or(0);
        let count = event.seq.saturating_sub(expected);
        (count > 0).then(|| Loss {
            source: event.source,
            cgroup: None,
            count,
            stage: Untrusted::new("queue of the engine"),
        })
    }
}

#[cfg(test)]
mod tests {
    use model::event::Body;
    use model::ids::NodeId;
    use model::time::Time;

    use super::*;

    #[test]
    fn a_gap_is_counted_once() {
        let event = |seq| Event {
            node: NodeId::new("node"),
            source: Source::Host,
            seq,
            time: Time::default(),
            seen: Time::default(),
            body: Body::Tick,
        };
        let mut seqs = Seqs::default();
        assert_eq!(seqs.arrived(&event(0)), None);
        assert_eq!(seqs.arrived(&event(4)).map(|loss| loss.count), Some(3));
        assert_eq!(seqs.arrived(&event(5)), None);
    }
}
