//! One engine that was found: where it is, who serves it, and how it is in each of its views.
//!
//! Not here: finding it (`registry.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Instant;

use hostfs::daemons::{Daemon, is_alive};
use hostfs::root::HostRoot;
use model::authority::Authority;
use model::ids::ProcessKey;
use model::untrusted::Untrusted;
use model::view::{EngineSeen, EngineState, View};

use crate::engines::followers::Follower;
use crate::engines::names::is_standard;

/// Shims remembered of one engine: any of them shows that it is not gone.
const SHIMS_MAX: usize = 1024;

/// Why nothing is known of an engine while its follower waits to be started anew.
const FOLLOWER_DIED: &str = "internal error: the thread that follows it has ended";

/// An engine, by the socket that serves it.
#[derive(Debug)]
pub(crate) struct Engine {
    /// Its socket by the host's path, links followed.
    pub(crate) place: PathBuf,
    /// Where we reach that socket.
    pub(crate) reach: PathBuf,
    /// Its view, without a namespace.
    pub(crate) view: View,
    /// Who serves it.
    pub(crate) daemon: Option<Daemon>,
    /// Whether its daemon was found to listen at a socket of the host.
    pub(crate) listens: bool,
    /// The socket's file whose listener was looked at last.
    pub(crate) looked_at: Option<(u64, u64)>,
    /// How it is, by view: containerd has a second one, of the kubelet.
    pub(crate) states: BTreeMap<View, (EngineState, Untrusted)>,
    /// Who follows it.
    pub(crate) followers: Vec<Follower>,
    /// When it was found.
    pub(crate) found: Instant,
    /// Since when neither a daemon, nor a socket, nor a shim of it was seen.
    pub(crate) missing: Option<Instant>,
    shims: BTreeSet<ProcessKey>,
}

impl Engine {
    pub(crate) fn new(place: PathBuf, reach: PathBuf, view: View) -> Self {
        Self {
            place,
            reach,
            view,
            daemon: None,
            listens: true,
            looked_at: None,
            states: BTreeMap::new(),
            followers: Vec::new(),
            found: Instant::now(),
            missing: None,
            shims: BTreeSet::new(),
        }
    }

    pub(crate) fn add_shim(&mut self, shim: ProcessKey) {
        if self.shims.len() < SHIMS_MAX {
            self.shims.insert(shim);
        }
    }

    /// Whether its daemon runs.
    pub(crate) fn has_daemon(&self, root: &HostRoot) -> bool {
        self.daemon.as_ref().is_some_and(|daemon| is_alive(root, daemon.process))
    }

    /// Whether a shim of it runs; forgets those that do not.
    pub(crate) fn has_shim(&mut self, root: &HostRoot) -> bool {
        while let Some(&shim) = self.shims.first() {
            if is_alive(root, shim) {
                return true;
            }
            self.shims.remove(&shim);
        }
        false
    }

    /// Starts those who follow it anew that have died. What one of them said last is no longer known to be so.
    pub(crate) fn restart_followers(&mut self, now: Instant) {
        for follower in &mut self.followers {
            if follower.restart_if_dead(now) {
                let of_it = self.states.iter_mut().filter(|(view, _)| view.engine == follower.kind);
                of_it.for_each(|(_, state)| *state = (EngineState::Silent, FOLLOWER_DIED.into()));
            }
        }
    }

    /// Which containers it can have made.
    pub(crate) fn authority(&self) -> Authority {
        let Some(daemon) = &self.daemon else { return Authority::Unknown };
        match self.listens {
            true => daemon.authority(),
            false => Authority::Refused { why: "it listens at no socket of the host".into() },
        }
    }

    /// What is told of one of its views.
    pub(crate) fn seen(&self, view: &View, part_of: Option<View>) -> EngineSeen {
        let (state, reason) = self.states.get(view).cloned().unwrap_or((EngineState::Silent, "".into()));
        let daemon = self.daemon.as_ref();
        // Whoever serves the kubelet from containerd is containerd.
        let part_of = part_of.or_else(|| (*view != self.view).then(|| self.view.clone()));
        EngineSeen {
            view: view.clone(),
            state,
            reason,
            process: daemon.map(|daemon| daemon.process),
            program: daemon.map(|daemon| daemon.program.clone()).unwrap_or_default(),
            cgroup: daemon.map(|daemon| daemon.cgroup.clone()).unwrap_or_default(),
            is_standard: view.is_default() || is_standard(view.engine, &self.place),
            part_of,
            authority: self.authority(),
            executable: daemon.and_then(|daemon| daemon.executable.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use deadline::pulse::Pulses;
    use deadline::restarted::PAUSE_MIN;
    use model::view::EngineKind;

    use super::*;
    use crate::engines::followers::tests::dies_at_first;

    #[test]
    fn an_engine_whose_follower_died_is_silent_until_the_next_one_answers_for_it() {
        let pulses = Pulses::default();
        let view = View::new(EngineKind::Containerd, "/run/c.sock");
        let mut engine = Engine::new("/run/c.sock".into(), "/run/c.sock".into(), view.clone());
        let answers = (EngineState::Answers, Untrusted::default());
        engine.states.insert(view.clone(), answers.clone());
        engine.followers.push(dies_at_first(&pulses, &Arc::default()));
        while !pulses.vitals().iter().any(|vital| vital.life.is_death()) {
            std::thread::yield_now();
        }
        let now = Instant::now();
        engine.restart_followers(now);
        assert_eq!(engine.states[&view].0, EngineState::Silent);
        engine.restart_followers(now + PAUSE_MIN);
        engine.states.insert(view.clone(), answers.clone());
        engine.restart_followers(now + PAUSE_MIN + Duration::from_secs(1));
        assert_eq!(engine.states[&view], answers);
    }
}
