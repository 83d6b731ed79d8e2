//! The time that events are stamped with: the wall clock, except that it never runs backwards.
//!
//! It is the time since boot, suspend included, plus an offset that follows the wall clock forwards only. Not here: what a
//! step of the wall clock means.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use model::time::Time;

/// A difference between the wall clock and the time since boot that changes by more than this was set, not slewed.
const STEP_NS: i64 = 2_000_000_000;

/// A clock that never runs backwards. Cheap to clone; clones show the same time.
#[derive(Clone, Debug)]
pub struct Clock {
    state: Arc<Mutex<Offsets>>,
    read: fn() -> Reading,
}

/// Wall clock and time since boot at one moment, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reading {
    wall: i64,
    boot: i64,
}

#[derive(Debug)]
struct Offsets {
    /// What is added to the time since boot: never less than before.
    ours: i64,
    /// What the wall clock added when a step was last told.
    told: i64,
}

impl Default for Clock {
    fn default() -> Self {
        Self::reading(read)
    }
}

impl Clock {
    fn reading(read: fn() -> Reading) -> Self {
        let offset = read().offset();
        Self { state: Arc::new(Mutex::new(Offsets { ours: offset, told: offset })), read }
    }

    /// The time now.
    pub fn now(&self) -> Time {
        let reading = (self.read)();
        let mut offsets = self.offsets();
        offsets.ours = offsets.ours.max(reading.offset());
        Time::from_ns(reading.boot.saturating_add(offsets.ours))
    }

    /// When the host was booted, by this clock.
    pub fn boot(&self) -> Time {
        Time::from_ns(self.offsets().ours)
    }

    /// A time by the wall clock, as others announce it, by this clock.
    pub fn of_wall(&self, wall: Time) -> Time {
        let reading = (self.read)();
        let ahead = self.offsets().ours.max(reading.offset()).saturating_sub(reading.offset());
        Time::from_ns(wall.ns().saturating_add(ahead))
    }

    /// By how much the wall clock was set since a step was last told, if it was.
    pub fn take_step(&self) -> Option<i64> {
        let now = (self.read)().offset();
        let mut offsets = self.offsets();
        let by_ns = now.saturating_sub(offsets.told);
        if by_ns.saturating_abs() <= STEP_NS {
            return None;
        }
        offsets.told = now;
        Some(by_ns / 1_000_000)
    }

    fn offsets(&self) -> MutexGuard<'_, Offsets> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reading {
    fn offset(self) -> i64 {
        self.wall.saturating_sub(self.boot)
    }
}

fn read() -> Reading {
    // The wall clock first: a pause between the two makes the offset smaller, which is not followed.
    let wall = wall_clock().ns();
    Reading { wall, boot: i64::try_from(since_boot().as_nanos()).unwrap_or(i64::MAX) }
}

/// The wall clock; a clock set before 1970 reads as 1970.
pub fn wall_clock() -> Time {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time::from_ns(i64::try_from(since_epoch.as_nanos()).unwrap_or(i64::MAX))
}

/// Time since boot, suspend included: the clock that processes' starts and probes' records are stamped with.
pub fn since_boot() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let secs = u64::try_from(now.tv_sec).unwrap_or(0);
    Duration::new(secs, u32::try_from(now.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const SECOND: i64 = 1_000_000_000;
    const HOUR: i64 = 3_600 * SECOND;

    thread_local! {
        static NOW: Cell<Reading> = const { Cell::new(Reading { wall: 0, boot: 0 }) };
    }

    fn set(wall: i64, boot: i64) {
        NOW.set(Reading { wall, boot });
    }

    fn clock() -> Clock {
        set(1_000 * SECOND, 10 * SECOND);
        Clock::reading(|| NOW.get())
    }

    #[test]
    fn it_follows_a_step_forwards_and_goes_on_evenly_after_a_step_backwards() {
        let clock = clock();
        assert_eq!(clock.now().ns(), 1_000 * SECOND);
        set(1_001 * SECOND + HOUR, 11 * SECOND);
        assert_eq!(clock.now().ns(), 1_001 * SECOND + HOUR);
        set(1_002 * SECOND, 12 * SECOND);
        assert_eq!(clock.now().ns(), 1_002 * SECOND + HOUR);
        assert_eq!(clock.boot().ns(), 990 * SECOND + HOUR);
    }

    #[test]
    fn times_of_others_are_translated_by_what_the_wall_clock_was_set_back() {
        let clock = clock();
        set(1_001 * SECOND - HOUR, 11 * SECOND);
        assert_eq!(clock.now().ns(), 1_001 * SECOND);
        let announced = Time::from_ns(1_000 * SECOND - HOUR);
        assert_eq!(clock.of_wall(announced).ns(), 1_000 * SECOND);
    }

    #[test]
    fn a_step_is_told_once_and_slewing_is_none() {
        let clock = clock();
        set(1_001 * SECOND + SECOND, 11 * SECOND);
        assert_eq!(clock.take_step(), None);
        set(1_002 * SECOND - HOUR, 12 * SECOND);
        assert_eq!((clock.take_step(), clock.take_step()), (Some(-3_600_000), None));
    }

    #[test]
    fn many_small_steps_are_told_as_soon_as_they_add_up() {
        let clock = clock();
        let steps = (1..=10).filter_map(|number| {
            set((1_000 - number) * SECOND, 10 * SECOND);
            clock.take_step()
        });
        assert_eq!(steps.collect::<Vec<_>>(), [-3_000, -3_000, -3_000]);
    }

    proptest::proptest! {
        /// However the wall clock is set, time goes on with the time since boot at least.
        #[test]
        fn it_never_runs_backwards(steps in proptest::collection::vec((-2 * HOUR..2 * HOUR, 0..SECOND), 1..64)) {
            let clock = clock();
            let (mut wall, mut boot, mut before) = (1_000 * SECOND, 10 * SECOND, clock.now());
            for (step, passed) in steps {
                (wall, boot) = (wall + step + passed, boot + passed);
                set(wall, boot);
                let now = clock.now();
                proptest::prop_assert!(now.ns() >= before.ns() + passed);
                before = now;
            }
        }
    }
}
