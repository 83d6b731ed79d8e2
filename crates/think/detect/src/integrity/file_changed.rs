//! Flags a change of Tidewatch's own files while it runs: the program, its settings, its strategies.
//!
//! T1562.001, T1554. Twins: an upgrade replaces the program by another file (it does not write into the one that runs), and
//! operators edit settings. Not here: the store (`store_changed.rs`).

use model::finding::Finding;
use model::integrity::Integrity;

use crate::Case;
use crate::integrity::{ALONE_BITS, fact, interference};

pub(crate) const ID: &str = "file_changed";

/// Somebody wrote into the program or removed it: no package manager does, it puts another file in its place.
const WRITTEN_BITS: f64 = ALONE_BITS;
/// The program was replaced: an upgrade. Prior.
const REPLACED_BITS: f64 = 5.0;
/// Settings and strategies hold from the next start on; people edit them. Prior.
const SETTINGS_BITS: f64 = 4.0;

const SETTINGS: [&str; 5] = [".toml", ".yml", ".yaml", ".md", ".json"];

/// Judges what the rim tells of our files.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    let Some(Integrity::FileChanged { path, how }) = fact(case) else { return };
    let is_setting = SETTINGS.iter().any(|end| path.raw().ends_with(end));
    let bits = match how.raw() {
        _ if is_setting => SETTINGS_BITS,
        "replaced" => REPLACED_BITS,
        _ => WRITTEN_BITS,
    };
    let claim = format!("{path}, a file of Tidewatch's own, was {how} while it ran");
    out.push(interference(case, ID, bits).on_topic(path).claiming(claim).with("path", path).with("how", how));
}
