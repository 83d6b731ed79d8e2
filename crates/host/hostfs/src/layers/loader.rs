//! What a loader (`ld-linux FILE`) is given to run: whichever of its arguments is a file that the image does not hold.
//!
//! Every argument is looked at, since which of them are options is the loader's affair and that of its version. Not here:
//! libraries that the program then links.

use std::path::{Path, PathBuf};

use model::event::{Exec, FileOrigin};
use model::untrusted::Untrusted;

use super::{Place, Script, shares_mounts, shown, still_runs};
use crate::process::cmdline;
use crate::root::HostRoot;

/// Most arguments that are looked at.
const ARGUMENTS_MAX: usize = 16;
/// With these as the only option nothing is run: `ldd`.
const LOOKS_ONLY: [&str; 2] = ["--verify", "--list"];

/// The gravest of the files that the loader was given.
pub(super) fn given(root: &HostRoot, exec: &Exec) -> Option<Script> {
    let arguments = arguments(root, exec);
    let is_look = arguments.len() == 2 && LOOKS_ONLY.iter().any(|look| arguments[0] == Path::new(look));
    if is_look {
        return None;
    }
    let found = seen_by(root, exec.process.pid, &arguments);
    if still_runs(root, exec) {
        return found;
    }
    seen_by(root, exec.parent_pid, &arguments).filter(|_| shares_mounts(root, exec.parent_pid, exec))
}

/// Whole while the process runs; what the kernel told of a longer line is cut.
fn arguments(root: &HostRoot, exec: &Exec) -> Vec<PathBuf> {
    let whole = cmdline(root, exec.process.pid).ok().filter(|_| still_runs(root, exec));
    let words: Vec<Untrusted> = match whole {
        Some(line) => line.split(|&byte| byte == 0).map(Untrusted::from_bytes).collect(),
        None => exec.args.raw().split(' ').map(Untrusted::new).collect(),
    };
    let file = |word: &Untrusted| PathBuf::from(word.raw().rsplit('=').next().unwrap_or_default());
    let words = words.iter().skip(1).filter(|word| !word.is_empty());
    words.take(ARGUMENTS_MAX).map(file).collect()
}

fn seen_by(root: &HostRoot, pid: u32, arguments: &[PathBuf]) -> Option<Script> {
    let place = Place::of(root, pid)?;
    let file = |path: &PathBuf| place.file(&place.absolute(root, pid, path)?, &shown(path));
    arguments.iter().filter_map(file).max_by_key(|found| rank(found.origin))
}

fn rank(origin: FileOrigin) -> u8 {
    match origin {
        FileOrigin::Unknown => 0,
        FileOrigin::Image => 1,
        FileOrigin::Mounted => 2,
        FileOrigin::Written => 3,
        FileOrigin::Deleted => 4,
        FileOrigin::Memory => 5,
    }
}
