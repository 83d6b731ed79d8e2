//! The engine is stopped, or is there and answers nothing.
//!
//! Not here: the engine of the host, which is left alone.

use anyhow::{Context, Result};
use rustix::process::Signal;

use crate::chaos::Undo;
use crate::chaos::stand::Stand;
use crate::host;

/// It ends; its containers go on.
pub(super) fn stopped(stand: &mut Stand) -> Result<Undo> {
    stand.engine.down();
    Ok(Box::new(|stand| stand.engine.up()))
}

/// Its socket is open and nothing comes back.
pub(super) fn hanging(stand: &mut Stand) -> Result<Undo> {
    let pid = stand.engine.pid().context("the engine does not run")?;
    host::signal(pid, Signal::STOP);
    Ok(Box::new(move |_| {
        host::signal(pid, Signal::CONT);
        Ok(())
    }))
}
