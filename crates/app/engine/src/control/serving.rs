//! Reading a request and sending its answer, each with a deadline for the whole of it.
//!
//! A client is served by a thread of its own and can stall only itself. Not here: the answers (`live/answer.rs`).

use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, Sender, after, bounded};
use deadline::pulse::{Pulse, Pulses};
use rustix::net::sockopt::{Timeout, set_socket_timeout, socket_peercred};
use store::recording::RecordingWriter;

use super::places::{Doing, PLACES_MAX, Place, Places, RECORDINGS_MAX};
use super::{ANSWER_PIECE_BYTES, Answer, Asked, REQUEST_BYTES_MAX, Recording, Reply, Request};

/// How often the thread that takes clients in beats.
const BEAT_EVERY: Duration = Duration::from_secs(1);
const SILENT_MAX: Duration = Duration::from_secs(5);
/// How long a client may take to send its request, a byte or all of it.
const SEND_MAX: Duration = Duration::from_secs(3);
/// How long a client may take to read its answer, in all.
const TAKE_MAX: Duration = Duration::from_secs(10);
/// How long the engine may take: to begin with a request, and to answer it.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// Longest wait for somebody who is turned away to take the reason.
const REFUSAL_MAX: Duration = Duration::from_millis(50);
/// Longest request that many clients may send at the same time, in bytes; longer ones come one after another.
const SHORT_BYTES_MAX: u64 = 64 << 10;

/// Held by the one client that sends a long request: the memory of all clients together is bounded so.
static LONG: Mutex<()> = Mutex::new(());

/// Serves every client of a listener from a thread, which never ends.
pub(super) fn spawn(
    listener: UnixListener,
    clients: (Arc<Places>, Sender<Asked>),
    pulses: &Pulses,
) -> io::Result<()> {
    // Wakes the thread to beat while nobody connects.
    set_socket_timeout(&listener, Timeout::Recv, Some(BEAT_EVERY))?;
    let serve = move |pulse: &Pulse| serve(&listener, &clients.0, &clients.1, pulse);
    pulses.spawn("control", SILENT_MAX, serve).map(drop).inspect_err(|error| {
        pulses.not_started("control", SILENT_MAX, error);
    })
}

fn serve(listener: &UnixListener, places: &Arc<Places>, to_engine: &Sender<Asked>, pulse: &Pulse) {
    loop {
        pulse.beat();
        match listener.accept() {
            Ok((stream, _)) => admit(stream, places, to_engine),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => {
                // Out of file descriptors, most likely: trying again at once would only burn a core.
                let _later = after(Duration::from_millis(100)).recv();
            }
        }
    }
}

fn admit(stream: UnixStream, places: &Arc<Places>, to_engine: &Sender<Asked>) {
    let uid = socket_peercred(&stream).map_or(u32::MAX, |peer| peer.uid.as_raw());
    match places.admit(&stream, uid, Instant::now()) {
        Some(place) => {
            if let Err(error) = start(stream, uid, place, to_engine.clone()) {
                tracing::warn!(%error, "no thread for a control client");
                places.refuse();
            }
        }
        None => turn_away(&stream),
    }
}

fn start(stream: UnixStream, uid: u32, place: Place, to_engine: Sender<Asked>) -> io::Result<()> {
    let serve = move || {
        if let Err(error) = serve_one(&stream, uid, place, &to_engine) {
            tracing::debug!(%error, "a control client went away");
        }
    };
    std::thread::Builder::new().name("control client".to_owned()).spawn(serve).map(drop)
}

fn turn_away(stream: &UnixStream) {
    let reply: Reply =
        Err(format!("the control socket is full: {PLACES_MAX} clients are being served; try again"));
    // It has gone, or reads nothing: then it does not learn why.
    let _told = send_reply(stream, &reply, REFUSAL_MAX);
}

fn serve_one(stream: &UnixStream, uid: u32, mut place: Place, to_engine: &Sender<Asked>) -> io::Result<()> {
    let request = match read_request(stream) {
        Ok(line) => {
            serde_json::from_slice(&line).map_err(|error| format!("the request is not understood: {error}"))
        }
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {
            Err(format!("the request took longer than {} s", SEND_MAX.as_secs()))
        }
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => Err(error.to_string()),
        Err(error) => return Err(error),
    };
    place.now(Doing::Waiting);
    let answer =
        request.and_then(|request| admitted(request, uid, &mut place)).and_then(|it| put(it, to_engine));
    match answer {
        Ok(Answer::Recording(recording)) => send_recording(stream, &recording),
        answer => {
            place.now(Doing::Taking);
            send_reply(stream, &answer, TAKE_MAX)
        }
    }
}

/// One line, up to the longest that is taken.
fn read_request(stream: &UnixStream) -> io::Result<Vec<u8>> {
    let mut timed = BufReader::new(Timed::until(stream, SEND_MAX));
    let mut line = Vec::new();
    timed.by_ref().take(SHORT_BYTES_MAX).read_until(b'\n', &mut line)?;
    if line.len() as u64 == SHORT_BYTES_MAX && line.last() != Some(&b'\n') {
        let busy =
            || io::Error::new(io::ErrorKind::ResourceBusy, "another long request is being read; try again");
        let _alone = LONG.try_lock().map_err(|_| busy())?;
        timed.take(REQUEST_BYTES_MAX - SHORT_BYTES_MAX).read_until(b'\n', &mut line)?;
    }
    Ok(line)
}

/// Whether a user may ask for that, and whether there is a place for it.
fn admitted(request: Request, uid: u32, place: &mut Place) -> Result<Request, String> {
    let own = rustix::process::geteuid().as_raw();
    if uid != 0 && uid != own && !only_looks(&request) {
        return Err("only root may change anything or record".to_owned());
    }
    if matches!(request, Request::Record) && !place.record() {
        return Err(format!("full: {RECORDINGS_MAX} recordings are in progress; end one of them first"));
    }
    Ok(request)
}

fn only_looks(request: &Request) -> bool {
    use Request::{Graph, Inventory, Status, SuggestPolicy};
    matches!(request, Status | Graph | Inventory | SuggestPolicy { .. })
}

fn put(request: Request, to_engine: &Sender<Asked>) -> Reply {
    let (reply, answer) = bounded(1);
    let busy = || "Tidewatch is too busy to answer".to_owned();
    to_engine.send_timeout(Asked { request, reply }, PATIENCE).map_err(|_| busy())?;
    answer.recv_timeout(PATIENCE).map_err(|_| busy())?
}

fn send_reply(stream: &UnixStream, reply: &Reply, limit: Duration) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(ANSWER_PIECE_BYTES, Timed::until(stream, limit));
    serde_json::to_writer(&mut out, reply)?;
    out.write_all(b"\n")?;
    out.flush()
}

fn send_recording(stream: &UnixStream, recording: &Recording) -> io::Result<()> {
    stream.set_write_timeout(Some(TAKE_MAX))?;
    let other = |error: store::error::StoreError| io::Error::other(error.to_string());
    let out = BufWriter::new(stream);
    let mut writer = RecordingWriter::with_checkpoint(
        out,
        Path::new("recording"),
        &recording.node,
        recording.checkpoint_version,
        &recording.checkpoint,
    )
    .map_err(other)?;
    loop {
        match recording.events.recv_timeout(Duration::from_millis(100)) {
            Ok(event) => writer.write(&event).map_err(other)?,
            // Nothing waits: hand on what is buffered, which also tells whether the client is still there.
            Err(RecvTimeoutError::Timeout) => writer.flush().map_err(other)?,
            // The client was too slow and lost its place: the cut tells it so.
            Err(RecvTimeoutError::Disconnected) => return writer.flush().map_err(other),
        }
    }
}

/// A stream that is read and written until a moment, however many calls that takes.
struct Timed<'a> {
    stream: &'a UnixStream,
    until: Instant,
}

impl<'a> Timed<'a> {
    fn until(stream: &'a UnixStream, limit: Duration) -> Self {
        Self { stream, until: Instant::now() + limit }
    }

    /// The time left; none is an error, as a timeout of zero would mean none at all.
    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
    }
}

/// The kernel calls a timeout of a socket *would block*.
fn timed_out(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock { io::ErrorKind::TimedOut.into() } else { error }
}

impl Read for Timed<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(bytes).map_err(timed_out)
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(bytes).map_err(timed_out)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
