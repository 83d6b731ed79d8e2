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
use hostfs::cgroup::{COLD_EVERY, FULL_EVERY};
use hostfs::layout::{CgroupLayout, Controller};
use model::ids::CgroupId;
use rustix::fs::{Mode, OFlags};

use crate::groups::Groups;

/// Files that the sampler reads in every beat; the others that it keeps open are read in every fifth.
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

/// Files that it opens in every tenth beat, and closes.
const SLOW: [&str; 2] = ["memory.stat", "memory.swap.current"];

/// The files of all groups, in the order in which the sampler reads them; closed.
pub(crate) struct BareFiles {
    groups: BTreeMap<CgroupId, Vec<(PathBuf, Pace)>>,
}

/// The same files, open but for the slow ones.
pub(crate) struct BareReads {
    groups: BTreeMap<CgroupId, Vec<(BareFile, Pace)>>,
    beats: u64,
}

/// In how many beats a file is read once.
type Pace = u64;

enum BareFile {
    Open(OwnedFd),
    Closed(PathBuf),
}

impl BareFile {
    fn new(path: &Path, pace: Pace) -> Result<Self> {
        Ok(if pace == FULL_EVERY { Self::Closed(path.to_path_buf()) } else { Self::Open(open(path)?) })
    }
}

impl BareFiles {
    /// Whatever this process has open in the groups, and the slow files beside it.
    pub(crate) fn now_open(groups: &Groups, layout: &CgroupLayout) -> Result<Self> {
        let mut ids = BTreeMap::new();
        for number in 0..groups.count() {
            let id = layout.id_of(&groups.path(number))?;
            ids.extend(groups.everywhere(number).map(|directory| (directory, id)));
        }
        let v1_cpu = layout.v1(Controller::Cpu);
        let mut files: BTreeMap<CgroupId, Vec<(PathBuf, Pace)>> = BTreeMap::new();
        for path in open_files()? {
            let Some(id) = path.parent().and_then(|directory| ids.get(directory)) else { continue };
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let is_v1_cpu = name == "cpu.stat" && v1_cpu.is_some_and(|mount| path.starts_with(mount));
            let every_beat = EVERY_BEAT.contains(&&*name) && !is_v1_cpu;
            files.entry(*id).or_default().push((path, if every_beat { 1 } else { COLD_EVERY }));
        }
        for (directory, id) in &ids {
            let slow = SLOW.iter().map(|name| directory.join(name)).filter(|path| path.exists());
            files.entry(*id).or_default().extend(slow.map(|path| (path, FULL_EVERY)));
        }
        Ok(Self { groups: files })
    }

    /// Opens all that stay open.
    pub(crate) fn open(&self) -> Result<BareReads> {
        let mut groups = BTreeMap::new();
        for (id, files) in &self.groups {
            let files = files.iter().map(|(path, pace)| Ok((BareFile::new(path, *pace)?, *pace)));
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
            let turn = self.beats.wrapping_add(id.0);
            for (file, _) in files.iter().filter(|(_, pace)| turn.is_multiple_of(*pace)) {
                let (text, _) = match file {
                    BareFile::Open(file) => rustix::io::pread(file, &mut buffer, 0)?,
                    BareFile::Closed(path) => rustix::io::pread(open(path)?, &mut buffer, 0)?,
                };
                black_box(text);
                reads += 1;
            }
        }
        self.beats += 1;
        Ok(reads)
    }
}

fn open(path: &Path) -> Result<OwnedFd> {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .with_context(|| format!("{}", path.display()))
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
