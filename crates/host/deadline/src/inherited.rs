//! A value that one thread uses at a time, and that the next thread goes on with after that one ended or panicked.
//!
//! Not here: when a thread is started anew. The value is as a panic left it.

use std::sync::{Arc, Mutex, PoisonError};

/// A value that outlives the threads that use it. Cheap to clone; clones share the value.
#[derive(Debug)]
pub struct Inherited<T> {
    value: Arc<Mutex<Option<T>>>,
}

impl<T> Clone for Inherited<T> {
    fn clone(&self) -> Self {
        Self { value: Arc::clone(&self.value) }
    }
}

impl<T> Default for Inherited<T> {
    fn default() -> Self {
        Self { value: Arc::default() }
    }
}

impl<T> Inherited<T> {
    /// Uses the value, which is made first where no earlier thread has made it. A thread is started in the place of another
    /// one only after that one has ended, so this does not wait.
    ///
    /// # Errors
    /// When the value cannot be made.
    pub fn with<R, E>(
        &self,
        make: impl FnOnce() -> Result<T, E>,
        run: impl FnOnce(&mut T) -> R,
    ) -> Result<R, E> {
        let mut value = self.value.lock().unwrap_or_else(PoisonError::into_inner);
        let value = match &mut *value {
            Some(value) => value,
            none => none.insert(make()?),
        };
        Ok(run(value))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::pulse::{Life, Pulses};

    #[test]
    fn a_thread_that_is_started_anew_goes_on_with_the_value_of_the_one_that_panicked() {
        let (pulses, shared) = (Pulses::default(), Inherited::<u32>::default());
        let own = shared.clone();
        let dies = move |_: &crate::pulse::Pulse| {
            let _never = own.with(
                || Ok::<_, ()>(1),
                |value| {
                    *value += 1;
                    panic!("on purpose");
                },
            );
        };
        let dead = pulses.spawn("dies", Duration::from_secs(20), dies).unwrap();
        let pulse = dead.pulse().clone();
        assert!(dead.join_until(Instant::now() + Duration::from_secs(20)));
        assert_eq!(pulse.vital().life, Life::Panicked("on purpose".to_owned()));
        assert_eq!(shared.with(|| Err("it cannot be made twice"), |value| *value), Ok(2));
    }

    #[test]
    fn a_value_that_could_not_be_made_is_made_later() {
        let shared = Inherited::default();
        assert_eq!(shared.with(|| Err("not now"), |value: &mut u32| *value), Err("not now"));
        assert_eq!(shared.with(|| Ok::<_, ()>(7), |value| *value), Ok(7));
    }
}
