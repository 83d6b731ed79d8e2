//! The command line: one definition that parsing, help and completions are made from.
//!
//! Not here: what the commands do.

pub(crate) mod communication;

pub(crate) mod provenance;

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use model::expectation::{EdgePattern, Expected};
use model::incident::Verdict;
use model::time::Time;

use crate::args::communication::{GraphArgs, PolicyArgs};
use crate::args::provenance::{ApproveArgs, InventoryArgs};
use crate::expect::edge;
use crate::top::Order;

/// Finds adversaries who use containers to slip past security monitoring.
#[derive(Debug, Parser)]
#[command(
    name = "tidewatch",
    version,
    after_help = "Exit codes: 0 fine, 1 the answer is bad news (open incidents, lint problems, something that \
                  cannot be seen), 2 misuse or failure."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Watch this host until stopped: a live view on a terminal, incidents as lines elsewhere.
    Run(RunArgs),
    /// List, explain and close incidents.
    Incidents(IncidentsArgs),
    /// Show which containers are there, what each view says about them, and where views contradict each other.
    Inventory(InventoryArgs),
    /// Say what is fine: images by digest, name or registry, workloads and their rights, engines, commands, ghosts.
    Approve(ApproveArgs),
    /// Say what is to be expected, and see what was explained by it.
    Expect(ExpectArgs),
    /// Show who talks to whom, how each edge stands, and which are new.
    Graph(GraphArgs),
    /// Read network policies, or write what was learned as such.
    Policy(PolicyArgs),
    /// Show what a running Tidewatch sees now.
    Status(StatusArgs),
    /// Show who spends what now, in band and out of band, most first: a live screen on a terminal, one page elsewhere.
    Top(TopArgs),
    /// List, show and check strategies.
    Ads(AdsArgs),
    /// Record what happens on this host, for replay.
    Record(RecordArgs),
    /// Fold a recording again and show its incidents.
    Replay(ReplayArgs),
    /// Tell what can be seen on this host, what cannot, and what to do about it.
    Doctor(DoctorArgs),
    /// Print the settings in force, or check a file of settings.
    Config(ConfigArgs),
    /// Print completions for a shell.
    Completions(CompletionsArgs),
    /// Answer a question about the store as JSON: for other commands, which leave this one behind when a disk hangs.
    #[command(hide = true)]
    ReadStore(ReadStoreArgs),
}

/// Where Tidewatch keeps its data.
#[derive(Debug, ClapArgs)]
pub(crate) struct DataDir {
    /// Data directory: store, journal, control socket.
    #[arg(long, value_name = "DIR", env = "TIDEWATCH_DATA_DIR", default_value = "/var/lib/tidewatch")]
    pub(crate) data_dir: PathBuf,
}

/// A question to the store.
#[derive(Debug, ClapArgs)]
pub(crate) struct ReadStoreArgs {
    #[command(flatten)]
    pub(crate) data: DataDir,
    /// The question, as JSON.
    pub(crate) question: String,
}

/// Where settings come from.
#[derive(Debug, ClapArgs)]
pub(crate) struct ConfigFile {
    /// File of settings (TOML); without one the embedded defaults hold.
    #[arg(long, value_name = "FILE", env = "TIDEWATCH_CONFIG")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) data: DataDir,
    #[command(flatten)]
    pub(crate) config: ConfigFile,
    /// Print every change of an incident as a line of JSON instead of text or the live view.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct IncidentsArgs {
    #[command(subcommand)]
    pub(crate) action: IncidentsAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum IncidentsAction {
    /// List incidents, newest first; exits with 1 when there are any.
    List {
        #[command(flatten)]
        data: DataDir,
        /// Only incidents opened or updated at or after this time (RFC 3339 or Unix seconds).
        #[arg(long, value_name = "T", value_parser = Time::parse)]
        since: Option<Time>,
        /// Only incidents opened or updated at or before this time.
        #[arg(long, value_name = "T", value_parser = Time::parse)]
        until: Option<Time>,
        /// Closed ones too.
        #[arg(long)]
        all: bool,
        /// As a JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Explain one incident: who, what, why, what was not seen, what to do.
    Show {
        /// Its name.
        #[arg(value_name = "ID")]
        id: String,
        #[command(flatten)]
        data: DataDir,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Close incidents with a verdict.
    Close {
        /// Their names.
        #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all")]
        ids: Vec<String>,
        /// All open ones.
        #[arg(long)]
        all: bool,
        /// What it was.
        #[arg(long)]
        verdict: VerdictArg,
        /// In your words.
        #[arg(long, value_name = "TEXT", default_value = "")]
        note: String,
        #[command(flatten)]
        data: DataDir,
    },
}

/// A verdict on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum VerdictArg {
    /// It was an attack.
    Malicious,
    /// It was fine.
    Benign,
    /// It was an exercise.
    Test,
}

impl From<VerdictArg> for Verdict {
    fn from(verdict: VerdictArg) -> Self {
        match verdict {
            VerdictArg::Malicious => Self::Malicious,
            VerdictArg::Benign => Self::Benign,
            VerdictArg::Test => Self::Test,
        }
    }
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ExpectArgs {
    #[command(subcommand)]
    pub(crate) action: ExpectAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ExpectAction {
    /// Expect containers to be busy at certain times, or to talk to somebody. What makes others pay or harms them is never
    /// explained away.
    Add(Box<ExpectAddArgs>),
    /// List expectations, declared and learned, and how often each explained something.
    List {
        #[command(flatten)]
        data: DataDir,
        /// As a JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Take an expectation back, or unlearn one.
    Remove {
        /// Its name, as `expect list` shows it.
        #[arg(value_name = "ID")]
        id: String,
        #[command(flatten)]
        data: DataDir,
    },
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ExpectAddArgs {
    /// Who is busy at times, by name or glob: `image:registry/team/*`, `workload:compose:shop/report backup`.
    #[arg(
        long,
        value_name = "image:PATTERN|workload:NAME",
        value_parser = expected,
        required_unless_present = "edge",
        conflicts_with = "edge",
        requires_all = ["when", "lasting"]
    )]
    pub(crate) subject: Option<Expected>,
    /// Who talks to whom, always; may be given several times. FROM and TO are a workload by name or glob, `host`, `any`, an
    /// address or a prefix (one of IPv6 in brackets when a port follows), or `domain:NAME`.
    #[arg(long, value_name = "FROM -> TO[:PORT[-PORT]][/PROTOCOL]", value_parser = edge::parse)]
    pub(crate) edge: Vec<EdgePattern>,
    /// What is to be expected; it follows from the form.
    #[arg(long)]
    pub(crate) family: Option<FamilyArg>,
    /// When the window opens: five fields of cron, in UTC.
    #[arg(long, value_name = "CRON", conflicts_with = "edge")]
    pub(crate) when: Option<String>,
    /// How long it stays open (`45m`, `2h`), at most 7 days.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, conflicts_with = "edge")]
    pub(crate) lasting: Option<std::time::Duration>,
    /// Why that is fine.
    #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) reason: String,
    /// Who answers for it.
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) owner: String,
    /// After how long it ends (`30d`).
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, default_value = "90d")]
    pub(crate) expires: std::time::Duration,
    #[command(flatten)]
    pub(crate) data: DataDir,
}

/// A family that can be expected, on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FamilyArg {
    /// What is spent: with --subject.
    Resource,
    /// Who talks to whom: with --edge.
    Communication,
}

fn expected(text: &str) -> Result<Expected, String> {
    let bytes_max = model::untrusted::UNTRUSTED_BYTES_MAX;
    let pattern = |name: &str| match name.len() {
        length if length <= bytes_max => Ok(name.into()),
        _ => Err(format!("a name has at most {bytes_max} bytes")),
    };
    match text.split_once(':') {
        Some(("image", name)) => Ok(Expected::Image { pattern: pattern(name)? }),
        Some(("workload", name)) => Ok(Expected::Workload { pattern: pattern(name)? }),
        _ => Err("write image:PATTERN or workload:NAME".to_owned()),
    }
}

#[derive(Debug, ClapArgs)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) data: DataDir,
    /// As JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct TopArgs {
    #[command(flatten)]
    pub(crate) data: DataDir,
    /// One page of text, also on a terminal.
    #[arg(long)]
    pub(crate) once: bool,
    /// One JSON document.
    #[arg(long)]
    pub(crate) json: bool,
    /// How often the screen asks (`500ms`, `5s`), at least 200 ms.
    #[arg(long, value_name = "DURATION", value_parser = interval, default_value = "1s")]
    pub(crate) interval: std::time::Duration,
    /// Most containers shown; what the others cost is told in one line.
    #[arg(long, value_name = "COUNT")]
    pub(crate) limit: Option<usize>,
    /// Which containers come first.
    #[arg(long, value_name = "WHAT", default_value = "true")]
    pub(crate) sort: Order,
}

fn interval(text: &str) -> Result<std::time::Duration, String> {
    let interval = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let is_fit = (200..=3_600_000).contains(&interval.as_millis());
    is_fit.then_some(interval).ok_or_else(|| "between 200ms and 1h".to_owned())
}

#[derive(Debug, ClapArgs)]
pub(crate) struct AdsArgs {
    #[command(subcommand)]
    pub(crate) action: AdsAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AdsAction {
    /// List the strategies in force.
    List {
        /// As a JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Show one strategy whole.
    Show {
        /// Its name.
        #[arg(value_name = "SLUG")]
        slug: String,
    },
    /// Check strategy bundles; exits with 1 when there are problems.
    Lint {
        /// Folder that holds one folder per strategy; without it the embedded ones are checked.
        #[arg(value_name = "DIR")]
        dir: Option<PathBuf>,
    },
}

#[derive(Debug, ClapArgs)]
pub(crate) struct RecordArgs {
    /// File to write; must not exist.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// How long (`30s`, `5m`); without it until interrupted.
    #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) span: Option<std::time::Duration>,
    #[command(flatten)]
    pub(crate) data: DataDir,
    #[command(flatten)]
    pub(crate) config: ConfigFile,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ReplayArgs {
    /// The recording.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// As a JSON array.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) config: ConfigFile,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) data: DataDir,
    #[command(flatten)]
    pub(crate) config: ConfigFile,
    /// As JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    pub(crate) action: ConfigAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigAction {
    /// Print the settings in force, with defaults filled in.
    Print {
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Check a file of settings; exits with 1 when there are problems.
    Check {
        /// The file.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

#[derive(Debug, ClapArgs)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    pub(crate) shell: Shell,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn approve_wants_running_or_a_subcommand_and_close_wants_names_or_all() {
        for (line, fits) in [
            ("approve --running", true),
            ("approve", false),
            ("approve --running list", false),
            ("approve image busybox", true),
            ("approve --engine docker --note ours", true),
            ("approve --engine docker --running", false),
            ("approve --rights shop host:pid cap:BPF --note ours", true),
            ("approve --rights shop", false),
            ("approve --exec shop ls", true),
            ("approve --exec shop", false),
            ("approve --exec shop ls -l", false),
            ("approve --unclaimed 42", true),
            ("approve --registry registry.example:5000", true),
            ("approve --registry a image b", false),
            ("inventory", true),
            ("inventory --json --all --kind ghost,self", true),
            ("inventory --kind pod", false),
            ("inventory show web --json", true),
            ("inventory show", false),
            ("inventory --all show web", false),
            ("incidents close TW-1 --verdict test", true),
            ("incidents close --all --verdict benign --note fine", true),
            ("incidents close --verdict test", false),
            ("incidents close TW-1 --all --verdict test", false),
            ("incidents close TW-1", false),
            ("incidents list --since 1769860800 --until 2026-01-31T12:00:00Z --all --json", true),
            ("incidents list --since yesterday", false),
            ("record --out f --for 12s", true),
            ("record --for 12s", false),
            (
                "expect add --subject image:a/* --family resource --when @daily --lasting 1h --reason r --owner o",
                true,
            ),
            (
                "expect add --subject workload:b --when @daily --lasting 1h --reason r --owner o --expires 30d",
                true,
            ),
            ("expect add --subject b --when @daily --lasting 1h --reason r --owner o", false),
            ("expect add --subject image:b --when @daily --lasting soon --reason r --owner o", false),
            ("expect add --subject image:b --when @daily --lasting 1h --reason r", false),
            (
                "expect add --subject image:b --family provenance --when @daily --lasting 1h --reason r --owner o",
                false,
            ),
            ("expect add --subject image:b --reason r --owner o", false),
            ("expect add --edge a->b --reason r --owner o", true),
            (
                "expect add --edge a->b --edge b->c:80/tcp --reason r --owner o --expires 9d --family communication",
                true,
            ),
            ("expect add --edge a->b:0 --reason r --owner o", false),
            ("expect add --edge a->b --when @daily --reason r --owner o", false),
            (
                "expect add --edge a->b --subject image:b --when @daily --lasting 1h --reason r --owner o",
                false,
            ),
            ("expect add --reason r --owner o", false),
            ("expect list --json", true),
            ("graph", true),
            ("graph --json --standing new,unexpected", true),
            ("graph --json --svg", false),
            ("graph --standing odd", false),
            ("policy import a.yaml b.yaml --owner o --expires 30d", true),
            ("policy import --owner o", false),
            ("policy import a.yaml", false),
            ("policy suggest --format networkpolicy --all", true),
            ("policy suggest --format cilium", false),
            ("expect remove EX-0123456789ab", true),
            ("expect remove", false),
            ("top", true),
            ("top --once --sort out-of-band --limit 5 --interval 500ms", true),
            ("top --json --sort true", true),
            ("top --interval 0s", false),
            ("top --interval 1d", false),
            ("top --sort name", false),
            ("top --limit -1", false),
        ] {
            let parsed = Args::try_parse_from(["tidewatch"].into_iter().chain(line.split(' ')));
            assert_eq!(parsed.is_ok(), fits, "{line}: {:?}", parsed.err().map(|error| error.to_string()));
        }
    }
}
