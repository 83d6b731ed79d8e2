//! Tidewatch itself is stopped for a while, as a debugger or a busy host would.

use std::thread;
use std::time::Duration;

use anyhow::Result;
use rustix::process::Signal;

use crate::chaos::Undo;
use crate::chaos::stand::Stand;
use crate::{host, wait};

/// How long.
const SPAN: Duration = Duration::from_secs(5);

/// The attacks begin meanwhile.
pub(super) fn begin(stand: &mut Stand) -> Result<Undo> {
    let pid = stand.pid()?;
    host::signal(pid, Signal::STOP);
    let goes_on = thread::spawn(move || {
        wait::nap(SPAN);
        host::signal(pid, Signal::CONT);
    });
    Ok(Box::new(move |_| goes_on.join().map_err(|_| anyhow::anyhow!("it was not continued"))))
}
