//! Whatever calls do, their callers wait no longer than asked for and every call is accounted for.

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use proptest::prelude::*;

use super::*;

const SHORT: Duration = Duration::from_millis(5);
const LONG: Duration = Duration::from_secs(20);

/// A call that hangs until its gate is dropped.
fn gate() -> (Sender<()>, impl FnOnce() -> u32 + Send + 'static) {
    let (open, wait): (Sender<()>, Receiver<()>) = bounded(0);
    let hang = move || {
        // Nothing is ever sent: it returns when the gate opens.
        let _closed = wait.recv();
        7
    };
    (open, hang)
}

fn until(mut is_so: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + LONG;
    while Instant::now() < end {
        if is_so() {
            return true;
        }
        std::thread::yield_now();
    }
    false
}

#[test]
fn a_call_that_returns_is_answered_and_its_thread_is_used_again() {
    let workers = Workers::new("test", 1);
    for number in 0..100 {
        // The thread may still be on its way back when its answer is here already.
        assert!(until(|| workers.counts().unfinished == 0));
        assert_eq!(workers.call("add", LONG, move || number + 1), Ok(number + 1));
    }
    let counts = workers.counts();
    assert_eq!((counts.begun, counts.abandoned, counts.refused, counts.stuck()), (100, 0, 0, 0));
}

#[test]
fn a_call_that_hangs_is_abandoned_and_counted_as_recovered_when_it_returns() {
    let workers = Workers::new("test", 2);
    let (open, hang) = gate();
    let late = workers.call("hang", SHORT, hang);
    assert_eq!(late, Err(CallError::Late { call: "hang", deadline: SHORT }));
    assert_eq!(workers.counts().oldest.map(|(call, _)| call), Some("hang"));
    assert_eq!(workers.call("other", LONG, || 1), Ok(1));
    drop(open);
    assert!(until(|| workers.counts().recovered == 1));
    assert_eq!(workers.counts().oldest, None);
}

#[test]
fn a_call_that_was_late_can_be_waited_for_again() {
    let workers = Workers::new("test", 1);
    let (open, hang) = gate();
    let mut pending = workers.begin("hang", hang).unwrap();
    assert!(pending.wait_more(SHORT).is_err());
    drop(open);
    assert_eq!(pending.wait_more(LONG), Ok(7));
    drop(pending);
    assert!(until(|| workers.counts().unfinished == 0));
    assert_eq!((workers.counts().abandoned, workers.counts().recovered), (1, 1));
}

#[test]
fn a_call_that_panics_is_an_error_and_costs_no_thread() {
    let workers = Workers::new("test", 1);
    let panicked = workers.call("fail", LONG, || -> u8 { panic!("on purpose") });
    let message = "on purpose".to_owned();
    assert_eq!(panicked, Err(CallError::Panicked { call: "fail", message }));
    assert!(until(|| workers.counts().unfinished == 0));
    assert_eq!(workers.call("next", LONG, || 1), Ok(1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Some of the calls hang for ever: each caller gets its answer, an error within the deadline, or a refusal at once; no
    /// more threads are taken than allowed; all who hang are counted, and all are counted back when they return.
    #[test]
    fn calls_that_hang_hold_up_no_caller_and_are_all_counted(
        hangs in prop::collection::vec(any::<bool>(), 1..24),
        unfinished_max in 1usize..6,
    ) {
        let workers = Workers::new("test", unfinished_max);
        let (mut gates, mut stuck) = (Vec::new(), 0);
        for is_hanging in hangs {
            let began = Instant::now();
            let (open, hang) = gate();
            // Of the calls that return none is still on its way back.
            prop_assert!(until(|| workers.counts().unfinished == stuck));
            let answer = match is_hanging {
                true => workers.call("hang", SHORT, hang),
                false => workers.call("return", LONG, || 7),
            };
            prop_assert!(began.elapsed() < LONG);
            match answer {
                Err(CallError::Refused { unfinished, .. }) => {
                    prop_assert_eq!((unfinished, stuck), (unfinished_max, unfinished_max));
                }
                Err(_) => {
                    prop_assert!(is_hanging);
                    stuck += 1;
                    gates.push(open);
                }
                Ok(answer) => prop_assert!(!is_hanging && answer == 7),
            }
            prop_assert_eq!(workers.counts().stuck(), stuck as u64);
            prop_assert!(stuck <= unfinished_max);
        }
        gates.clear();
        prop_assert!(until(|| workers.counts().unfinished == 0));
        prop_assert_eq!(workers.counts().recovered, stuck as u64);
    }
}
