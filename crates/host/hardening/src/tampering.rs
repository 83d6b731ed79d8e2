//! Noticing interference with ourselves: files replaced, the process traced, its protection taken back, foreign libraries.
//!
//! Not here: what it means (the fold), and interference before the start, which only the libraries show.

mod file;

mod libraries;

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use crate::in_force::Hardening;
use crate::tampering::file::Watched;
use crate::tampering::libraries::Libraries;

/// Variables that name code for the loader to run. One that only names a place to search, as `LD_LIBRARY_PATH`, is set on
/// honest hosts too; it counts by the library that it led to.
const LOADER_VARIABLES: [&str; 2] = ["LD_PRELOAD", "LD_AUDIT"];
/// Files whose libraries the loader puts into every process; absent on an honest host.
const PRELOAD: &str = "/etc/ld.so.preload";
/// Looks between two at the files: one `stat` each is cheap, but a process that is traced has to be seen sooner.
const FILES_EVERY: u64 = 10;

/// One thing that was noticed; each is given once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tampering {
    /// A file of ours changed.
    File {
        /// The file.
        path: PathBuf,
        /// Replaced, removed, written, made.
        how: &'static str,
    },
    /// The process itself was interfered with.
    Process {
        /// `process`, `environment` or `protection`.
        what: &'static str,
        /// How.
        how: String,
    },
}

/// What is watched, and how it was at the last look.
#[derive(Debug)]
pub struct Watch {
    files: Vec<Watched>,
    protection: Option<Hardening>,
    traced_by: Option<u32>,
    at_start: Vec<Tampering>,
    libraries: Libraries,
    looks: u64,
}

impl Watch {
    /// Watches our program, the loader's list, and these files (settings, strategies).
    pub fn new(files: &[PathBuf]) -> Self {
        // The link shows another text once the file is replaced; here it is still that of our program.
        let program = fs::read_link("/proc/self/exe").ok();
        let paths = program.iter().cloned().chain([PathBuf::from(PRELOAD)]).chain(files.iter().cloned());
        Self {
            files: paths.map(Watched::now).collect(),
            protection: None,
            traced_by: None,
            at_start: named_code(),
            libraries: Libraries::of(program),
            looks: 0,
        }
    }

    /// What changed since the last look; call it once a second.
    pub fn look(&mut self) -> Vec<Tampering> {
        let mut found = std::mem::take(&mut self.at_start);
        found.extend(self.tracer());
        if self.looks.is_multiple_of(FILES_EVERY) {
            found.extend(self.files.iter_mut().filter_map(Watched::look));
            found.extend(self.protection());
            let foreign = self.libraries.look().into_iter();
            found.extend(foreign.map(|path| process("process", format!("runs with the library {path}"))));
        }
        self.looks += 1;
        found
    }

    fn tracer(&mut self) -> Option<Tampering> {
        let tracer = tracer_in(&fs::read_to_string("/proc/self/status").ok()?);
        let before = std::mem::replace(&mut self.traced_by, tracer);
        let pid = tracer.filter(|_| before != tracer)?;
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        Some(process("process", format!("traced by process {pid} ({})", name.trim())))
    }

    /// What was in force once and is not any more: limits and scores can be set by root from outside.
    fn protection(&mut self) -> Option<Tampering> {
        let now = Hardening::read(&[]);
        let before = self.protection.replace(now.clone())?;
        let had = before.missing();
        let lost: Vec<String> = now.missing().into_iter().filter(|words| !had.contains(words)).collect();
        let raised = now.oom_score_adj > before.oom_score_adj;
        let score = raised.then(|| format!("oom_score_adj raised to {}", now.oom_score_adj));
        let all: Vec<String> = lost.into_iter().chain(score).collect();
        (!all.is_empty()).then(|| process("protection", all.join("; ")))
    }
}

fn process(what: &'static str, how: String) -> Tampering {
    Tampering::Process { what, how }
}

/// The variables of the loader that were set when this process started.
fn named_code() -> Vec<Tampering> {
    let variables = LOADER_VARIABLES.iter().filter_map(|name| Some((*name, std::env::var_os(name)?)));
    variables.map(|(name, value)| process("environment", variable(name, &value))).collect()
}

fn variable(name: &str, value: &OsString) -> String {
    format!("{name}={}", value.to_string_lossy())
}

/// The process that traces the one whose `status` this is.
fn tracer_in(status: &str) -> Option<u32> {
    let text = status.lines().find_map(|line| line.strip_prefix("TracerPid:"))?;
    text.trim().parse().ok().filter(|pid| *pid != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_traces_a_process_stands_in_its_status() {
        assert_eq!(tracer_in("Name:\tx\nTracerPid:\t0\n"), None);
        assert_eq!(tracer_in("Name:\tx\nTracerPid:\t77\nUid:\t0\n"), Some(77));
        assert_eq!(tracer_in(""), None);
    }

    #[test]
    fn a_search_path_that_led_to_no_library_is_not_interference() {
        // Cargo sets `LD_LIBRARY_PATH` for every test.
        assert!(std::env::var_os("LD_LIBRARY_PATH").is_some());
        assert_eq!(Watch::new(&[]).look(), []);
    }

    #[test]
    fn a_changed_file_is_given_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("settings.toml");
        fs::write(&path, "a = 1").unwrap();
        let mut watch = Watch::new(std::slice::from_ref(&path));
        let mut about = |looks: u64| {
            let found = (0..looks).flat_map(|_| watch.look()).collect::<Vec<_>>();
            let is_it =
                |one: &Tampering| matches!(one, Tampering::File { path: about, .. } if *about == path);
            found.into_iter().filter(is_it).count()
        };
        assert_eq!(about(FILES_EVERY), 0, "nothing changed");
        fs::write(&path, "a = 200").unwrap();
        assert_eq!(about(3 * FILES_EVERY), 1, "written");
        fs::remove_file(&path).unwrap();
        assert_eq!(about(3 * FILES_EVERY), 1, "removed");
    }

    #[test]
    fn protection_that_was_never_there_is_not_lost() {
        let mut watch = Watch::new(&[]);
        assert_eq!(watch.protection(), None);
        assert_eq!(watch.protection(), None);
    }

    #[test]
    fn protection_that_is_taken_back_is_told() {
        let mut watch = Watch::new(&[]);
        watch.protection = Some(Hardening { seccomp: true, oom_score_adj: -900, ..Hardening::default() });
        let Some(Tampering::Process { what, how }) = watch.protection() else { panic!("nothing") };
        assert_eq!(what, "protection");
        assert!(how.contains("no filter of system calls") && how.contains("oom_score_adj raised"), "{how}");
    }
}
