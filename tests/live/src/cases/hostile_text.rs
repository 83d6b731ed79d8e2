//! Everything an attacker can name, named with terminal escapes, newlines, quotes, HTML and a great deal of it: shown
//! escaped and bounded in every form, and nothing falls over.

use std::fs;

use anyhow::{Context, Result, ensure};

use crate::by_hand::{BURN, ByHand};
use crate::cases::Outcome;
use crate::docker::{Container, Docker};
use crate::host;
use crate::images::Images;
use crate::stage::{wait_for_incident, wait_for_incident_in};
use crate::tidewatch::{Launch, Room, Tidewatch};

/// Sets a terminal's title, clears it, starts a line anew, quotes, HTML, SQL, a right-to-left override, an 8-bit CSI.
const HOSTILE: &str = "\x1b]0;owned\x07\x1b[2J\r\n\"'`$(id)<script>alert(1)</script>'; DROP TABLE x;--\u{202e}\u{9b}31m\x7f\x08";
/// Most bytes any of the outputs may have here.
const OUTPUT_BYTES_MAX: usize = 64 * 1024;
const TAG: &str = "tw-live-hostile:latest-1.0_x";
const NAME: &str = "tw-live-hostile";

/// A container and a process tree made by hand, both with hostile text wherever it fits.
pub(crate) fn run(room: &Room) -> Result<Outcome> {
    let docker = Docker::of_host()?;
    let mut images = Images::none(&docker);
    // The engine refuses escapes in tags; labels and environment in the image's configuration it takes.
    let quoted = HOSTILE.replace(['"', '\'', '\n', '\r', '$', '\\'], "?");
    images.add(TAG, HOSTILE, &[format!("LABEL tw=\"{quoted}\""), format!("ENV TW=\"{quoted}\"")])?;
    let mut tidewatch = Tidewatch::start(room, Launch::default())?;

    let _container = start_hostile(&docker)?;
    let by_hand = format!("tw-live-hostile-{}", std::process::id());
    let ghost = ByHand::start(&by_hand, &["sh", "-c", BURN, HOSTILE, &"x".repeat(100_000)])?;
    let named = wait_for_incident(&tidewatch, NAME)?;
    let unnamed = wait_for_incident_in(&tidewatch, ghost.path())?;

    let mut largest = 0;
    for id in [&named.id, &unnamed.id] {
        for words in [&["incidents", "show", id][..], &["incidents", "show", id, "--json"]] {
            largest = largest.max(check_output(&tidewatch, words)?);
        }
    }
    for words in [
        &["incidents", "list"][..],
        &["incidents", "list", "--json"],
        &["incidents", "list", "--all"],
        &["status"],
        &["status", "--json"],
        &["top"],
        &["top", "--json"],
        &["doctor"],
        &["doctor", "--json"],
    ] {
        largest = largest.max(check_output(&tidewatch, words)?);
    }
    tidewatch.check_announced(&named.id)?;
    tidewatch.check_announced(&unnamed.id)?;
    check_bytes(&fs::read(tidewatch.log())?, true).context("Tidewatch's own log")?;
    // The commands that change something must cope as well.
    tidewatch.approve_running()?;
    check_output(&tidewatch, &["approve", "list"])?;
    tidewatch.close(&named.id)?;
    tidewatch.check_alive()?;
    Ok(Outcome { note: format!("largest output {largest} bytes"), ..Outcome::default() })
}

/// 200 labels, one of 100 kB, a hostile program name, command line and environment; it floods its log.
fn start_hostile(docker: &Docker) -> Result<Container> {
    let mut args: Vec<String> = vec!["--network".into(), "none".into()];
    // The client refuses white space in a label's name.
    let key: String = HOSTILE.split_whitespace().collect();
    args.extend((0..200).flat_map(|number| ["--label".to_owned(), format!("tw{number}{key}={HOSTILE}")]));
    args.extend(["--label".to_owned(), format!("tw-long={}", "\x1b[31m".repeat(20_000))]);
    args.extend([
        "--env".to_owned(),
        format!("TW={HOSTILE}"),
        "--workdir".to_owned(),
        "/tmp/\x1b[2J".to_owned(),
    ]);
    args.push(TAG.to_owned());
    // A program whose name begins with `busybox` takes its applet from the first argument.
    let script = "cp /bin/busybox \"$1\" && exec \"$1\" yes \"$2\"";
    let program = "/tmp/busybox\x1b[2J\n\"<b>";
    args.extend(["sh", "-c", script, HOSTILE, program, HOSTILE].map(str::to_owned));
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    docker.start(NAME, &args)
}

/// Checks what a command prints, and gives how much that was.
fn check_output(tidewatch: &Tidewatch, words: &[&str]) -> Result<usize> {
    let output = tidewatch.ask(words)?;
    let shown = words.join(" ");
    let is_json = words.contains(&"--json");
    check_bytes(&output.stdout, !is_json).with_context(|| shown.clone())?;
    check_bytes(&output.stderr, true).with_context(|| format!("{shown} (stderr)"))?;
    if is_json {
        crate::tidewatch::parse(&output.stdout).with_context(|| shown.clone())?;
    }
    ensure!(output.stdout.len() < OUTPUT_BYTES_MAX, "{shown}: {} bytes", output.stdout.len());
    Ok(output.stdout.len())
}

/// No raw control bytes but tab and newline; in text for people no invisible or reordering characters either.
fn check_bytes(bytes: &[u8], for_people: bool) -> Result<()> {
    let control = bytes.iter().position(|byte| matches!(byte, 0x00..=0x08 | 0x0b..=0x1f | 0x7f));
    let around = |at: usize| {
        host::escaped(&String::from_utf8_lossy(&bytes[at.saturating_sub(60)..(at + 20).min(bytes.len())]))
    };
    if let Some(at) = control {
        anyhow::bail!("control byte {:#04x} at {at}: …{}…", bytes[at], around(at));
    }
    let text = std::str::from_utf8(bytes).context("not UTF-8")?;
    let deceptive = text.char_indices().find(|(_, c)| matches!(c, '\u{202e}' | '\u{80}'..='\u{9f}'));
    match deceptive {
        Some((at, c)) if for_people => anyhow::bail!("{:?} at {at}: …{}…", c, around(at)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_noticed() {
        check_bytes(b"a\tb\n\\u{1b}[2J", true).unwrap();
        for text in ["\x1b[2J", "\r", "\x7f", "\x08", "\u{202e}", "\u{9b}"] {
            assert!(check_bytes(text.as_bytes(), true).is_err(), "{text:?}");
        }
        check_bytes("\"\u{202e}\"".as_bytes(), false).unwrap();
    }
}
