//! Files and directories that only their owner may read: incidents tell an attacker what was noticed.

use std::fs::{DirBuilder, File, OpenOptions, Permissions, set_permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::error::StoreError;

/// Makes a directory with mode 0700, parents included; one that exists keeps the mode its operator gave it.
pub(crate) fn make_dir(dir: &Path) -> Result<(), StoreError> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(StoreError::io(dir))
}

/// Makes a new file with mode 0600 for writing; fails when there is one, or a link, of that name. The mode is set at
/// creation rather than through the umask, which belongs to all threads of the process.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Makes sure that there is a file with mode 0600. One that exists is never opened: closing any descriptor of a
/// database drops the locks that this process's other connections hold on it (POSIX record locks).
pub(crate) fn ensure(path: &Path) -> Result<(), StoreError> {
    match create(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            tighten(path).map_err(StoreError::io(path))
        }
        Err(error) => Err(StoreError::io(path)(error)),
    }
}

/// Waits until no other process holds the lock file, and holds it until the file is dropped. Nobody but its owner can
/// open it, so nobody else can hold us up.
pub(crate) fn lock(path: &Path) -> Result<File, StoreError> {
    ensure(path)?;
    let file = OpenOptions::new().write(true).open(path).map_err(StoreError::io(path))?;
    file.lock().map_err(StoreError::io(path))?;
    Ok(file)
}

fn tighten(path: &Path) -> io::Result<()> {
    let found = path.symlink_metadata()?;
    if !found.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    if found.permissions().mode() & 0o077 == 0 {
        return Ok(());
    }
    set_permissions(path, Permissions::from_mode(0o600))
}
