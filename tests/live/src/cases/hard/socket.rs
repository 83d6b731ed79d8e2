//! The control socket when others hold it: silent and slow clients, recordings, users other than root.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::cases::Outcome;
use crate::host;
use crate::tidewatch::{Launch, Room, Tidewatch, command};
use crate::wait;

/// More than there are places.
const SLOW: usize = 64;
/// Longest time until a command is answered while they hold the socket.
const ANSWERED_WITHIN: Duration = Duration::from_secs(2);
/// A client that sends a byte at a time is cut off within.
const CUT_OFF_WITHIN: Duration = Duration::from_secs(5);

/// Half of them silent, half with a byte of their request.
pub(crate) fn slow(room: &Room) -> Result<Outcome> {
    let tidewatch = Tidewatch::start(room, Launch::default())?;
    let begun = Instant::now();
    let mut held = Vec::new();
    for number in 0..SLOW {
        let mut stream = connect(&tidewatch)?;
        if number % 2 == 0 {
            // Cut off already is as good.
            let _ = stream.write_all(b"{");
        }
        held.push(stream);
    }
    wait::pause(Duration::from_millis(300))?;
    let delay = answered(&tidewatch)?;
    let mut cut = 0;
    for stream in &mut held {
        stream.set_read_timeout(Some(
            CUT_OFF_WITHIN.saturating_sub(begun.elapsed()).max(Duration::from_millis(1)),
        ))?;
        cut += usize::from(is_cut_off(stream));
    }
    ensure!(
        cut == SLOW,
        "{} of {SLOW} slow clients still hold the socket after {CUT_OFF_WITHIN:?}",
        SLOW - cut
    );
    Ok(outcome(
        delay,
        format!("{SLOW} slow clients, all cut off within {:.1} s", begun.elapsed().as_secs_f64()),
    ))
}

/// Recordings last: they must not use up the places of commands.
pub(crate) fn recordings(room: &Room) -> Result<Outcome> {
    let tidewatch = Tidewatch::start(room, Launch::default())?;
    let mut held = Vec::new();
    let mut refused = 0;
    for _ in 0..32 {
        let mut stream = connect(&tidewatch)?;
        stream.write_all(b"{\"ask\":\"record\"}\n")?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut first = [0; 16];
        let length = stream.read(&mut first)?;
        refused += usize::from(first[..length].starts_with(b"{\"Err\""));
        held.push(stream);
    }
    let delay = answered(&tidewatch)?;
    ensure!(refused == 28, "{refused} of 32 recordings were refused, not all beyond four");
    Ok(outcome(delay, format!("{} recordings, {refused} told that it is full", 32 - refused)))
}

/// The directory opened by mistake does not open the socket; the socket opened as well lets others only look.
pub(crate) fn other_user(room: &Room) -> Result<Outcome> {
    host::require("setpriv", "util-linux")?;
    let tidewatch = Tidewatch::start(room, Launch::default())?;
    let socket = tidewatch.data().join("control.sock");
    for dir in [room.path("."), tidewatch.data().to_owned()] {
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755))?;
    }
    let bin = room.path("tidewatch");
    fs::copy(room.bin(), &bin)?;
    let asked = |words: &[&str]| -> Result<host::Output> {
        let as_nobody =
            ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"].map(str::to_owned);
        let launch = Launch { under: as_nobody.to_vec(), config: None };
        host::run(&mut command(&launch, &bin, words, tidewatch.data()), Duration::from_secs(20))
    };
    let closed = asked(&["status"])?;
    ensure!(
        closed.text().contains("only root may ask"),
        "the directory alone lets others ask: {}",
        closed.text()
    );
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666))?;
    let looked = asked(&["status"])?;
    ensure!(
        matches!(looked.status.code(), Some(0 | 1)),
        "with the socket open others may look: {}",
        looked.text()
    );
    let changed = asked(&["approve", "--running"])?;
    ensure!(changed.text().contains("only root may change"), "another user approved: {}", changed.text());
    answered(&tidewatch).map(|delay| outcome(delay, "another user may look at most".to_owned()))
}

fn connect(tidewatch: &Tidewatch) -> Result<UnixStream> {
    UnixStream::connect(tidewatch.data().join("control.sock")).context("cannot connect")
}

/// How long a command takes now, in seconds.
fn answered(tidewatch: &Tidewatch) -> Result<f64> {
    let begun = Instant::now();
    let status = tidewatch.status()?;
    ensure!(status["node"].is_string(), "no status: {status}");
    let took = begun.elapsed();
    ensure!(took <= ANSWERED_WITHIN, "`status` took {:.1} s", took.as_secs_f64());
    Ok(took.as_secs_f64())
}

/// Whether the other side ended it, with or without a reason.
fn is_cut_off(stream: &mut UnixStream) -> bool {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => true,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

fn outcome(delay: f64, note: String) -> Outcome {
    Outcome { delays: vec![delay], note }
}
