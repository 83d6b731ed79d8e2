//! A container with three hundred labels that sort before all others.

use anyhow::Result;

use crate::chaos::Undo;
use crate::chaos::stand::Stand;
use crate::images::WEB;

/// It idles until the round ends.
pub(super) fn begin(stand: &mut Stand) -> Result<Undo> {
    let labels: Vec<String> =
        (0..300).map(|number| format!("--label=!{number:03}={}", "x".repeat(64))).collect();
    let mut args = vec!["--network", "none"];
    args.extend(labels.iter().map(String::as_str));
    args.extend([WEB, "sleep", "60"]);
    let container = stand.docker().start("tw-chaos-labels", &args)?;
    Ok(Box::new(move |_| {
        drop(container);
        Ok(())
    }))
}
