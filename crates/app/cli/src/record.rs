//! `tidewatch record`: events of this host in a file, from a running Tidewatch or by sensing alone.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use deadline::pulse::Pulses;
use engine::control::{AskError, ask_recording};
use sources::outlet::Stop;

use crate::Outcome;
use crate::args::RecordArgs;
use crate::output::{complain, say};
use crate::signals::stop_on_signals;
use crate::{bundles, settings};

pub(crate) fn run(args: &RecordArgs) -> anyhow::Result<Outcome> {
    let config = settings::load(args.config.config.as_ref())?;
    let until = args.span.map(|span| Instant::now() + span);
    let stop = stop_on_signals(&Pulses::default())?;
    let stream = match ask_recording(&args.data.data_dir) {
        Ok(stream) => Some(stream),
        Err(AskError::NotRunning { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let out = create(args)?;
    let events = match stream {
        Some(stream) => copy(&stream, out, until, &stop)?,
        None => {
            complain("no Tidewatch runs on this data directory: sensing alone");
            let strategies = bundles::embedded()?;
            engine::alone::record(&config, &strategies, (BufWriter::new(out), &args.out), until, &stop)?
        }
    };
    say(&format!("{events} events in {}", args.out.display()));
    Ok(Outcome::Fine)
}

/// Recordings hold command lines, so they are nobody else's to read.
fn create(args: &RecordArgs) -> anyhow::Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&args.out);
    file.with_context(|| format!("{}", args.out.display()))
}

/// Copies whole lines until the time is over; gives the number of events.
fn copy(stream: &UnixStream, out: File, until: Option<Instant>, stop: &Stop) -> anyhow::Result<u64> {
    stream.set_read_timeout(Some(Duration::from_millis(100)))?;
    let mut progress = Progress::new();
    let mut input = BufReader::new(stream);
    let mut out = BufWriter::new(out);
    let mut line = Vec::new();
    let mut lines: u64 = 0;
    while !stop.is_set() && until.is_none_or(|until| Instant::now() < until) {
        match input.read_until(b'\n', &mut line) {
            Ok(0) => {
                bail!("Tidewatch ended the recording after {lines} lines: it stopped, or this was too slow")
            }
            Ok(_) if line.ends_with(b"\n") => {
                refuse_error(&line, lines)?;
                out.write_all(&line)?;
                line.clear();
                lines += 1;
                progress.tell(lines);
            }
            Ok(_) => {}
            // Nothing new within a tenth of a second; what was read of a line so far is kept.
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(error) => return Err(error.into()),
        }
    }
    out.flush()?;
    progress.end();
    // The header and the state the recording starts from are no events.
    Ok(lines.saturating_sub(2))
}

/// Instead of a recording the first line may be a refusal.
fn refuse_error(line: &[u8], lines: u64) -> anyhow::Result<()> {
    if lines == 0 && line.starts_with(b"{\"Err\":") {
        bail!("Tidewatch refused: {}", String::from_utf8_lossy(line).trim());
    }
    Ok(())
}

/// A count on a terminal, so that a long recording is seen to live.
struct Progress {
    told: Instant,
    is_terminal: bool,
}

impl Progress {
    fn new() -> Self {
        Self { told: Instant::now(), is_terminal: io::stderr().is_terminal() }
    }

    fn tell(&mut self, lines: u64) {
        if self.is_terminal && self.told.elapsed() >= Duration::from_secs(1) {
            self.told = Instant::now();
            drop(write!(io::stderr(), "\r{lines} lines"));
        }
    }

    fn end(&self) {
        if self.is_terminal {
            drop(writeln!(io::stderr()));
        }
    }
}
