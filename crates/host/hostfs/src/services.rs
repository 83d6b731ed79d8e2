//! CPU time of the host's services: of control groups that are no containers and hold none.
//!
//! A slice only groups others and is told by those below it; what runs in the slice itself is not told, and neither is
//! what runs in the root group. Not here: which groups are containers, which the caller knows.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use model::untrusted::Untrusted;
use model::usage::ServiceUsage;

use crate::kept::{KeptFile, buffer};
use crate::layout::{CgroupLayout, below};
use crate::text::{number, value_of};

/// Most services read.
pub const SERVICES_MAX: usize = 256;
/// Levels below the root that are looked at: `user.slice/user-1000.slice/user@1000.service/app.slice/x.service`.
const DEPTH_MAX: usize = 6;
/// Most groups looked at in one search.
const LOOKED_AT_MAX: usize = 4096;

/// Reads the services.
#[derive(Debug)]
pub struct ServicesReader {
    layout: CgroupLayout,
    services: BTreeMap<PathBuf, KeptFile>,
    left_out: u64,
}

impl ServicesReader {
    /// A reader that knows none yet.
    pub fn new(layout: &CgroupLayout) -> Self {
        Self { layout: layout.clone(), services: BTreeMap::new(), left_out: 0 }
    }

    /// Looks for services anew, given the paths of all containers; for every few seconds.
    pub fn refresh<'p>(&mut self, containers: impl IntoIterator<Item = &'p Path>) {
        let containers: BTreeSet<&[u8]> = containers.into_iter().map(bytes).collect();
        let mut before = std::mem::take(&mut self.services);
        let (found, left_out) = search(self.layout.id_root(), &containers);
        self.left_out = left_out;
        for path in found {
            if let Some(file) = before.remove(&path).or_else(|| self.open(&path)) {
                self.services.insert(path, file);
            }
        }
    }

    /// A container was found: neither its group nor one above or below it is a service.
    pub fn exclude(&mut self, container: &Path) {
        self.services.retain(|path, _| !container.starts_with(path) && !path.starts_with(container));
    }

    /// CPU time of each, by path. It falls when a service is started anew.
    pub fn read(&mut self) -> Vec<ServiceUsage> {
        let mut buffer = buffer();
        let mut services = std::mem::take(&mut self.services);
        let mut usages = Vec::with_capacity(services.len());
        services.retain(|path, file| {
            let cpu_ns = self.cpu_ns(path, file, &mut buffer).or_else(|| {
                // The group was removed; a service that was started anew has another of the same name.
                *file = self.open(path)?;
                self.cpu_ns(path, file, &mut buffer)
            });
            let usage = |cpu_ns| ServiceUsage { path: Untrusted::from_bytes(bytes(path)), cpu_ns };
            usages.extend(cpu_ns.map(usage));
            cpu_ns.is_some()
        });
        self.services = services;
        usages
    }

    /// Services beyond [`SERVICES_MAX`], and groups that the last search did not look at.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    fn open(&self, path: &Path) -> Option<KeptFile> {
        KeptFile::open(&self.file(path)).ok()
    }

    fn cpu_ns(&self, path: &Path, file: &KeptFile, buffer: &mut [MaybeUninit<u8>]) -> Option<u64> {
        let text = file.read(buffer, || self.file(path)).ok()?;
        match self.layout.unified() {
            Some(_) => Some(value_of(text, b"usage_usec ")?.saturating_mul(1000)),
            None => number(text),
        }
    }

    fn file(&self, path: &Path) -> PathBuf {
        // The paths are our own listing's and lead nowhere else.
        let directory = below(self.layout.id_root(), path).unwrap_or_default();
        directory.join(if self.layout.unified().is_some() { "cpu.stat" } else { "cpuacct.usage" })
    }
}

/// The services below a mount, those nearest to the root first, and how many groups were left out.
fn search(mount: &Path, containers: &BTreeSet<&[u8]>) -> (Vec<PathBuf>, u64) {
    let (mut found, mut left_out, mut looked_at) = (Vec::new(), 0, 0);
    let mut queue = VecDeque::from([(PathBuf::from("/"), 0)]);
    while let Some((parent, depth)) = queue.pop_front() {
        for path in children(mount, &parent, containers) {
            looked_at += 1;
            if looked_at > LOOKED_AT_MAX {
                left_out += 1;
                continue;
            }
            let holds_container = holds_any(&path, containers);
            let is_slice = bytes(&path).ends_with(b".slice");
            let opens = (is_slice || holds_container) && depth + 1 < DEPTH_MAX;
            if opens && (holds_container || children(mount, &path, containers).next().is_some()) {
                queue.push_back((path, depth + 1));
            } else if !holds_container {
                found.push(path);
            }
        }
    }
    left_out += found.len().saturating_sub(SERVICES_MAX) as u64;
    found.truncate(SERVICES_MAX);
    (found, left_out)
}

/// The groups in a group that are no containers, by name.
fn children(mount: &Path, path: &Path, containers: &BTreeSet<&[u8]>) -> impl Iterator<Item = PathBuf> {
    let directory = mount.join(path.strip_prefix("/").unwrap_or(path));
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let groups = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let paths = groups.map(|group| path.join(group.file_name()));
    let mut paths: Vec<PathBuf> = paths.filter(|path| !containers.contains(bytes(path))).collect();
    paths.sort_unstable();
    paths.into_iter()
}

fn holds_any(path: &Path, containers: &BTreeSet<&[u8]>) -> bool {
    let below = [bytes(path), b"/"].concat();
    let next = containers.range(below.as_slice()..).next();
    next.is_some_and(|container| container.starts_with(&below))
}

/// Compared as bytes, which is many times faster than part by part.
fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

#[cfg(test)]
mod tests;
