//! Starts the sources, and steers the sampler by what the fold finds: what is watched follows from what is a container.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, bounded};
use hostfs::error::HostfsError;
use hostfs::layout::CgroupLayout;
use hostfs::limit::raise_file_limit;
use hostfs::process::process_cgroup;
use hostfs::root::HostRoot;
use model::coverage::Source;
use model::event::{Body, Event};
use model::identity::{Container, News};
use model::ids::NodeId;
use probes::{Hierarchy, ProbesConfig};
use sources::kernel::Links;
use sources::outlet::{Outlet, Stop, Stopper};
use sources::queue::Inlet;
use sources::sampler::{Command, Sampler, SamplerConfig};
use sources::scan::Scanner;
use sources::{birth, containers, engines, kernel, sampler, scan, units};
use state::Deepen;

use crate::config::EngineConfig;

/// Commands that may wait for the sampler: every container of a full host at once.
const COMMANDS_MAX: usize = 65_536;

/// The running sources.
#[derive(Debug)]
pub(crate) struct Rim {
    pub(crate) outlet: Outlet,
    pub(crate) queue: Receiver<Event>,
    commands: Inlet<Command>,
    /// What is looked at closely now.
    deep: Deepen,
    _stopper: Stopper,
    threads: Vec<JoinHandle<()>>,
}

impl Rim {
    /// Starts every source of this host.
    pub(crate) fn start(config: &EngineConfig) -> Result<Self, HostfsError> {
        let root = HostRoot::new(&config.host_root);
        let layout = CgroupLayout::detect(&root)?;
        // With a low limit files are opened at each reading, at twice the cost: slower, not blind.
        let _limit = raise_file_limit();
        let (outlet, queue) = Outlet::new(node(config, &root)?, config.queue_events_max);
        tell_own(&root, &layout, &outlet);
        let (stopper, stop) = Stop::new();
        let (commands, commands_received) = Inlet::new(COMMANDS_MAX);
        let probes_work = Arc::new(AtomicBool::new(false));
        let (first_done, first_scan) = bounded(0);
        let sampler_config = SamplerConfig { disks: config.runtime_roots.clone() };
        let sampler = Sampler::new(&root, &layout, &sampler_config)?;
        let (births, looking) = birth::spawn(&root, &layout, outlet.clone(), stop.clone())?;
        let scanner = Scanner::new(&root, &layout)?.showing(births.clone());
        let probes = probes_config(config, &layout);
        let (engines, notices) = bounded(engines::NOTICES_MAX);
        let links =
            Links { sampler: commands.clone(), births, engines, outlet: outlet.clone(), root: root.clone() };
        let settings = (config.engines.clone(), config.containers.clone());
        let [finding, podman] = engines::spawn((&root, &layout), settings, notices, &outlet, &stop)?;
        let threads = vec![
            kernel::spawn(probes, Arc::clone(&probes_work), first_scan, links, stop.clone()),
            scan::spawn(scanner, probes_work, first_done, outlet.clone(), stop.clone()),
            sampler::spawn(sampler, commands_received, outlet.clone(), stop.clone()),
            units::spawn(root, outlet.clone(), stop.clone()),
            containers::spawn(config.containers.clone(), outlet.clone(), stop),
            looking,
            finding,
            podman,
        ];
        Ok(Self { outlet, queue, commands, deep: Deepen::default(), _stopper: stopper, threads })
    }

    /// Watches what appeared, no longer what ended.
    pub(crate) fn steer(&self, news: &[News]) {
        for command in news.iter().flat_map(commands) {
            // The sampler has ended or is hopelessly behind; its source says so itself.
            let _is_queued = self.commands.offer(command);
        }
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

    /// Asks every source to end and waits for it.
    pub(crate) fn stop(self) {
        let Self { _stopper: stopper, threads, queue, commands, .. } = self;
        drop((stopper, commands, queue));
        for thread in threads {
            // A source that panicked has said so on standard error; the others still end in order.
            drop(thread.join());
        }
    }
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
