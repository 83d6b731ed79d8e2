//! CPU of the sampler's beat with 10, 100 and 1,000 real control groups, beside the bare reads of the same files.
//!
//! Beats follow each other at once; what a beat costs is what it costs of a core at one beat a second, apart from caches
//! that cool down in between. Not here: the fold of the events (they are taken from the queue outside the timed part).

use std::time::Duration;

use anyhow::{Result, ensure};
use crossbeam_channel::Receiver;
use hostfs::layout::CgroupLayout;
use hostfs::limit::raise_file_limit;
use hostfs::root::HostRoot;
use model::event::Event;
use model::ids::NodeId;
use sources::outlet::{Outlet, Stop};
use sources::sampler::{Command, Sampler, SamplerConfig};

use crate::bare::BareFiles;
use crate::figure::{Figure, Goal};
use crate::going_on;
use crate::groups::Groups;
use crate::machine::thread_cpu;
use crate::process::own_reads;

/// Groups, and blocks of beats to take the median of.
const SIZES: [(usize, usize); 3] = [(10, 30), (100, 15), (1_000, 9)];
/// Beats until the sampler has read everything once: a block of so many is like any other.
const BLOCK: u32 = 10;
/// Open files of 1,000 groups (14 each on a hybrid host), with the quarter of the limit that the sampler leaves free.
const OPEN_FILES_MIN: u64 = 19_000;
const RATIO_GOAL: Goal = Goal::AtMost(1.7);
const THOUSAND_GOAL: Goal = Goal::AtMost(3.0);

/// Measures all sizes.
pub(crate) fn measure(stop: &Stop) -> Result<Vec<Figure>> {
    let limit = raise_file_limit()?;
    ensure!(
        limit >= OPEN_FILES_MIN,
        "{OPEN_FILES_MIN} open files are needed, {limit} are allowed (ulimit -n)"
    );
    let sizes = SIZES.into_iter().map(|(groups, blocks)| measure_size(groups, blocks, stop));
    Ok(sizes.collect::<Result<Vec<_>>>()?.concat())
}

fn measure_size(count: usize, blocks: usize, stop: &Stop) -> Result<Vec<Figure>> {
    let layout = CgroupLayout::detect(&HostRoot::new("/"))?;
    let groups = Groups::make(&layout, count)?;
    let files = {
        let _watching = Watch::groups(&layout, Some(&groups))?;
        BareFiles::now_open(&groups, &layout)?
    };
    let mut rounds = Rounds::default();
    for _ in 0..blocks {
        going_on(stop)?;
        // Each opens its files anew and closes them: open at the same time they would exceed usual limits. Bare reads on
        // both sides, so that neither gains by its place.
        let before = measure_bare(&files)?;
        let watching = Watch::groups(&layout, Some(&groups))?.measure()?;
        let host_alone = Watch::groups(&layout, None)?.measure()?;
        rounds.add(watching, host_alone, [before, measure_bare(&files)?]);
    }
    rounds.check_reads()?;
    Ok(rounds.figures(count))
}

/// One block of beats.
#[derive(Clone, Copy)]
struct Block {
    cpu: Duration,
    reads: u64,
}

/// A sampler and the end of its queue.
struct Watch {
    sampler: Sampler,
    outlet: Outlet,
    queue: Receiver<Event>,
}

impl Watch {
    /// A sampler of the host, and of all the groups when there are any.
    fn groups(layout: &CgroupLayout, groups: Option<&Groups>) -> Result<Self> {
        let (outlet, queue) = Outlet::new(NodeId::new("bench"), 65_536);
        let disks = vec!["/var/lib/docker".to_owned(), "/var/lib/containerd".to_owned()];
        let sampler = Sampler::new(&HostRoot::new("/"), layout, &SamplerConfig { disks })?;
        let mut watch = Self { sampler, outlet, queue };
        let count = groups.map_or(0, Groups::count);
        for path in groups.into_iter().flat_map(|groups| (0..count).map(|number| groups.path(number))) {
            let cgroup = layout.id_of(&path)?;
            watch.sampler.obey(Command::WatchCgroup { cgroup, path }, &watch.outlet);
        }
        ensure!(watch.drain() == count, "the sampler does not read all of the {count} groups");
        Ok(watch)
    }

    /// A block whose reads are counted and which warms up, and one that is timed.
    fn measure(mut self) -> Result<Block> {
        let before = own_reads()?;
        self.block();
        let reads = own_reads()? - before;
        Ok(Block { cpu: self.block(), reads })
    }

    fn block(&mut self) -> Duration {
        let mut spent = Duration::ZERO;
        for _ in 0..BLOCK {
            let start = thread_cpu();
            self.sampler.beat(&self.outlet);
            spent += thread_cpu() - start;
            self.drain();
        }
        spent
    }

    fn drain(&self) -> usize {
        self.queue.try_iter().count()
    }
}

fn measure_bare(files: &BareFiles) -> Result<Block> {
    let mut bare = files.open()?;
    let mut block = || (0..BLOCK).map(|_| bare.beat()).sum::<Result<u64>>();
    let reads = block()?;
    let start = thread_cpu();
    block()?;
    Ok(Block { cpu: thread_cpu() - start, reads })
}

#[derive(Default)]
struct Rounds {
    beat: Vec<f64>,
    host: Vec<f64>,
    bare: Vec<f64>,
    ratio: Vec<f64>,
    noise: Vec<f64>,
    reads_of_groups: u64,
    reads_bare: u64,
}

impl Rounds {
    fn add(&mut self, watching: Block, host_alone: Block, bare: [Block; 2]) {
        // Seconds a beat, at one beat a second, in percent of a core.
        let percent = |block: Block| 100.0 * block.cpu.as_secs_f64() / f64::from(BLOCK);
        let [before, after] = bare.map(percent);
        let mean = f64::midpoint(before, after);
        self.beat.push(percent(watching));
        self.host.push(percent(host_alone));
        self.bare.push(mean);
        self.ratio.push((percent(watching) - percent(host_alone)) / mean);
        self.noise.push(after / before);
        self.reads_of_groups += watching.reads.saturating_sub(host_alone.reads);
        self.reads_bare += bare[0].reads;
    }

    /// A ratio to other reads than the sampler's would mean nothing: the kernel counts them. Processes that come and
    /// go move the host's part by a few.
    fn check_reads(&self) -> Result<()> {
        let blocks = self.beat.len() as u64;
        let (sampler, bare) = (self.reads_of_groups / blocks, self.reads_bare / blocks);
        ensure!(
            sampler.abs_diff(bare) <= 20 + bare / 100,
            "a block of the sampler reads files of cgroups {sampler} times, the bare reads are {bare}"
        );
        Ok(())
    }

    fn figures(self, count: usize) -> Vec<Figure> {
        let cpu =
            |what: &str, rounds| Figure::of_rounds(format!("{count} cgroups, {what}"), "% of a core", rounds);
        let beat = cpu("a beat a second", self.beat);
        vec![
            if count == 1_000 { beat.with_goal(THOUSAND_GOAL) } else { beat },
            cpu("of it the host's own files", self.host),
            cpu("bare reads of the cgroups", self.bare),
            Figure::of_rounds(format!("{count} cgroups, cgroups' part to bare reads"), "times", self.ratio)
                .with_goal(RATIO_GOAL),
            Figure::of_rounds(
                format!("{count} cgroups, bare reads to themselves (noise)"),
                "times",
                self.noise,
            ),
        ]
    }
}
