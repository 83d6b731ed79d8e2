//! Exec, exit and fork.
//!
//! Not here: what a flood of them does, see `tally.rs`.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use model::event::{Body, Exec, Exit};
use probes::Probes;

use crate::host::{TestCgroup, counts_of, load, settle, until};

fn exec_named(probes: &mut Probes, argument: &str) -> Exec {
    let fits = |body: &Body| matches!(body, Body::Exec(exec) if exec.args.raw().contains(argument) && exec.name.raw() != "bash");
    let last = until(probes, argument, fits).into_iter().rev().find(|record| fits(&record.body));
    match last.unwrap().body {
        Body::Exec(exec) => *exec,
        other => panic!("{other:?}"),
    }
}

fn exit_of(probes: &mut Probes, pid: u32) -> Exit {
    let fits = |body: &Body| matches!(body, Body::Exit(exit) if exit.process.pid == pid);
    let records = until(probes, "the exit", fits);
    let exits: Vec<Exit> = records
        .into_iter()
        .filter_map(|record| match record.body {
            Body::Exit(exit) if exit.process.pid == pid => Some(exit),
            _ => None,
        })
        .collect();
    assert_eq!(exits.len(), 1, "one process, one exit: {exits:?}");
    exits.into_iter().next().unwrap()
}

#[test]
fn an_exec_is_seen_with_its_arguments_cgroup_and_namespaces() {
    let cgroup = TestCgroup::new();
    let mut probes = load();
    assert!(cgroup.run("exec /usr/bin/env true first-of-all 'second one'").success());
    let exec = exec_named(&mut probes, "first-of-all");
    let inode = |name: &str| fs::metadata(format!("/proc/self/ns/{name}")).unwrap().ino() as u32;
    assert_eq!(exec.cgroup, cgroup.id);
    assert_eq!(exec.args.raw(), "true first-of-all second one");
    assert_eq!(exec.name.raw(), "true");
    assert!(exec.path.raw().ends_with("/true"), "{}", exec.path);
    assert_eq!((exec.uid, exec.parent_pid), (0, std::process::id()));
    let seen = [exec.namespaces.pid, exec.namespaces.mnt, exec.namespaces.net];
    assert_eq!(seen, [inode("pid"), inode("mnt"), inode("net")]);
}

#[test]
fn new_namespaces_and_users_are_seen() {
    let mut probes = load();
    let script =
        "exec unshare --pid --mount --net --fork setpriv --reuid 4711 --clear-groups true in-new-namespaces";
    assert!(Command::new("bash").args(["-c", script]).status().unwrap().success());
    let fits = |body: &Body| matches!(body, Body::Exec(exec) if exec.args.raw() == "true in-new-namespaces");
    let records = until(&mut probes, "the exec", fits);
    let Some(Body::Exec(exec)) = records.into_iter().map(|record| record.body).find(fits) else { panic!() };
    let inode = |name: &str| fs::metadata(format!("/proc/self/ns/{name}")).unwrap().ino() as u32;
    assert_eq!(exec.uid, 4711);
    assert_ne!(exec.namespaces.pid, inode("pid"));
    assert_ne!(exec.namespaces.mnt, inode("mnt"));
    assert_ne!(exec.namespaces.net, inode("net"));
}

#[test]
fn the_process_key_is_the_one_proc_tells() {
    let mut probes = load();
    let mut child = Command::new("sleep").arg("31.41").spawn().unwrap();
    let exec = exec_named(&mut probes, "31.41");
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let ticks: u64 = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(19).unwrap().parse().unwrap();
    assert_eq!((exec.process.pid, exec.process.start_ns), (child.id(), ticks * 10_000_000));
    let exit = exit_of(&mut probes, child.id());
    assert_eq!(exit.process, exec.process);
    assert_eq!((exit.status, exit.signal, exit.core_dumped, exit.name.raw()), (0, 9, false, "sleep"));
}

#[test]
fn an_exit_tells_status_and_core_dump() {
    let cgroup = TestCgroup::new();
    let mut probes = load();
    let mut child = cgroup.command("exit 7").spawn().unwrap();
    child.wait().unwrap();
    let exit = exit_of(&mut probes, child.id());
    assert_eq!((exit.cgroup, exit.status, exit.signal, exit.core_dumped), (cgroup.id, 7, 0, false));

    let dumped = std::env::temp_dir().join(format!("probes-test-core-{}", std::process::id()));
    fs::create_dir_all(&dumped).unwrap();
    let mut child =
        cgroup.command("ulimit -c unlimited; kill -SEGV $$").current_dir(&dumped).spawn().unwrap();
    child.wait().unwrap();
    fs::remove_dir_all(&dumped).unwrap();
    let exit = exit_of(&mut probes, child.id());
    assert_eq!((exit.status, exit.signal, exit.core_dumped), (0, 11, true));
    assert_eq!(counts_of(&probes, cgroup.id).core_dumps, 1);
}

#[test]
fn a_process_of_many_threads_ends_once() {
    let mut probes = load();
    // A compiler is not everywhere; this very binary lists its tests with threads of its own only when it runs them.
    let us = std::env::current_exe().unwrap();
    let quick = ["--exact", "processes::sixteen_threads_run_side_by_side", "--test-threads", "4", "--quiet"];
    let mut child = Command::new(us).args(quick).stdout(std::process::Stdio::null()).spawn().unwrap();
    assert!(child.wait().unwrap().success());
    exit_of(&mut probes, child.id());
    let again = settle(&mut probes);
    let told =
        |record: &&probes::Record| matches!(&record.body, Body::Exit(exit) if exit.process.pid == child.id());
    assert_eq!(again.iter().filter(told).count(), 0);
}

#[test]
fn sixteen_threads_run_side_by_side() {
    let threads: Vec<_> = (0..16).map(|number| std::thread::spawn(move || number)).collect();
    let sum: u32 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert_eq!(sum, 120);
}

#[test]
fn forks_and_threads_are_counted_apart() {
    let cgroup = TestCgroup::new();
    let probes = load();
    cgroup.run("for i in 1 2 3 4 5; do (exit 0); done");
    let counts = counts_of(&probes, cgroup.id);
    // The shell itself was forked outside, and entered.
    assert_eq!((counts.forks, counts.execs, counts.exits), (5, 0, 6));
    let us = std::env::current_exe().unwrap();
    let threads = format!(
        "exec {} --exact processes::sixteen_threads_run_side_by_side --quiet >/dev/null",
        us.display()
    );
    assert!(cgroup.run(&threads).success());
    let counts = counts_of(&probes, cgroup.id);
    assert_eq!(counts.forks, 5);
    assert!(counts.threads >= 16, "{counts:?}");
}
