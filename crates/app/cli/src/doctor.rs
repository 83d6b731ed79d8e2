//! `tidewatch doctor`: what can be seen on this host, what cannot, what that costs, and the remedy.
//!
//! Tries each thing for real: loads the probes, reads the cgroups, asks the engine. Not here: repairing anything.

use std::path::Path;

use containers::docker::Docker;
use engine::config::EngineConfig;
use engine::control::{Answer, AskError, Request, ask};
use engine::rim::probes_config;
use engine::status::Status;
use engine::status::integrity::gaps;
use hardening::Hardening;
use hostfs::host::HostReader;
use hostfs::layout::{CgroupLayout, Mode};
use hostfs::root::HostRoot;
use probes::{Probes, ProgramReport, ProgramState};
use serde::Serialize;

use crate::args::DoctorArgs;
use crate::output::{say, table};
use crate::{Outcome, settings, status};

/// How one check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    /// Seen.
    Fine,
    /// Not there on this host, and nothing is lost by it.
    Absent,
    /// Not seen: something is lost.
    Blind,
}

/// One check.
#[derive(Debug, Serialize)]
struct Check {
    name: String,
    verdict: Verdict,
    /// What was found, or what is in the way.
    found: String,
    /// What cannot be seen because of it; empty when nothing.
    lost: String,
    /// What to do about it; empty when nothing.
    remedy: String,
}

pub(crate) fn run(args: &DoctorArgs) -> anyhow::Result<Outcome> {
    let config = settings::load(args.config.config.as_ref())?;
    let mut checks = Vec::new();
    let layout = check_cgroups(&config, &mut checks);
    check_probes(&config, layout.as_ref(), &mut checks);
    check_pressure(&config, &mut checks);
    check_docker(&config, &mut checks)?;
    check_data_dir(&args.data.data_dir, &mut checks);
    let running = ask_running(&args.data.data_dir, &mut checks);
    let blind = checks.iter().filter(|check| check.verdict == Verdict::Blind).count();
    if args.json {
        let report = serde_json::json!({ "checks": checks, "blind": blind, "running": running.as_deref().map(status::status_json).transpose()? });
        say(&report::json::json_text(&report));
    } else {
        say(&checks_table(&checks));
        say(&match blind {
            0 => "everything Tidewatch looks at can be seen here".to_owned(),
            _ => format!("{blind} things cannot be seen here"),
        });
    }
    Ok(if blind == 0 { Outcome::Fine } else { Outcome::BadNews })
}

fn check_cgroups(config: &EngineConfig, checks: &mut Vec<Check>) -> Option<CgroupLayout> {
    match CgroupLayout::detect(&HostRoot::new(&config.host_root)) {
        Ok(layout) => {
            let mode = match layout.mode() {
                Mode::V1 => "cgroup v1",
                Mode::V2 => "cgroup v2",
                Mode::Hybrid => "cgroup v1 and v2 (hybrid)",
            };
            checks.push(Check::fine(
                "cgroups",
                &format!("{mode}, containers told apart at {}", layout.id_root().display()),
            ));
            Some(layout)
        }
        Err(error) => {
            checks.push(Check::blind(
                "cgroups",
                &error.to_string(),
                "everything: containers cannot be told apart",
                "mount cgroups, or set host_root to where the host's are",
            ));
            None
        }
    }
}

fn check_probes(config: &EngineConfig, layout: Option<&CgroupLayout>, checks: &mut Vec<Check>) {
    let config = layout.map_or_else(|| config.probes.clone(), |layout| probes_config(config, layout));
    match Probes::load(&config) {
        Ok(probes) => checks.extend(probes.report().iter().map(check_program)),
        Err(error) => checks.push(Check::blind(
            "kernel probes",
            &error.to_string(),
            "processes, forks and connections between two scans; containers are found by scanning twice a second, and ones that live shorter are missed",
            "run as root, or with CAP_BPF and CAP_PERFMON, on a kernel with BTF",
        )),
    }
}

fn check_program(program: &ProgramReport) -> Check {
    let name = format!("probe {}", program.name);
    match program.state {
        ProgramState::Attached => Check::fine(&name, &format!("attached {}", program.reason)),
        ProgramState::Pointless => Check::absent(&name, &program.reason),
        ProgramState::Missing => Check::blind(
            &name,
            &program.reason,
            program.purpose,
            "run a kernel that allows this program; the rest works without it",
        ),
    }
}

fn check_pressure(config: &EngineConfig, checks: &mut Vec<Check>) {
    let reading = HostReader::open(&HostRoot::new(&config.host_root)).and_then(|mut host| host.read());
    checks.push(match reading {
        Ok(usage) if usage.pressures.cpu.is_some() => {
            Check::fine("pressure", &format!("/proc/pressure is there; {} cores", usage.cores))
        }
        Ok(_) => Check::blind(
            "pressure",
            "the kernel has no pressure-stall information",
            "whether the host suffers: the saturation judge is silent",
            "boot with psi=1, or use a kernel with CONFIG_PSI",
        ),
        Err(error) => Check::blind(
            "host",
            &error.to_string(),
            "what the host spends",
            "set host_root to where the host's /proc is",
        ),
    });
}

fn check_docker(config: &EngineConfig, checks: &mut Vec<Check>) -> anyhow::Result<()> {
    let docker_config = config.containers.docker.clone();
    if !docker_config.socket.exists() {
        checks.push(Check::absent("docker", &format!("no engine at {}", docker_config.socket.display())));
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let info = runtime.block_on(async { Docker::connect(docker_config).await?.info().await });
    checks.push(match info {
        Ok(info) => Check::fine(
            "docker",
            &format!(
                "version {}, log driver {}, data in {}",
                info.version,
                info.log_driver,
                info.root_dir.display()
            ),
        ),
        Err(error) => Check::blind(
            "docker",
            &error.to_string(),
            "names, images and approvals of containers; whether a runtime claims them",
            "start the engine, or give Tidewatch the right to its socket",
        ),
    });
    Ok(())
}

fn check_data_dir(dir: &Path, checks: &mut Vec<Check>) {
    let writable = rustix::fs::access(dir, rustix::fs::Access::WRITE_OK);
    checks.push(match writable {
        Ok(()) => Check::fine("data directory", &format!("{} is writable", dir.display())),
        Err(rustix::io::Errno::NOENT) => Check::absent(
            "data directory",
            &format!("{} is not there yet; `tidewatch run` makes it", dir.display()),
        ),
        Err(error) => Check::blind(
            "data directory",
            &format!("{}: {error}", dir.display()),
            "incidents cannot be kept",
            "run as root, or choose another --data-dir",
        ),
    });
}

fn ask_running(dir: &Path, checks: &mut Vec<Check>) -> Option<Box<Status>> {
    match ask(dir, &Request::Status) {
        Ok(Answer::Status(status)) => {
            let blind: Vec<String> = status
                .blind_strategies
                .iter()
                .map(|blind| format!("{}: {}", blind.strategy, blind.lost))
                .collect();
            let sources: Vec<String> =
                status.sources.iter().map(|s| format!("{} {}", s.source, status::health(s.health))).collect();
            checks.push(match blind.is_empty() {
                true => Check::fine("running Tidewatch", &sources.join(", ")),
                false => Check::blind(
                    "running Tidewatch",
                    &sources.join(", "),
                    &blind.join("; "),
                    "see the checks above",
                ),
            });
            checks.push(check_integrity(&status));
            checks.push(check_protection(&status.hardening));
            Some(status)
        }
        Err(AskError::NotRunning { .. }) => {
            checks.push(Check::absent("running Tidewatch", "none on this data directory"));
            None
        }
        Ok(_) => None,
        Err(error) => {
            checks.push(Check::blind(
                "running Tidewatch",
                &error.to_string(),
                "what it sees now",
                "see its log",
            ));
            None
        }
    }
}

/// Findings about Tidewatch itself that are lighter are how hosts are: a time service, a source that never was there.
const NOTEWORTHY_BITS: f64 = 4.0;

/// Stops, gaps and interference of the last day: what could not be seen then is not seen by looking again.
fn check_integrity(status: &Status) -> Check {
    let gaps = gaps(&status.coverage).count();
    let found: Vec<String> = status
        .integrity
        .iter()
        .filter(|found| found.bits >= NOTEWORTHY_BITS)
        .map(status::integrity)
        .collect();
    match (found.is_empty(), gaps) {
        (true, 0) => Check::fine("integrity", "no stop, no gap and no interference within the last day"),
        (true, _) => {
            Check::fine("integrity", &format!("{gaps} gaps within the last hour, each ended in order"))
        }
        (false, _) => Check::blind(
            "integrity",
            &found.join("; "),
            "some of what happened at these times",
            "see `tidewatch incidents list`, and the step assess of `tidewatch ads show container-monitoring-bypass`",
        ),
    }
}

/// What protects the running process. A part that is missing hides nothing of the host, so it is not blindness.
fn check_protection(hardening: &Hardening) -> Check {
    let missing = hardening.missing();
    let found = match missing.is_empty() {
        true => format!("whole; keeps {}", hardening.capabilities.join(", ")),
        false => missing.join("; "),
    };
    let remedy = "run it as root with all capabilities of the host: it drops them by itself";
    match missing.is_empty() {
        true => Check::fine("own protection", &found),
        false => Check { remedy: remedy.to_owned(), ..Check::absent("own protection", &found) },
    }
}

fn checks_table(checks: &[Check]) -> String {
    let mut table = table(["check", "", "found", "lost", "remedy"]);
    for check in checks {
        let verdict = match check.verdict {
            Verdict::Fine => "fine",
            Verdict::Absent => "absent",
            Verdict::Blind => "BLIND",
        };
        table.add_row([&check.name, verdict, &check.found, &check.lost, &check.remedy]);
    }
    table.trim_fmt()
}

impl Check {
    fn fine(name: &str, found: &str) -> Self {
        Self::new(name, Verdict::Fine, found)
    }

    fn absent(name: &str, found: &str) -> Self {
        Self::new(name, Verdict::Absent, found)
    }

    fn blind(name: &str, found: &str, lost: &str, remedy: &str) -> Self {
        Self { lost: lost.to_owned(), remedy: remedy.to_owned(), ..Self::new(name, Verdict::Blind, found) }
    }

    fn new(name: &str, verdict: Verdict, found: &str) -> Self {
        // Reasons hold text of the kernel and of engines: shown escaped like all foreign text.
        let found = model::untrusted::Untrusted::new(found.trim()).to_string();
        Self { name: name.to_owned(), verdict, found, lost: String::new(), remedy: String::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protection_that_the_kernel_refused_is_shown_with_its_remedy() {
        let none = check_protection(&Hardening::default());
        assert_eq!(none.verdict, Verdict::Absent);
        assert!(none.found.contains("no filter of system calls") && !none.remedy.is_empty(), "{none:?}");
        let whole = Hardening {
            seccomp: true,
            no_new_privs: true,
            undumpable: true,
            oom_score_adj: -900,
            open_files_max: 1_024,
            core_bytes_max: Some(0),
            capabilities: vec!["sys_ptrace".to_owned()],
            ..Hardening::default()
        };
        let check = check_protection(&whole);
        assert_eq!((check.verdict, check.found.as_str()), (Verdict::Fine, "whole; keeps sys_ptrace"));
    }
}
