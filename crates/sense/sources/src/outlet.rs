//! The one way out of a source: stamps, numbers and queues its events, keeps its thread's pulse; and the one way to ask it to
//! stop.
//!
//! Not here: the queue's other end, which is the engine.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use deadline::pulse::{Pulse, Pulses, Watched};
use model::coverage::Source;
use model::event::{Body, Event};
use model::ids::NodeId;
use model::time::Time;

use crate::clock::Clock;
use crate::queue::Inlet;

/// Where sources put their events. Cheap to clone.
///
/// Numbers are dense per source. An event that finds the queue full uses up its number, so the engine sees the
/// gap and books it as loss: the sender never waits.
#[derive(Clone, Debug)]
pub struct Outlet {
    node: NodeId,
    queue: Inlet<Event>,
    /// How many events of each source were numbered. Several threads may be one source: an event is numbered and queued
    /// under its lock, for a number out of order looks like a loss.
    numbers: Arc<[Mutex<u64>; Source::ALL.len()]>,
    clock: Clock,
    pulses: Pulses,
    /// How often everything was asked for anew.
    asked_anew: Arc<AtomicU64>,
}

impl Outlet {
    /// An outlet and the engine's end of its queue, which holds at most `events_max`.
    pub fn new(node: NodeId, events_max: usize) -> (Self, Receiver<Event>) {
        let (queue, receiver) = Inlet::new(events_max);
        let outlet = Self {
            node,
            queue,
            numbers: Arc::default(),
            clock: Clock::default(),
            pulses: Pulses::default(),
            asked_anew: Arc::default(),
        };
        (outlet, receiver)
    }

    /// The same outlet, whose threads' pulses are kept beside others'.
    #[must_use]
    pub fn with_pulses(self, pulses: Pulses) -> Self {
        Self { pulses, ..self }
    }

    /// The same outlet with a queue of its own, which holds at most `events_max`, and that queue's end.
    #[must_use]
    pub fn branch(&self, events_max: usize) -> (Self, Receiver<Event>) {
        let (queue, receiver) = Inlet::new(events_max);
        (Self { queue, numbers: Arc::default(), ..self.clone() }, receiver)
    }

    /// Starts a thread that must beat at least each `silent_max`. A thread that the system does not give counts as one that
    /// died: its pulse shows why, and whatever wanted it is started anew later.
    pub fn spawn(
        &self,
        thread: &str,
        silent_max: Duration,
        run: impl FnOnce(&Pulse) + Send + 'static,
    ) -> Watched {
        let started = self.pulses.spawn(thread, silent_max, run);
        started.unwrap_or_else(|error| self.pulses.not_started(thread, silent_max, &error))
    }

    /// The pulses of all threads.
    pub fn pulses(&self) -> &Pulses {
        &self.pulses
    }

    /// The clock that events are stamped by.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Has every source look anew at what it compares from time to time: the sensor did not run for a while.
    pub fn ask_anew(&self) {
        self.asked_anew.fetch_add(1, Ordering::AcqRel);
    }

    /// How often that was asked for.
    pub fn asked_anew(&self) -> u64 {
        self.asked_anew.load(Ordering::Acquire)
    }

    /// Stamps and queues what happened at `time`; never blocks.
    pub fn send(&self, source: Source, time: Time, body: Body) {
        let mut number = self.number(source);
        let event = self.numbered_event(source, &mut number, time, body);
        // A full queue or an engine that has gone: the number is used up, and the gap tells.
        let _is_queued = self.queue.offer(event);
    }

    /// Stamps what happened at `time` without queueing it: for the engine's own events, which must not be lost.
    pub fn stamp(&self, source: Source, time: Time, body: Body) -> Event {
        self.numbered_event(source, &mut self.number(source), time, body)
    }

    /// Queues what happened just now.
    pub fn send_now(&self, source: Source, body: Body) {
        self.send(source, self.now(), body);
    }

    /// Queues what an engine announced, at the time it says, if any. Its clock is the host's wall clock: a time to come would
    /// be a lie.
    pub fn send_announced(&self, source: Source, time: Option<Time>, body: Body) {
        let now = self.now();
        let time = time.map(|time| self.clock.of_wall(time));
        self.send(source, time.map_or(now, |time| time.min(now)), body);
    }

    /// How many events a source has numbered so far: the engine compares it with what it received.
    pub fn numbered(&self, source: Source) -> u64 {
        *self.number(source)
    }

    /// The time now: the wall clock's, except that it never runs backwards.
    pub fn now(&self) -> Time {
        self.clock.now()
    }

    /// The host whose events these are.
    pub fn node(&self) -> &NodeId {
        &self.node
    }

    fn numbered_event(&self, source: Source, number: &mut u64, time: Time, body: Body) -> Event {
        let seq = *number;
        *number += 1;
        Event { node: self.node.clone(), source, seq, time, seen: self.now(), body }
    }

    fn number(&self, source: Source) -> MutexGuard<'_, u64> {
        self.numbers[source as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells sources to end. Cheap to clone; whoever has one can wait for the stop, or ask for it.
#[derive(Clone, Debug)]
pub struct Stop {
    asked: Arc<AtomicBool>,
    /// Taken, and so closed, when stop is asked: that wakes everybody at once.
    open: Arc<Mutex<Option<Sender<()>>>>,
    woken: Receiver<()>,
}

/// Asks everybody to stop when dropped.
#[derive(Debug)]
pub struct Stopper(Stop);

impl Stop {
    /// A stop that nobody asked for yet, and the guard that asks for it at the latest.
    pub fn new() -> (Stopper, Self) {
        let (open, woken) = bounded(0);
        let stop = Self { asked: Arc::default(), open: Arc::new(Mutex::new(Some(open))), woken };
        (Stopper(stop.clone()), stop)
    }

    /// Asks everybody to stop.
    pub fn ask(&self) {
        self.asked.store(true, Ordering::Release);
        self.open.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Whether stop was asked.
    pub fn is_set(&self) -> bool {
        self.asked.load(Ordering::Acquire)
    }

    /// Waits for `span`, or less when stop is asked; tells whether it was.
    pub fn wait(&self, span: Duration) -> bool {
        // Nothing is ever sent: it either closes, which is the stop, or times out.
        let _closed_or_timed_out = self.woken.recv_timeout(span);
        self.is_set()
    }

    /// A channel that closes when stop is asked, to be selected on beside others.
    pub fn closed(&self) -> &Receiver<()> {
        &self.woken
    }
}

impl Drop for Stopper {
    fn drop(&mut self) {
        self.0.ask();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_shows_as_a_gap_in_the_numbers() {
        let (outlet, queue) = Outlet::new(NodeId::new("node"), 2);
        for _ in 0..3 {
            outlet.send_now(Source::Host, Body::Tick);
        }
        let numbers: Vec<u64> = queue.try_iter().map(|event| event.seq).collect();
        assert_eq!(numbers, [0, 1]);
        outlet.send_now(Source::Host, Body::Tick);
        assert_eq!(queue.try_recv().unwrap().seq, 3);
    }

    #[test]
    fn numbers_of_threads_that_are_one_source_are_queued_in_order() {
        let (outlet, queue) = Outlet::new(NodeId::new("node"), 40_000);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10_000).for_each(|_| outlet.send_now(Source::Docker, Body::Tick)));
            }
        });
        assert!(queue.try_iter().map(|event| event.seq).eq(0..40_000));
    }

    #[test]
    fn dropping_the_stopper_wakes_the_waiting() {
        let (stopper, stop) = Stop::new();
        let waiting = std::thread::spawn(move || stop.wait(Duration::from_secs(60)));
        drop(stopper);
        assert!(waiting.join().unwrap());
    }
}
