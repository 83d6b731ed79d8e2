//! Limits of the process: no core, no debugger of other users, few open files, last to be killed for memory.
//!
//! Not here: raising the soft limit on open files to the hard one (`hostfs`).

use std::fs;
use std::io;

use rustix::fs::Mode;
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit, umask,
};
use rustix::thread::set_no_new_privs;

/// Most open files: 14 for each of 10,000 containers, and a reserve. An entry costs the kernel up to 4.5 KiB.
const OPEN_FILES_MAX: u64 = 262_144;
/// The kernel's out-of-memory killer takes nearly all others first. Not -1000: a leak of ours must end at us, not at
/// the host.
const OOM_SCORE_ADJ: i32 = -900;
const OOM_PATH: &str = "/proc/self/oom_score_adj";

/// Sets all of them; one sentence for each refusal.
pub(crate) fn restrict() -> Vec<String> {
    umask(Mode::RWXG | Mode::RWXO);
    // The score before the process becomes undumpable: its files in /proc belong to root from then on.
    let steps = [
        ("oom_score_adj", protect_from_oom()),
        ("open files", bound_open_files()),
        ("core size", no_core()),
        ("no_new_privs", set_no_new_privs(true).map_err(io::Error::from)),
        ("dumpable", set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(io::Error::from)),
    ];
    let refused = |(what, done): (&str, io::Result<()>)| Some(format!("{what}: {}", done.err()?));
    steps.into_iter().filter_map(refused).collect()
}

fn protect_from_oom() -> io::Result<()> {
    if oom_score_adj()? <= OOM_SCORE_ADJ {
        return Ok(());
    }
    fs::write(OOM_PATH, OOM_SCORE_ADJ.to_string())
}

/// How much the out-of-memory killer's score of this process is lowered.
pub(crate) fn oom_score_adj() -> io::Result<i32> {
    fs::read_to_string(OOM_PATH)?.trim().parse().map_err(io::Error::other)
}

fn bound_open_files() -> io::Result<()> {
    let now = getrlimit(Resource::Nofile);
    let bounded = |limit: Option<u64>| Some(limit.map_or(OPEN_FILES_MAX, |limit| limit.min(OPEN_FILES_MAX)));
    let wanted = Rlimit { current: bounded(now.current), maximum: bounded(now.maximum) };
    setrlimit(Resource::Nofile, wanted).map_err(io::Error::from)
}

fn no_core() -> io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use rustix::process::dumpable_behavior;

    use super::*;

    #[test]
    fn every_limit_is_in_force_afterwards() {
        let refused = restrict();
        assert!(refused.iter().all(|refusal| refusal.starts_with("oom_score_adj")), "{refused:?}");
        assert_eq!(getrlimit(Resource::Core).maximum, Some(0));
        assert!(getrlimit(Resource::Nofile).maximum.is_some_and(|most| most <= OPEN_FILES_MAX));
        assert!(matches!(dumpable_behavior(), Ok(DumpableBehavior::NotDumpable)));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "text").unwrap();
        let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(&path).unwrap());
        assert_eq!(mode & 0o777, 0o600);
    }
}
