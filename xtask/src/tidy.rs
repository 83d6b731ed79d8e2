//! The house style, as far as it can be checked without understanding the code: every Rust file of the workspace.
//!
//! Not here: what rustfmt and clippy already check (names, nesting, length of functions, `unwrap`).

mod rules;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::problem::Problem;
use crate::source::Source;

/// Folders that hold Rust files of ours.
const FOLDERS: [&str; 5] = ["bench", "crates", "fuzz", "tests", "xtask"];

/// Checks every file; gives back what was checked, and the problems.
pub(crate) fn check(root: &Path) -> Result<(String, Vec<Problem>)> {
    let mut paths = Vec::new();
    for folder in FOLDERS.map(|folder| root.join(folder)).into_iter().filter(|folder| folder.is_dir()) {
        rust_files(&folder, &mut paths)?;
    }
    let mut problems = Vec::new();
    for path in &paths {
        let text = std::fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
        let shown = path.strip_prefix(root).unwrap_or(path).to_string_lossy();
        problems.extend(check_file(&shown, &text));
    }
    problems.sort();
    Ok((format!("tidy, {} files", paths.len()), problems))
}

/// The problems of one file.
fn check_file(path: &str, text: &str) -> Vec<Problem> {
    let source = Source::new(path, text);
    if source.is_generated() {
        return Vec::new();
    }
    let found = rules::ALL.iter().flat_map(|rule| rule(&source));
    found.map(|(line, message)| Problem { path: path.to_owned(), line, message }).collect()
}

fn rust_files(folder: &Path, paths: &mut Vec<PathBuf>) -> Result<()> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("{}", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        let path = entry.path();
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        if entry.file_type()?.is_dir() && !hidden && entry.file_name() != "target" {
            rust_files(&path, paths)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
