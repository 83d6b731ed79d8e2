//! The disk of the data is full, or can only be read.
//!
//! Not here: a disk that turns read-only below open files; tmpfs refuses that.

use std::fs::{self, File};
use std::io::Write;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::chaos::Undo;
use crate::chaos::stand::Stand;
use crate::host;

/// Not a byte is left.
pub(super) fn full(stand: &mut Stand) -> Result<Undo> {
    let path = stand.data().join("filler");
    let mut file = File::create(&path)?;
    let block = vec![0; 1 << 20];
    while file.write_all(&block).is_ok() {}
    while file.write_all(&block[..512]).is_ok() {}
    Ok(Box::new(move |_| Ok(fs::remove_file(path)?)))
}

/// Tidewatch is killed and must start on it.
pub(super) fn read_only(stand: &mut Stand) -> Result<Undo> {
    stand.kill();
    remount(stand, "remount,ro")?;
    if let Err(error) = stand.start() {
        remount(stand, "remount,rw")?;
        return Err(error);
    }
    Ok(Box::new(|stand| remount(stand, "remount,rw")))
}

fn remount(stand: &Stand, options: &str) -> Result<()> {
    let mut mount = Command::new("mount");
    mount.args(["-o", options]).arg(stand.data());
    host::succeed(&mut mount, Duration::from_secs(5)).map(drop)
}
