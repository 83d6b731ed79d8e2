//! Libraries that run in this process and come from where no system keeps its own.
//!
//! Not here: code that hides its mapping; whoever is loaded before us can.

use std::fs;
use std::path::Path;

/// Where systems keep their libraries.
const SYSTEM: [&str; 5] = ["/lib/", "/lib64/", "/usr/lib/", "/usr/lib64/", "/nix/store/"];
/// Most of them that are named: a list is bounded, however it was made.
const NAMED_MAX: usize = 8;

/// Executable mappings of files that are neither the program nor below a directory of the system.
pub(super) fn foreign(program: Option<&Path>) -> Vec<String> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    foreign_in(&maps, program)
}

fn foreign_in(maps: &str, program: Option<&Path>) -> Vec<String> {
    let mut found: Vec<String> = maps.lines().filter_map(executable_file).map(str::to_owned).collect();
    found.retain(|path| program.is_none_or(|program| Path::new(path) != program));
    found.retain(|path| !SYSTEM.iter().any(|dir| path.starts_with(dir)));
    found.sort();
    found.dedup();
    found.truncate(NAMED_MAX);
    found
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
        let found = foreign_in(maps, Some(Path::new("/opt/tidewatch")));
        assert_eq!(found, ["/tmp/a library.so (deleted)"]);
    }

    #[test]
    fn this_test_runs_with_libraries_of_the_system_alone() {
        let program = fs::read_link("/proc/self/exe").unwrap();
        assert_eq!(foreign(Some(&program)), Vec::<String>::new());
    }
}
