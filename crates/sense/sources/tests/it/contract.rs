//! What every source keeps to, whatever it reads.

use std::collections::BTreeMap;

use model::coverage::Source;
use model::event::{Body, Event};

/// Checks events in the order a queue gave them: numbered without a gap, stamped not before they happened (half a
/// second is left for clocks that two views read), and each source says how it is.
pub(crate) fn check(events: &[Event], sources: &[Source]) {
    let mut next: BTreeMap<Source, u64> = BTreeMap::new();
    for event in events {
        let expected = next.entry(event.source).or_default();
        assert_eq!(event.seq, *expected, "{} jumps: {event:?}", event.source);
        *expected += 1;
        assert!(event.time.ns() <= event.seen.ns() + 500_000_000, "seen before it happened: {event:?}");
    }
    for source in sources {
        let tells = |event: &&Event| matches!(&event.body, Body::Report(report) if report.source == *source);
        assert!(events.iter().any(|event| tells(&event)), "{source} never says how it is");
    }
}
