//! Tables and marks of the public data, each error with its file and line.
//!
//! Not here: what the columns mean.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use flate2::read::GzDecoder;
use serde_json::Value;

/// Larger files are not what we expect here.
const BYTES_MAX: u64 = 256 << 20;

/// The text of a file, unpacked when it ends in `.gz`.
pub(crate) fn text(path: &Path) -> Result<String> {
    let place = || path.display().to_string();
    let file = BufReader::new(File::open(path).with_context(place)?);
    let packed = path.extension().is_some_and(|extension| extension == "gz");
    let mut text = String::new();
    let reader: Box<dyn Read> = if packed { Box::new(GzDecoder::new(file)) } else { Box::new(file) };
    let read = reader.take(BYTES_MAX).read_to_string(&mut text).with_context(place)?;
    ensure!((read as u64) < BYTES_MAX, "{}: larger than {BYTES_MAX} bytes", path.display());
    Ok(text)
}

/// A JSON file.
pub(crate) fn json(path: &Path) -> Result<Value> {
    serde_json::from_str(&text(path)?).with_context(|| path.display().to_string())
}

/// A table of numbers without a head, row by row; every row as long as the first.
pub(crate) fn numbers(path: &Path) -> Result<Vec<Vec<f64>>> {
    let mut rows: Vec<Vec<f64>> = Vec::new();
    for (line, row) in text(path)?.lines().enumerate() {
        let place = || format!("{}, line {}", path.display(), line + 1);
        let cells = row.split(',').map(|cell| number(cell).with_context(place));
        let row = cells.collect::<Result<Vec<f64>>>()?;
        ensure!(rows.first().is_none_or(|first| first.len() == row.len()), "{}: another length", place());
        rows.push(row);
    }
    ensure!(!rows.is_empty(), "{} is empty", path.display());
    Ok(rows)
}

/// A number.
pub(crate) fn number(cell: &str) -> Result<f64> {
    let value: f64 = cell.trim().parse().with_context(|| format!("{cell:?} is not a number"))?;
    ensure!(value.is_finite(), "{cell:?} is not finite");
    Ok(value)
}

/// The files of a folder whose names end so, by name; at least one.
pub(crate) fn ending(folder: &Path, end: &str) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| folder.display().to_string())?.path();
        if path.to_string_lossy().ends_with(end) {
            paths.push(path);
        }
    }
    paths.sort();
    ensure!(!paths.is_empty(), "{} holds no file ending in {end}", folder.display());
    Ok(paths)
}

/// Seconds since the Unix epoch of a date and time without a zone, of which the first 19 letters count.
pub(crate) fn seconds(stamp: &str) -> Result<i64> {
    let civil = stamp.get(..19).unwrap_or(stamp);
    let time: jiff::civil::DateTime = civil.parse().with_context(|| format!("{stamp:?} is not a time"))?;
    Ok(jiff::tz::Offset::UTC.to_timestamp(time)?.as_second())
}
