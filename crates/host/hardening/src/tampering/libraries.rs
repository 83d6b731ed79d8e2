//! Libraries that run in this process and come from where no system keeps its own.
//!
//! Not here: code that hides its mapping; whoever is loaded before us can.

use std::fs;
use std::path::{Path, PathBuf};

/// Where systems keep their libraries.
const SYSTEM: [&str; 5] = ["/lib/", "/lib64/", "/usr/lib/", "/usr/lib64/", "/nix/store/"];
/// Most of them that are named: a list is bounded, however it was made.
const NAMED_MAX: usize = 8;

/// The foreign libraries of this process, each given once.
#[derive(Debug)]
pub(super) struct Libraries {
    program: Option<PathBuf>,
    given: Vec<String>,
}

impl Libraries {
    /// Those of a process that runs this program, which is not one of them.
    pub(super) fn of(program: Option<PathBuf>) -> Self {
        Self { program, given: Vec::new() }
    }

    /// Executable mappings of files that are neither the program nor below a directory of the system, since the last look.
    pub(super) fn look(&mut self) -> Vec<String> {
        self.look_in(&fs::read_to_string("/proc/self/maps").unwrap_or_default())
    }

    fn look_in(&mut self, maps: &str) -> Vec<String> {
        let mut found: Vec<String> = maps.lines().filter_map(executable_file).map(str::to_owned).collect();
        found.retain(|path| self.program.as_deref().is_none_or(|program| Path::new(path) != program));
        found.retain(|path| !SYSTEM.iter().any(|dir| path.starts_with(dir)) && !self.given.contains(path));
        found.sort();
        found.dedup();
        found.truncate(NAMED_MAX.saturating_sub(self.given.len()));
        self.given.extend_from_slice(&found);
        found
    }
}

/// The file that a line of `maps` maps to be executed: address, rights, offset, device, inode, path.
fn executable_file(line: &str) -> Option<&str> {
    let rights = line.split_ascii_whitespace().nth(1)?;
    let path = &line[line.find('/')?..];
    rights.contains('x').then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_from_elsewhere_is_named_and_the_systems_are_not() {
        let maps = "5500-5600 r-xp 00000000 08:01 11 /opt/tidewatch\n\
                    5600-5700 r--p 00000000 08:01 12 /tmp/only-read.so\n\
                    7f00-7f10 r-xp 00000000 08:01 13 /usr/lib/x86_64-linux-gnu/libc.so.6\n\
                    7f10-7f20 r-xp 00000000 08:01 14 /tmp/a library.so (deleted)\n\
                    7f10-7f20 r-xp 00000000 08:01 14 /tmp/a library.so (deleted)\n\
                    7fff-7fff r-xp 00000000 00:00 0 [vdso]\n";
        let mut libraries = Libraries::of(Some(PathBuf::from("/opt/tidewatch")));
        assert_eq!(libraries.look_in(maps), ["/tmp/a library.so (deleted)"]);
        assert_eq!(libraries.look_in(maps), Vec::<String>::new(), "given already");
        let later = "7f20-7f30 r-xp 00000000 08:01 15 /tmp/later.so\n";
        assert_eq!(libraries.look_in(&format!("{maps}{later}")), ["/tmp/later.so"]);
    }

    #[test]
    fn this_test_runs_with_libraries_of_the_system_alone() {
        let program = fs::read_link("/proc/self/exe").unwrap();
        assert_eq!(Libraries::of(Some(program)).look(), Vec::<String>::new());
    }
}
