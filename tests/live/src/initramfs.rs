//! An initramfs: a cpio archive in the "newc" form (kernel `Documentation/driver-api/early-userspace/buffer-format.rst`)
//! of a directory, compressed with gzip.
//!
//! Not here: device nodes; the kernel's devtmpfs makes them.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// Writes everything below `root` as a compressed archive.
pub(crate) fn pack(root: &Path, to: &Path) -> Result<()> {
    let file = File::create(to).with_context(|| format!("cannot write {}", to.display()))?;
    let mut gzip = Command::new("gzip")
        .args(["-1", "-c"])
        .stdin(Stdio::piped())
        .stdout(file)
        .spawn()
        .context("cannot run gzip")?;
    let mut archive = Archive { out: gzip.stdin.take().context("no pipe to gzip")?, entries: 0 };
    let written = archive.directory(root, root).and_then(|()| archive.trailer());
    drop(archive);
    let status = gzip.wait()?;
    written?;
    ensure!(status.success(), "gzip: {status}");
    Ok(())
}

struct Archive<W> {
    out: W,
    entries: u32,
}

impl<W: Write> Archive<W> {
    fn directory(&mut self, root: &Path, dir: &Path) -> Result<()> {
        let mut paths: Vec<_> =
            fs::read_dir(dir)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
        paths.sort();
        for path in paths {
            let metadata = fs::symlink_metadata(&path)?;
            let content = match metadata.file_type() {
                kind if kind.is_symlink() => fs::read_link(&path)?.as_os_str().as_bytes().to_vec(),
                kind if kind.is_file() => fs::read(&path)?,
                _ => Vec::new(),
            };
            let name = path.strip_prefix(root).context("path outside of the archive's root")?;
            self.entry(name.as_os_str(), metadata.mode(), &content)?;
            if metadata.is_dir() {
                self.directory(root, &path)?;
            }
        }
        Ok(())
    }

    fn trailer(&mut self) -> Result<()> {
        self.entry(OsStr::new("TRAILER!!!"), 0, &[])
    }

    /// A header of 110 bytes in hexadecimal, the name with a final zero, the content; both padded to four bytes.
    fn entry(&mut self, name: &OsStr, mode: u32, content: &[u8]) -> Result<()> {
        self.entries += 1;
        let size = u32::try_from(content.len()).context("a file of 4 GiB or more")?;
        let name = [name.as_bytes(), &[0]].concat();
        // inode, mode, uid, gid, links, mtime, size, device (2), special device (2), length of the name, checksum
        let numbers = [self.entries, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, u32::try_from(name.len())?, 0];
        write!(self.out, "070701")?;
        for number in numbers {
            write!(self.out, "{number:08x}")?;
        }
        self.padded(&name, 110)?;
        self.padded(content, 0)
    }

    fn padded(&mut self, bytes: &[u8], before: usize) -> Result<()> {
        self.out.write_all(bytes)?;
        let padding = (4 - (before + bytes.len()) % 4) % 4;
        self.out.write_all(&[0; 3][..padding]).map_err(Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_padded_to_four_bytes() {
        let mut archive = Archive { out: Vec::new(), entries: 0 };
        archive.entry(OsStr::new("ab"), 0o100_644, b"12345").unwrap();
        assert_eq!(archive.out.len(), 116 + 8);
        assert!(archive.out.starts_with(b"07070100000001000081a4"));
        assert_eq!(&archive.out[110..121], b"ab\0\0\0\x0012345");
    }
}
