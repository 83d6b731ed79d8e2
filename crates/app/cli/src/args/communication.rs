//! The arguments of `tidewatch graph` and `tidewatch policy`.
//!
//! Not here: what the commands do.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use model::graph::Standing;

use crate::args::DataDir;

#[derive(Debug, ClapArgs)]
pub(crate) struct GraphArgs {
    #[command(flatten)]
    pub(crate) data: DataDir,
    /// As JSON.
    #[arg(long, group = "form")]
    pub(crate) json: bool,
    /// For Graphviz.
    #[arg(long, group = "form")]
    pub(crate) dot: bool,
    /// As a picture.
    #[arg(long, group = "form")]
    pub(crate) svg: bool,
    /// Only edges and ports that stand so, separated by commas.
    #[arg(long, value_name = "STANDING", value_delimiter = ',')]
    pub(crate) standing: Vec<StandingArg>,
}

/// How an edge stands, on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum StandingArg {
    /// Somebody approved it.
    Approved,
    /// Somebody declared it.
    Expected,
    /// Learned, and nothing was held against it.
    Learned,
    /// Not known for long, or unusual when it appeared.
    New,
    /// Outside what is approved or declared.
    Unexpected,
}

impl From<StandingArg> for Standing {
    fn from(standing: StandingArg) -> Self {
        match standing {
            StandingArg::Approved => Self::Approved,
            StandingArg::Expected => Self::Expected,
            StandingArg::Learned => Self::Learned,
            StandingArg::New => Self::New,
            StandingArg::Unexpected => Self::Unexpected,
        }
    }
}

#[derive(Debug, ClapArgs)]
pub(crate) struct PolicyArgs {
    #[command(subcommand)]
    pub(crate) action: PolicyAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyAction {
    /// Expect what network policies allow, and nothing else of those they select; all files or none.
    Import {
        /// Files of YAML with NetworkPolicy documents (networking.k8s.io/v1).
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
        /// Who answers for it.
        #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
        owner: String,
        /// After how long it ends (`30d`).
        #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, default_value = "90d")]
        expires: std::time::Duration,
        #[command(flatten)]
        data: DataDir,
    },
    /// Print what was learned as network policies that allow exactly that.
    Suggest {
        /// As what.
        #[arg(long, default_value = "networkpolicy")]
        format: PolicyFormat,
        /// New and unexpected edges too.
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        data: DataDir,
    },
}

/// A form of policies.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum PolicyFormat {
    /// Kubernetes' NetworkPolicy (networking.k8s.io/v1), as YAML.
    Networkpolicy,
}
