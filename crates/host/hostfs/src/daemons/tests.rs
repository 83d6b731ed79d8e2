//! Engines' processes on made-up hosts.

use expect_test::{Expect, expect};
use testkit::host_tree::{FakeHost, FakeProcess, HOST_NAMESPACES};

use super::*;

const HEADING: &str = "Num       RefCount Protocol Flags    Type St Inode Path\n";

fn finder(host: &FakeHost) -> DaemonFinder {
    let root = HostRoot::new(host.root());
    DaemonFinder::new(&root, &CgroupLayout::detect(&root).unwrap()).unwrap()
}

fn show(found: &[Found]) -> String {
    let line = |found: &Found| match found {
        Found::Daemon(it) => {
            let place = if it.sees_host { "" } else { " elsewhere" };
            format!("{} {:?} {} in {}{place}\n", it.process.pid, it.kind, it.program, it.cgroup)
        }
        Found::Shim { process, socket } => format!("{} shim of {}\n", process.pid, socket.display()),
        Found::Monitor { process, roots } => {
            format!("{} monitor in {} {}\n", process.pid, roots.graphroot.display(), roots.runroot.display())
        }
    };
    found.iter().map(line).collect()
}

fn check(processes: &[FakeProcess], expected: &Expect) {
    let host = FakeHost::v2().unwrap();
    host.cgroup("/system.slice/x.service").unwrap();
    processes.iter().for_each(|process| host.process(process).unwrap());
    expected.assert_eq(&show(&finder(&host).look_around().unwrap()));
}

fn process(pid: u32, args: &[&str]) -> FakeProcess {
    let name: String = args[0].rsplit('/').next().unwrap().chars().take(15).collect();
    FakeProcess::new(pid, &name).with_args(args)
}

#[test]
fn daemons_are_known_by_name_or_by_program_and_podman_by_what_it_does() {
    let renamed = FakeProcess { exe: "/opt/containerd (deleted)".to_owned(), ..process(905, &["x"]) };
    let in_service =
        FakeProcess { cgroup: "/system.slice/x.service".to_owned(), ..process(900, &["dockerd"]) };
    let mut elsewhere = process(901, &["containerd"]);
    elsewhere.namespaces.mnt = 7;
    check(
        &[
            in_service,
            elsewhere,
            process(902, &["crio"]),
            process(903, &["podman", "--log-level=info", "system", "service", "--time=0"]),
            process(904, &["podman", "run", "x"]),
            renamed,
            process(906, &["bash"]),
        ],
        &expect![[r#"
            900 Docker /usr/bin/dockerd in /system.slice/x.service
            901 Containerd /usr/bin/containerd in / elsewhere
            902 Crio /usr/bin/crio in /
            903 Podman /usr/bin/podman in /
            905 Containerd /opt/containerd (deleted) in /
        "#]],
    );
}

#[test]
fn shims_and_monitors_name_their_engine_s_socket_and_directories() {
    let pidfile = "/r/overlay-containers/ab/userdata/pidfile";
    check(
        &[
            process(
                910,
                &["/usr/bin/containerd-shim-runc-v2", "-namespace", "n", "-id", "ab", "-address", "/x.sock"],
            ),
            process(911, &["containerd-shim-runc-v2", "-id", "ab"]),
            process(
                912,
                &[
                    "conmon",
                    "-c",
                    "ab",
                    "-b",
                    "/g/overlay-containers/ab/userdata",
                    "-p",
                    pidfile,
                    "--exit-command",
                    "/usr/bin/podman",
                    "--exit-command-arg",
                    "--root",
                    "--exit-command-arg",
                    "/graph",
                    "--exit-command-arg",
                    "--runroot",
                    "--exit-command-arg",
                    "/run/graph",
                ],
            ),
            process(
                913,
                &["conmon", "-b", "/g/overlay-containers/ab/userdata", "-p", pidfile, "--exit-command", "x"],
            ),
            process(
                914,
                &["conmon", "-b", "/run/containers/storage/overlay-containers/ab/userdata", "-p", pidfile],
            ),
        ],
        &expect![[r#"
            910 shim of /x.sock
            912 monitor in /graph /run/graph
            913 monitor in /g /r
        "#]],
    );
}

#[test]
fn a_container_cannot_pose_as_an_engine() {
    let posing = process(920, &["dockerd"]).contained("/x");
    let shim = process(921, &["containerd-shim-runc-v2", "-address", "/x.sock"]).contained("/x");
    check(&[posing, shim], &expect![""]);
}

#[test]
fn a_fork_of_a_daemon_is_no_second_one_and_is_looked_at_again() {
    let host = FakeHost::v2().unwrap();
    host.process(&process(900, &["containerd"])).unwrap();
    let child = |args| FakeProcess { parent_pid: 900, ..process(901, args) };
    host.process(&child(&["containerd"])).unwrap();
    let mut finder = finder(&host);
    assert_eq!(show(&finder.look_around().unwrap()), "900 Containerd /usr/bin/containerd in /\n");
    host.process(&child(&["containerd-shim-runc-v2", "-address", "/x.sock"])).unwrap();
    assert_eq!(show(&finder.look_around().unwrap()), "901 shim of /x.sock\n");
}

#[test]
fn podman_goes_on_as_its_own_child_in_another_user_namespace() {
    let host = FakeHost::v2().unwrap();
    let service = ["podman", "system", "service"];
    host.process(&process(900, &service)).unwrap();
    host.process(&FakeProcess { parent_pid: 900, ..process(901, &service) }).unwrap();
    let mut finder = finder(&host);
    assert_eq!(show(&finder.look_around().unwrap()), "900 Podman /usr/bin/podman in /\n");
    let link = host.root().join("proc/901/ns/user");
    // The made-up host may have given it the same one as everybody.
    let _ = std::fs::remove_file(&link);
    std::os::unix::fs::symlink("user:[4026532397]", link).unwrap();
    assert_eq!(show(&finder.look_around().unwrap()), "901 Podman /usr/bin/podman in /\n");
}

#[test]
fn a_process_is_told_once_and_again_only_when_it_is_another() {
    let host = FakeHost::v2().unwrap();
    host.process(&process(900, &["crio"])).unwrap();
    let mut finder = finder(&host);
    assert_eq!(finder.look_around().unwrap().len(), 1);
    (0..LOOK_AGAIN_IN).for_each(|_| assert_eq!(finder.look_around().unwrap(), []));
    host.process(&FakeProcess { start_ticks: 99_999, ..process(900, &["crio"]) }).unwrap();
    let again: usize = (0..LOOK_AGAIN_IN).map(|_| finder.look_around().unwrap().len()).sum();
    assert_eq!(again, 1);
    host.process(&process(901, &["dockerd"])).unwrap();
    assert!(matches!(finder.notice(901), Some(Found::Daemon(it)) if it.kind == DaemonKind::Docker));
    assert_eq!(finder.look_around().unwrap(), []);
}

#[test]
fn a_daemon_s_sockets_are_those_that_it_holds_and_listens_at() {
    let host = FakeHost::v2().unwrap();
    host.process(&process(900, &["containerd"])).unwrap();
    host.open_files(900, &["socket:[11]", "/dev/null", "socket:[13]"]).unwrap();
    let table = format!("{HEADING}0: 2 0 00010000 0001 01 11 /x.sock\n0: 2 0 00010000 0001 01 12 /y.sock\n");
    host.write("proc/900/net/unix", table.as_bytes()).unwrap();
    let sockets = sockets_of(&HostRoot::new(host.root()), 900).unwrap();
    assert_eq!(sockets, [UnixListener { path: "/x.sock".into(), inode: 11 }]);
}

#[test]
fn whoever_holds_a_socket_is_found_and_rather_the_server_than_who_opened_it_for_it() {
    let host = FakeHost::v2().unwrap();
    host.process(&process(900, &["renamed"])).unwrap();
    host.process(&FakeProcess { namespaces: HOST_NAMESPACES, ..process(902, &["x"]) }.contained("/x"))
        .unwrap();
    for pid in [1, 900, 902] {
        host.open_files(pid, &["socket:[11]"]).unwrap();
    }
    let holder = finder(&host).holder(11).unwrap();
    assert_eq!((holder.process.pid, holder.kind), (900, DaemonKind::Other));
    assert_eq!(finder(&host).holder(12), None);
}

#[test]
fn arguments_are_found_in_every_spelling_and_cut_short_are_none() {
    let of = |args: &[&str]| {
        let args: Vec<String> = args.iter().map(|&word| word.to_owned()).collect();
        value_of(&args, "config").map(|path| path.display().to_string())
    };
    assert_eq!(of(&["x", "--config", "/a"]).as_deref(), Some("/a"));
    assert_eq!(of(&["x", "-config=/a"]).as_deref(), Some("/a"));
    assert_eq!(of(&["x", "--config-file", "/a", "--config="]), None);
    assert_eq!(of(&["--config", "/a"]), None, "the program's name is no argument");
    assert_eq!(of(&["x", "--config"]), None);
}
