//! Five thousand control groups at once.

use std::fs;

use anyhow::Result;

use crate::cgroups::unified;
use crate::chaos::Undo;
use crate::chaos::stand::Stand;

const COUNT: u32 = 5_000;

/// Below one of its own; gone at the end of the round.
pub(super) fn begin(_: &mut Stand) -> Result<Undo> {
    let root = unified()?.join(format!("tw-chaos-many-{}", std::process::id()));
    fs::create_dir_all(&root)?;
    let places: Vec<_> = (0..COUNT).map(|number| root.join(number.to_string())).collect();
    for place in &places {
        fs::create_dir(place)?;
    }
    Ok(Box::new(move |_| {
        for place in places {
            fs::remove_dir(place)?;
        }
        Ok(fs::remove_dir(root)?)
    }))
}
