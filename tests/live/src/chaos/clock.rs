//! The wall clock is set, for Tidewatch alone.

use anyhow::Result;

use crate::chaos::Undo;
use crate::chaos::stand::Stand;

/// An hour into the future, and back at the end of the round.
pub(super) fn ahead(stand: &mut Stand) -> Result<Undo> {
    step(stand, "+3600")
}

/// An hour into the past, and forward at the end of the round.
pub(super) fn back(stand: &mut Stand) -> Result<Undo> {
    step(stand, "-3600")
}

fn step(stand: &Stand, offset: &str) -> Result<Undo> {
    stand.set_clock(offset)?;
    Ok(Box::new(|stand| stand.set_clock("+0")))
}
