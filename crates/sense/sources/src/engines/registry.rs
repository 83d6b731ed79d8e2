//! All engines that were found: each is followed once, told of when it changes, and given up when nothing of it is left.
//!
//! Not here: the thread (`engines.rs`), what a socket's name tells (`names.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use deadline::pulse::Watched;
use hostfs::daemons::{Daemon, DaemonFinder, DaemonKind, Found, is_alive, sockets_of};
use hostfs::podman::{StoreRoots, store_of_user};
use hostfs::root::HostRoot;
use hostfs::unix_sockets::{UnixListener, followed, listener_of};
use model::authority::Authority;
use model::coverage::Source;
use model::event::{Body, Event};
use model::ids::ProcessKey;
use model::untrusted::Untrusted;
use model::view::{EngineKind, EngineSeen, EngineState, View};

use crate::engines::Settings;
use crate::engines::engine::Engine;
use crate::engines::followers;
use crate::engines::health::Reports;
use crate::engines::names::{STANDARD, kind_by_daemon, kind_by_name, serving, told_docker_socket};
use crate::engines::relay::Relay;
use crate::outlet::Outlet;
use crate::podman::{PodmanNote, PodmanServer};

/// Most engines followed.
const ENGINES_MAX: usize = 32;
/// Most engines counted that found no room.
const LEFT_OUT_MAX: usize = 1024;
/// How long a daemon may take before it listens; then it is told of as one that listens at no such socket.
const STARTING_MAX: Duration = Duration::from_secs(5);
/// How long nothing of an engine must be left before it is gone: daemons are restarted.
const GONE_AFTER: Duration = Duration::from_secs(3);
/// The same for one that may have made any container of the host: while it is restarted they run on.
const HOSTS_GONE_AFTER: Duration = Duration::from_secs(60);
/// How long a first answer is awaited before its lack is a matter of the source's health.
const AWAITED: Duration = Duration::from_secs(3);
/// How long the followers may take to end, all together.
const STOP_MAX: Duration = Duration::from_millis(500);
/// Docker keeps what is of its own containerd below it.
const DOCKER_OWN: &str = "/run/docker";

/// What was found and told so far.
#[derive(Debug)]
pub(crate) struct Registry {
    root: HostRoot,
    finder: DaemonFinder,
    settings: Settings,
    relay: Relay,
    /// By place.
    engines: BTreeMap<PathBuf, Engine>,
    /// Daemons that do not listen yet, and since when.
    starting: Vec<(Daemon, Instant)>,
    /// Shims that were found, until the next look.
    shims: Vec<(ProcessKey, PathBuf)>,
    /// Sockets of the host that somebody listens at, by number, and the places they lead to.
    listening: BTreeMap<u64, PathBuf>,
    /// Of those that are named like engines', the ones whose holders were looked for.
    searched: BTreeSet<u64>,
    notes: Vec<PodmanNote>,
    told: BTreeMap<View, EngineSeen>,
    reports: Reports,
    ended: Vec<Watched>,
    /// Places of engines that found no room.
    left_out: BTreeSet<PathBuf>,
}

impl Registry {
    pub(crate) fn new(root: &HostRoot, finder: DaemonFinder, settings: Settings, outlet: &Outlet) -> Self {
        Self {
            root: root.clone(),
            finder,
            settings,
            relay: Relay::new(outlet),
            engines: BTreeMap::new(),
            starting: Vec::new(),
            shims: Vec::new(),
            listening: BTreeMap::new(),
            searched: BTreeSet::new(),
            notes: Vec::new(),
            told: BTreeMap::new(),
            reports: Reports::default(),
            ended: Vec::new(),
            left_out: BTreeSet::new(),
        }
    }

    /// What followers say; each event is to be given to [`Self::take`].
    pub(crate) fn followed(&self) -> &Receiver<Event> {
        &self.relay.events
    }

    /// What was found out for those who follow Podman since this was asked last.
    pub(crate) fn podman_notes(&mut self) -> Vec<PodmanNote> {
        std::mem::take(&mut self.notes)
    }

    /// Whether a daemon is about to listen.
    pub(crate) fn is_one_starting(&self) -> bool {
        !self.starting.is_empty()
    }

    /// A program was executed that may tell of an engine.
    pub(crate) fn notice(&mut self, pid: u32) {
        if let Some(found) = self.finder.notice(pid) {
            self.found(found);
        }
    }

    /// Looks around for engines, and whether those that were found are still there.
    pub(crate) fn look(&mut self, outlet: &Outlet) {
        // A host whose processes cannot be listed now is looked at again in a moment; other sources say that it is so.
        let found = self.finder.look_around().unwrap_or_default();
        found.into_iter().for_each(|found| self.found(found));
        let listeners = self.finder.sockets_of_host().unwrap_or_default();
        self.listen(&listeners);
        self.ask_starting();
        for (process, socket) in std::mem::take(&mut self.shims) {
            self.take_shim(process, &socket);
        }
        self.look_for_standard();
        self.look_for_named(&listeners);
        self.check_servers();
        self.look_after(outlet);
        let now = Instant::now();
        self.engines.values_mut().for_each(|engine| engine.restart_followers(now));
        self.tell(outlet);
        self.relay.count_lost(outlet);
        self.ended.retain(|thread| !thread.has_ended());
    }

    /// What a follower says is passed on; how its engine is, is completed first.
    pub(crate) fn take(&mut self, event: Event, outlet: &Outlet) {
        let Some(seen) = self.relay.pass(event, outlet) else { return };
        let place = PathBuf::from(seen.view.place.raw());
        let Some(engine) = self.engines.get_mut(&place) else { return };
        // containerd need not serve the kubelet: that counts once it was seen to.
        if !engine.states.contains_key(&seen.view) && seen.state != EngineState::Answers {
            return;
        }
        // Whether it is gone is for us to say: a follower sees no more than its socket.
        let state = if seen.state == EngineState::Gone { EngineState::Silent } else { seen.state };
        engine.states.insert(seen.view, (state, seen.reason));
        self.tell(outlet);
    }

    /// Stops all who follow.
    pub(crate) fn stop(mut self) {
        for engine in std::mem::take(&mut self.engines).into_values() {
            self.ended.extend(engine.followers.into_iter().filter_map(followers::Follower::stop));
        }
        let deadline = Instant::now() + STOP_MAX;
        for thread in self.ended {
            // One that does not end in time is left.
            let _has_ended = thread.join_until(deadline);
        }
    }

    fn found(&mut self, found: Found) {
        match found {
            Found::Daemon(daemon) if daemon.kind == DaemonKind::Podman => self.note_server(&daemon),
            Found::Daemon(daemon) => self.starting.push((*daemon, Instant::now())),
            Found::Shim { process, socket } => self.shims.push((process, socket)),
            Found::Monitor { process, roots } => {
                let roots = self.as_host_sees(process.pid, roots);
                self.notes.push(PodmanNote { roots, server: None });
            }
        }
    }

    /// Where a path leads is looked at once for each socket.
    fn listen(&mut self, listeners: &[UnixListener]) {
        let mut before = std::mem::take(&mut self.listening);
        for listener in listeners {
            let place =
                before.remove(&listener.inode).unwrap_or_else(|| followed(&self.root, &listener.path));
            self.listening.insert(listener.inode, place);
        }
    }

    fn note_server(&mut self, daemon: &Daemon) {
        let Some(uid) = daemon.uid else { return };
        let Some(mut roots) = store_of_user(&self.root, uid) else { return };
        if let Some(told) = daemon.argument("root") {
            roots.graphroot = told;
        }
        if let Some(told) = daemon.argument("runroot") {
            roots.runroot = told;
        }
        let server = PodmanServer {
            process: daemon.process,
            uid,
            program: daemon.program.clone(),
            cgroup: daemon.cgroup.clone(),
        };
        self.notes.push(PodmanNote { roots, server: Some(server) });
    }

    fn take_shim(&mut self, process: ProcessKey, socket: &Path) {
        let place = followed(&self.root, socket);
        let reach = self.root.at(&place);
        if let Some(engine) = self.admit(EngineKind::Containerd, place, reach) {
            engine.add_shim(process);
        }
    }

    /// A store that lies in files which only its monitor sees is reached through that monitor's root.
    fn as_host_sees(&self, pid: u32, roots: StoreRoots) -> StoreRoots {
        let own = |path: &Path| own(pid, path);
        let is_there = |path: &Path| self.root.foreign().is_directory(&self.root.at(path));
        if is_there(&roots.graphroot) || !is_there(&own(&roots.graphroot)) {
            return roots;
        }
        StoreRoots { graphroot: own(&roots.graphroot), runroot: own(&roots.runroot) }
    }

    /// Daemons begin to listen some time after they began to run.
    fn ask_starting(&mut self) {
        for (daemon, since) in std::mem::take(&mut self.starting) {
            if !is_alive(&self.root, daemon.process) {
                continue;
            }
            let sockets = sockets_of(&self.root, daemon.process.pid).unwrap_or_default();
            let places: Vec<PathBuf> = sockets.iter().map(|it| self.place(&daemon, &it.path)).collect();
            let kind = kind_by_daemon(&daemon);
            let chosen = serving(&places, kind, |place| self.is_default(place)).map(Path::to_path_buf);
            match (chosen, kind) {
                (Some(place), Some(kind)) => self.serve(kind, place, daemon),
                (None, Some(kind)) if since.elapsed() >= STARTING_MAX => self.serve_nobody(kind, daemon),
                _ => self.starting.push((daemon, since)),
            }
        }
    }

    fn look_for_standard(&mut self) {
        let more =
            self.settings.0.sockets.iter().filter_map(|path| Some((path.clone(), kind_by_name(path)?)));
        let usual = STANDARD.iter().map(|(path, kind)| (PathBuf::from(path), *kind));
        let sought: Vec<(PathBuf, EngineKind)> = usual.chain(more).collect();
        for (path, kind) in sought {
            let place = followed(&self.root, &path);
            if kind != EngineKind::Podman && self.is_listening(&place) {
                let reach = self.root.at(&place);
                self.admit(kind, place, reach);
            }
        }
    }

    /// Whoever listens at a socket that is named like an engine's is looked for once.
    fn look_for_named(&mut self, listeners: &[UnixListener]) {
        let named: Vec<&UnixListener> =
            listeners.iter().filter(|it| kind_by_name(&it.path).is_some()).collect();
        self.searched.retain(|inode| named.iter().any(|it| it.inode == *inode));
        for listener in named {
            if !self.searched.insert(listener.inode) {
                continue;
            }
            let place = followed(&self.root, &listener.path);
            let is_known = self.engines.get(&place).is_some_and(|engine| engine.daemon.is_some());
            let Some(holder) = (!is_known).then(|| self.finder.holder(listener.inode)).flatten() else {
                continue;
            };
            let is_daemon = holder.kind != DaemonKind::Other || holder.process.pid == 1;
            let kind = kind_by_name(&listener.path).filter(|kind| *kind != EngineKind::Podman);
            if let (false, Some(kind)) = (is_daemon, kind) {
                let place = self.place(&holder, &listener.path);
                self.serve(kind, place, holder);
            }
        }
    }

    /// Asks the kernel who listens at each engine's socket, once for each file that is put there: another process than its
    /// daemon may have put its own in the daemon's place.
    fn check_servers(&mut self) {
        let foreign = self.root.foreign();
        for engine in self.engines.values_mut().filter(|engine| engine.listens) {
            let Some(known) = engine.daemon.as_ref().map(|daemon| daemon.process.pid) else { continue };
            let file = foreign.stat(&engine.reach).map(|it| (it.st_dev, it.st_ino));
            if file.is_none() || file == engine.looked_at {
                continue;
            }
            engine.looked_at = file;
            // The first process opens sockets for those that it starts later.
            let server = listener_of(&engine.reach).filter(|pid| *pid != known && *pid > 1);
            if let Some(server) = server.and_then(|pid| self.finder.process(pid)) {
                engine.daemon = Some(server);
            }
        }
    }

    /// The host's name of a path that a daemon tells: its own when it sees other files there than the host does.
    fn place(&self, daemon: &Daemon, path: &Path) -> PathBuf {
        let place = followed(&self.root, path);
        let own = own(daemon.process.pid, path);
        let file =
            |path: &Path| self.root.foreign().stat(&self.root.at(path)).map(|it| (it.st_dev, it.st_ino));
        if daemon.sees_host || file(&own).is_none() || file(&own) == file(&place) { place } else { own }
    }

    fn is_default(&self, place: &Path) -> bool {
        let told = &self.settings.1.docker.socket;
        let file = |path: &Path| self.root.foreign().stat(path).map(|it| (it.st_dev, it.st_ino));
        let one = file(told);
        followed(&self.root, told) == place || (one.is_some() && one == file(&self.root.at(place)))
    }

    fn is_listening(&self, place: &Path) -> bool {
        self.listening.values().any(|listening| listening == place)
    }

    /// An engine of which a daemon was found.
    fn serve(&mut self, kind: EngineKind, place: PathBuf, daemon: Daemon) {
        let reach = self.root.at(&place);
        if let Some(engine) = self.admit(kind, place, reach) {
            engine.daemon = Some(daemon);
        }
    }

    /// One that listens at no socket that could be asked.
    fn serve_nobody(&mut self, kind: EngineKind, daemon: Daemon) {
        let place = PathBuf::from(daemon.program.raw());
        let view = View::new(kind, daemon.program.raw());
        if self.engines.len() >= ENGINES_MAX || self.engines.contains_key(&place) {
            return;
        }
        let mut engine = Engine::new(place.clone(), PathBuf::new(), view.clone());
        engine.states.insert(view, (EngineState::Silent, "it listens at no socket of the host".into()));
        engine.daemon = Some(daemon);
        engine.listens = false;
        self.engines.insert(place, engine);
    }

    /// The engine at a place; one that was not known is followed from now on.
    fn admit(&mut self, kind: EngineKind, place: PathBuf, reach: PathBuf) -> Option<&mut Engine> {
        if self.engines.contains_key(&place) {
            return self.engines.get_mut(&place);
        }
        if self.engines.len() >= ENGINES_MAX {
            if self.left_out.len() < LEFT_OUT_MAX {
                self.left_out.insert(place);
            }
            return None;
        }
        let is_default = self.is_default(&place);
        if let Some(known) = self.engines.values().find(|it| is_default && it.view.is_default()) {
            // The same socket by another path.
            let place = known.place.clone();
            return self.engines.get_mut(&place);
        }
        let view = if is_default { View::default() } else { View::new(kind, &place.to_string_lossy()) };
        let kind = if is_default { EngineKind::Docker } else { kind };
        let mut engine = Engine::new(place.clone(), reach, view.clone());
        let state = match is_default {
            true => (EngineState::Answers, Untrusted::default()),
            false => (EngineState::Silent, "it has not answered yet".into()),
        };
        engine.states.insert(view.clone(), state);
        if !is_default {
            let reached = Untrusted::new(&engine.reach.to_string_lossy());
            self.relay.rename(reached, view.place.clone());
            let follow = (engine.reach.as_path(), &view);
            engine.followers = followers::start(kind, follow, &self.settings, &self.relay.inlet);
        }
        Some(self.engines.entry(place).or_insert(engine))
    }

    /// Gives up engines of which nothing is left.
    fn look_after(&mut self, outlet: &Outlet) {
        let places: Vec<PathBuf> = self.engines.keys().cloned().collect();
        for place in places {
            let is_listening = self.is_listening(&place);
            let Some(engine) = self.engines.get_mut(&place) else { continue };
            let is_there = is_listening || engine.has_daemon(&self.root) || engine.has_shim(&self.root);
            engine.missing = if is_there { None } else { engine.missing.or_else(|| Some(Instant::now())) };
            let patience = if engine.authority() == Authority::Host { HOSTS_GONE_AFTER } else { GONE_AFTER };
            if engine.missing.is_some_and(|since| since.elapsed() >= patience) {
                self.give_up(&place, outlet);
            }
        }
    }

    fn give_up(&mut self, place: &Path, outlet: &Outlet) {
        let Some(engine) = self.engines.remove(place) else { return };
        self.relay.forget(&Untrusted::new(&engine.reach.to_string_lossy()));
        self.ended.extend(engine.followers.into_iter().filter_map(followers::Follower::stop));
        for view in engine.states.into_keys() {
            if let Some(seen) = self.told.remove(&view) {
                let (state, reason) = (EngineState::Gone, Untrusted::default());
                tell(EngineSeen { state, reason, process: None, ..seen }, outlet);
            }
        }
    }

    /// Tells what has changed of each view of each engine, and how the sources are.
    fn tell(&mut self, outlet: &Outlet) {
        for engine in self.engines.values() {
            let part_of = self.part_of(engine);
            for view in engine.states.keys() {
                let seen = engine.seen(view, part_of.clone());
                if self.told.get(view) != Some(&seen) {
                    tell(seen.clone(), outlet);
                    self.told.insert(view.clone(), seen);
                }
            }
        }
        let is_awaited = |view: &View| {
            let engine = self.engines.get(Path::new(view.place.raw()));
            let silent = |engine: &&Engine| engine.seen(view, None).state == EngineState::Silent;
            engine.filter(silent).is_some_and(|engine| engine.found.elapsed() < AWAITED)
        };
        self.reports.tell(&self.told, is_awaited, self.left_out.len(), outlet);
    }

    /// The Docker that runs this containerd: its parent, or the one below whose directory its settings lie.
    fn part_of(&self, engine: &Engine) -> Option<View> {
        let daemon = engine.daemon.as_ref().filter(|daemon| daemon.kind == DaemonKind::Containerd)?;
        let is_parent =
            |other: &&Daemon| other.kind == DaemonKind::Docker && other.process.pid == daemon.parent_pid;
        let served = self.engines.values().filter_map(|other| Some((other.daemon.as_ref()?, &other.view)));
        let parent = served.clone().find(|(other, _)| is_parent(other)).map(|(_, view)| view.clone());
        let told = || {
            let docker = self.starting.iter().map(|(other, _)| other).find(is_parent)?;
            let place = self.place(docker, &told_docker_socket(docker));
            let other = || View::new(EngineKind::Docker, &place.to_string_lossy());
            Some(if self.is_default(&place) { View::default() } else { other() })
        };
        parent.or_else(told).or_else(|| {
            let settings = followed(&self.root, &daemon.argument("config")?);
            settings.starts_with(DOCKER_OWN).then(View::default)
        })
    }
}

fn tell(seen: EngineSeen, outlet: &Outlet) {
    let source = match seen.view.engine {
        EngineKind::Docker => Source::Docker,
        EngineKind::Containerd => Source::Containerd,
        EngineKind::Cri => Source::Cri,
        EngineKind::Podman => Source::Podman,
    };
    outlet.send_now(source, Body::Engine(Box::new(seen)));
}

/// A path as a process sees it.
fn own(pid: u32, path: &Path) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/root")).join(path.strip_prefix("/").unwrap_or(path))
}

#[cfg(test)]
mod tests;
