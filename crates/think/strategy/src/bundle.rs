//! What comes in and what goes wrong: a bundle as bytes, its limits, problems with their place.
//!
//! Not here: what the files must hold (`check.rs`).

use model::untrusted::Untrusted;

/// Most bundles loaded at once.
pub const BUNDLES_MAX: usize = 256;
/// Most files in one bundle.
pub const FILES_MAX: usize = 64;
/// Largest file, in bytes.
pub const FILE_BYTES_MAX: usize = 256 * 1024;
/// Largest bundle, all files together, in bytes.
pub const BUNDLE_BYTES_MAX: usize = 1024 * 1024;
/// Most problems reported of one bundle; the rest is counted.
pub const PROBLEMS_MAX: usize = 100;

/// One file of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleFile {
    /// Path below the bundle's folder, `/` between parts.
    pub path: String,
    /// Its content, not yet known to be text.
    pub bytes: Vec<u8>,
}

/// One folder below `ads/`, as read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bundle {
    /// Name of the folder.
    pub folder: String,
    /// Its files.
    pub files: Vec<BundleFile>,
}

impl Bundle {
    /// A bundle without files.
    pub fn new(folder: &str) -> Self {
        Self { folder: folder.to_owned(), files: Vec::new() }
    }

    /// The same bundle with one more file.
    #[must_use]
    pub fn with(mut self, path: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.files.push(BundleFile { path: path.to_owned(), bytes: bytes.into() });
        self
    }
}

/// Something wrong with a bundle, and where. Foreign text in it is already escaped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}:{line}: {message}")]
pub struct Problem {
    /// Folder and file: `container-monitoring-bypass/ads.md`.
    pub path: String,
    /// Line, from 1.
    pub line: u64,
    /// What is wrong and what would be right.
    pub message: String,
}

/// The problems of one bundle, collected while it is checked.
pub(crate) struct Log<'a> {
    folder: &'a str,
    problems: Vec<Problem>,
    dropped: usize,
}

impl<'a> Log<'a> {
    pub(crate) fn new(folder: &'a str) -> Self {
        Self { folder, problems: Vec::new(), dropped: 0 }
    }

    /// Notes a problem at a line of a file of the bundle; an empty `file` means the folder.
    pub(crate) fn note(&mut self, file: &str, line: u64, message: impl Into<String>) {
        if self.problems.len() == PROBLEMS_MAX {
            self.dropped += 1;
            return;
        }
        let path = format!("{}/{file}", self.folder);
        let path = Untrusted::new(path.trim_end_matches('/')).to_string();
        self.problems.push(Problem { path, line: line.max(1), message: message.into() });
    }

    /// Whether nothing was noted so far.
    pub(crate) fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    /// The problems by file and line, with a last one that counts what did not fit.
    pub(crate) fn into_problems(mut self) -> Vec<Problem> {
        self.problems.sort_by(|one, other| (&one.path, one.line).cmp(&(&other.path, other.line)));
        if self.dropped > 0 {
            let message = format!("{} more problems are not shown", self.dropped);
            let path = Untrusted::new(self.folder).to_string();
            self.problems.push(Problem { path, line: 1, message });
        }
        self.problems
    }
}

/// Foreign text for use in a message: bounded and escaped.
pub(crate) fn shown(text: &str) -> String {
    Untrusted::bounded(text, 80).to_string()
}
