//! Readings of made-up hosts, well-formed and not, and of this one.

use expect_test::{Expect, expect};
use testkit::host_tree::FakeHost;

use super::*;

#[test]
fn every_field_but_engines_and_disks_is_filled() {
    let host = FakeHost::v2().unwrap();
    let usage = HostReader::open(&HostRoot::new(host.root())).unwrap().read().unwrap();
    expect![[r#"
        HostUsage {
            cores: 2,
            cpu: CpuTimes {
                user_ns: 406000000000,
                system_ns: 54390000000,
                idle_ns: 2326530000000,
                iowait_ns: 4640000000,
                irq_ns: 10000000,
                softirq_ns: 1080000000,
                steal_ns: 780000000,
            },
            kernel_threads_ns: None,
            kernel_work: None,
            engines: [],
            services: [],
            objects: KernelObjects {
                files: None,
                inodes: None,
                ptys: None,
                conntrack: None,
                threads: None,
                ports: None,
                sysv_shm: None,
                sysv_sem: None,
                sysv_msg: None,
                mounts: None,
                inotify_instances: None,
            },
            memory_total_bytes: 25276063744,
            memory_available_bytes: 24828219392,
            pressures: Pressures {
                cpu: Some(
                    Pressure {
                        some_avg10_percent: 0.89,
                        some_avg60_percent: 0.73,
                        full_avg10_percent: 0.1,
                        some_total_us: 23054811,
                    },
                ),
                memory: Some(
                    Pressure {
                        some_avg10_percent: 0.89,
                        some_avg60_percent: 0.73,
                        full_avg10_percent: 0.1,
                        some_total_us: 23054811,
                    },
                ),
                io: Some(
                    Pressure {
                        some_avg10_percent: 0.89,
                        some_avg60_percent: 0.73,
                        full_avg10_percent: 0.1,
                        some_total_us: 23054811,
                    },
                ),
            },
            tasks: 121,
            tasks_limit: 32768,
            runnable: 3,
            disks: [],
        }
    "#]]
    .assert_debug_eq(&usage);
}

/// Writes one file and shows the error.
fn check(path: &str, text: &[u8], expected: &Expect) {
    let host = FakeHost::v2().unwrap();
    host.write(path, text).unwrap();
    let error = HostReader::open(&HostRoot::new(host.root())).unwrap().read().unwrap_err().to_string();
    expected.assert_eq(&error.replace(&host.root().display().to_string(), "ROOT"));
}

#[test]
fn malformed_files_are_refused_by_name() {
    check(
        "proc/stat",
        b"",
        &expect![[r#""ROOT/proc/stat": lacks the line `cpu`, a core or `procs_running`"#]],
    );
    check(
        "proc/stat",
        b"cpu  1 2 3 4 5 6 7\ncpu0 1\nprocs_running 1\n",
        &expect![[r#""ROOT/proc/stat": lacks the line `cpu`, a core or `procs_running`"#]],
    );
    check("proc/meminfo", b"MemTotal: lots kB\n", &expect![[r#""ROOT/proc/meminfo": has no MemTotal"#]]);
    check("proc/meminfo", &[b'M'; 1024 * 1024], &expect![[r#""ROOT/proc/meminfo": has no MemTotal"#]]);
    check(
        "proc/loadavg",
        b"0.02 0.44 0.35 1-121 12654\n",
        &expect![[r#""ROOT/proc/loadavg": has no number of tasks"#]],
    );
    check(
        "proc/sys/kernel/pid_max",
        b"\xff\xff\n",
        &expect![[r#""ROOT/proc/sys/kernel/pid_max": is not a number"#]],
    );
    check(
        "proc/pressure/io",
        b"some avg10=\n",
        &expect![[r#""ROOT/proc/pressure/io": is not pressure-stall information"#]],
    );
}

#[test]
fn a_host_without_pressure_information_has_none() {
    let host = FakeHost::v2().unwrap();
    host.remove("proc/pressure").unwrap();
    let usage = HostReader::open(&HostRoot::new(host.root())).unwrap().read().unwrap();
    assert_eq!(usage.pressures, Pressures::default());
}

#[test]
fn a_long_stat_is_read_to_its_end_and_an_endless_one_refused() {
    let host = FakeHost::v2().unwrap();
    let stat = |middle: usize| {
        let text =
            format!("cpu  1 2 3 4 5 6 7 8\ncpu0 1\nintr {}\nprocs_running 9\n", "0 ".repeat(middle / 2));
        host.write("proc/stat", text.as_bytes()).unwrap();
        HostReader::open(&HostRoot::new(host.root())).unwrap().read()
    };
    assert_eq!(stat(1024 * 1024).unwrap().runnable, 9);
    assert!(matches!(stat(STAT_BYTES_MAX * 3), Err(HostfsError::Malformed { .. })));
}

#[test]
fn this_host_has_cores_memory_and_tasks() {
    let mut reader = HostReader::open(&HostRoot::new("/")).unwrap();
    let (first, second) = (reader.read().unwrap(), reader.read().unwrap());
    assert!(first.cores > 0 && first.tasks > 0 && first.tasks_limit > first.runnable);
    assert!(first.memory_available_bytes <= first.memory_total_bytes);
    assert!(second.cpu.user_ns >= first.cpu.user_ns && first.cpu.idle_ns > 0);
}
