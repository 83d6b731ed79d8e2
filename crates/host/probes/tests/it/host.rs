//! What the tests share: loaded probes, a cgroup of one's own, programs run in it.
//!
//! Not here: anything asserted.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use model::event::Body;
use model::ids::CgroupId;
use model::usage::KernelCounts;
use probes::{Probes, ProbesConfig, ProgramState, Record};

/// How long the tests wait for what must come.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn load() -> Probes {
    load_with(&config())
}

pub(crate) fn config() -> ProbesConfig {
    ProbesConfig { unified: Some(unified_root().to_path_buf()), ..ProbesConfig::default() }
}

pub(crate) fn load_with(config: &ProbesConfig) -> Probes {
    let probes = Probes::load(config).unwrap_or_else(|error| panic!("these tests need BPF: {error}"));
    for program in probes.report() {
        assert!(program.state != ProgramState::Missing, "{}: {}", program.name, program.reason);
    }
    probes
}

/// Every record until one fits, that one included.
pub(crate) fn until(probes: &mut Probes, what: &str, fits: impl Fn(&Body) -> bool) -> Vec<Record> {
    let start = Instant::now();
    let mut records: Vec<Record> = Vec::new();
    while start.elapsed() < PATIENCE {
        let mut found = false;
        let each = |record: Record| {
            found |= fits(&record.body);
            records.push(record);
        };
        probes.poll(Duration::from_millis(100), each).unwrap();
        if found {
            return records;
        }
    }
    panic!("{what} did not come within {PATIENCE:?}, but {} other records", records.len());
}

/// Polls until everything the kernel handed over was received.
pub(crate) fn settle(probes: &mut Probes) -> Vec<Record> {
    let start = Instant::now();
    let mut records = Vec::new();
    loop {
        probes.poll(Duration::from_millis(50), |record| records.push(record)).unwrap();
        let submitted = probes.submitted().unwrap();
        if submitted == probes.received() {
            return records;
        }
        assert!(start.elapsed() < PATIENCE, "submitted {submitted}, received {}", probes.received());
    }
}

pub(crate) fn counts_of(probes: &Probes, cgroup: CgroupId) -> KernelCounts {
    let all = probes.counts().unwrap();
    all.into_iter().find(|counts| counts.cgroup == cgroup).unwrap_or_default()
}

/// The counts of a cgroup once they fit: what ended is booked only when it was reaped and nobody reads of it any more.
pub(crate) fn counts_when(
    probes: &mut Probes,
    cgroup: CgroupId,
    fit: impl Fn(&KernelCounts) -> bool,
) -> KernelCounts {
    let start = Instant::now();
    loop {
        let counts = counts_of(probes, cgroup);
        if fit(&counts) {
            return counts;
        }
        assert!(start.elapsed() < PATIENCE, "after {PATIENCE:?} still {counts:?}");
        probes.poll(Duration::from_millis(10), |_| ()).unwrap();
    }
}

/// A cgroup of the unified hierarchy, removed with the value.
pub(crate) struct TestCgroup {
    pub(crate) dir: PathBuf,
    pub(crate) id: CgroupId,
}

impl TestCgroup {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = unified_root().join(format!("probes-test-{}-{number}", std::process::id()));
        fs::create_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
        let id = CgroupId(fs::metadata(&dir).unwrap().ino());
        Self { dir, id }
    }

    /// The path as the kernel tells it.
    pub(crate) fn path(&self) -> String {
        format!("/{}", self.dir.file_name().unwrap().to_str().unwrap())
    }

    /// Runs a shell script in the cgroup, to its end. The shell itself enters first.
    pub(crate) fn run(&self, script: &str) -> ExitStatus {
        self.command(script).status().unwrap()
    }

    pub(crate) fn command(&self, script: &str) -> Command {
        let mut command = Command::new("bash");
        command.arg("-c").arg(format!("echo $$ > {}/cgroup.procs; {script}", self.dir.display()));
        command
    }
}

impl Drop for TestCgroup {
    fn drop(&mut self) {
        // Refused while a process ends in it; left behind then, empty and with our name.
        let _ = fs::remove_dir(&self.dir);
    }
}

/// The cgroup of this process in the unified hierarchy.
pub(crate) fn own_cgroup() -> CgroupId {
    let all = fs::read_to_string("/proc/self/cgroup").unwrap();
    let path = all.lines().find_map(|line| line.strip_prefix("0::/")).expect("a unified hierarchy");
    CgroupId(fs::metadata(unified_root().join(path)).unwrap().ino())
}

/// The cgroup in which the kernel starts its helpers.
pub(crate) fn root_cgroup() -> CgroupId {
    CgroupId(fs::metadata(unified_root()).unwrap().ino())
}

fn unified_root() -> &'static Path {
    let mounts = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(Path::new);
    mounts
        .into_iter()
        .find(|dir| dir.join("cgroup.controllers").exists())
        .expect("these tests need cgroup v2 mounted, alone or hybrid")
}
