//! What is in force now, as the kernel shows it of every thread: not what was asked for.
//!
//! Not here: putting it into force.

use std::fs;
use std::path::Path;

use rustix::process::{DumpableBehavior, Resource, dumpable_behavior, getrlimit};
use serde::{Deserialize, Serialize};

use crate::{capabilities, limits};

/// What protects the process, over all of its threads: the weakest of them counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Hardening {
    /// Capabilities that any thread may use, by their names in lower case.
    pub capabilities: Vec<String>,
    /// How many capabilities any thread could get back by executing a program.
    pub bounding: u32,
    /// Whether executing a program can give no thread more rights.
    pub no_new_privs: bool,
    /// Whether every thread has a filter of system calls.
    pub seccomp: bool,
    /// Whether the process refuses core files and debuggers without `CAP_SYS_PTRACE`.
    pub undumpable: bool,
    /// How much the out-of-memory killer's score is lowered; -1000 is never killed.
    pub oom_score_adj: i32,
    /// Most open files; 0 for no limit.
    pub open_files_max: u64,
    /// Largest core file in bytes; `None` for no limit.
    pub core_bytes_max: Option<u64>,
    /// What the kernel refused, a sentence each.
    pub refused: Vec<String>,
}

impl Hardening {
    /// Reads what is in force; `refused` is what came of putting it into force.
    pub fn read(refused: &[String]) -> Self {
        let threads = threads(Path::new("/proc/self/task"));
        let all = |has: fn(&Thread) -> bool| !threads.is_empty() && threads.iter().all(has);
        let any = |pick: fn(&Thread) -> u64| threads.iter().map(pick).fold(0, |all, one| all | one);
        Self {
            capabilities: capabilities::names(any(|thread| thread.effective | thread.permitted)),
            bounding: any(|thread| thread.bounding).count_ones(),
            no_new_privs: all(|thread| thread.no_new_privs),
            seccomp: all(|thread| thread.has_filter),
            undumpable: matches!(dumpable_behavior(), Ok(DumpableBehavior::NotDumpable)),
            oom_score_adj: limits::oom_score_adj().unwrap_or(0),
            open_files_max: getrlimit(Resource::Nofile).maximum.unwrap_or(0),
            core_bytes_max: getrlimit(Resource::Core).maximum,
            refused: refused.to_vec(),
        }
    }

    /// What is missing of the protection, a few words each; empty when it is whole.
    pub fn missing(&self) -> Vec<String> {
        let words = [
            (self.seccomp, "no filter of system calls"),
            (self.no_new_privs, "no_new_privs is not set"),
            (self.undumpable, "the process can be dumped"),
            (self.core_bytes_max == Some(0), "core files are allowed"),
            (self.oom_score_adj < 0, "nothing keeps the out-of-memory killer away"),
            (self.open_files_max > 0, "open files are not limited"),
        ];
        let missing = words.into_iter().filter(|(holds, _)| !holds).map(|(_, words)| words.to_owned());
        missing.chain(self.refused.iter().cloned()).collect()
    }
}

/// One thread, by its `status`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Thread {
    effective: u64,
    permitted: u64,
    bounding: u64,
    no_new_privs: bool,
    has_filter: bool,
}

/// Every thread below a `task` directory; one that ends meanwhile is left out.
fn threads(dir: &Path) -> Vec<Thread> {
    let entries = fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
    entries
        .filter_map(|entry| fs::read_to_string(entry.path().join("status")).ok())
        .map(|text| parse(&text))
        .collect()
}

fn parse(text: &str) -> Thread {
    let field = |name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim).unwrap_or("")
    };
    let set = |name: &str| u64::from_str_radix(field(name), 16).unwrap_or(0);
    Thread {
        effective: set("CapEff"),
        permitted: set("CapPrm"),
        bounding: set("CapBnd"),
        no_new_privs: field("NoNewPrivs") == "1",
        // 1 is the strict mode, which nothing here uses.
        has_filter: field("Seccomp") == "2",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_read_from_its_status() {
        let text = "Name:\tx\nCapPrm:\t0000000000200000\nCapEff:\t0000000000200001\nCapBnd:\t00000000000000ff\n\
                    NoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1\n";
        let thread = Thread {
            effective: 0x20_0001,
            permitted: 0x20_0000,
            bounding: 255,
            no_new_privs: true,
            has_filter: true,
        };
        assert_eq!(parse(text), thread);
        assert_eq!(parse(""), Thread::default());
    }

    #[test]
    fn one_thread_without_a_filter_is_enough_to_have_none() {
        let dir = tempfile::tempdir().unwrap();
        for (tid, seccomp) in [("1", "2"), ("2", "0")] {
            let task = dir.path().join(tid);
            fs::create_dir(&task).unwrap();
            fs::write(task.join("status"), format!("Seccomp:\t{seccomp}\n")).unwrap();
        }
        let read = threads(dir.path());
        assert_eq!(read.len(), 2);
        assert!(!read.iter().all(|thread| thread.has_filter));
    }

    #[test]
    fn a_process_that_was_never_restricted_lacks_all_of_it() {
        let missing = Hardening::default().missing();
        assert!(missing.iter().any(|words| words.contains("system calls")), "{missing:?}");
        let whole = Hardening {
            no_new_privs: true,
            seccomp: true,
            undumpable: true,
            oom_score_adj: -900,
            open_files_max: 1,
            core_bytes_max: Some(0),
            ..Hardening::default()
        };
        assert_eq!(whole.missing(), Vec::<String>::new());
        let refused = Hardening { refused: vec!["core size: no".to_owned()], ..whole };
        assert_eq!(refused.missing(), ["core size: no"]);
    }
}
