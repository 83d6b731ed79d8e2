//! How each source's thread is started: the first time, and anew when it died.
//!
//! Not here: when it is started anew (`threads.rs`). The queues between threads outlive the threads.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crossbeam_channel::{Receiver, bounded};
use deadline::inherited::Inherited;
use deadline::workers::Workers;
use hostfs::error::HostfsError;
use hostfs::layout::CgroupLayout;
use hostfs::root::HostRoot;
use sources::birth::{self, Births};
use sources::kernel::Links;
use sources::outlet::{Outlet, Stop};
use sources::queue::Inlet;
use sources::sampler::{Command, Sampler, SamplerConfig};
use sources::scan::Scanner;
use sources::{containers, engines, kernel, podman, sampler, scan, units};

use crate::config::EngineConfig;
use crate::rim::probes_config;
use crate::rim::threads::{Start, Threads};

/// What every source is started with.
#[derive(Clone, Debug)]
pub(super) struct Host {
    pub(super) root: HostRoot,
    pub(super) layout: CgroupLayout,
    pub(super) outlet: Outlet,
    pub(super) stop: Stop,
    /// Look for scripts in the roots of containers.
    pub(super) scripts: Workers,
}

/// Both ends of the queue that leads to the sampler.
pub(super) type Commands = (Inlet<Command>, Receiver<Command>);

/// Starts every source.
pub(super) fn all(
    host: &Host,
    config: &EngineConfig,
    (commands, commanded): Commands,
) -> Result<Threads, HostfsError> {
    let (first_done, first_scan) = bounded(0);
    let probes_work = Arc::new(AtomicBool::new(false));
    let (births, looking) = birth::prepare(&host.root, &host.layout, host.outlet.clone())?;
    let (engines, noticed) = bounded(engines::NOTICES_MAX);
    let (notes, noted) = bounded(engines::PODMAN_NOTES_MAX);
    let links = Links {
        sampler: commands,
        births: births.clone(),
        engines,
        outlet: host.outlet.clone(),
        root: host.root.clone(),
        loaded: Inherited::default(),
        scripts: host.scripts.clone(),
    };
    let mut threads = Threads::default();
    threads.start(kernel(host, config, (Arc::clone(&probes_work), first_scan), links))?;
    threads.start(scan(host, births, (probes_work, first_done)))?;
    threads.start(sampler(host, config, commanded))?;
    threads.start(engines_finder(host, config, (noticed, notes)))?;
    let (at, stop) = (host.clone(), host.stop.clone());
    threads.start(Box::new(move || Ok(looking.spawn(stop.clone()))))?;
    threads.start(Box::new({
        let at = at.clone();
        move || Ok(podman::spawn(at.root.clone(), noted.clone(), at.outlet.clone(), at.stop.clone()))
    }))?;
    threads.start(Box::new({
        let at = at.clone();
        move || Ok(units::spawn(at.root.clone(), at.outlet.clone(), at.stop.clone()))
    }))?;
    let docker = config.containers.clone();
    threads
        .start(Box::new(move || Ok(containers::spawn(docker.clone(), at.outlet.clone(), at.stop.clone()))))?;
    Ok(threads)
}

fn kernel(
    host: &Host,
    config: &EngineConfig,
    (works, first_scan): (Arc<AtomicBool>, Receiver<()>),
    links: Links,
) -> Start {
    let (config, stop) = (probes_config(config, &host.layout), host.stop.clone());
    Box::new(move || {
        let (works, first_scan) = (Arc::clone(&works), first_scan.clone());
        Ok(kernel::spawn(config.clone(), works, first_scan, links.clone(), stop.clone()))
    })
}

fn scan(
    host: &Host,
    births: Births,
    (works, first_done): (Arc<AtomicBool>, crossbeam_channel::Sender<()>),
) -> Start {
    let (host, mut first_done) = (host.clone(), Some(first_done));
    Box::new(move || {
        let scanner = Scanner::new(&host.root, &host.layout)?.showing(births.clone());
        let (outlet, stop) = (host.outlet.clone(), host.stop.clone());
        Ok(scan::spawn(scanner, Arc::clone(&works), first_done.take(), outlet, stop))
    })
}

/// A sampler that is started anew watches nothing until it is told to.
fn sampler(host: &Host, config: &EngineConfig, commands: Receiver<Command>) -> Start {
    let (host, config) = (host.clone(), SamplerConfig { disks: config.runtime_roots.clone() });
    Box::new(move || {
        let sampler = Sampler::new(&host.root, &host.layout, &config)?;
        Ok(sampler::spawn(sampler, commands.clone(), host.outlet.clone(), host.stop.clone()))
    })
}

fn engines_finder(host: &Host, config: &EngineConfig, queues: engines::Queues) -> Start {
    let (host, settings) = (host.clone(), (config.engines.clone(), config.containers.clone()));
    Box::new(move || {
        let (outlet, stop) = (&host.outlet, &host.stop);
        engines::spawn((&host.root, &host.layout), settings.clone(), queues.clone(), outlet, stop)
    })
}
