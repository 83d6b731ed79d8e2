//! Calls that hang on purpose, for tests: every call that a pool makes is known here by its name, and one of them can be made to
//! hang for ever.
//!
//! Not here: anything that a release holds; the feature `faults` is for tests of other crates.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

#[derive(Debug)]
struct Faults {
    made: BTreeSet<&'static str>,
    hung: Option<&'static str>,
}

static FAULTS: Mutex<Faults> = Mutex::new(Faults { made: BTreeSet::new(), hung: None });

/// The names of all calls that were made in this process so far.
pub fn made() -> BTreeSet<&'static str> {
    FAULTS.lock().unwrap_or_else(PoisonError::into_inner).made.clone()
}

/// Has every call of this name hang for ever from now on, those in this process that are made anew; and no other any more.
pub fn hang(call: &'static str) {
    FAULTS.lock().unwrap_or_else(PoisonError::into_inner).hung = Some(call);
}

/// In the thread that makes a call: never returns when it is to hang.
pub(crate) fn pass(call: &'static str) {
    let is_hung = {
        let mut faults = FAULTS.lock().unwrap_or_else(PoisonError::into_inner);
        faults.made.insert(call);
        faults.hung == Some(call)
    };
    if is_hung {
        loop {
            std::thread::park();
        }
    }
}
