//! Tidewatch is killed and started again.

use anyhow::Result;

use crate::chaos::Undo;
use crate::chaos::stand::Stand;

/// The attacks begin after it runs again: those before are in the case `kill_dash_nine_loses_nothing_shown`.
pub(super) fn begin(stand: &mut Stand) -> Result<Undo> {
    stand.kill();
    stand.start()?;
    Ok(Box::new(|_| Ok(())))
}
