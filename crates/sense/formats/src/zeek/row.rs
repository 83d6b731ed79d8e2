//! A line of a Zeek log as named fields, whether it has columns or is JSON.
//!
//! Not here: what the fields mean.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::problem::Reason;

/// Most columns of a log; Zeek's own have at most a few dozen.
const COLUMNS_MAX: usize = 1_024;

/// What the lines that begin with `#` say about those that follow.
#[derive(Debug)]
pub(super) struct Heading {
    separator: String,
    set_separator: String,
    empty: String,
    unset: String,
    path: String,
    names: Vec<String>,
}

impl Default for Heading {
    /// Zeek's own settings.
    fn default() -> Self {
        Self {
            separator: "\t".to_owned(),
            set_separator: ",".to_owned(),
            empty: "(empty)".to_owned(),
            unset: "-".to_owned(),
            path: String::new(),
            names: Vec::new(),
        }
    }
}

impl Heading {
    /// Takes a line that begins with `#`. A separator begins a new heading: logs may be joined end to end.
    pub(super) fn take(&mut self, line: &str) -> Result<(), Reason> {
        if let Some(separator) = line.strip_prefix("#separator ") {
            let separator = bytes_of(separator).ok_or_else(|| Reason::value("#separator", separator))?;
            *self = Self { separator, ..Self::default() };
            return Ok(());
        }
        let Some((key, value)) = line.split_once(&self.separator) else { return Ok(()) };
        match key {
            "#set_separator" if !value.is_empty() => value.clone_into(&mut self.set_separator),
            "#empty_field" => value.clone_into(&mut self.empty),
            "#unset_field" => value.clone_into(&mut self.unset),
            "#path" => value.clone_into(&mut self.path),
            "#fields" => return self.name_columns(value),
            _ => (),
        }
        Ok(())
    }

    fn name_columns(&mut self, names: &str) -> Result<(), Reason> {
        self.names = names.split(&self.separator).map(str::to_owned).collect();
        let count = self.names.len();
        if count > COLUMNS_MAX {
            self.names.clear();
            return Err(Reason::TooManyColumns { count, count_max: COLUMNS_MAX });
        }
        Ok(())
    }

    /// Reads a line of columns.
    pub(super) fn row<'a>(&'a self, line: &'a str) -> Result<Row<'a>, Reason> {
        if self.names.is_empty() {
            return Err(Reason::NoHeading);
        }
        let cells: Vec<&str> = line.split(&self.separator).collect();
        if cells.len() != self.names.len() {
            return Err(Reason::Columns { expected: self.names.len(), found: cells.len() });
        }
        Ok(Row::Columns { heading: self, cells })
    }
}

/// One line.
#[derive(Debug)]
pub(super) enum Row<'a> {
    /// Its cells, as many as the heading has names.
    Columns {
        /// What names them.
        heading: &'a Heading,
        /// As they stand in the log.
        cells: Vec<&'a str>,
    },
    /// Its object.
    Object(Map<String, Value>),
}

impl<'a> Row<'a> {
    /// Reads a line of JSON.
    pub(super) fn from_json(line: &str) -> Result<Self, Reason> {
        Ok(Self::Object(serde_json::from_str(line)?))
    }

    /// Which log it is of, when the log says so: `conn`.
    pub(super) fn path(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Columns { heading, .. } if !heading.path.is_empty() => Some((&heading.path).into()),
            Self::Columns { .. } => None,
            Self::Object(_) => self.text("_path"),
        }
    }

    /// A field; `None` when it is not set, or there is none of that name.
    pub(super) fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        match self {
            Self::Columns { heading, .. } => {
                let cell = self.cell(name)?;
                Some(if cell == heading.empty { "".into() } else { unescaped(cell) })
            }
            Self::Object(object) => match object.get(name)? {
                Value::String(text) => Some(text.into()),
                Value::Number(number) => Some(number.to_string().into()),
                Value::Bool(is) => Some(if *is { "T" } else { "F" }.into()),
                Value::Null | Value::Array(_) | Value::Object(_) => None,
            },
        }
    }

    /// A field that holds several values; none when it is not set.
    pub(super) fn list(&self, name: &str) -> Vec<Cow<'_, str>> {
        match self {
            Self::Columns { heading, .. } => {
                let cell = self.cell(name).filter(|cell| *cell != heading.empty);
                cell.into_iter().flat_map(|cell| cell.split(&heading.set_separator)).map(unescaped).collect()
            }
            Self::Object(object) => {
                let values = object.get(name).and_then(Value::as_array).into_iter().flatten();
                values.filter_map(Value::as_str).map(Cow::from).collect()
            }
        }
    }

    /// A cell that is set, as it stands in the log.
    fn cell(&self, name: &str) -> Option<&'a str> {
        let Self::Columns { heading, cells } = self else { return None };
        let at = heading.names.iter().position(|known| known == name)?;
        cells.get(at).copied().filter(|cell| *cell != heading.unset)
    }
}

/// The text that a heading writes as bytes: `\x09`.
fn bytes_of(text: &str) -> Option<String> {
    let text = unescaped(text.trim_end());
    let plain = !text.is_empty() && !text.contains('\\');
    plain.then(|| text.into_owned())
}

/// Undoes what Zeek escapes in columns, as far as it does not escape it in JSON too: bytes that cannot be shown stay as
/// `\x00` in both.
fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return text.into();
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        plain.push_str(&rest[..at]);
        let (letter, length) = escape(&rest[at..]);
        plain.push(letter);
        rest = &rest[at + length..];
    }
    plain.push_str(rest);
    plain.into()
}

/// The letter that a backslash and what follows stand for, and how many bytes that takes.
fn escape(text: &str) -> (char, usize) {
    if text.starts_with("\\\\") {
        return ('\\', 2);
    }
    let code = text.strip_prefix("\\x").and_then(|code| code.get(..2));
    let byte = code.and_then(|code| u8::from_str_radix(code, 16).ok());
    let shown = byte.filter(|byte| *byte == b'\t' || (b' '..=b'~').contains(byte));
    shown.map_or(('\\', 1), |byte| (char::from(byte), 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_both_forms_escape_stays_escaped() {
        assert_eq!(unescaped(r"a\x09b\x2c\x2d\\x00"), "a\tb,-\\x00");
        assert_eq!(unescaped(r"\x00\xff\x"), r"\x00\xff\x");
        assert_eq!(unescaped(r"\\\\host\\é\"), r"\\host\é\");
        assert_eq!(unescaped("\\xé"), "\\xé");
    }

    #[test]
    fn the_heading_decides_separators_and_what_is_unset() {
        let mut heading = Heading::default();
        for line in ["#separator |", "#set_separator|;", "#unset_field|?", "#empty_field|nil", "#path|dns"] {
            heading.take(line).unwrap();
        }
        heading.take("#fields|a|b|c|d").unwrap();
        let row = heading.row("x;y|?|nil|-").unwrap();
        assert_eq!(row.list("a"), ["x", "y"]);
        assert_eq!(row.text("b"), None);
        assert_eq!(row.text("c").as_deref(), Some(""));
        assert_eq!(row.text("d").as_deref(), Some("-"));
        assert_eq!((row.text("e"), row.path().as_deref()), (None, Some("dns")));
        assert!(row.list("b").is_empty() && row.list("c").is_empty());
    }

    #[test]
    fn a_heading_with_nothing_between_columns_is_refused() {
        for line in ["#separator ", "#separator \\x", "#separator \\xff"] {
            assert!(Heading::default().take(line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_heading_with_too_many_columns_names_none() {
        let mut heading = Heading::default();
        assert!(heading.take(&format!("#fields{}", "\tx".repeat(2_000))).is_err());
        assert_eq!(heading.row("1").unwrap_err(), Reason::NoHeading);
    }
}
