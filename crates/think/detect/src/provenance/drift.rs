//! Flags a container that runs a file which its image does not hold: written after it was made, deleted, or in memory only.
//!
//! T1105, T1620, T1610, T1059. By the kernel's word on the file, not by its name; of a script, and of what a loader is given, by
//! where its file lies. Quiet: an engine's own start of a container, scripts that were on volumes before, and less for what a
//! package manager of the image installs. Not here: what an interpreter reads from its input, is given as text or loads.

use model::event::Body;
use model::finding::{Aspect, Finding};
use model::identity::Container;
use model::program::{Making, Ran};
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
/// What a package manager of the image has written since it began, and runs.
const INSTALLED_BITS: f64 = 4.0;
/// A volume may hold programs by design.
const MOUNTED_BITS: f64 = 1.5;
/// So many files are no accident of a start; from here on a finding says how many there are.
const MANY: u64 = 32;

/// Judges every program that runs in a container, and those that ran before it was known whose it is.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    if let (Body::Exec(exec), Some(container)) = (&case.seen.event.body, &case.seen.identity.container)
        && case.novelty.new_files > 0
        && !container.facts.is_pending()
        && let Some(ran) = case.state.ran(container, exec, case.at())
    {
        out.extend(judged(case, container, &ran).map(|finding| counted(finding, case.novelty.new_files)));
    }
    out.extend(early(case).filter_map(|(container, early)| match early {
        Early::Ran(ran) => judged(case, container, ran),
        Early::Left(_) | Early::Entered { .. } => None,
    }));
}

fn judged(case: &Case, container: &Container, ran: &Ran) -> Option<Finding> {
    let is_mounted_alone = ran.file.as_ref().is_some_and(|file| file.is_mounted_alone);
    let (file, kind) = (&ran.path, if ran.is_script { "a script" } else { "a file" });
    // The init program of an engine is a file of its own that was mounted, and is as it was, when the container started.
    let is_engines_init = is_mounted_alone && container.init == Some(ran.process);
    let is_unknown_file = ran.file.is_none() && container.init == Some(ran.process);
    if ran.making == Making::Mounted && (ran.is_script || is_engines_init || is_unknown_file) {
        return None;
    }
    let later_bits = match (ran.is_script, case.state.provenance(container).is_approved()) {
        (false, true) => APPROVED_BITS,
        (false, false) => UNAPPROVED_BITS,
        (true, true) => APPROVED_SCRIPT_BITS,
        (true, false) => UNAPPROVED_SCRIPT_BITS,
    };
    let (bits, what) = match ran.making {
        Making::Memory => (MEMORY_BITS, "is in memory only"),
        Making::Deleted => (later_bits, "was deleted"),
        Making::Written => (later_bits, "was written after it was made"),
        Making::MountedSince if is_mounted_alone => {
            (later_bits, "is mounted by itself and was written after the container started")
        }
        Making::MountedSince => {
            (later_bits, "is on a file system mounted into it and was written after it started")
        }
        Making::Installed => (INSTALLED_BITS, "was written by a package manager of the image"),
        Making::Mounted => (MOUNTED_BITS, "is on a file system mounted into it"),
    };
    let finding = claim(case, container, ID, bits, Aspect::Conduct)
        .claiming(format!("it runs {file}, {kind} that its image does not hold: it {what}"))
        .with("file", file)
        .with("arguments", &ran.args)
        .with("program_pid", u64::from(ran.process.pid));
    Some(match &ran.file {
        Some(file) => finding.with("file_name", &file.name).with("inode", file.id.inode),
        None => finding,
    })
}

/// Beyond what is remembered each run counts as new: that there are so many says so.
fn counted(finding: Finding, new_files: u64) -> Finding {
    if new_files < MANY { finding } else { finding.with("new_files", new_files) }
}
