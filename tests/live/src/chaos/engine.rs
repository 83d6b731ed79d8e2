//! The engine is stopped, or is there and answers nothing.
//!
//! Not here: the engine of the host, which is left alone.

use anyhow::{Context, Result};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use crate::chaos::Undo;
use crate::chaos::stand::Stand;

/// It ends; its containers go on.
pub(super) fn stopped(stand: &mut Stand) -> Result<Undo> {
    stand.engine.down();
    Ok(Box::new(|stand| stand.engine.up()))
}

/// It accepts no connection any more, so that nothing comes back from its socket; what it does for its containers, as copying
/// their output, goes on. Stopped by a signal it would copy nothing, and the sample command would cost nothing.
pub(super) fn hanging(stand: &mut Stand) -> Result<Undo> {
    let pid = stand.engine.pid().context("the engine does not run")?;
    let pid = Pid::from_raw(pid.cast_signed()).context("the engine has no process")?;
    // Its own child's: the limit that it may be raised to again is ours.
    let none = Rlimit { current: Some(0), ..getrlimit(Resource::Nofile) };
    let before = prlimit(Some(pid), Resource::Nofile, none)?;
    Ok(Box::new(move |_| Ok(prlimit(Some(pid), Resource::Nofile, before).map(drop)?)))
}
