//! The arguments of `tidewatch inventory` and `tidewatch approve`.
//!
//! Not here: what the commands do.

use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use model::identity::Kind;

use crate::args::DataDir;

#[derive(Debug, ClapArgs)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct InventoryArgs {
    #[command(subcommand)]
    pub(crate) action: Option<InventoryAction>,
    /// As JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Those that ended in the last minute too.
    #[arg(long)]
    pub(crate) all: bool,
    /// Only containers of these kinds, separated by commas.
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    pub(crate) kind: Vec<KindArg>,
    #[command(flatten)]
    pub(crate) data: DataDir,
}

#[derive(Debug, Subcommand)]
pub(crate) enum InventoryAction {
    /// Explain one container: what each view says of it, how the kernel shows it, who approved it.
    Show {
        /// Its name, its id or how that begins, its pid, its cgroup, or its root directory.
        #[arg(value_name = "NAME")]
        name: String,
        #[command(flatten)]
        data: DataDir,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

/// A kind of container, on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum KindArg {
    /// A container engine claims it.
    Managed,
    /// No container engine claims it.
    Ghost,
    /// A unit of systemd with namespaces of its own.
    Service,
    /// Its cgroup is named as an engine names them whose view is not watched.
    Unwatched,
    /// The engine that could claim it does not answer.
    Unanswered,
    /// An engine may still claim it.
    Unsettled,
    /// Namespaces of its own and the host's files.
    Sandbox,
    /// Tidewatch's own.
    #[value(name = "self")]
    Own,
}

impl From<KindArg> for Kind {
    fn from(kind: KindArg) -> Self {
        match kind {
            KindArg::Managed => Self::Managed,
            KindArg::Ghost => Self::Ghost,
            KindArg::Service => Self::Service,
            KindArg::Unwatched => Self::Unwatched,
            KindArg::Unanswered => Self::Unanswered,
            KindArg::Unsettled => Self::Unsettled,
            KindArg::Sandbox => Self::Sandbox,
            KindArg::Own => Self::Own,
        }
    }
}

#[derive(Debug, ClapArgs)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct ApproveArgs {
    #[command(subcommand)]
    pub(crate) action: Option<ApproveAction>,
    #[command(flatten)]
    pub(crate) what: ApproveWhat,
    /// Why.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) note: String,
    #[command(flatten)]
    pub(crate) data: DataDir,
}

/// What is approved; one of these.
#[derive(Debug, ClapArgs)]
#[group(required = true, multiple = false)]
pub(crate) struct ApproveWhat {
    /// Approve what every container shows that runs now: its image (by digest), its workload, its rights over the host, its
    /// engine, and whom it talks to. What contradicts itself and what no engine claims is left out.
    #[arg(long)]
    pub(crate) running: bool,
    /// Approve that an engine runs containers here: `docker`, `containerd:/run/x.sock` (all its namespaces),
    /// `containerd:/run/x.sock:NAMESPACE`, `cri:/run/x.sock`, `podman:/var/lib/containers/storage`.
    #[arg(long, value_name = "VIEW")]
    pub(crate) engine: Option<String>,
    /// Approve rights over the host of a workload, as `inventory show` names them: `cap:SYS_ADMIN`, `host:pid`,
    /// `mount:/etc:ro`, `device:/dev/kvm`, `no-seccomp`, `unconfined`, `privileged`.
    #[arg(long, value_names = ["WORKLOAD", "RIGHT"], num_args = 2..)]
    pub(crate) rights: Vec<String>,
    /// Approve that commands are run in the containers of a workload from outside, by a glob over program and arguments
    /// (`pg_dump *`).
    #[arg(long, value_names = ["WORKLOAD", "GLOB"], num_args = 2)]
    pub(crate) exec: Vec<String>,
    /// Approve a container that runs and that no engine claims, by its name, pid, cgroup or root directory: whatever runs the
    /// same program from the same root directory.
    #[arg(long, value_name = "NAME")]
    pub(crate) unclaimed: Option<String>,
    /// Approve every image whose name begins with this registry (`registry.example:5000`).
    #[arg(long, value_name = "REGISTRY")]
    pub(crate) registry: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ApproveAction {
    /// Approve an image by digest (sha256:…) or every image whose name matches a pattern (`registry/team/*`).
    Image {
        /// `sha256:` and 64 hexadecimal digits (of the configuration, the manifest, or the index of several platforms), also
        /// behind a name and `@`; or a glob in which `*` stays within one part of a name and `**` does not.
        #[arg(value_name = "PATTERN|DIGEST")]
        what: String,
        /// Why.
        #[arg(long, value_name = "TEXT", default_value = "")]
        note: String,
        #[command(flatten)]
        data: DataDir,
    },
    /// List approvals in force.
    List {
        #[command(flatten)]
        data: DataDir,
        /// As a JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Take an approval back.
    Revoke {
        /// Its number, as `approve list` shows it.
        #[arg(value_name = "NUMBER")]
        id: u64,
        #[command(flatten)]
        data: DataDir,
    },
}
