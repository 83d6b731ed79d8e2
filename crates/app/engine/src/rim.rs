//! Starts the sources, and steers the sampler by what the fold finds: what is watched follows from what is a container.

mod start;

mod threads;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use deadline::pulse::Pulses;
use deadline::workers::{Counts, Workers};
use hostfs::error::HostfsError;
use hostfs::foreign::Kind;
use hostfs::layout::CgroupLayout;
use hostfs::limit::raise_file_limit;
use hostfs::process::process_cgroup;
use hostfs::root::HostRoot;
use model::coverage::Source;
use model::event::{Body, Event};
use model::identity::{Container, News};
use model::ids::NodeId;
use probes::{Hierarchy, ProbesConfig};
use sources::kernel::scripts;
use sources::outlet::{Outlet, Stop, Stopper};
use sources::queue::Inlet;
use sources::sampler::Command;
use state::Deepen;

use crate::config::EngineConfig;
use crate::rim::start::Host;
use crate::rim::threads::Threads;
use crate::status::pulse::{self, CallsStatus};
use crate::watchdog::Pool;

/// Commands that may wait for the sampler: every container of a full host at once.
const COMMANDS_MAX: usize = 65_536;

/// A look for a script that takes longer hangs.
const SCRIPT_HANGS_AFTER: Duration = Duration::from_secs(1);

/// The running sources.
#[derive(Debug)]
pub(crate) struct Rim {
    pub(crate) outlet: Outlet,
    pub(crate) queue: Receiver<Event>,
    commands: Inlet<Command>,
    /// What is looked at closely now.
    deep: Deepen,
    _stopper: Stopper,
    root: HostRoot,
    scripts: Workers,
    threads: Threads,
}

impl Rim {
    /// Starts every source of this host.
    pub(crate) fn start(config: &EngineConfig, pulses: Pulses) -> Result<Self, HostfsError> {
        let root = HostRoot::new(&config.host_root);
        let layout = CgroupLayout::detect(&root)?;
        // With a low limit files are opened at each reading, at twice the cost: slower, not blind.
        let _limit = raise_file_limit();
        let (outlet, queue) = Outlet::new(node(config, &root)?, config.queue_events_max);
        let outlet = outlet.with_pulses(pulses);
        tell_own(&root, &layout, &outlet);
        let (stopper, stop) = Stop::new();
        let (commands, commanded) = Inlet::new(COMMANDS_MAX);
        let scripts = scripts::workers();
        let host = Host { root, layout, outlet, stop, scripts };
        let threads = start::all(&host, config, (commands.clone(), commanded))?;
        let Host { root, outlet, scripts, .. } = host;
        Ok(Self {
            outlet,
            queue,
            commands,
            deep: Deepen::default(),
            _stopper: stopper,
            root,
            scripts,
            threads,
        })
    }

    /// Watches what appeared, no longer what ended.
    pub(crate) fn steer(&self, news: &[News]) {
        for command in news.iter().flat_map(commands) {
            // The sampler has ended or is hopelessly behind; its source says so itself.
            let _is_queued = self.commands.offer(command);
        }
    }

    /// Watches everything that runs, as if nothing were watched: the sampler may have been started anew.
    pub(crate) fn steer_anew(&mut self, running: impl Iterator<Item = Arc<Container>>) {
        self.steer(&running.map(News::Settled).collect::<Vec<_>>());
        self.deep = Deepen::default();
    }

    /// Looks closely at what the fold asks for, and no longer at what it asked for before.
    pub(crate) fn deepen(&mut self, wanted: &Deepen) {
        if self.deep == *wanted {
            return;
        }
        let begun = wanted.cgroups.difference(&self.deep.cgroups).map(|&cgroup| Command::Deepen { cgroup });
        let ended = self.deep.cgroups.difference(&wanted.cgroups).map(|&cgroup| Command::Shallow { cgroup });
        let host = (self.deep.host != wanted.host).then_some(Command::DeepenHost(wanted.host));
        for command in ended.chain(begun).chain(host) {
            let _is_queued = self.commands.offer(command);
        }
        self.deep.clone_from(wanted);
    }

    /// Starts those sources anew that have died; whether one was.
    pub(crate) fn restart_dead(&mut self) -> bool {
        self.threads.restart_dead(Instant::now()) > 0
    }

    /// The calls that may not return.
    pub(crate) fn pools(&self) -> Vec<Pool> {
        let source = |kind| match kind {
            Kind::Roots | Kind::Memory => Source::Scan,
            Kind::Files => Source::Host,
        };
        let foreign = self.root.foreign().counts().into_iter().map(|(kind, counts)| (counts, source(kind)));
        foreign.chain([(only_hung(self.scripts.counts(), Instant::now()), Source::Kernel)]).collect()
    }

    /// The same as `status` shows them.
    pub(crate) fn calls(&self) -> Vec<CallsStatus> {
        let about = |kind| match kind {
            Kind::Roots => "roots of processes",
            Kind::Memory => "memory of processes",
            Kind::Files => "files of others",
        };
        let counts = self.root.foreign().counts();
        let foreign = counts.iter().map(|(kind, counts)| pulse::calls(about(*kind), counts));
        foreign.chain([pulse::calls("scripts of containers", &self.scripts.counts())]).collect()
    }

    /// Asks every source to end and waits for it; one that does not end is left, and named.
    pub(crate) fn stop(self) {
        let Self { _stopper: stopper, threads, queue, commands, .. } = self;
        drop((stopper, commands, queue));
        for thread in threads.join() {
            tracing::warn!(thread, "a thread does not end and is left");
        }
    }
}

/// Looks for scripts are abandoned early: one that is merely slow says nothing about its source.
fn only_hung(mut counts: Counts, now: Instant) -> Counts {
    let hangs = |since: Instant| now.saturating_duration_since(since) >= SCRIPT_HANGS_AFTER;
    counts.oldest = counts.oldest.filter(|(_, since)| hangs(*since));
    counts
}

/// Which cgroup is ours: a container of it is no stranger. Where that cannot be read, we are judged like any other.
fn tell_own(root: &HostRoot, layout: &CgroupLayout, outlet: &Outlet) {
    if let Ok(own) = process_cgroup(root, layout, std::process::id()) {
        outlet.send_now(Source::Engine, Body::Own(own.id));
    }
}

fn node(config: &EngineConfig, root: &HostRoot) -> Result<NodeId, HostfsError> {
    match config.node.as_str() {
        "" => hostfs::boot::node_name(root),
        name => Ok(NodeId::new(name)),
    }
}

/// The settings of the probes, with what was found out about this host's cgroups.
pub fn probes_config(config: &EngineConfig, layout: &CgroupLayout) -> ProbesConfig {
    let hierarchy = match layout.cpuacct_hierarchy() {
        Some(hierarchy_id) => Hierarchy::V1Cpuacct { hierarchy_id },
        None => Hierarchy::Unified,
    };
    ProbesConfig { hierarchy, unified: layout.unified().map(Path::to_path_buf), ..config.probes.clone() }
}

fn commands(news: &News) -> Vec<Command> {
    match news {
        // It shares its cgroup with the host: nothing of it alone can be read.
        News::Appeared(container) | News::Settled(container) | News::Ended(container)
            if !container.key.cgroup.is_real() =>
        {
            Vec::new()
        }
        News::Tallied(_) => Vec::new(),
        News::Appeared(container) => vec![watch(container)],
        News::Settled(container) => {
            let log = container.facts.known().and_then(|facts| {
                let path = facts.log_path.clone()?;
                Some(Command::WatchLog { container_id: facts.id.clone(), path })
            });
            // The path of its cgroup may have been learned only after it appeared.
            std::iter::once(watch(container)).chain(log).collect()
        }
        News::Ended(container) => {
            let log = container.facts.known().map(|facts| facts.id.clone());
            let forget = Command::ForgetCgroup { cgroup: container.key.cgroup };
            std::iter::once(forget)
                .chain(log.map(|container_id| Command::ForgetLog { container_id }))
                .collect()
        }
    }
}

fn watch(container: &Container) -> Command {
    Command::WatchCgroup { cgroup: container.key.cgroup, path: container.cgroup_path.raw().into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_for_a_script_that_hangs_counts_and_one_that_is_slow_does_not() {
        let workers = scripts::workers();
        let (open, gate) = crossbeam_channel::bounded::<()>(0);
        let hang = move || gate.recv().is_ok();
        assert!(workers.call("script of a container", Duration::from_millis(1), hang).is_err());
        let (counts, now) = (workers.counts(), Instant::now());
        assert_eq!(only_hung(counts.clone(), now).oldest, None);
        assert_eq!(only_hung(counts.clone(), now + SCRIPT_HANGS_AFTER).oldest, counts.oldest);
        assert_eq!(counts.stuck(), 1);
        drop(open);
    }
}
