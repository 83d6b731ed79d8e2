//! What is done in containers and to them: programs that came to light in each, commands that are run from outside, who on
//! the host talks to engines.
//!
//! Not here: whether that is bad (`detect`).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use model::event::{Attach, Exec, FileOrigin};
use model::ids::{CgroupId, WorkloadKey};
use model::time::Time;
use model::untrusted::Untrusted;
use serde::{Deserialize, Serialize};

use crate::room::make_room;

/// Files remembered of one container, and containers that any are remembered of.
const FILES_MAX: usize = 32;
const CONTAINERS_MAX: usize = 4_096;
/// Commands run from outside that are remembered, the one last run longest ago makes room.
const COMMANDS_MAX: usize = 4_096;
/// Clients of engines remembered, and for how long.
const CLIENTS_MAX: usize = 64;
const CLIENTS_KEPT: Duration = Duration::from_secs(600);
/// Two runs of a command that are closer than this count as one.
const RUN_AGAIN: Duration = Duration::from_secs(2);

/// What is kept of one container while nobody has said whose it is, and of how many containers.
const EARLY_MAX: usize = 8;
const EARLY_CONTAINERS_MAX: usize = 256;

/// Programs that have an engine do something.
const CLIENTS: [&str; 9] =
    ["docker", "podman", "nerdctl", "ctr", "crictl", "runc", "crun", "kubectl", "nsenter"];

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Conduct {
    /// Files that are no image's and were run, by container.
    files: BTreeMap<CgroupId, BTreeSet<Untrusted>>,
    /// Scripts likewise, counted apart: whoever writes and runs many must not hide a program behind them.
    #[serde(default)]
    scripts: BTreeMap<CgroupId, BTreeSet<Untrusted>>,
    #[serde(with = "model::pairs")]
    commands: BTreeMap<(WorkloadKey, Untrusted), Habit>,
    clients: VecDeque<Client>,
    /// What was done before it was known whose the container is: judged then.
    #[serde(default)]
    early: BTreeMap<CgroupId, Vec<Early>>,
}

/// Something that was done in a container before its facts were settled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Early {
    /// A file that is no image's was run.
    Ran(Box<Exec>),
    /// A process left its cgroup.
    Left(Box<Attach>),
    /// A program was run from outside.
    Entered {
        /// The program.
        exec: Box<Exec>,
        /// When.
        at: Time,
        /// How often it was run in the workload before; known once the facts are settled.
        commanded_before: u32,
    },
}

/// How often a command was run from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Habit {
    runs: u32,
    last: Time,
}

/// A program on the host that talked to an engine, or stepped into a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// When it was started.
    pub at: Time,
    /// Its pid.
    pub pid: u32,
    /// The user it runs as.
    pub uid: u32,
    /// The user who logged in.
    pub login_uid: Option<u32>,
    /// Its arguments.
    pub args: Untrusted,
}

impl Conduct {
    /// A program of the host; kept when it is a client of an engine.
    pub(crate) fn host_runs(&mut self, exec: &Exec, at: Time) {
        if !CLIENTS.contains(&exec.name.raw()) {
            return;
        }
        while self.clients.len() >= CLIENTS_MAX
            || self.clients.front().is_some_and(|it| at.since(it.at) > CLIENTS_KEPT)
        {
            self.clients.pop_front();
        }
        self.clients.push_back(Client {
            at,
            pid: exec.process.pid,
            uid: exec.uid,
            login_uid: exec.lineage.and_then(|lineage| lineage.login_uid),
            args: exec.args.clone(),
        });
    }

    /// The latest client within `span` whose arguments hold one of the words.
    pub(crate) fn client(&self, words: &[&str], now: Time, span: Duration) -> Option<&Client> {
        let names = |client: &&Client| {
            words.iter().any(|word| !word.is_empty() && client.args.raw().split(' ').any(|arg| arg == *word))
        };
        self.clients.iter().rev().take_while(|client| now.since(client.at) <= span).find(names)
    }

    /// A program or a script ran in a container from a file that is no image's; whether it is the first time there. Scripts on
    /// volumes are too common to be counted.
    pub(crate) fn runs_file(&mut self, cgroup: CgroupId, exec: &Exec) -> bool {
        let is_program = exec.script.is_empty();
        let (known, file) =
            if is_program { (&mut self.files, &exec.path) } else { (&mut self.scripts, &exec.script) };
        let is_usual = match exec.origin {
            FileOrigin::Unknown | FileOrigin::Image => true,
            FileOrigin::Mounted => !is_program,
            FileOrigin::Written | FileOrigin::Memory | FileOrigin::Deleted => false,
        };
        if is_usual || (known.len() >= CONTAINERS_MAX && !known.contains_key(&cgroup)) {
            return false;
        }
        let files = known.entry(cgroup).or_default();
        files.len() < FILES_MAX && files.insert(file.clone())
    }

    /// How often a command was run in a workload from outside before; counts this time.
    pub(crate) fn commanded(&mut self, workload: &WorkloadKey, command: &Untrusted, at: Time) -> u32 {
        let key = (workload.clone(), command.clone());
        make_room(&mut self.commands, &key, COMMANDS_MAX, |habit| Some(habit.last));
        let habit = self.commands.entry(key).or_insert(Habit { runs: 0, last: Time::from_ns(0) });
        let before = habit.runs;
        if before == 0 || at.since(habit.last) >= RUN_AGAIN {
            habit.runs = habit.runs.saturating_add(1);
        }
        habit.last = habit.last.max(at);
        before
    }

    /// Keeps what is done too early to be judged.
    pub(crate) fn note_early(&mut self, cgroup: CgroupId, early: Early) {
        if self.early.len() < EARLY_CONTAINERS_MAX || self.early.contains_key(&cgroup) {
            let kept = self.early.entry(cgroup).or_default();
            if kept.len() < EARLY_MAX {
                kept.push(early);
            }
        }
    }

    pub(crate) fn early(&self, cgroup: CgroupId) -> &[Early] {
        self.early.get(&cgroup).map_or(&[], Vec::as_slice)
    }

    /// It is known whose a container is: what was run in it from outside is counted now.
    pub(crate) fn settle(&mut self, cgroup: CgroupId, workload: &WorkloadKey) {
        let Some(mut kept) = self.early.remove(&cgroup) else { return };
        for early in &mut kept {
            if let Early::Entered { exec, at, commanded_before } = early {
                *commanded_before = self.commanded(workload, &exec.args, *at);
            }
        }
        self.early.insert(cgroup, kept);
    }

    /// It was judged.
    pub(crate) fn was_judged(&mut self, cgroup: CgroupId) {
        self.early.remove(&cgroup);
    }

    pub(crate) fn ended(&mut self, cgroup: CgroupId) {
        self.files.remove(&cgroup);
        self.scripts.remove(&cgroup);
        self.early.remove(&cgroup);
    }
}
