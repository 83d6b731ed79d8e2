//! A Docker engine of a hundred lines: what it lists, tells and withholds is the test's choice.
//!
//! Not here: anything an engine does to containers.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;

use serde_json::{Value, json};

/// A full container id made of one letter.
pub(crate) fn id(letter: char) -> String {
    letter.to_string().repeat(64)
}

/// The engine; dropping it stops it.
pub(crate) struct FakeEngine {
    socket: PathBuf,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    containers: BTreeMap<String, Value>,
    /// Answers to other questions, by path: status and body.
    answers: BTreeMap<String, (&'static str, Value)>,
    asked: BTreeSet<String>,
    answered: BTreeMap<String, usize>,
    /// Paths that get no answer.
    held: BTreeSet<String>,
    /// Paths that get nonsense.
    garbled: BTreeSet<String>,
    subscribers: Vec<UnixStream>,
    stopped: bool,
}

impl FakeEngine {
    /// Listens, with these containers (letter and status).
    pub(crate) fn start(socket: &Path, containers: &[(char, &str)]) -> Self {
        let listener = UnixListener::bind(socket).unwrap();
        let shared = Arc::new(Shared::default());
        shared.state.lock().unwrap().containers = containers.iter().map(container).collect();
        let accepting = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared)
        });
        Self { socket: socket.to_owned(), shared, accepting: Some(accepting) }
    }

    /// Adds or replaces a container, without an event.
    pub(crate) fn put(&self, letter: char, status: &str) {
        self.state().containers.extend([container(&(letter, status))]);
    }

    /// Adds or replaces a container of an image (its digest made of one letter) and with labels, without an event.
    pub(crate) fn put_labelled(&self, letter: char, image: char, labels: &Value) {
        let (id, mut inspected) = container(&(letter, "running"));
        inspected["Image"] = json!(format!("sha256:{}", self::id(image)));
        inspected["Config"]["Labels"] = labels.clone();
        self.state().containers.insert(id, inspected);
    }

    /// Answers questions of a path in this way from now on.
    pub(crate) fn answer(&self, path: &str, status: &'static str, body: Value) {
        self.state().answers.insert(path.to_owned(), (status, body));
    }

    /// Removes a container, without an event.
    pub(crate) fn remove(&self, letter: char) {
        self.state().containers.remove(&id(letter));
    }

    /// Sends an event to all subscribers, once there is one.
    pub(crate) fn event(&self, action: &str, letter: char) {
        self.send(&json!({"Type": "container", "Action": action, "Actor": {"ID": id(letter)}}).to_string());
    }

    /// Sends a line to all subscribers, once there is one.
    pub(crate) fn send(&self, line: &str) {
        let mut state = self.wait(|state| !state.subscribers.is_empty());
        // Those that have gone are not told.
        let chunk = format!("{:x}\r\n{line}\n\r\n", line.len() + 1);
        state.subscribers.retain_mut(|subscriber| subscriber.write_all(chunk.as_bytes()).is_ok());
    }

    /// Leaves requests of a path unanswered until [`Self::release`].
    pub(crate) fn hold(&self, path: &str) {
        self.state().held.insert(path.to_owned());
    }

    /// Answers what was held.
    pub(crate) fn release(&self) {
        self.state().held.clear();
        self.shared.changed.notify_all();
    }

    /// Answers requests of a path with nonsense, or properly again.
    pub(crate) fn garble(&self, path: &str, on: bool) {
        let garbled = &mut self.state().garbled;
        let _ = if on { garbled.insert(path.to_owned()) } else { garbled.remove(path) };
    }

    /// How often a path was asked for and answered.
    pub(crate) fn answered(&self, path: &str) -> usize {
        self.state().answered.get(path).copied().unwrap_or(0)
    }

    /// Waits until a path was asked for and answered so often.
    pub(crate) fn wait_answered(&self, path: &str, times: usize) {
        drop(self.wait(|state| state.answered.get(path).is_some_and(|&answered| answered >= times)));
    }

    /// Waits until a path was asked for, answered or not.
    pub(crate) fn wait_asked(&self, path: &str) {
        drop(self.wait(|state| state.asked.contains(path)));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap()
    }

    fn wait(&self, until: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        self.shared.changed.wait_while(self.state(), |state| !until(state)).unwrap()
    }
}

impl Drop for FakeEngine {
    fn drop(&mut self) {
        let mut state = self.state();
        state.stopped = true;
        state.held.clear();
        for subscriber in state.subscribers.drain(..) {
            // The other end may have gone first.
            drop(subscriber.shutdown(Shutdown::Both));
        }
        drop(state);
        self.shared.changed.notify_all();
        // One connection more, so that accepting ends.
        drop(UnixStream::connect(&self.socket));
        self.accepting.take().unwrap().join().unwrap();
        std::fs::remove_file(&self.socket).unwrap();
    }
}

fn container(&(letter, status): &(char, &str)) -> (String, Value) {
    let pid = if status == "running" { 4000 } else { 0 };
    let inspected = json!({
        "Id": id(letter), "Name": format!("/{letter}"), "Image": "sha256:00", "Path": "sleep", "Args": ["9"],
        "State": {"Status": status, "Pid": pid}, "Config": {"Image": "busybox", "Labels": null}
    });
    (id(letter), inspected)
}

fn accept(listener: &UnixListener, shared: &Arc<Shared>) {
    for connection in listener.incoming() {
        let connection = connection.unwrap();
        if shared.state.lock().unwrap().stopped {
            return;
        }
        let shared = Arc::clone(shared);
        std::thread::spawn(move || answer(connection, &shared));
    }
}

fn answer(mut connection: UnixStream, shared: &Shared) {
    let Some(path) = requested(&connection) else { return };
    let mut state = shared.state.lock().unwrap();
    state.asked.insert(path.clone());
    shared.changed.notify_all();
    let mut state = shared.changed.wait_while(state, |state| state.held.contains(&path)).unwrap();
    if path == "/events" {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
        connection.write_all(head.as_bytes()).unwrap();
        state.subscribers.push(connection);
    } else {
        let (status, body) = state.body(&path);
        let head =
            format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        // Who waited too long for the answer is no longer there to read it.
        drop(connection.write_all(format!("{head}{body}").as_bytes()));
        *state.answered.entry(path).or_default() += 1;
    }
    drop(state);
    shared.changed.notify_all();
}

/// The path asked for, without query and version; `None` when nobody asks.
fn requested(connection: &UnixStream) -> Option<String> {
    let mut lines = BufReader::new(connection).lines().map_while(Result::ok);
    let line = lines.next()?;
    // To the end of the head.
    lines.find(String::is_empty)?;
    let path = line.split_whitespace().nth(1)?.split('?').next()?;
    let unversioned = path.strip_prefix("/v1.").and_then(|rest| rest.find('/').map(|slash| &rest[slash..]));
    Some(unversioned.unwrap_or(path).to_owned())
}

impl State {
    fn body(&self, path: &str) -> (&'static str, String) {
        if self.garbled.contains(path) {
            return ("200 OK", "{\"Id\": [\u{1b}".to_owned());
        }
        if let Some((status, body)) = self.answers.get(path) {
            return (status, body.to_string());
        }
        let inspected = path.strip_prefix("/containers/").and_then(|rest| rest.strip_suffix("/json"));
        match (path, inspected) {
            ("/version", _) => ("200 OK", json!({"Version": "20.10.24", "ApiVersion": "1.41"}).to_string()),
            ("/_ping", _) => ("200 OK", "OK".to_owned()),
            ("/containers/json", _) => ("200 OK", self.list().to_string()),
            (_, Some(id)) if self.containers.contains_key(id) => ("200 OK", self.containers[id].to_string()),
            _ => ("404 Not Found", json!({"message": "no such container"}).to_string()),
        }
    }

    fn list(&self) -> Value {
        let lines = self.containers.iter();
        lines.map(|(id, inspected)| json!({"Id": id, "State": inspected["State"]["Status"]})).collect()
    }
}
