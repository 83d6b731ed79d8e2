//! Calls that may never return, on threads that can be abandoned; and the pulse of every thread of the sensor.
//!
//! Not here: any call. No thread of this crate is ever joined without a deadline.

#[cfg(feature = "faults")]
pub mod faults;

pub mod inherited;

pub mod lent;

pub mod pulse;

pub mod restarted;

pub mod workers;

use std::any::Any;

/// The message of a panic, as far as it is text.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}
