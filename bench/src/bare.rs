//! The reads of a sampler's beat and nothing else: the files that it keeps open, opened once more and read into a
//! buffer that nobody looks at. What no reader of these files can do without.
//!
//! Not here: files of the host and of engines.

use std::collections::BTreeMap;
use std::fs;
use std::hint::black_box;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use hostfs::cgroup::FULL_EVERY;
use hostfs::layout::{CgroupLayout, Controller};
use model::ids::CgroupId;
use rustix::fs::{Mode, OFlags};

use crate::groups::Groups;

/// Files that the sampler reads in every beat; the others are read in every fifth.
const EVERY_BEAT: [&str; 8] = [
    "cpuacct.usage",
    "memory.usage_in_bytes",
    "memory.current",
    "pids.current",
    "io.stat",
    "blkio.throttle.io_service_bytes",
    "blkio.throttle.io_serviced",
    // Of v2; the file of that name in v1 tells throttling alone.
    "cpu.stat",
];

/// The files of all groups, in the order in which the sampler reads them; closed.
pub(crate) struct BareFiles {
    groups: BTreeMap<CgroupId, Vec<(PathBuf, bool)>>,
}

/// The same files, open; the flag tells those that are read in every beat.
pub(crate) struct BareReads {
    groups: BTreeMap<CgroupId, Vec<(OwnedFd, bool)>>,
    beats: u64,
}

impl BareFiles {
    /// Whatever this process has open in the groups.
    pub(crate) fn now_open(groups: &Groups, layout: &CgroupLayout) -> Result<Self> {
        let mut ids = BTreeMap::new();
        for number in 0..groups.count() {
            let id = layout.id_of(&groups.path(number))?;
            ids.extend(groups.everywhere(number).map(|directory| (directory, id)));
        }
        let v1_cpu = layout.v1(Controller::Cpu);
        let mut files: BTreeMap<CgroupId, Vec<(PathBuf, bool)>> = BTreeMap::new();
        for path in open_files()? {
            let Some(id) = path.parent().and_then(|directory| ids.get(directory)) else { continue };
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let is_v1_cpu = name == "cpu.stat" && v1_cpu.is_some_and(|mount| path.starts_with(mount));
            let every_beat = EVERY_BEAT.contains(&&*name) && !is_v1_cpu;
            files.entry(*id).or_default().push((path, every_beat));
        }
        Ok(Self { groups: files })
    }

    /// Opens them all.
    pub(crate) fn open(&self) -> Result<BareReads> {
        let open = |path: &Path| {
            rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
                .with_context(|| format!("{}", path.display()))
        };
        let mut groups = BTreeMap::new();
        for (id, files) in &self.groups {
            let files = files.iter().map(|(path, every_beat)| Ok((open(path)?, *every_beat)));
            groups.insert(*id, files.collect::<Result<_>>()?);
        }
        // The sampler reads a group once, in full, when it begins to watch it.
        Ok(BareReads { groups, beats: 1 })
    }
}

impl BareReads {
    /// Reads what a beat reads; gives the number of reads.
    pub(crate) fn beat(&mut self) -> Result<u64> {
        let mut buffer = [MaybeUninit::<u8>::uninit(); 16 * 1024];
        let mut reads = 0;
        for (id, files) in &self.groups {
            let in_full = self.beats.wrapping_add(id.0).is_multiple_of(FULL_EVERY);
            for (file, _) in files.iter().filter(|(_, every_beat)| in_full || *every_beat) {
                let (text, _) = rustix::io::pread(file, &mut buffer, 0)?;
                black_box(text);
                reads += 1;
            }
        }
        self.beats += 1;
        Ok(reads)
    }
}

/// In the order in which they were opened.
fn open_files() -> Result<Vec<PathBuf>> {
    let mut numbered: Vec<(u32, PathBuf)> = Vec::new();
    for entry in fs::read_dir("/proc/self/fd").context("/proc/self/fd")? {
        let entry = entry?;
        if let (Ok(number), Ok(path)) =
            (entry.file_name().to_string_lossy().parse(), fs::read_link(entry.path()))
        {
            numbered.push((number, path));
        }
    }
    numbered.sort();
    Ok(numbered.into_iter().map(|(_, path)| path).collect())
}
