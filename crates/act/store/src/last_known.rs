//! What was last known of the data directory, in a file beside it: so that a store that was emptied, rolled back or
//! exchanged is noticed.
//!
//! Not here: what follows from it. `docs/decisions/0013-a-second-place.md` says why it lies where it lies.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use model::integrity::Integrity;
use model::time::Time;
use model::untrusted::Untrusted;
use serde::{Deserialize, Serialize};

use crate::aside::with_ending;
use crate::database::Database;
use crate::error::StoreError;
use crate::incident_store::IncidentStore;
use crate::private_file;
use crate::storage::Extent;

/// What the file's name has behind that of the data directory.
pub const LAST_KNOWN_ENDING: &str = ".last-known";

const VERSION: u32 = 1;

/// Longest file that is read, in bytes.
const BYTES_MAX: u64 = 64 << 10;

/// What was last known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noted {
    pub(crate) version: u32,
    /// The machine; empty when it has no name.
    pub machine: String,
    /// The database.
    pub database: Extent,
    /// The highest number of a segment of the journal.
    #[serde(default)]
    pub journal: u64,
    /// When the host was first looked at.
    pub first_look: Option<Time>,
    /// When the run was last known to be alive.
    pub last_beat: Option<Time>,
}

/// What is found in the second place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// There is no file.
    Missing,
    /// There is one that cannot be read, and why.
    Unreadable(String),
    /// What was noted.
    Noted(Box<Noted>),
}

/// The file beside a data directory.
#[derive(Clone, Debug)]
pub struct LastKnown {
    path: PathBuf,
}

impl LastKnown {
    /// The file beside that directory; `None` beside the root of all. Links in place of the directory are not followed:
    /// one that was put there leads elsewhere, and has to be noticed.
    pub fn beside(dir: &Path) -> Option<Self> {
        let dir = std::path::absolute(dir).ok()?;
        // Without a slash at the end, which would make the file one inside the directory.
        let dir: PathBuf = dir.components().collect();
        dir.file_name()?;
        Some(Self { path: with_ending(&dir, LAST_KNOWN_ENDING) })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was noted last.
    pub fn read(&self) -> Found {
        match self.text() {
            Ok(text) => match serde_json::from_str::<Noted>(&text) {
                Ok(noted) if noted.version <= VERSION => Found::Noted(Box::new(noted)),
                Ok(noted) => Found::Unreadable(format!("version {} is unknown", noted.version)),
                Err(error) => Found::Unreadable(error.to_string()),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Found::Missing,
            Err(error) => Found::Unreadable(error.to_string()),
        }
    }

    fn text(&self) -> io::Result<String> {
        if !self.path.symlink_metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        let mut text = String::new();
        fs::File::open(&self.path)?.take(BYTES_MAX).read_to_string(&mut text)?;
        Ok(text)
    }

    /// Notes it in place of what was noted before; a reader finds the one or the other whole.
    pub fn write(&self, noted: &Noted) -> io::Result<()> {
        let new = with_ending(&self.path, ".new");
        drop(fs::remove_file(&new));
        let mut file = private_file::create(&new)?;
        let text = serde_json::to_vec(&Noted { version: VERSION, ..noted.clone() })?;
        let written = file.write_all(&text).and_then(|()| file.sync_data());
        let renamed = written.and_then(|()| fs::rename(&new, &self.path));
        if renamed.is_err() {
            drop(fs::remove_file(&new));
        }
        renamed
    }
}

/// Everything in which a data directory is less than, or other than, what was noted of it. `lost_power` says that the last
/// run ended with its boot: then the last transactions may be missing that the disk did not have yet, except decisions.
pub(crate) fn differences(
    noted: &Noted,
    database: &Database,
    journal: u64,
    lost_power: bool,
) -> Result<Vec<Integrity>, StoreError> {
    let (expected, found) = (&noted.database, &database.extent()?);
    let mut all = Vec::new();
    let mut say = |what: &str, expected: String, found: String| {
        all.push(Integrity::StoreChanged {
            what: what.into(),
            expected: Untrusted::new(&expected),
            found: Untrusted::new(&found),
        });
    };
    if expected.id != found.id {
        say("database", described(expected), described(found));
    } else {
        if expected.generation > found.generation && !lost_power {
            say("database", described(expected), format!("an earlier state: {}", described(found)));
        } else if differs_without_writing(expected, found) {
            say("database", described(expected), described(found));
        }
        if let Some(found) = trail(expected, found, database)? {
            say("audit", entries(expected), found);
        }
    }
    if noted.journal > journal {
        say("journal", format!("segments up to {}", noted.journal), format!("segments up to {journal}"));
    }
    Ok(all)
}

/// Rows that came or went although no transaction of ours wrote any.
fn differs_without_writing(expected: &Extent, found: &Extent) -> bool {
    let approvals = expected.audit == found.audit && expected.approvals != found.approvals;
    let incidents = expected.generation == found.generation
        && (expected.incidents, &expected.incidents_head) != (found.incidents, &found.incidents_head);
    approvals || incidents || expected.approvals_given > found.approvals_given
}

/// In what the audit trail is not the one that was noted.
fn trail(expected: &Extent, found: &Extent, database: &Database) -> Result<Option<String>, StoreError> {
    if found.audit < expected.audit {
        return Ok(Some(entries(found)));
    }
    let hash = database.audit_hash(expected.audit)?.unwrap_or_default();
    if hash != expected.audit_head {
        return Ok(Some(format!("another entry {}, with hash {}", expected.audit, short(&hash))));
    }
    Ok(database.verify_audit().err().map(|broken| broken.to_string()))
}

/// What was noted of a database, in words.
pub(crate) fn described(extent: &Extent) -> String {
    let name = match extent.id.as_str() {
        "" => "a database without a name".to_owned(),
        id => format!("database {}", short(id)),
    };
    format!(
        "{name} with {} approvals, {} incidents, {} audit entries",
        extent.approvals, extent.incidents, extent.audit
    )
}

fn entries(extent: &Extent) -> String {
    format!("{} entries, the last with hash {}", extent.audit, short(&extent.audit_head))
}

/// The first digits of a name or a hash: enough for people to tell two apart.
fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}

#[cfg(test)]
mod tests;
