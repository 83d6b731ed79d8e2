//! Asks who serves a store's interface what its files do not tell: once for each container, on a thread that waits for
//! the answers, so that whoever withholds them holds up nobody.
//!
//! Not here: the question (`containers`), and which containers there are, which files and kernel tell.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::{Duration, Instant};

use containers::podman::{Declared, PodmanError, declared};
use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};
use hostfs::root::HostRoot;
use hostfs::service_socket::ServiceSocket;
use model::untrusted::Untrusted;

use crate::podman::PodmanServer;

/// Questions in one go.
const QUESTIONS_MAX: usize = 64;
/// Longest wait for an answer; Podman takes some milliseconds.
const ANSWER: Duration = Duration::from_secs(2);
/// Before the next go when nobody answered; doubles up to the longest.
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Podman may learn of a container only after its files do, and of what `podman build` works in it never does.
const REFUSALS_MAX: u32 = 3;
/// Of all labels of one store, which any user can fill.
const LABEL_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Answers of one go; it is over when its other end is gone.
type Answers = Receiver<(Untrusted, Result<Declared, PodmanError>)>;

/// What was asked and answered about the containers of one store.
#[derive(Debug)]
pub(crate) struct Asking {
    answered: BTreeMap<Untrusted, Declared>,
    label_bytes: usize,
    /// How often, and when it was last.
    refused: BTreeMap<Untrusted, (u32, Instant)>,
    answers: Option<Answers>,
    /// Those of the last go that nobody has answered or taken away.
    asked: BTreeSet<Untrusted>,
    /// Who got no answer in the last go: the next one begins behind it.
    silent_at: Option<Untrusted>,
    pause: Duration,
    not_before: Option<Instant>,
}

impl Asking {
    pub(crate) fn new() -> Self {
        Self {
            answered: BTreeMap::new(),
            label_bytes: 0,
            refused: BTreeMap::new(),
            answers: None,
            asked: BTreeSet::new(),
            silent_at: None,
            pause: PAUSE_MIN,
            not_before: None,
        }
    }

    /// What was answered about a container.
    pub(crate) fn answer(&self, id: &Untrusted) -> Option<&Declared> {
        self.answered.get(id)
    }

    /// A container is gone.
    pub(crate) fn forget(&mut self, id: &Untrusted) {
        self.asked.remove(id);
        self.refused.remove(id);
        let answered = self.answered.remove(id);
        self.label_bytes -= answered.map_or(0, |declared| declared.label_bytes());
    }

    /// Another process serves the interface: it may answer what the one before did not.
    pub(crate) fn begin_anew(&mut self) {
        self.refused.clear();
        self.pause = PAUSE_MIN;
        self.not_before = None;
    }

    /// Takes in what was answered since the look before, and asks about whom nothing is known. Never waits.
    pub(crate) fn look<'a>(
        &mut self,
        root: &HostRoot,
        servers: &[PodmanServer],
        ids: impl Iterator<Item = &'a Untrusted>,
    ) {
        self.take_in();
        let is_waiting = self.answers.is_some() || self.not_before.is_some_and(|at| Instant::now() < at);
        if servers.is_empty() || is_waiting {
            return;
        }
        let ids = self.unknown(ids);
        if ids.is_empty() {
            return;
        }
        let socket = |server: &PodmanServer| ServiceSocket::of(root, server.process, server.uid);
        match servers.iter().rev().find_map(socket) {
            Some(socket) => self.ask(socket, ids),
            // It has only started, or it listens at no socket of the host.
            None => self.wait(),
        }
    }

    /// Those to be asked about in the next go.
    fn unknown<'a>(&self, ids: impl Iterator<Item = &'a Untrusted>) -> Vec<Untrusted> {
        let is_due = |id: &&Untrusted| match self.refused.get(id) {
            Some((times, at)) => *times < REFUSALS_MAX && at.elapsed() >= PAUSE_MIN * 2_u32.pow(*times),
            None => !self.answered.contains_key(*id),
        };
        let mut ids: Vec<&Untrusted> = ids.filter(is_due).collect();
        ids.sort_unstable();
        let done = ids.partition_point(|id| Some(*id) <= self.silent_at.as_ref());
        ids.rotate_left(done);
        ids.into_iter().take(QUESTIONS_MAX).cloned().collect()
    }

    fn ask(&mut self, socket: ServiceSocket, ids: Vec<Untrusted>) {
        let (sender, answers) = bounded(QUESTIONS_MAX);
        self.asked = ids.iter().cloned().collect();
        let asker = std::thread::Builder::new().name("podman-asks".into());
        match asker.spawn(move || ask_each(&socket, ids, &sender)) {
            Ok(_) => self.answers = Some(answers),
            Err(_) => self.wait(),
        }
    }

    fn take_in(&mut self) {
        let Some(answers) = self.answers.take() else { return };
        loop {
            match answers.try_recv() {
                Ok((id, answer)) => self.take(id, answer),
                Err(TryRecvError::Empty) => break self.answers = Some(answers),
                Err(TryRecvError::Disconnected) => break,
            }
        }
    }

    fn take(&mut self, id: Untrusted, answer: Result<Declared, PodmanError>) {
        // It may be gone by now.
        if !self.asked.remove(&id) {
            return;
        }
        match answer {
            Ok(declared) => {
                self.refused.remove(&id);
                self.pause = PAUSE_MIN;
                let has_room = self.label_bytes + declared.label_bytes() <= LABEL_BYTES_MAX;
                let declared = if has_room { declared } else { declared.without_other_labels() };
                self.label_bytes += declared.label_bytes();
                self.answered.insert(id, declared);
            }
            Err(PodmanError::Refused(_)) => {
                let times = self.refused.get(&id).map_or(0, |(times, _)| *times);
                self.refused.insert(id, (times + 1, Instant::now()));
            }
            Err(PodmanError::Silent(_)) => {
                self.silent_at = Some(id);
                self.wait();
            }
        }
    }

    fn wait(&mut self) {
        self.not_before = Some(Instant::now() + self.pause);
        self.pause = (self.pause * 2).min(PAUSE_MAX);
    }
}

/// Asks until somebody does not answer, or nobody wants to know any more.
fn ask_each(
    socket: &ServiceSocket,
    ids: Vec<Untrusted>,
    answers: &Sender<(Untrusted, Result<Declared, PodmanError>)>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    for id in ids {
        let answer = match (&runtime, socket.path()) {
            (Ok(runtime), Some(path)) => runtime.block_on(declared(&path, &id, ANSWER)),
            (Ok(_), None) => Err(PodmanError::Silent(io::ErrorKind::NotConnected.into())),
            (Err(error), _) => Err(PodmanError::Silent(error.kind().into())),
        };
        let is_silent = matches!(answer, Err(PodmanError::Silent(_)));
        if answers.send((id, answer)).is_err() || is_silent {
            return;
        }
    }
}
