//! What the state knows of provenance: who approved what, whose engines these are, what is done in containers and to them.
//!
//! Not here: how each of it is remembered (`approvals.rs`, `engines.rs`, `conduct.rs`, `images.rs`, `hours.rs`).

use std::sync::Arc;
use std::time::Duration;

use model::coverage::{Health, Source};
use model::event::{Body, Exec, FileOrigin};
use model::finding::Finding;
use model::identity::{Container, Entered, Kind, News, Observation};
use model::ids::{ProcessKey, WorkloadKey};
use model::novelty::Provenance;
use model::program::Ran;
use model::runtime::{ContainerFacts, EngineWork};
use model::time::Time;
use model::untrusted::Untrusted;
use model::view::{EngineSeen, View};

use crate::command::{Command, command};
use crate::conduct::{Client, Early};
use crate::engines::{EngineStanding, Replacement};
use crate::images::Swapped;
use crate::{FLAG_BITS_MIN, State};

impl State {
    /// What people said about a container's image and workload.
    pub fn provenance(&self, container: &Container) -> Provenance {
        self.approvals.provenance(container)
    }

    /// Whether the container ran already when Tidewatch first looked at this host and nobody had approved anything. The first
    /// look is that of the data directory: a run that follows another has none of its own.
    pub fn is_from_before(&self, container: &Container) -> bool {
        self.approvals.is_empty() && self.interruptions.is_from_before(container, self.first_event)
    }

    /// Whether a container ran before this run of Tidewatch and did not begin in the gap before it, and nobody has approved
    /// anything: whoever runs it is at home here.
    pub(crate) fn ran_before_us(&self, container: &Container) -> bool {
        let started = container.key.started;
        self.approvals.is_empty()
            && self.first_event.is_none_or(|first| started < first)
            && !self.is_from_the_gap(container)
    }

    /// The engine that the event at hand tells of for the first time, when it was not there from the start and is no part
    /// of another.
    pub fn fresh_engine(&self) -> Option<&EngineSeen> {
        self.engines.fresh()
    }

    /// The known engine that the event at hand shows to be served by another executable than before.
    pub fn replaced_engine(&self) -> Option<&Replacement> {
        self.engines.replaced()
    }

    /// What is known of the engine of a view.
    pub fn engine(&self, view: &View) -> Option<&EngineSeen> {
        self.engines.engine(view)
    }

    /// What the engine of a view is to this host.
    pub fn engine_standing(&self, view: &View) -> EngineStanding {
        self.engines.standing(view, |view| self.approvals.has_engine(view))
    }

    /// The best standing of the engines that claim a container.
    pub fn standing(&self, container: &Container) -> Option<EngineStanding> {
        let standings = container.claims().map(|facts| self.engine_standing(&facts.view));
        standings.min_by_key(|standing| *standing as u8)
    }

    /// Whether this host has an engine that its containers are run by.
    pub fn has_home_engine(&self) -> bool {
        let has_docker =
            self.sources().any(|(source, health, _)| (source, health) == (Source::Docker, Health::Up));
        has_docker || self.engines.has_home()
    }

    /// Which of the rights nobody approved for the workload.
    pub fn unapproved_rights(&self, workload: &WorkloadKey, rights: Vec<Untrusted>) -> Vec<Untrusted> {
        self.approvals.unapproved_rights(workload, rights)
    }

    /// Whether somebody approved that such a command is run in the workload from outside.
    pub fn is_approved_command(&self, workload: &WorkloadKey, command: &Untrusted) -> bool {
        self.approvals.has_administration(workload, command)
    }

    /// Whether somebody approved a container that no engine claims.
    pub fn is_approved_unclaimed(&self, workload: &WorkloadKey, root: &Untrusted) -> bool {
        self.approvals.has_unclaimed(workload, root)
    }

    /// Whether an image's name is covered by a pattern that somebody approved.
    pub fn is_approved_name(&self, image: &Untrusted) -> bool {
        self.approvals.has_name(image)
    }

    /// Names of images that were approved with their digest.
    pub fn approved_names(&self) -> impl Iterator<Item = &Untrusted> {
        self.approvals.names()
    }

    /// Whether the name of a container's image meant another image than it does.
    pub fn swapped(&self, facts: &ContainerFacts) -> Option<Swapped> {
        self.images.swapped(facts, &self.approvals.digests_of(&facts.image))
    }

    /// How an image came to be made or named here, when that was seen, and when.
    pub fn made_here(&self, facts: &ContainerFacts) -> Option<(Time, &EngineWork)> {
        self.images.made_here(facts)
    }

    /// What was done in a container before its facts were settled.
    pub fn early(&self, container: &Container) -> &[Early] {
        self.conduct.early(container.key.cgroup)
    }

    /// Who on the host last had an engine do something about what one of the words names.
    pub fn client(&self, words: &[&str], span: Duration) -> Option<&Client> {
        self.conduct.client(words, self.now, span)
    }

    /// Programs that come to light, commands from outside, clients of engines, hours at which workloads start.
    pub(crate) fn notice_conduct(&mut self, seen: &Observation) {
        let at = seen.event.time;
        for news in &seen.identity.news {
            if let News::Settled(container) = news {
                self.conduct.settle(container.key.cgroup, &container.workload());
            }
            if let News::Appeared(container) | News::Settled(container) = news
                && container.kind == Kind::Managed
                && self.first_event.is_some_and(|first| container.key.started > first)
                && self.starts_counted != Some(container.key.cgroup)
            {
                self.starts_counted = Some(container.key.cgroup);
                self.first.unusual_hour = self.hours.started(&container.workload(), container.key.started);
            }
        }
        if let (Body::CgroupAttached(attach), Some(container)) = (&seen.event.body, &seen.identity.within)
            && container.facts.is_pending()
        {
            self.conduct.note_early(container.key.cgroup, Early::Left(Box::new(attach.clone())));
        }
        let Body::Exec(exec) = &seen.event.body else { return };
        let Some(container) = &seen.identity.container else {
            self.conduct.host_runs(exec, at);
            return;
        };
        if exec.namespaces.mnt == container.namespaces.mnt {
            self.notice_file(container, exec, at);
        }
        self.notice_entry(seen);
    }

    /// A program that its workload never ran before may be what takes it over.
    pub(crate) fn notice_program(&mut self, exec: &Exec, container: Option<&Arc<Container>>, at: Time) {
        // The account knows its workload: to spell it out anew for each program would be most of the work in a flood.
        let Some(account) = container.and_then(|it| self.ledger.account(it.key.cgroup)) else { return };
        let cgroup = account.container().key.cgroup;
        let usual = self.baselines.usual(account.workload());
        let ran = container.and_then(|it| self.conduct.ran(exec, it.key.started, at)).filter(Ran::is_grave);
        let (name, is_new) = match ran {
            // A name that the workload knows says nothing of a file that its image does not hold.
            Some(_) => {
                let name = Untrusted::new(&format!("{} (not of its image)", exec.name.raw()));
                let is_new = usual.is_some_and(|it| !it.runs(&name));
                (name, is_new)
            }
            None => (exec.name.clone(), usual.is_some_and(|it| it.is_new_program(&exec.name))),
        };
        self.ledger.runs(&name, (cgroup, is_new), at);
    }

    fn notice_file(&mut self, container: &Container, exec: &Exec, at: Time) {
        if exec.descent.installer == Some(exec.process) && exec.origin == FileOrigin::Image {
            self.conduct.files.installs(exec.process);
        }
        let Some(ran) = self.conduct.ran(exec, container.key.started, at) else { return };
        self.first.new_files = self.conduct.files.runs(container.key.cgroup, &ran);
        if self.first.new_files > 0 && container.facts.is_pending() {
            self.conduct.note_early(container.key.cgroup, Early::Ran(Box::new(ran)));
        }
    }

    /// What runs from outside, and what descends from that and takes orders as a shell does.
    fn notice_entry(&mut self, seen: &Observation) {
        let at = seen.event.time;
        let Some((container, exec, entered)) = seen.entered() else { return };
        match entered {
            Entered::Itself => self.conduct.enters(exec),
            Entered::Descends(_) if command(exec) == Command::Program => return,
            Entered::Descends(_) => {}
        }
        if container.facts.is_pending() {
            let early = Early::Entered { exec: Box::new(exec.clone()), entered, at, commanded_before: 0 };
            self.conduct.note_early(container.key.cgroup, early);
        } else {
            self.first.commanded_before = self.conduct.commanded(&container.workload(), &exec.args, at);
        }
    }

    /// What a process that came in from outside was run as, when that is remembered.
    pub fn entry(&self, process: ProcessKey) -> Option<&Untrusted> {
        self.conduct.entry(process)
    }

    /// What an executed program runs, when that is no file of the container's image.
    pub fn ran(&self, container: &Container, exec: &Exec, at: Time) -> Option<Ran> {
        self.conduct.ran(exec, container.key.started, at)
    }

    /// What a name of an image means, by what approved containers run under it.
    pub(crate) fn learn_images(&mut self, seen: &Observation, findings: &[Finding]) {
        for news in &seen.identity.news {
            let News::Settled(container) = news else { continue };
            self.conduct.was_judged(container.key.cgroup);
            let is_suspect = findings.iter().any(|finding| finding.bits >= FLAG_BITS_MIN);
            if let Some(facts) = container.facts.known().filter(|_| !is_suspect)
                && self.approvals.provenance(container).is_approved()
            {
                self.images.ran(facts, seen.event.time);
            }
        }
    }
}
