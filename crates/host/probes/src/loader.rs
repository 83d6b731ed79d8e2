//! Opens the embedded object, loads what the kernel takes of it, attaches it, and says why of the rest.
//!
//! Not here: reading maps and records (`lib.rs`, `layout.rs`).

use libbpf_rs::btf::Btf;
use libbpf_rs::btf::types::{FuncProto, Ptr, Typedef};
use libbpf_rs::{Link, MapHandle, Object, ObjectBuilder, OpenObject};

use crate::ProbesError;
use crate::config::{Hierarchy, ProbesConfig};
use crate::layout::{Settings, settings_bytes};
use crate::print::{Capture, reason};
use crate::rights::kernel_release;

/// Whether one program runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramReport {
    /// Its name, as `bpftool prog` shows it.
    pub name: &'static str,
    /// What is blind without it.
    pub purpose: &'static str,
    /// Whether it runs.
    pub attached: bool,
    /// Why not, in the kernel's or libbpf's words; or what it cannot tell on this host though it runs.
    pub reason: String,
}

/// The programs, in the order they are attached: ends before starts, so that no start is without its end.
const PROGRAMS: [(&str, &str); 7] = [
    ("on_cgroup_rmdir", "removed cgroups"),
    ("on_exit", "ended processes"),
    ("on_socket_state", "TCP connections"),
    ("on_cgroup_mkdir", "new cgroups"),
    ("on_cgroup_attach", "processes moved between cgroups"),
    ("on_fork", "counts of forks"),
    ("on_exec", "executed programs"),
];

/// What came of loading.
pub(crate) struct Loaded {
    pub(crate) report: Vec<ProgramReport>,
    pub(crate) links: Vec<Link>,
    pub(crate) events: MapHandle,
    pub(crate) cgroups: MapHandle,
    pub(crate) rest: MapHandle,
}

/// ELF files are read in place, and their headers must be aligned.
#[repr(C, align(8))]
struct Aligned<T: ?Sized>(T);

static OBJECT: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/probes.bpf.o")));

/// Loads and attaches the programs one kernel takes.
pub(crate) fn load(config: &ProbesConfig) -> Result<Loaded, ProbesError> {
    let capture = Capture::start();
    let plan = Plan { config, exit_tells_group: exit_tells_group() };
    let (object, refused) = plan.load_most(&capture)?;
    let mut report = Vec::new();
    let mut links = Vec::new();
    for (name, purpose) in PROGRAMS {
        let attached = match refused.iter().find(|(refused, _)| *refused == name) {
            Some((_, reason)) => Err(reason.clone()),
            None => attach(&object, name, &capture),
        };
        let reason = attached.as_ref().err().cloned().unwrap_or_else(|| plan.caveat(name));
        report.push(ProgramReport { name, purpose, attached: attached.is_ok(), reason });
        links.extend(attached);
    }
    if links.is_empty() {
        return Err(ProbesError::Refused { release: kernel_release(), reports: report });
    }
    let map = |name| map(&object, name);
    Ok(Loaded { events: map("events")?, cgroups: map("cgroups")?, rest: map("rest")?, report, links })
}

struct Plan<'a> {
    config: &'a ProbesConfig,
    exit_tells_group: bool,
}

type Refusals = Vec<(&'static str, String)>;

impl Plan<'_> {
    /// All programs at once; if the kernel refuses that, each alone to learn which, then the others together.
    fn load_most(&self, capture: &Capture) -> Result<(Object, Refusals), ProbesError> {
        if let Ok(object) = self.open(&|_| true)?.load() {
            return Ok((object, Vec::new()));
        }
        capture.take();
        let mut refused = Refusals::new();
        for (name, _) in PROGRAMS {
            if let Err(error) = self.open(&|program| program == name)?.load() {
                refused.push((name, told(capture, &error)));
            }
        }
        let kept = |name: &str| refused.iter().all(|(refused, _)| *refused != name);
        let object = self.open(&kept)?.load().map_err(|source| self.refusal(&refused, source))?;
        Ok((object, refused))
    }

    /// Nothing loads, not even the maps: the programs' own reasons say more than the last error.
    fn refusal(&self, refused: &Refusals, source: libbpf_rs::Error) -> ProbesError {
        if refused.is_empty() {
            return ProbesError::Libbpf { step: "loading the probes", source };
        }
        let report = |&(name, purpose): &(&'static str, &'static str)| ProgramReport {
            name,
            purpose,
            attached: false,
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

    fn caveat(&self, name: &str) -> String {
        match self.config.hierarchy {
            Hierarchy::V1Cpuacct { .. } if name == "on_socket_state" => {
                "without cgroup v2 the owner of an accepted connection is unknown".to_owned()
            }
            _ => String::new(),
        }
    }
}

fn attach(object: &Object, name: &str, capture: &Capture) -> Result<Link, String> {
    let program = object.progs_mut().find(|program| program.name() == name);
    let program = program.ok_or_else(|| "not in the embedded object".to_owned())?;
    program.attach().map_err(|error| told(capture, &error))
}

fn told(capture: &Capture, error: &libbpf_rs::Error) -> String {
    reason(&capture.take()).unwrap_or_else(|| format!("{error:#}"))
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
