//! Queues between threads that hold at most so many, and take memory only for what waits: a channel of a fixed size keeps
//! room for all it may ever hold, which is megabytes.
//!
//! Not here: what is lost when one is full, which its users count.

use crossbeam_channel::{Receiver, Sender, unbounded};

/// The way into a queue. Clones lead into the same one.
#[derive(Debug)]
pub struct Inlet<T> {
    queue: Sender<T>,
    waiting_max: usize,
}

impl<T> Clone for Inlet<T> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone(), waiting_max: self.waiting_max }
    }
}

impl<T> Inlet<T> {
    /// The two ends of a queue in which at most `waiting_max` wait; with several senders at once, one more for each of
    /// them.
    pub fn new(waiting_max: usize) -> (Self, Receiver<T>) {
        let (queue, receiver) = unbounded();
        (Self { queue, waiting_max }, receiver)
    }

    /// Queues it and never waits; false when the queue is full or nobody is left to take it.
    pub fn offer(&self, item: T) -> bool {
        self.queue.len() < self.waiting_max && self.queue.send(item).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::Inlet;

    #[test]
    fn what_finds_it_full_is_refused_until_there_is_room() {
        let (inlet, receiver) = Inlet::new(2);
        assert_eq!([1, 2, 3].map(|item| inlet.clone().offer(item)), [true, true, false]);
        assert_eq!(receiver.try_recv(), Ok(1));
        assert!(inlet.offer(4));
        assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [2, 4]);
    }

    #[test]
    fn what_nobody_is_left_to_take_is_refused() {
        let (inlet, receiver) = Inlet::new(2);
        drop(receiver);
        assert!(!inlet.offer(1));
        let (inlet, receiver) = Inlet::<u8>::new(2);
        drop(inlet);
        assert!(receiver.recv().is_err());
    }
}
