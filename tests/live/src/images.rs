//! The images the tests run, made on the spot from Debian's static busybox and the load generator: nothing is pulled.
//!
//! Not here: which of them is approved; that is for each test to say to Tidewatch.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::docker::Docker;
use crate::host;
use crate::load;

/// The benign service. Tests approve it.
pub(crate) const WEB: &str = "tw-live-web:1";
/// Same programs, other content, other digest. Nobody approves it.
pub(crate) const BUSYBOX: &str = "tw-live-busybox:1";

/// What the benign service does: serves a page on loopback, asks for it and logs a line, once a second.
pub(crate) const SERVE: &str = "trap 'exit 0' TERM; httpd -p 8080 -h /www; \
                                while sleep 1; do wget -q -O - http://127.0.0.1:8080/; done";

/// Where Debian's package busybox-static puts it.
const BUSYBOX_PROGRAM: &str = "/bin/busybox";

/// Images of one engine, removed on drop.
pub(crate) struct Images {
    docker: Docker,
    tags: Vec<String>,
}

impl Images {
    /// Makes the two images.
    pub(crate) fn make(docker: &Docker) -> Result<Self> {
        let mut images = Self { docker: docker.clone(), tags: Vec::new() };
        images.add(WEB, "the approved one\n", &[])?;
        images.add(BUSYBOX, "nobody approved this\n", &[])?;
        Ok(images)
    }

    /// Makes one image; `page` is its content, `changes` are Dockerfile instructions.
    pub(crate) fn add(&mut self, tag: &str, page: &str, changes: &[String]) -> Result<()> {
        let dir = tempfile::tempdir().context("cannot make a temporary directory")?;
        let tar = archive(dir.path(), page)?;
        self.docker.import(&tar, tag, changes)?;
        self.tags.push(tag.to_owned());
        Ok(())
    }

    /// Makes an image of that name unless there is one, which is then left alone.
    pub(crate) fn add_if_missing(&mut self, tag: &str, page: &str) -> Result<()> {
        if self.docker.has_image(tag)? { Ok(()) } else { self.add(tag, page, &[]) }
    }

    /// Nothing made yet.
    pub(crate) fn none(docker: &Docker) -> Self {
        Self { docker: docker.clone(), tags: Vec::new() }
    }
}

impl Drop for Images {
    fn drop(&mut self) {
        for tag in &self.tags {
            self.docker.remove_image(tag);
        }
    }
}

/// Packs the file system of an image into a file below `dir`; `page` is its content.
pub(crate) fn archive(dir: &Path, page: &str) -> Result<PathBuf> {
    let root = dir.join("root");
    service_tree(&root, page)?;
    let tar = dir.join("image.tar");
    let mut command = Command::new("tar");
    command.arg("-C").arg(&root).args(["--owner=0", "--group=0", "-cf"]).arg(&tar).arg(".");
    host::succeed(&mut command, Duration::from_secs(30))?;
    Ok(tar)
}

/// Makes the directory that such a container has as its root.
pub(crate) fn service_tree(root: &Path, page: &str) -> Result<()> {
    busybox_tree(root)?;
    for dir in ["www", "tmp", "proc", "sys", "dev"] {
        fs::create_dir_all(root.join(dir))?;
    }
    fs::write(root.join("www/index.html"), page)?;
    let load = load::program()?;
    fs::copy(load, root.join("bin/load")).with_context(|| format!("cannot copy {}", load.display()))?;
    Ok(())
}

/// Puts busybox and a link for each of its programs below `root/bin`.
pub(crate) fn busybox_tree(root: &Path) -> Result<()> {
    let bin = root.join("bin");
    fs::create_dir_all(&bin).with_context(|| format!("cannot make {}", bin.display()))?;
    fs::copy(BUSYBOX_PROGRAM, bin.join("busybox"))
        .with_context(|| format!("{BUSYBOX_PROGRAM} is missing: apt-get install busybox-static"))?;
    let programs = host::succeed(Command::new(BUSYBOX_PROGRAM).arg("--list"), Duration::from_secs(10))?;
    for program in programs.lines().filter(|program| *program != "busybox") {
        symlink("busybox", bin.join(program)).with_context(|| format!("cannot link {program}"))?;
    }
    Ok(())
}
