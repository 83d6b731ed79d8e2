//! Flags a container that runs a file which its image does not hold: written after it was made, deleted, or in memory only.
//!
//! T1105, T1620, T1610, T1059. By the kernel's word on the file, not by its name; of a script, by where its file lies. Quiet: an
//! engine's own start of a container, scripts on volumes, and less for what a package manager of the image installs. Not here:
//! what an interpreter reads from its input, is given as text or loads.

use model::event::{Body, Exec, FileOrigin};
use model::finding::{Aspect, Finding};
use model::identity::Container;
use state::Early;

use crate::Case;
use crate::provenance::{ALONE_BITS, claim, early};

pub(crate) const ID: &str = "drift";

/// Nothing that is meant to run is kept in memory only.
const MEMORY_BITS: f64 = ALONE_BITS;
/// An approved image says what runs; one that nobody approved says nothing, and weighs for that.
const APPROVED_BITS: f64 = ALONE_BITS;
const UNAPPROVED_BITS: f64 = 9.0;
/// Programs are built into images; scripts are also written by honest entry points: no incident alone.
const APPROVED_SCRIPT_BITS: f64 = 9.0;
const UNAPPROVED_SCRIPT_BITS: f64 = 6.0;
/// What a package manager unpacks and runs.
const INSTALLED_BITS: f64 = 4.0;
/// A volume may hold programs by design.
const MOUNTED_BITS: f64 = 1.5;

/// Directories that package managers run their own scripts from.
const INSTALLERS: [&str; 3] = ["/var/lib/dpkg/", "/var/tmp/rpm-tmp", "/lib/apk/"];

/// Judges every program that runs in a container, and those that ran before it was known whose it is.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    if let (Body::Exec(exec), Some(container)) = (&case.seen.event.body, &case.seen.identity.container)
        && case.novelty.is_first_file
        && !container.facts.is_pending()
    {
        out.extend(ran(case, container, exec));
    }
    out.extend(early(case).filter_map(|(container, early)| match early {
        Early::Ran(exec) => ran(case, container, exec),
        Early::Left(_) | Early::Entered { .. } => None,
    }));
}

fn ran(case: &Case, container: &Container, exec: &Exec) -> Option<Finding> {
    let is_script = !exec.script.is_empty();
    let (file, kind) = if is_script { (&exec.script, "a script") } else { (&exec.path, "a file") };
    // The init program of an engine is mounted into the container.
    if exec.origin == FileOrigin::Mounted && (is_script || container.init == Some(exec.process)) {
        return None;
    }
    let later_bits = match (is_script, case.state.provenance(container).is_approved()) {
        (false, true) => APPROVED_BITS,
        (false, false) => UNAPPROVED_BITS,
        (true, true) => APPROVED_SCRIPT_BITS,
        (true, false) => UNAPPROVED_SCRIPT_BITS,
    };
    let is_installed = INSTALLERS.iter().any(|place| file.raw().starts_with(place));
    let (bits, what) = match exec.origin {
        FileOrigin::Memory => (MEMORY_BITS, "is in memory only"),
        FileOrigin::Deleted => (later_bits, "was deleted"),
        FileOrigin::Written if is_installed => (INSTALLED_BITS, "was written by a package manager"),
        FileOrigin::Written => (later_bits, "was written after it was made"),
        FileOrigin::Mounted => (MOUNTED_BITS, "is on a file system mounted into it"),
        FileOrigin::Image | FileOrigin::Unknown => return None,
    };
    Some(
        claim(case, container, ID, bits, Aspect::Conduct)
            .claiming(format!("it runs {file}, {kind} that its image does not hold: it {what}"))
            .with("file", file)
            .with("arguments", &exec.args)
            .with("program_pid", u64::from(exec.process.pid)),
    )
}
