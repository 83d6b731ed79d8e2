//! Engines and kernel threads on made-up hosts and on this one.

use expect_test::{Expect, expect};
use testkit::host_tree::{CONTAINER_NAMESPACES, FakeHost, FakeProcess, docker_cgroupfs};

use super::*;

fn refreshed(host: &FakeHost) -> EngineReader {
    let mut reader = EngineReader::new(&HostRoot::new(host.root())).unwrap();
    reader.refresh().unwrap();
    reader
}

fn show(engines: &[EngineUsage]) -> String {
    let line = |engine: &EngineUsage| {
        let id = engine.container_id.as_ref().map(|id| format!(" of {id}")).unwrap_or_default();
        let ms = engine.cpu_ns / 1_000_000;
        format!("{} {} {:?}{id} {ms} ms\n", engine.process.pid, engine.name, engine.role)
    };
    engines.iter().map(line).collect()
}

fn check(processes: &[FakeProcess], expected: &Expect) {
    let host = FakeHost::v2().unwrap();
    processes.iter().for_each(|process| host.process(process).unwrap());
    expected.assert_eq(&show(&refreshed(&host).read()));
}

fn shim(pid: u32, args: &[&str]) -> FakeProcess {
    FakeProcess { cpu_ticks: 3, ..FakeProcess::new(pid, "containerd-shim") }.with_args(args)
}

#[test]
fn daemons_and_shims_of_all_engines_are_found_with_their_containers() {
    check(
        &[
            FakeProcess { cpu_ticks: 101, ..FakeProcess::new(900, "dockerd") },
            FakeProcess::new(901, "containerd"),
            FakeProcess::new(902, "crio"),
            FakeProcess::new(903, "podman").with_args(&["podman", "--log-level=info", "system", "service"]),
            FakeProcess::new(904, "podman").with_args(&["podman", "ps", "system", "--service"]),
            shim(
                910,
                &["/usr/bin/containerd-shim-runc-v2", "-namespace", "moby", "-id", "ab12", "-address", "/x"],
            ),
            FakeProcess::new(911, "conmon").with_args(&[
                "conmon",
                "--api-version",
                "1",
                "-c",
                "cd34",
                "-u",
                "ef",
            ]),
            FakeProcess::new(912, "conmon").with_args(&["conmon", "--cid=56"]),
            FakeProcess::new(913, "conmon").with_args(&["conmon", "--cid", "78", "-c", "no"]),
            FakeProcess::new(920, "dockerx").with_args(&["docker", "run"]),
        ],
        &expect![[r#"
            900 dockerd Daemon 1010 ms
            901 containerd Daemon 0 ms
            902 crio Daemon 0 ms
            903 podman Daemon 0 ms
            910 containerd-shim Shim of ab12 30 ms
            911 conmon Shim of cd34 0 ms
            912 conmon Shim of 56 0 ms
            913 conmon Shim of 78 0 ms
        "#]],
    );
}

#[test]
fn clients_that_copy_output_and_loggers_are_found_and_other_commands_are_not() {
    let client = |pid, args: &[&str]| FakeProcess::new(pid, args[0]).with_args(args);
    check(
        &[
            client(800, &["docker", "-H", "unix:///x", "run", "busybox", "yes"]),
            client(801, &["docker", "ps"]),
            client(802, &["docker", "events"]),
            client(803, &["docker-compose", "compose", "up"]),
            client(804, &["podman", "logs", "-f", "web"]),
            client(805, &["podman", "run", "busybox", "system", "service"]),
            client(806, &["ctr", "tasks", "attach", "web"]),
            client(807, &["nerdctl", "start", "-a", "web"]),
            client(808, &["crictl", "exec", "web", "sh"]),
            client(809, &["crictl"]),
            FakeProcess { cpu_ticks: 7, ..FakeProcess::new(810, "systemd-journal") },
            FakeProcess::new(811, "rsyslogd"),
            FakeProcess::new(812, "fluent-bit"),
            FakeProcess::new(813, "rsyslogd").contained(&docker_cgroupfs("ab")),
            FakeProcess::new(814, "docker").with_args(&["docker", "logs"]).contained(&docker_cgroupfs("ab")),
        ],
        &expect![[r#"
            800 docker Client 0 ms
            803 docker-compose Client 0 ms
            804 podman Client 0 ms
            805 podman Client 0 ms
            806 ctr Client 0 ms
            807 nerdctl Client 0 ms
            808 crictl Client 0 ms
            810 systemd-journal Logger 70 ms
            811 rsyslogd Logger 0 ms
            812 fluent-bit Logger 0 ms
        "#]],
    );
}

#[test]
fn a_container_cannot_pose_as_an_engine() {
    let posing = shim(910, &["containerd-shim", "-id", "victim"]).contained(&docker_cgroupfs("ab"));
    check(&[posing, FakeProcess::new(911, "dockerd").contained("/docker/ab")], &expect![[r#""#]]);
}

#[test]
fn an_engine_in_a_mount_namespace_of_its_own_is_an_engine() {
    let mut dockerd = FakeProcess::new(900, "dockerd");
    dockerd.namespaces.mnt = CONTAINER_NAMESPACES.mnt;
    check(
        &[dockerd],
        &expect![[r#"
        900 dockerd Daemon 0 ms
    "#]],
    );
}

#[test]
fn hostile_command_lines_and_names_give_no_container() {
    let huge = FakeProcess { args: vec![vec![b'x'; 1024 * 1024], b"-id".to_vec()], ..shim(910, &[]) };
    let foreign =
        FakeProcess { args: vec![b"x".to_vec(), b"-id".to_vec(), b"\xff\x1b".to_vec()], ..shim(911, &[]) };
    let named = FakeProcess { name: b"dockerd) R 1 (\xff".to_vec(), ..FakeProcess::new(914, "x") };
    check(
        &[huge, foreign, shim(912, &["x", "-id"]), shim(913, &["x", "-id", ""]), named],
        &expect![[r#"
        910 containerd-shim Shim 30 ms
        911 containerd-shim Shim of �\u{1b} 30 ms
        912 containerd-shim Shim 30 ms
        913 containerd-shim Shim 30 ms
    "#]],
    );
}

#[test]
fn cpu_time_is_read_anew_and_a_reused_pid_not_taken_over() {
    let host = FakeHost::v2().unwrap();
    let dockerd = FakeProcess { cpu_ticks: 10, ..FakeProcess::new(900, "dockerd") };
    host.process(&dockerd).unwrap();
    let mut reader = refreshed(&host);
    host.process(&FakeProcess { cpu_ticks: 25, ..dockerd.clone() }).unwrap();
    assert_eq!(show(&reader.read()), "900 dockerd Daemon 250 ms\n");
    host.process(&FakeProcess { cpu_ticks: 99, start_ticks: 77_777, ..dockerd }).unwrap();
    assert_eq!(show(&reader.read()), "");
}

#[test]
fn a_new_engine_is_watched_when_noticed_and_others_are_not() {
    let host = FakeHost::v2().unwrap();
    let mut reader = refreshed(&host);
    host.process(&shim(910, &["containerd-shim", "-id", "ab"])).unwrap();
    host.process(&FakeProcess::new(911, "bash")).unwrap();
    assert_eq!([910, 911, 912].map(|pid| reader.notice(pid)), [true, false, false]);
    assert_eq!(show(&reader.read()), "910 containerd-shim Shim of ab 30 ms\n");
}

#[test]
fn a_fork_of_a_daemon_that_becomes_a_shim_changes_its_part() {
    let host = FakeHost::v2().unwrap();
    host.process(&FakeProcess::new(910, "containerd")).unwrap();
    let mut reader = refreshed(&host);
    let shim = shim(910, &["containerd-shim", "-id", "ab"]);
    host.process(&shim).unwrap();
    assert!(reader.notice(910));
    assert_eq!(show(&reader.read()), "910 containerd-shim Shim of ab 30 ms\n");
    host.process(&FakeProcess { name: b"bash".to_vec(), ..shim }).unwrap();
    assert!(!reader.notice(910));
    assert_eq!(show(&reader.read()), "");
}

#[test]
fn what_became_an_engine_unnoticed_is_found_within_eight_refreshes() {
    let host = FakeHost::v2().unwrap();
    host.process(&FakeProcess::new(900, "sh")).unwrap();
    let mut reader = refreshed(&host);
    host.process(&FakeProcess::new(900, "dockerd")).unwrap();
    (0..LOOK_AGAIN_IN).for_each(|_| reader.refresh().unwrap());
    assert_eq!(reader.read().len(), 1);
}

#[test]
fn the_sum_of_kernel_threads_does_not_fall_when_one_ends() {
    let host = FakeHost::v2().unwrap();
    let thread = |pid, cpu_ticks| FakeProcess { cpu_ticks, ..FakeProcess::kernel_thread(pid, "kworker/0:1") };
    let mut reader = EngineReader::new(&HostRoot::new(host.root())).unwrap();
    assert_eq!(reader.kernel_threads_ns(), None);
    host.process(&thread(20, 5)).unwrap();
    host.process(&thread(21, 7)).unwrap();
    // A user's program of that name is no kernel thread, child of pid 2 or not.
    host.process(&FakeProcess { cpu_ticks: 1000, parent_pid: 2, ..FakeProcess::new(22, "kworker/0:1") })
        .unwrap();
    reader.refresh().unwrap();
    assert_eq!(reader.kernel_threads_ns(), Some(120_000_000));
    host.process(&thread(20, 6)).unwrap();
    assert_eq!(reader.kernel_threads_ns(), Some(130_000_000));
    // The pid goes to another thread.
    host.process(&FakeProcess { start_ticks: 9999, ..thread(21, 1) }).unwrap();
    assert_eq!(reader.kernel_threads_ns(), Some(130_000_000));
    reader.refresh().unwrap();
    assert_eq!(reader.kernel_threads_ns(), Some(140_000_000));
}

#[test]
fn a_worker_s_growth_goes_to_the_work_it_is_found_doing() {
    let host = FakeHost::v2().unwrap();
    let worker = |name, cpu_ticks| FakeProcess { cpu_ticks, ..FakeProcess::kernel_thread(20, name) };
    let mut reader = EngineReader::new(&HostRoot::new(host.root())).unwrap();
    assert_eq!(reader.kernel_work(), None);
    host.process(&worker("kworker/u4:2-events_unbound", 5)).unwrap();
    host.process(&FakeProcess { cpu_ticks: 4, ..FakeProcess::kernel_thread(21, "ksoftirqd/0") }).unwrap();
    // A user's program by that name does no work of the kernel's.
    host.process(&FakeProcess { cpu_ticks: 9, ..FakeProcess::new(22, "kworker/u4:2+flush-254:0") }).unwrap();
    reader.refresh().unwrap();
    let mut read = |name, ticks| {
        host.process(&worker(name, ticks)).unwrap();
        (reader.kernel_threads_ns().unwrap() / 10_000_000, reader.kernel_work().unwrap())
    };
    let work = |writeback: u64, softirq: u64| KernelWork {
        writeback_ns: writeback * 10_000_000,
        softirq_ns: softirq * 10_000_000,
    };
    assert_eq!(read("kworker/u4:2-events_unbound", 6), (10, work(0, 4)));
    assert_eq!(read("kworker/u4:2+flush-254:0", 9), (13, work(3, 4)));
    assert_eq!(read("kworker/u4:2-events_unbound", 10), (14, work(3, 4)));
    host.end_process(20).unwrap();
    host.end_process(21).unwrap();
    assert_eq!(reader.kernel_threads_ns(), Some(140_000_000));
    assert_eq!(reader.kernel_work(), Some(work(3, 4)), "what was done stays done");
}

#[test]
fn more_kernel_threads_than_the_limit_are_counted() {
    let host = FakeHost::v2().unwrap();
    let threads_max = u32::try_from(KERNEL_THREADS_MAX).unwrap();
    for pid in 100..100 + threads_max {
        let line = format!("{pid} (kworker) S 2 0 0 0 -1 2129984 0 0 0 0 1 1 0 0 20 0 1 0 14 0 0\n");
        host.write(&format!("proc/{pid}/stat"), line.as_bytes()).unwrap();
    }
    let mut reader = refreshed(&host);
    // Pid 2 is one of them.
    assert_eq!(reader.left_out(), 1);
    reader.refresh().unwrap();
    assert_eq!(reader.left_out(), 1);
}

#[test]
fn a_host_whose_first_process_is_hidden_is_known_by_its_kernel_threads() {
    let host = FakeHost::v2().unwrap();
    host.remove("proc/1/ns").unwrap();
    assert_eq!(host_namespaces(&HostRoot::new(host.root())).unwrap(), testkit::host_tree::HOST_NAMESPACES);
    host.remove("proc/2").unwrap();
    let error = EngineReader::new(&HostRoot::new(host.root())).unwrap_err().to_string();
    assert!(error.ends_with("proc/1/ns/pid\" is gone"), "{error}");
}

#[test]
fn this_host_is_listed_and_its_sum_of_kernel_threads_does_not_fall() {
    let mut reader = EngineReader::new(&HostRoot::new("/")).unwrap();
    reader.refresh().unwrap();
    let before = reader.kernel_threads_ns();
    let work = reader.kernel_work();
    reader.refresh().unwrap();
    assert!(reader.kernel_threads_ns() >= before);
    assert_eq!(work.is_some(), before.is_some());
    assert!(reader.kernel_work().map(|work| work.writeback_ns) >= work.map(|work| work.writeback_ns));
    assert!(!reader.notice(std::process::id()));
}
