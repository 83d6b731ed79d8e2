//! Values of arguments: from the text of one to what it means.
//!
//! Not here: edges, which have a file of their own (`edge.rs`).

use model::expectation::Expected;

/// Who is busy at times.
pub(super) fn expected(text: &str) -> Result<Expected, String> {
    let bytes_max = model::untrusted::UNTRUSTED_BYTES_MAX;
    let pattern = |name: &str| match name.len() {
        length if length <= bytes_max => Ok(name.into()),
        _ => Err(format!("a name has at most {bytes_max} bytes")),
    };
    match text.split_once(':') {
        Some(("image", name)) => Ok(Expected::Image { pattern: pattern(name)? }),
        Some(("workload", name)) => Ok(Expected::Workload { pattern: pattern(name)? }),
        _ => Err("write image:PATTERN or workload:NAME".to_owned()),
    }
}

/// How often a screen asks.
pub(super) fn interval(text: &str) -> Result<std::time::Duration, String> {
    let interval = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let is_fit = (200..=3_600_000).contains(&interval.as_millis());
    is_fit.then_some(interval).ok_or_else(|| "between 200ms and 1h".to_owned())
}
