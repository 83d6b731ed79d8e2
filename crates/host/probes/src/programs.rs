//! The programs of the embedded object: where each is attached, what is blind without it, how it fared.
//!
//! Not here: loading them (`loader.rs`), what they do (`bpf/`).

/// How one program fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgramState {
    /// It runs.
    Attached,
    /// It does not run, and nothing is lost: this kernel does not have what it would watch.
    Pointless,
    /// It does not run, and its purpose is not served.
    Missing,
}

/// Whether one program runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramReport {
    /// Its name, as `bpftool prog` shows it.
    pub name: &'static str,
    /// What is blind without it.
    pub purpose: &'static str,
    /// Whether it runs.
    pub state: ProgramState,
    /// Why not, in the kernel's or libbpf's words; or what it cannot tell on this host though it runs.
    pub reason: String,
}

/// Where a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A tracepoint that every kernel has.
    Tracepoint,
    /// A tracepoint that only kernels with this part have, built in or loaded.
    TracepointOf(&'static str),
    /// The root of cgroup v2, beside the programs of others.
    UnifiedRoot,
}

/// A program.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) purpose: &'static str,
    pub(crate) place: Place,
}

/// The programs, in the order they are attached: ends before starts, so that no start is without its end.
pub(crate) const PROGRAMS: [Program; 16] = [
    at_tracepoint("on_cgroup_rmdir", "removed cgroups"),
    at_tracepoint("on_exit", "ended processes"),
    at_tracepoint("on_free", "CPU of ended processes and of the kernel's own helpers"),
    at_tracepoint("on_socket_state", "TCP connections"),
    at_tracepoint("on_cgroup_mkdir", "new cgroups"),
    at_tracepoint("on_cgroup_attach", "processes moved between cgroups"),
    at_tracepoint("on_fork", "counts of forks and threads"),
    at_tracepoint("on_exec", "executed programs"),
    at_tracepoint("on_whole_sync", "counts of sync and syncfs"),
    at_tracepoint_of("on_ext4_sync", "counts of fsync on ext4", "ext4"),
    at_tracepoint_of("on_xfs_sync", "counts of fsync on XFS", "XFS"),
    at_tracepoint_of("on_btrfs_sync", "counts of fsync on Btrfs", "Btrfs"),
    at_tracepoint_of("on_module", "counts of requested kernel modules", "loadable modules"),
    at_unified_root("on_sent_packet", "packets sent, and what is asked for names"),
    at_unified_root("on_got_packet", "packets received, and what is answered about names"),
    at_unified_root("on_engine_call", "counts of connections to the engines' APIs, which take Linux 6.7"),
];

const fn at_tracepoint(name: &'static str, purpose: &'static str) -> Program {
    Program { name, purpose, place: Place::Tracepoint }
}

const fn at_tracepoint_of(name: &'static str, purpose: &'static str, part: &'static str) -> Program {
    Program { name, purpose, place: Place::TracepointOf(part) }
}

const fn at_unified_root(name: &'static str, purpose: &'static str) -> Program {
    Program { name, purpose, place: Place::UnifiedRoot }
}
