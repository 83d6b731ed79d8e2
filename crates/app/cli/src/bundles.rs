//! Strategy bundles: the ones embedded in the binary, and folders on disk for `ads lint`.

use std::path::Path;

use anyhow::{Context, bail};
use include_dir::{Dir, DirEntry, include_dir};
use strategy::Strategies;
use strategy::bundle::{Bundle, BundleFile};

static EMBEDDED: Dir = include_dir!("$CARGO_MANIFEST_DIR/../../../ads");

/// Files read of one folder, at most.
const FILES_MAX: usize = 256;
/// Largest file read, in bytes; the strategy's own limit is lower and names the file.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// The strategies shipped with this binary; all of them, or an error that names every problem.
pub(crate) fn embedded() -> anyhow::Result<Strategies> {
    match load(&embedded_bundles()) {
        Ok(strategies) => Ok(strategies),
        Err(problems) => bail!("embedded strategies: {}", problems.join("; ")),
    }
}

/// Checks bundles all or nothing; each problem as `path:line: message`.
pub(crate) fn load(bundles: &[Bundle]) -> Result<Strategies, Vec<String>> {
    Strategies::load(bundles, &detect::judge_ids()).map_err(|problems| {
        problems.iter().map(|p| format!("{}:{}: {}", p.path, p.line, p.message)).collect()
    })
}

/// The bundles shipped with this binary.
pub(crate) fn embedded_bundles() -> Vec<Bundle> {
    EMBEDDED.dirs().map(embedded_bundle).collect()
}

/// The bundles in the folders of `dir`.
pub(crate) fn on_disk(dir: &Path) -> anyhow::Result<Vec<Bundle>> {
    let mut folders: Vec<_> = std::fs::read_dir(dir)
        .with_context(|| format!("{}", dir.display()))?
        .collect::<Result<_, _>>()
        .with_context(|| format!("{}", dir.display()))?;
    folders.retain(|entry| entry.path().is_dir());
    folders.sort_by_key(std::fs::DirEntry::path);
    if folders.is_empty() {
        bail!("{}: holds no strategy: each has a folder of its own", dir.display());
    }
    folders
        .iter()
        .map(|folder| {
            let mut bundle = Bundle::new(&folder.file_name().to_string_lossy());
            read_folder(&folder.path(), &folder.path(), &mut bundle)?;
            Ok(bundle)
        })
        .collect()
}

fn embedded_bundle(dir: &Dir<'_>) -> Bundle {
    let mut bundle = Bundle::new(&dir.path().to_string_lossy());
    let mut entries: Vec<&DirEntry> = dir.entries().iter().collect();
    while let Some(entry) = entries.pop() {
        match entry {
            DirEntry::Dir(below) => entries.extend(below.entries()),
            DirEntry::File(file) => {
                let path = file.path().strip_prefix(dir.path()).unwrap_or(file.path());
                let path = path.to_string_lossy().into_owned();
                bundle.files.push(BundleFile { path, bytes: file.contents().to_vec() });
            }
        }
    }
    bundle.files.sort_by(|a, b| a.path.cmp(&b.path));
    bundle
}

fn read_folder(root: &Path, dir: &Path, bundle: &mut Bundle) -> anyhow::Result<()> {
    let mut entries: Vec<_> = std::fs::read_dir(dir)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(std::fs::DirEntry::path);
    for entry in entries {
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            read_folder(root, &path, bundle)?;
            continue;
        }
        let size = entry.metadata()?.len();
        if bundle.files.len() >= FILES_MAX || size > FILE_BYTES_MAX {
            bail!(
                "{}: more than {FILES_MAX} files, or one of more than {FILE_BYTES_MAX} bytes",
                path.display()
            );
        }
        let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
        let bytes = std::fs::read(&path).with_context(|| format!("{}", path.display()))?;
        bundle.files.push(BundleFile { path: name, bytes });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_strategies_are_without_problems() {
        assert!(embedded().unwrap().by_slug("container-monitoring-bypass").is_some());
    }

    #[test]
    fn every_judge_works_for_a_strategy() {
        let strategies = embedded().unwrap();
        for judge in detect::judge_ids() {
            assert!(strategies.for_judge(judge).is_some(), "{judge}");
        }
    }
}
