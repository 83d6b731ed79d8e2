//! Standard output is a pipe that is not read.

use anyhow::Result;

use crate::chaos::Undo;
use crate::chaos::stand::Stand;

/// Until the round ends.
pub(super) fn begin(stand: &mut Stand) -> Result<Undo> {
    stand.stall(true);
    Ok(Box::new(|stand| {
        stand.stall(false);
        Ok(())
    }))
}
