//! What is done in containers and to them: programs that came to light in each, commands that are run from outside, who on
//! the host talks to engines.
//!
//! Not here: whether that is bad (`detect`).

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use model::event::{Attach, Exec};
use model::identity::{Container, Entered};
use model::ids::{CgroupId, ProcessKey, WorkloadKey};
use model::program::Ran;
use model::time::Time;
use model::untrusted::Untrusted;
use serde::{Deserialize, Serialize};

use crate::command::command;
use crate::files_run::FilesRun;
use crate::room::make_room;

/// Processes from outside that are remembered, the oldest makes room: what descends from it is then judged by itself.
const ENTRIES_MAX: usize = 512;
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
    /// Files that are no image's and were run.
    #[serde(default)]
    pub(crate) files: FilesRun,
    #[serde(with = "model::pairs")]
    commands: BTreeMap<(WorkloadKey, Untrusted), Habit>,
    clients: VecDeque<Client>,
    /// What was run from outside last, by its process: what descends from it is done by the same command.
    #[serde(default)]
    entries: VecDeque<(ProcessKey, Untrusted)>,
    /// What was done before it was known whose the container is: judged then.
    #[serde(default)]
    early: BTreeMap<CgroupId, Vec<Early>>,
}

/// Something that was done in a container before its facts were settled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Early {
    /// A file that is no image's was run.
    Ran(Box<Ran>),
    /// A process left its cgroup.
    Left(Box<Attach>),
    /// A program was run from outside.
    Entered {
        /// The program.
        exec: Box<Exec>,
        /// Whether it came in itself.
        #[serde(default)]
        entered: Entered,
        /// When.
        at: Time,
        /// How often it was run in the workload before; known once the facts are settled.
        commanded_before: u32,
    },
}

impl Early {
    fn rank(&self) -> u8 {
        match self {
            Self::Ran(ran) if ran.is_grave() && !ran.is_script => 4,
            Self::Left(_) => 3,
            Self::Ran(ran) if ran.is_grave() => 2,
            Self::Entered { exec, .. } => {
                if command(exec).is_typed() {
                    3
                } else {
                    1
                }
            }
            Self::Ran(_) => 0,
        }
    }
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

    /// What a program runs in a container that started at `started`, when that is no file of its image.
    pub(crate) fn ran(&self, exec: &Exec, started: Time, at: Time) -> Option<Ran> {
        let has_installer =
            exec.descent.installer.is_some_and(|installer| self.files.has_installer(installer));
        Ran::of_exec(exec, started, at, has_installer)
    }

    /// A program was run from outside.
    pub(crate) fn enters(&mut self, exec: &Exec) {
        if self.entries.len() >= ENTRIES_MAX {
            self.entries.pop_front();
        }
        self.entries.push_back((exec.process, exec.args.clone()));
    }

    /// What a process was run as, that came in from outside; `None` when that was not seen or is forgotten.
    pub(crate) fn entry(&self, process: ProcessKey) -> Option<&Untrusted> {
        self.entries.iter().rev().find(|(entry, _)| *entry == process).map(|(_, command)| command)
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
        if self.early.len() >= EARLY_CONTAINERS_MAX && !self.early.contains_key(&cgroup) {
            return;
        }
        let kept = self.early.entry(cgroup).or_default();
        if kept.len() < EARLY_MAX {
            kept.push(early);
            return;
        }
        // What weighs least makes room: a flood of small things hides nothing.
        let lightest = kept.iter_mut().min_by_key(|early| early.rank());
        if let Some(lightest) = lightest.filter(|lightest| lightest.rank() < early.rank()) {
            *lightest = early;
        }
    }

    pub(crate) fn early(&self, cgroup: CgroupId) -> &[Early] {
        self.early.get(&cgroup).map_or(&[], Vec::as_slice)
    }

    /// It is known whose a container is: what was run in it from outside is counted now.
    pub(crate) fn settle(&mut self, cgroup: CgroupId, workload: &WorkloadKey) {
        let Some(mut kept) = self.early.remove(&cgroup) else { return };
        for early in &mut kept {
            if let Early::Entered { exec, at, commanded_before, .. } = early {
                *commanded_before = self.commanded(workload, &exec.args, *at);
            }
        }
        self.early.insert(cgroup, kept);
    }

    /// It was judged.
    pub(crate) fn was_judged(&mut self, cgroup: CgroupId) {
        self.early.remove(&cgroup);
    }

    pub(crate) fn ended(&mut self, container: &Container) {
        let cgroup = container.key.cgroup;
        self.files.ended(cgroup);
        // One that ended before it was known whose it is will be judged yet, with what was done in it.
        if !container.facts.is_pending() {
            self.early.remove(&cgroup);
        }
    }
}
