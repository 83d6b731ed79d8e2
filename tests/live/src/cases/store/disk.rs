//! A small disk of its own below the data directory, that a test can fill, freeze and make read-only.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::host;
use crate::tidewatch::Room;

const COMMAND: Duration = Duration::from_secs(20);

/// A disk on a loop device, mounted where Tidewatch keeps its data; unfrozen and unmounted on drop.
pub(super) struct DataDisk {
    dir: PathBuf,
    filled: u32,
}

impl DataDisk {
    /// A disk of that many megabytes and, when not zero, that many inodes.
    pub(super) fn mount(room: &Room, megabytes: u64, inodes: u32) -> Result<Self> {
        host::require("mkfs.ext4", "e2fsprogs")?;
        let (file, dir) = (room.path("data.img"), room.path("data"));
        File::create(&file)?.set_len(megabytes << 20)?;
        fs::create_dir(&dir)?;
        let mut make = Command::new("mkfs.ext4");
        make.args(["-q", "-m", "0"]);
        if inodes > 0 {
            make.args(["-N", &inodes.to_string()]);
        }
        host::succeed(make.arg(&file), COMMAND)?;
        host::succeed(
            Command::new("mount").args(["-o", "loop,errors=remount-ro"]).arg(&file).arg(&dir),
            COMMAND,
        )?;
        Ok(Self { dir, filled: 0 })
    }

    /// Writes until nothing fits.
    pub(super) fn fill(&mut self) -> Result<()> {
        self.filled += 1;
        let path = self.dir.join(format!("fill-{}", self.filled));
        let mut file = match File::create(&path) {
            Err(error) if error.kind() == ErrorKind::StorageFull => return Ok(()),
            file => file.with_context(|| format!("cannot write {}", path.display()))?,
        };
        for size in [1 << 16, 1 << 10] {
            let zeros = vec![0; size];
            while file.write_all(&zeros).is_ok() {}
        }
        Ok(())
    }

    /// Makes empty files until there is no inode left; bytes remain.
    pub(super) fn use_up_inodes(&self) -> Result<u32> {
        let mut count = 0;
        while File::create(self.dir.join(format!("inode-{count}"))).is_ok() {
            count += 1;
            ensure!(count < 100_000, "this disk has inodes without end");
        }
        Ok(count)
    }

    /// Takes away what the test wrote.
    pub(super) fn empty(&self) -> Result<()> {
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with("fill-") || name.starts_with("inode-") {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }

    /// Lets every write wait until it is thawed.
    pub(super) fn freeze(&self) -> Result<()> {
        host::require("fsfreeze", "util-linux")?;
        host::succeed(Command::new("fsfreeze").arg("--freeze").arg(&self.dir), COMMAND).map(drop)
    }

    /// Lets writes go on.
    pub(super) fn thaw(&self) -> Result<()> {
        host::succeed(Command::new("fsfreeze").arg("--unfreeze").arg(&self.dir), COMMAND).map(drop)
    }

    /// Refuses every write from now on, also to files that are open: an error of the file system is reported to it.
    pub(super) fn set_read_only(&self) -> Result<()> {
        let find = ["-n", "-o", "SOURCE", "--target"];
        let device = host::succeed(Command::new("findmnt").args(find).arg(&self.dir), COMMAND)?;
        let name = device.trim().rsplit('/').next().unwrap_or_default().to_owned();
        ensure!(name.starts_with("loop"), "{name} is not the disk of this test");
        let trigger = format!("/sys/fs/ext4/{name}/trigger_fs_error");
        fs::write(&trigger, "a live test").with_context(|| format!("cannot write {trigger}"))
    }
}

impl Drop for DataDisk {
    fn drop(&mut self) {
        // Thawed first, or whoever writes can neither go on nor end.
        let _ = host::run(Command::new("fsfreeze").arg("--unfreeze").arg(&self.dir), COMMAND);
        // Lazily: whatever still holds it must not keep the test's directory from going.
        let _ = host::run(Command::new("umount").arg("-l").arg(&self.dir), COMMAND);
    }
}
