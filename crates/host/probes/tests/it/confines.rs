//! Whose root a process has and whose file it runs, and processes that execute nothing.
//!
//! Not here: what is made of it (`enrich`).

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Command;

use model::confines::Confines;
use model::event::{Body, Exec};
use probes::Probes;

use crate::host::{load, until};

/// A directory that holds a copy of a program, as the root of a container does. Removed on drop.
struct OwnRoot(PathBuf);

impl OwnRoot {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("probes-test-{name}-{}", std::process::id()));
        fs::create_dir_all(dir.join("proc")).unwrap();
        Self(dir)
    }

    /// Runs a shell script in which `$ROOT` is this directory, in namespaces of its own.
    fn run(&self, namespaces: &str, script: &str) {
        let line = format!("exec unshare {namespaces} sh -ec '{script}'");
        let status = Command::new("bash").args(["-c", &line]).env("ROOT", &self.0).status().unwrap();
        assert!(status.success(), "{line}: {status}");
    }
}

impl Drop for OwnRoot {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn confines_of(probes: &mut Probes, argument: &str) -> Confines {
    let fits = |body: &Body| matches!(body, Body::Exec(exec) if exec.args.raw().ends_with(argument) && exec.path.raw().ends_with("/true"));
    let last = until(probes, argument, fits).into_iter().rev().find(|record| fits(&record.body)).unwrap();
    let Body::Exec(exec) = last.body else { panic!() };
    exec.confines.unwrap()
}

/// What a program with libraries needs in a root that has only `/usr`.
const LINKS: &str = "ln -s usr/lib $ROOT/lib; ln -s usr/lib64 $ROOT/lib64; ln -s usr/bin $ROOT/bin;";

#[test]
fn a_program_of_the_host_has_the_hosts_root() {
    let mut probes = load();
    assert!(Command::new("true").arg("on-the-host").status().unwrap().success());
    let confines = confines_of(&mut probes, "on-the-host");
    assert!(!confines.has_own_root && !confines.has_own_users);
    assert_eq!(confines.root.inode, fs::metadata("/").unwrap().ino());
    assert!(confines.pid_inside > 1);
}

#[test]
fn a_root_and_a_file_of_its_own_are_seen() {
    let mut probes = load();
    let root = OwnRoot::new("own");
    // A copy of its own, and the libraries it needs as the host has them.
    let script = format!(
        "mkdir $ROOT/usr $ROOT/own; mount --bind /usr $ROOT/usr; {LINKS} cp /usr/bin/true $ROOT/own/; chroot $ROOT /own/true of-its-own"
    );
    root.run("--mount --pid --fork", &script);
    let confines = confines_of(&mut probes, "of-its-own");
    assert!(confines.has_own_root && !confines.file.is_in_place, "{confines:?}");
    assert!(confines.has_own_files(0, None));
    assert_eq!(confines.root.inode, fs::metadata(&root.0).unwrap().ino());
}

#[test]
fn a_sandbox_of_the_hosts_directories_runs_no_files_of_its_own() {
    let mut probes = load();
    let root = OwnRoot::new("sandbox");
    let sandbox = |what: &str| {
        format!(
            "mount -t tmpfs none $ROOT; mkdir $ROOT/usr $ROOT/moved; mount --bind /usr $ROOT/usr; mount --bind /usr/bin $ROOT/moved; {LINKS} chroot $ROOT {what}"
        )
    };
    root.run("--mount", &sandbox("/usr/bin/true in-its-place"));
    let confines = confines_of(&mut probes, "in-its-place");
    assert!(confines.has_own_root && confines.file.is_in_place && confines.file.is_on_hosts, "{confines:?}");
    assert!(!confines.has_own_files(0, None));
    root.run("--mount", &sandbox("/moved/true elsewhere"));
    let confines = confines_of(&mut probes, "elsewhere");
    assert!(!confines.file.is_in_place && confines.has_own_files(0, None), "{confines:?}");
}

#[test]
fn a_user_namespace_is_seen_and_whose_the_file_is() {
    let mut probes = load();
    let root = OwnRoot::new("users");
    root.run("--user --map-root-user", "exec /usr/bin/true in-a-user-namespace");
    let confines = confines_of(&mut probes, "in-a-user-namespace");
    assert!(confines.has_own_users && !confines.has_own_root);
}

#[test]
fn one_that_is_cloned_into_a_pid_namespace_and_executes_nothing_is_told_of_twice() {
    let mut probes = load();
    // The shell forks in the new namespace, and its child ends without an exec.
    let line = "exec unshare --pid --mount --net sh -c '(exit 9); :'";
    assert!(Command::new("bash").args(["-c", line]).status().unwrap().success());
    let host = fs::metadata("/proc/self/ns/pid").unwrap().ino() as u32;
    let records = until(&mut probes, "its end", |body| matches!(body, Body::Exit(exit) if exit.status == 9));
    let told: Vec<Exec> = records
        .into_iter()
        .filter_map(|record| match record.body {
            Body::Process(exec) if exec.namespaces.pid != host => Some(*exec),
            _ => None,
        })
        .collect();
    let [born, ended] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((born.process, born.namespaces), (ended.process, ended.namespaces));
    assert_eq!(born.lineage.unwrap().parent_namespaces.pid, host);
    assert!(born.path.is_empty());
    let confines = born.confines.unwrap();
    assert_eq!((confines.pid_inside, confines.has_own_root), (1, false));
}
