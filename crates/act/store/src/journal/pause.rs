//! How long the journal waits before it tries a disk again that failed, counted in flushes.

/// Flushes between two attempts on a disk that stays full, at most.
const PAUSE_FLUSHES_MAX: u32 = 8;

/// Good flushes in a row after which earlier failures no longer count: a disk that is filled and freed in turn is tried as
/// seldom as one that stays full. Prior: a minute at one flush a second.
const FORGIVEN_AFTER_FLUSHES: u32 = 60;

/// The pause after failures.
#[derive(Debug, Default)]
pub(super) struct Pause {
    /// Flushes until the next attempt.
    left: u32,
    /// Length of the latest pause; zero when no failure counts.
    latest: u32,
    /// Good flushes since then.
    good: u32,
}

impl Pause {
    /// Begins a pause, each twice as long as the one before.
    pub(super) fn begin(&mut self) {
        self.latest = (self.latest * 2).clamp(1, PAUSE_FLUSHES_MAX);
        self.left = self.latest;
        self.good = 0;
    }

    /// Whether the next attempt is still to come.
    pub(super) fn is_on(&self) -> bool {
        self.left > 0
    }

    /// Counts a flush.
    pub(super) fn flushed(&mut self) {
        if self.is_on() {
            self.left -= 1;
            return;
        }
        self.good = self.good.saturating_add(1);
        if self.good >= FORGIVEN_AFTER_FLUSHES {
            self.latest = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Begins a pause and gives its length in flushes.
    fn length(pause: &mut Pause) -> u32 {
        pause.begin();
        let mut flushes = 0;
        while pause.is_on() {
            pause.flushed();
            flushes += 1;
        }
        flushes
    }

    #[test]
    fn pauses_grow_and_one_good_flush_does_not_shorten_them() {
        let mut pause = Pause::default();
        let lengths: Vec<u32> = (0..6)
            .map(|_| {
                pause.flushed();
                length(&mut pause)
            })
            .collect();
        assert_eq!(lengths, [1, 2, 4, 8, 8, 8]);
        (0..FORGIVEN_AFTER_FLUSHES).for_each(|_| pause.flushed());
        assert_eq!(length(&mut pause), 1);
    }
}
