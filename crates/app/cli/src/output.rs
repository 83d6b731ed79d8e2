//! Where text goes: standard output for answers, standard error for complaints; colours only on a terminal.
//!
//! A reader that has gone away (`| head`) is no failure.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use deadline::workers::Workers;
use report::json::write_json;
use report::style::Style;
use serde::Serialize;

/// How long a complaint waits for its reader.
const COMPLAINT_MAX: Duration = Duration::from_secs(1);

/// Prints an answer and a newline.
pub(crate) fn say(text: &str) {
    let mut out = io::stdout().lock();
    let written = writeln!(out, "{text}").and_then(|()| out.flush());
    drop(written);
}

/// Prints an answer as indented JSON, piece by piece, and a newline.
pub(crate) fn say_json(document: &impl Serialize) {
    let mut out = io::stdout().lock();
    let written = write_json(&mut out, document).and_then(|()| writeln!(out)).and_then(|()| out.flush());
    drop(written);
}

/// Prints a complaint, and waits for its reader no longer than a moment.
pub(crate) fn complain(text: &str) {
    let line = format!("{text}\n");
    let print = move || io::stderr().lock().write_all(line.as_bytes());
    // Nothing is left that could be complained to.
    drop(Workers::new("complaint", 1).call("standard error", COMPLAINT_MAX, print));
}

/// Says that what was decided holds, and is in memory only.
pub(crate) fn warn_not_stored(reason: Option<String>) {
    if let Some(reason) = reason {
        complain(&format!(
            "not stored yet: {reason}; it holds, is kept in memory, and is stored as soon as that is possible"
        ));
    }
}

/// How text should look on standard output.
pub(crate) fn style() -> Style {
    let is_terminal = io::stdout().is_terminal();
    let colour = is_terminal && std::env::var_os("NO_COLOR").is_none();
    let width = rustix::termios::tcgetwinsize(io::stdout()).map_or(0, |size| usize::from(size.ws_col));
    Style { colour, width: if is_terminal && width > 0 { width } else { 100 } }
}

/// An empty table without lines, as wide as the terminal.
pub(crate) fn table<const COLUMNS: usize>(header: [&str; COLUMNS]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(header).set_content_arrangement(ContentArrangement::Dynamic);
    let style = style();
    table.set_width(u16::try_from(style.width.max(80)).unwrap_or(u16::MAX));
    table
}

/// Whether standard output is a terminal.
pub(crate) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Who runs this command, for the audit trail: the user behind `sudo`, else the user.
pub(crate) fn owner() -> model::untrusted::Untrusted {
    let name = |key: &str| std::env::var(key).ok().filter(|name| !name.is_empty());
    let uid = rustix::process::getuid().as_raw();
    let who = name("SUDO_USER").or_else(|| name("USER")).unwrap_or_else(|| format!("uid {uid}"));
    model::untrusted::Untrusted::bounded(&who, 64)
}
