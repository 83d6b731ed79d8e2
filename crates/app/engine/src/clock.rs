//! The fold's notion of now: one time line on which no source goes back, whatever the host's clock and the sources' clocks do.
//!
//! A clock that is set back would keep everything that waits waiting, and everything that ends from ending after it began;
//! one ahead of its time would end waits early. So events are put on one time line before anything looks at them. Not here:
//! noticing that a clock was set, and what that is worth (`detect`).

use std::collections::BTreeMap;
use std::time::Duration;

use model::coverage::Source;
use model::event::{Body, Event};
use model::integrity::Integrity;
use model::time::Time;
use serde::{Deserialize, Serialize};

/// The time line of the fold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Clock {
    /// The last event of each source, on the time line. A source stamps and queues its events under one lock, so only a clock
    /// that was set back shows as going back; between sources, order is no more than the queue's.
    last: BTreeMap<Source, Time>,
    /// The last tick, by the host's clock.
    tick: Option<Time>,
    /// How far the time line is ahead of the host's clock, which was set back.
    ahead: Duration,
}

impl Clock {
    /// Puts an event on the time line: it keeps its age, and nothing happens in the future.
    pub(crate) fn place(&mut self, event: &mut Event) {
        match &event.body {
            Body::Tick => self.give_back(event.seen),
            Body::Integrity(fact) => self.take(fact),
            _ => {}
        }
        let age = event.seen.since(event.time);
        let last = self.last.get(&event.source).copied().unwrap_or(Time::from_ns(i64::MIN));
        self.ahead = self.ahead.saturating_add(last.since(event.seen.plus(self.ahead)));
        event.seen = event.seen.plus(self.ahead).max(last);
        event.time = event.seen.minus(age);
        self.last.insert(event.source, event.seen);
    }

    /// Half a second passed. What the time line is ahead by is given back at half the pace of time: what is shown of times comes
    /// to agree with the host's clock again, and nothing waits for longer than twice its time.
    fn give_back(&mut self, tick: Time) {
        let passed = self.tick.map_or(Duration::ZERO, |last| tick.since(last));
        self.ahead = self.ahead.saturating_sub(passed / 2);
        self.tick = Some(tick);
    }

    /// A clock that is put right again needs no making up for.
    fn take(&mut self, fact: &Integrity) {
        if let Integrity::ClockStepped { by_ms: by @ 1.. } = fact {
            self.ahead = self.ahead.saturating_sub(Duration::from_millis(by.unsigned_abs()));
        }
    }
}

#[cfg(test)]
mod tests {
    use model::ids::NodeId;

    use super::*;

    const START: i64 = 1_800_000_000;

    fn event(time: i64, seen: i64, body: Body) -> Event {
        let (time, seen) = (Time::from_secs(START + time), Time::from_secs(START + seen));
        Event { node: NodeId::new("node"), source: Source::Engine, seq: 0, time, seen, body }
    }

    fn placed(clock: &mut Clock, mut event: Event) -> (i64, i64) {
        clock.place(&mut event);
        let secs = |at: Time| at.ns() / 1_000_000_000 - START;
        (secs(event.time), secs(event.seen))
    }

    #[test]
    fn times_are_as_they_came_while_no_clock_is_set() {
        let mut clock = Clock::default();
        for (time, seen) in [(0, 0), (-50, 1), (1, 1), (2, 2)] {
            assert_eq!(placed(&mut clock, event(time, seen, Body::Tick)), (time, seen));
        }
    }

    #[test]
    fn a_time_to_come_is_now() {
        let mut clock = Clock::default();
        assert_eq!(placed(&mut clock, event(3_600, 5, Body::Host(Box::default()))), (5, 5));
        assert_eq!(placed(&mut clock, event(6, 6, Body::Tick)), (6, 6));
    }

    #[test]
    fn a_clock_that_is_set_back_is_made_up_for_and_comes_to_agree_again() {
        let mut clock = Clock::default();
        placed(&mut clock, event(100, 100, Body::Tick));
        let others =
            |time, seen| Event { source: Source::Kernel, ..event(time, seen, Body::Host(Box::default())) };
        placed(&mut clock, others(99, 100));
        assert_eq!(placed(&mut clock, others(-3_500, -3_499)), (99, 100), "it keeps its age");
        assert_eq!(
            placed(&mut clock, event(-3_499, -3_499, Body::Tick)),
            (100, 100),
            "it is made up for once"
        );
        assert_eq!(placed(&mut clock, event(-3_497, -3_497, Body::Tick)), (101, 101));
        let mut tick = |at| placed(&mut clock, event(at, at, Body::Tick)).1;
        let times: Vec<i64> = (-3_496..5_000).map(&mut tick).collect();
        assert!(times.is_sorted());
        assert_eq!(times.last(), Some(&4_999));
    }

    #[test]
    fn a_clock_that_is_put_right_needs_no_making_up_for() {
        let mut clock = Clock::default();
        placed(&mut clock, event(100, 100, Body::Tick));
        placed(&mut clock, event(40, 40, Body::Tick));
        let right = Integrity::ClockStepped { by_ms: 60_000 };
        assert_eq!(placed(&mut clock, event(101, 101, Body::Integrity(Box::new(right)))), (101, 101));
    }

    #[test]
    fn what_waited_in_a_queue_keeps_its_time() {
        let mut clock = Clock::default();
        placed(&mut clock, event(100, 100, Body::Tick));
        let waited = Event { source: Source::Kernel, ..event(69, 70, Body::Host(Box::default())) };
        assert_eq!(placed(&mut clock, waited), (69, 70));
    }
}
