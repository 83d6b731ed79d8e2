//! Opens the embedded object, loads what the kernel takes of it, attaches it, and says why of the rest.
//!
//! Not here: reading maps and records (`lib.rs`, `layout.rs`).

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;

use libbpf_rs::btf::Btf;
use libbpf_rs::btf::types::{FuncProto, Ptr, Typedef};
use libbpf_rs::{ErrorKind, Link, MapHandle, Object, ObjectBuilder, OpenObject};

use crate::ProbesError;
use crate::attached::Attached;
use crate::config::{Hierarchy, ProbesConfig};
use crate::layout::{Settings, settings_bytes};
use crate::print::{Capture, reason};
use crate::programs::{PROGRAMS, Place, Program, ProgramReport, ProgramState};
use crate::rights::kernel_release;

/// Inode number of the root of a cgroup hierarchy (kernel `fs/kernfs/dir.c`).
const ROOT_INODE: u64 = 1;

/// What came of loading.
pub(crate) struct Loaded {
    pub(crate) report: Vec<ProgramReport>,
    pub(crate) links: Vec<Attached>,
    pub(crate) events: MapHandle,
    pub(crate) cgroups: MapHandle,
    pub(crate) rest: MapHandle,
    pub(crate) flows: MapHandle,
    pub(crate) crowds: MapHandle,
    pub(crate) creators: MapHandle,
    pub(crate) released: MapHandle,
}

/// ELF files are read in place, and their headers must be aligned.
#[repr(C, align(8))]
struct Aligned<T: ?Sized>(T);

static OBJECT: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/probes.bpf.o")));

/// Loads and attaches the programs one kernel takes.
pub(crate) fn load(config: &ProbesConfig) -> Result<Loaded, ProbesError> {
    let capture = Capture::start();
    let plan = Plan { config, exit_tells_group: exit_tells_group(), unified: open_unified(config) };
    let (object, refused) = plan.load_most(&capture)?;
    let mut report = Vec::new();
    let mut links = Vec::new();
    for program in PROGRAMS {
        let attached = match refused.iter().find(|(refused, _)| *refused == program.name) {
            Some((_, reason)) => Err((ProgramState::Missing, reason.clone())),
            None => plan.attach(&object, &program, &capture),
        };
        let (state, reason) = match &attached {
            Ok(_) => (ProgramState::Attached, plan.caveat(&program)),
            Err(why) => why.clone(),
        };
        report.push(ProgramReport { name: program.name, purpose: program.purpose, state, reason });
        links.extend(attached.map(|link| Attached::new(program.name, link)));
    }
    if links.is_empty() {
        return Err(ProbesError::Refused { release: kernel_release(), reports: report });
    }
    let map = |name| map(&object, name);
    Ok(Loaded {
        events: map("events")?,
        cgroups: map("cgroups")?,
        rest: map("rest")?,
        flows: map("flows")?,
        crowds: map("crowds")?,
        creators: map("creators")?,
        released: map("released")?,
        report,
        links,
    })
}

struct Plan<'a> {
    config: &'a ProbesConfig,
    exit_tells_group: bool,
    /// The root of cgroup v2, or why there is none.
    unified: Result<Unified, String>,
}

struct Unified {
    root: File,
    /// Whether it is the root of the hierarchy, not only of our cgroup namespace.
    is_whole: bool,
}

/// Why a program does not run.
type Unattached = (ProgramState, String);
type Refusals = Vec<(&'static str, String)>;

impl Plan<'_> {
    /// All programs at once; while the kernel refuses one, all others. One by one would cost a second and more: libbpf
    /// reads the kernel's types each time.
    fn load_most(&self, capture: &Capture) -> Result<(Object, Refusals), ProbesError> {
        let mut refused = Refusals::new();
        loop {
            let kept = |name: &str| refused.iter().all(|(refused, _)| *refused != name);
            let source = match self.open(&kept)?.load() {
                Ok(object) => return Ok((object, refused)),
                Err(source) => source,
            };
            let text = capture.take();
            let named = |program: &&Program| kept(program.name) && names(&text, program.name);
            match PROGRAMS.iter().find(named) {
                Some(program) => refused.push((program.name, reason_in(&text, &source))),
                None => return Err(self.refusal(&refused, source)),
            }
        }
    }

    /// Nothing loads, not even the maps: the programs' own reasons say more than the last error.
    fn refusal(&self, refused: &Refusals, source: libbpf_rs::Error) -> ProbesError {
        if refused.is_empty() {
            return ProbesError::Libbpf { step: "loading the probes", source };
        }
        let report = |&Program { name, purpose, .. }: &Program| ProgramReport {
            name,
            purpose,
            state: ProgramState::Missing,
            reason: refused
                .iter()
                .find(|(refused, _)| *refused == name)
                .map_or_else(|| "not tried with the others".to_owned(), |(_, reason)| reason.clone()),
        };
        ProbesError::Refused { release: kernel_release(), reports: PROGRAMS.iter().map(report).collect() }
    }

    fn open(&self, wanted: &dyn Fn(&str) -> bool) -> Result<OpenObject, ProbesError> {
        let failed = |step| move |source| ProbesError::Libbpf { step, source };
        let mut builder = ObjectBuilder::default();
        let mut open = builder
            .name("tidewatch")
            .and_then(|builder| builder.open_memory(&OBJECT.0))
            .map_err(failed("opening the embedded BPF object"))?;
        for mut program in open.progs_mut() {
            let load = program.name().to_str().is_some_and(wanted);
            program.set_autoload(load);
        }
        for mut map in open.maps_mut() {
            if map.name() == "events" {
                map.set_max_entries(self.config.ring_bytes_rounded())
                    .map_err(failed("sizing the ring buffer"))?;
            } else if map.name() == ".rodata.settings" {
                map.set_initial_value(&self.settings()).map_err(failed("handing over the settings"))?;
            }
        }
        Ok(open)
    }

    fn settings(&self) -> Vec<u8> {
        let ProbesConfig { budget_per_second, budget_burst, host_budget_per_second, hierarchy, .. } =
            *self.config;
        let (hierarchy_id, is_v1) = match hierarchy {
            Hierarchy::Unified => (0, false),
            Hierarchy::V1Cpuacct { hierarchy_id } => (hierarchy_id, true),
        };
        settings_bytes(&Settings {
            budget: (budget_per_second, budget_burst),
            host_budget: (host_budget_per_second, host_budget_per_second.saturating_mul(2)),
            wake_bytes: u64::from(self.config.ring_bytes_rounded() / 16),
            hierarchy_id,
            is_v1,
            exit_tells_group: self.exit_tells_group,
        })
    }

    fn attach(&self, object: &Object, program: &Program, capture: &Capture) -> Result<Link, Unattached> {
        let missing = |reason| (ProgramState::Missing, reason);
        let found = object.progs_mut().find(|found| found.name() == program.name);
        let loaded = found.ok_or_else(|| missing("not in the embedded object".to_owned()))?;
        let link = match program.place {
            Place::UnifiedRoot => {
                let unified = self.unified.as_ref().map_err(|reason| missing(reason.clone()))?;
                loaded.attach_cgroup(unified.root.as_raw_fd())
            }
            Place::Tracepoint | Place::TracepointOf(_) => loaded.attach(),
        };
        link.map_err(|error| match program.place {
            Place::TracepointOf(part) if error.kind() == ErrorKind::NotFound => {
                capture.take();
                (
                    ProgramState::Pointless,
                    format!("this kernel has no {part}, or had none when the probes were loaded"),
                )
            }
            _ => missing(told(capture, &error)),
        })
    }

    fn caveat(&self, program: &Program) -> String {
        let is_partial = self.unified.as_ref().is_ok_and(|unified| !unified.is_whole);
        match (program.place, self.config.hierarchy) {
            (Place::UnifiedRoot, _) if is_partial => {
                "only below our own cgroup: the root of the hierarchy is hidden by a cgroup namespace"
                    .to_owned()
            }
            (_, Hierarchy::V1Cpuacct { .. }) if program.name == "on_socket_state" => {
                "without cgroup v2 the owner of an accepted connection is unknown".to_owned()
            }
            _ => String::new(),
        }
    }
}

/// Whether libbpf's warnings are about that program.
fn names(text: &str, name: &str) -> bool {
    text.contains(&format!("prog '{name}'"))
}

fn open_unified(config: &ProbesConfig) -> Result<Unified, String> {
    let path = config.unified.as_ref().ok_or_else(|| "cgroup v2 is not mounted".to_owned())?;
    let failed = |error: io::Error| format!("{}: {error}", path.display());
    let root = File::open(path).map_err(failed)?;
    let is_whole = root.metadata().map_err(failed)?.ino() == ROOT_INODE;
    Ok(Unified { root, is_whole })
}

fn told(capture: &Capture, error: &libbpf_rs::Error) -> String {
    reason_in(&capture.take(), error)
}

fn reason_in(text: &str, error: &libbpf_rs::Error) -> String {
    reason(text).unwrap_or_else(|| format!("{error:#}"))
}

fn map(object: &Object, name: &'static str) -> Result<MapHandle, ProbesError> {
    let map = object.maps().find(|map| libbpf_rs::MapCore::name(map) == name);
    let map = map.ok_or(ProbesError::Object { what: name })?;
    MapHandle::try_from(&map).map_err(|source| ProbesError::Libbpf { step: "keeping a map", source })
}

/// Whether this kernel's `sched_process_exit` has the argument `group_dead` (since 6.16) beside the task.
fn exit_tells_group() -> bool {
    let Ok(btf) = Btf::from_vmlinux() else { return false };
    btf.type_by_name::<Typedef<'_>>("btf_trace_sched_process_exit")
        .and_then(|traced| traced.next_type())
        .and_then(|pointer| Ptr::try_from(pointer).ok())
        .and_then(|pointer| pointer.next_type())
        .and_then(|prototype| FuncProto::try_from(prototype).ok())
        // The first is the probe's own context.
        .is_some_and(|prototype| prototype.len() >= 3)
}
