//! The shipped strategies, so that findings are named and weighed as in the product.
//!
//! Not here: their prose; a bench that cannot load them fails.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use strategy::Strategies;
use strategy::bundle::{Bundle, BundleFile};

/// Folder of the strategies, below the workspace.
const ADS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../ads");

/// Loads them from the workspace.
pub(crate) fn strategies() -> Result<Strategies> {
    let mut bundles = Vec::new();
    for entry in fs::read_dir(ADS).context(ADS)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            let mut bundle = Bundle::new(&entry.file_name().to_string_lossy());
            read_folder(&entry.path(), "", &mut bundle)?;
            bundles.push(bundle);
        }
    }
    match Strategies::load(&bundles, &detect::judge_ids()) {
        Ok(strategies) => Ok(strategies),
        Err(problems) => {
            bail!("{ADS}: {}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
        }
    }
}

fn read_folder(folder: &Path, above: &str, bundle: &mut Bundle) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("{}", folder.display()))? {
        let entry = entry?;
        let path = format!("{above}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            read_folder(&entry.path(), &format!("{path}/"), bundle)?;
        } else {
            bundle.files.push(BundleFile { path, bytes: fs::read(entry.path())? });
        }
    }
    Ok(())
}
