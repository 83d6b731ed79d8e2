//! Readings of made-up cgroups of every layout, well-formed and not, and of one of this host's.

use expect_test::{Expect, expect};
use model::usage::{Pressure, Pressures};
use testkit::host_tree::{FakeHost, docker_cgroupfs};

use super::*;
use crate::root::HostRoot;
use crate::tree::CgroupTree;

fn open(host: &FakeHost, path: &str) -> CgroupReader {
    let layout = CgroupLayout::detect(&HostRoot::new(host.root())).unwrap();
    CgroupReader::open(&layout, Path::new(path), host.cgroup_id(path).unwrap()).unwrap()
}

fn show(usage: &Usage) -> String {
    let pressure = |pressure: Option<Pressure>| {
        pressure.map(|p| (p.some_avg10_percent, p.some_avg60_percent, p.full_avg10_percent, p.some_total_us))
    };
    let Pressures { cpu, memory, io } = usage.pressures;
    format!(
        "cpu {:?} throttled {:?} of {:?} for {:?} limit {:?}\nmemory {:?} limit {:?} oom {:?} of {:?}\n\
         working set {:?} swap {:?} major faults {:?}\npids {:?} limit {:?}\n\
         io {:?} {:?} {:?}\npressure {:?} {:?} {:?}",
        usage.cpu_ns,
        usage.throttled_periods,
        usage.periods,
        usage.throttled_ns,
        usage.cpu_limit_cores,
        usage.memory_bytes,
        usage.memory_limit_bytes,
        usage.oom_kills,
        usage.oom_events,
        usage.memory_working_set_bytes,
        usage.memory_swap_bytes,
        usage.major_faults,
        usage.pids,
        usage.pids_limit,
        usage.io_read_bytes,
        usage.io_write_bytes,
        usage.io_operations,
        pressure(cpu),
        pressure(memory),
        pressure(io),
    )
}

/// Writes files given as (controller or `""` for v2, name, text) into a container's cgroup and shows a reading.
fn check(host: &FakeHost, files: &[(&str, &str, &str)], problems: u64, expected: &Expect) {
    let path = docker_cgroupfs("ab");
    let id = host.cgroup(&path).unwrap();
    for (controller, name, text) in files {
        host.write(&host.cgroup_file(controller, &path, name), text.as_bytes()).unwrap();
    }
    let mut reader = open(host, &path);
    let usage = reader.read().unwrap();
    expected.assert_eq(&show(&usage));
    assert_eq!((usage.cgroup, reader.problems()), (id, problems));
}

const BUSY_V2: [(&str, &str, &str); 11] = [
    (
        "",
        "cpu.stat",
        "usage_usec 2500000\nuser_usec 1\nsystem_usec 2\nnr_periods 40\nnr_throttled 7\nthrottled_usec 900\n",
    ),
    ("", "cpu.max", "150000 100000\n"),
    ("", "memory.current", "104857600\n"),
    ("", "memory.max", "268435456\n"),
    ("", "memory.events", "low 0\nhigh 0\nmax 3\noom 5\noom_kill 2\noom_group_kill 0\n"),
    ("", "memory.stat", "anon 1\nfile 2\ninactive_file 4857600\nactive_file 3\npgfault 900\npgmajfault 12\n"),
    ("", "memory.swap.current", "8192\n"),
    ("", "pids.current", "17\n"),
    ("", "pids.max", "100\n"),
    (
        "",
        "io.stat",
        "8:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=5 dios=6\n253:0 \n8:16 rbytes=1 wbytes=2 rios=3 wios=4\n",
    ),
    (
        "",
        "memory.pressure",
        "some avg10=12.34 avg60=5.00 avg300=1.00 total=99\nfull avg10=3.50 avg60=0.00 avg300=0.00 total=1\n",
    ),
];

const BUSY_V1: [(&str, &str, &str); 11] = [
    ("cpuacct", "cpuacct.usage", "2500000001\n"),
    ("cpu", "cpu.cfs_quota_us", "150000\n"),
    ("cpu", "cpu.stat", "nr_periods 40\nnr_throttled 7\nthrottled_time 900000\n"),
    ("memory", "memory.usage_in_bytes", "104857600\n"),
    ("memory", "memory.limit_in_bytes", "268435456\n"),
    ("memory", "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"),
    (
        "memory",
        "memory.stat",
        "inactive_file 1\npgmajfault 1\nswap 1\ntotal_swap 8192\ntotal_pgmajfault 12\ntotal_inactive_file 4857600\n",
    ),
    ("pids", "pids.current", "17\n"),
    ("pids", "pids.max", "100\n"),
    (
        "blkio",
        "blkio.throttle.io_service_bytes",
        "8:0 Read 4096\n8:0 Write 8192\n8:0 Sync 1\n8:0 Async 1\n8:0 Discard 0\n8:0 Total 12288\n8:16 Read 1\n\
         8:16 Write 2\n8:16 Total 3\nTotal 12291\n",
    ),
    ("blkio", "blkio.throttle.io_serviced", "8:0 Read 1\n8:0 Write 2\n8:16 Read 3\n8:16 Write 4\nTotal 10\n"),
];

#[test]
fn a_busy_container_is_read_in_full_on_v2() {
    check(
        &FakeHost::v2().unwrap(),
        &BUSY_V2,
        0,
        &expect![[r#"
            cpu Some(2500000000) throttled Some(7) of Some(40) for Some(900000) limit Some(1.5)
            memory Some(104857600) limit Some(268435456) oom Some(2) of Some(5)
            working set Some(100000000) swap Some(8192) major faults Some(12)
            pids Some(17) limit Some(100)
            io Some(4097) Some(8194) Some(10)
            pressure Some((0.0, 0.0, 0.0, 7539)) Some((12.34, 5.0, 3.5, 99)) Some((0.0, 0.0, 0.0, 7539))"#]],
    );
}

#[test]
fn a_busy_container_is_read_in_full_on_v1_but_for_pressure() {
    check(
        &FakeHost::v1().unwrap(),
        &BUSY_V1,
        0,
        &expect![[r#"
            cpu Some(2500000001) throttled Some(7) of Some(40) for Some(900000) limit Some(1.5)
            memory Some(104857600) limit Some(268435456) oom Some(2) of None
            working set Some(100000000) swap Some(8192) major faults Some(12)
            pids Some(17) limit Some(100)
            io Some(4097) Some(8194) Some(10)
            pressure None None None"#]],
    );
}

#[test]
fn joined_hierarchies_are_read_like_separate_ones() {
    check(
        &FakeHost::v1_joined().unwrap(),
        &BUSY_V1,
        0,
        &expect![[r#"
            cpu Some(2500000001) throttled Some(7) of Some(40) for Some(900000) limit Some(1.5)
            memory Some(104857600) limit Some(268435456) oom Some(2) of None
            working set Some(100000000) swap Some(8192) major faults Some(12)
            pids Some(17) limit Some(100)
            io Some(4097) Some(8194) Some(10)
            pressure None None None"#]],
    );
}

#[test]
fn a_hybrid_host_gives_cpu_time_and_pressure_from_v2_and_the_rest_from_v1() {
    let mut files = BUSY_V1.to_vec();
    files.push(("", "cpu.stat", "usage_usec 2600000\n"));
    check(
        &FakeHost::hybrid().unwrap(),
        &files,
        0,
        &expect![[r#"
            cpu Some(2600000000) throttled Some(7) of Some(40) for Some(900000) limit Some(1.5)
            memory Some(104857600) limit Some(268435456) oom Some(2) of None
            working set Some(100000000) swap Some(8192) major faults Some(12)
            pids Some(17) limit Some(100)
            io Some(4097) Some(8194) Some(10)
            pressure Some((0.0, 0.0, 0.0, 7539)) Some((0.0, 0.0, 0.0, 7539)) Some((0.0, 0.0, 0.0, 7539))"#]],
    );
}

#[test]
fn an_idle_container_without_limits_has_zeros_and_no_limits() {
    let expected = expect![[r#"
        cpu Some(26004000) throttled Some(0) of Some(0) for Some(0) limit None
        memory Some(4096) limit None oom Some(0) of Some(0)
        working set Some(3072) swap Some(0) major faults Some(0)
        pids Some(1) limit None
        io Some(0) Some(0) Some(0)
        pressure Some((0.0, 0.0, 0.0, 7539)) Some((0.0, 0.0, 0.0, 7539)) Some((0.0, 0.0, 0.0, 7539))"#]];
    check(&FakeHost::v2().unwrap(), &[], 0, &expected);
    check(
        &FakeHost::v1().unwrap(),
        &[],
        0,
        &expect![[r#"
            cpu Some(26004669) throttled Some(0) of Some(0) for Some(0) limit None
            memory Some(4096) limit None oom Some(0) of None
            working set Some(3072) swap Some(0) major faults Some(0)
            pids Some(1) limit None
            io Some(0) Some(0) Some(0)
            pressure None None None"#]],
    );
}

#[test]
fn malformed_and_torn_values_are_none_and_counted() {
    let files = [
        ("", "cpu.stat", "usage_usec 25000"),
        ("", "cpu.max", "fast 0\n"),
        ("", "memory.current", "-5\n"),
        ("", "memory.max", "99999999999999999999999\n"),
        ("", "memory.events", "oom_kill\n"),
        ("", "memory.stat", "inactive_file_ 5\npgmajfault -1\n"),
        ("", "memory.swap.current", "none\n"),
        ("", "pids.current", "\n"),
        ("", "pids.max", ""),
        ("", "io.stat", "8:0 rbytes=many wbytes=1\n"),
        ("", "cpu.pressure", "some avg10=NaN avg60=0 avg300=0 total=0\n"),
        ("", "memory.pressure", "none avg10=0.00\n"),
        ("", "io.pressure", "full avg10=0.00 avg60=0.00 avg300=0.00 total=4\n"),
    ];
    check(
        &FakeHost::v2().unwrap(),
        &files,
        13,
        &expect![[r#"
            cpu None throttled None of None for None limit None
            memory None limit None oom None of None
            working set None swap None major faults None
            pids None limit None
            io None None None
            pressure None None None"#]],
    );
    let files = [
        ("cpuacct", "cpuacct.usage", "12 34\n"),
        ("cpu", "cpu.cfs_period_us", "0\n"),
        ("cpu", "cpu.cfs_quota_us", "50000\n"),
        ("cpu", "cpu.stat", "throttled_time 1\n"),
        ("memory", "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\n"),
        ("memory", "memory.stat", "inactive_file 5\ntotal_swap x\n"),
        ("blkio", "blkio.throttle.io_service_bytes", "8:0 Read 4096\n"),
        ("blkio", "blkio.throttle.io_serviced", "Total\n"),
    ];
    check(
        &FakeHost::v1().unwrap(),
        &files,
        7,
        &expect![[r#"
            cpu None throttled None of None for Some(1) limit None
            memory Some(4096) limit None oom None of None
            working set None swap None major faults None
            pids Some(1) limit None
            io None None None
            pressure None None None"#]],
    );
}

#[test]
fn huge_and_foreign_files_are_none_and_counted() {
    let host = FakeHost::v2().unwrap();
    let path = docker_cgroupfs("ab");
    host.cgroup(&path).unwrap();
    let line = b"8:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=5 dios=6\n";
    host.write(&host.cgroup_file("", &path, "io.stat"), &line.repeat(1024 * 1024 / line.len())).unwrap();
    host.write(&host.cgroup_file("", &path, "memory.current"), &[b'1'; 1024 * 1024]).unwrap();
    host.write(&host.cgroup_file("", &path, "cpu.stat"), b"\xff\xfe\x00usage_usec 1\n").unwrap();
    let mut reader = open(&host, &path);
    let usage = reader.read().unwrap();
    assert_eq!((usage.io_read_bytes, usage.memory_bytes, usage.cpu_ns), (None, None, None));
    assert_eq!((usage.pids, reader.problems()), (Some(1), 3));
}

#[test]
fn no_file_kind_accepts_the_text_that_stands_for_unreadable() {
    for host in [FakeHost::v1(), FakeHost::v2(), FakeHost::hybrid()] {
        let host = host.unwrap();
        let layout = CgroupLayout::detect(&HostRoot::new(host.root())).unwrap();
        let mut reader = open(&host, "/");
        reader.read().unwrap();
        for kind in file_kinds(&layout) {
            assert!(!(kind.parse)(UNREADABLE, &mut reader.draft), "{}", kind.name);
        }
        let nothing = Usage { cgroup: reader.cgroup(), ..Usage::default() };
        assert_eq!(reader.draft.usage, nothing);
    }
}

#[test]
fn a_working_set_needs_the_memory_it_is_part_of_and_is_never_negative() {
    let host = FakeHost::v2().unwrap();
    let path = docker_cgroupfs("ab");
    host.cgroup(&path).unwrap();
    let write = |name: &str, text: &str| {
        host.write(&host.cgroup_file("", &path, name), text.as_bytes()).unwrap();
    };
    // The kernel counts cache in batches and may tell of more than there is.
    write("memory.stat", "inactive_file 9000\n");
    assert_eq!(open(&host, &path).read().unwrap().memory_working_set_bytes, Some(0));
    write("memory.current", "much\n");
    assert_eq!(open(&host, &path).read().unwrap().memory_working_set_bytes, None);
}

#[test]
fn hot_readings_carry_limits_along_and_every_fifth_reads_them() {
    let host = FakeHost::v2().unwrap();
    let path = docker_cgroupfs("ab");
    host.cgroup(&path).unwrap();
    let write = |name: &str, text: &str| {
        host.write(&host.cgroup_file("", &path, name), text.as_bytes()).unwrap();
    };
    write("pids.max", "100\n");
    let mut reader = open(&host, &path);
    assert_eq!(reader.read().unwrap().pids_limit, Some(100));
    write("pids.max", "200\n");
    write("pids.current", "9\n");
    let usage = reader.read_to(Depth::Hot).unwrap();
    assert_eq!((usage.pids, usage.pids_limit), (Some(9), Some(100)));
    assert_eq!(reader.read_to(Depth::Full).unwrap().pids_limit, Some(200));
    write("pids.max", "300\n");
    write("memory.swap.current", "8192\n");
    assert_eq!(reader.read_to(Depth::Cold).unwrap().memory_swap_bytes, Some(0));
    write("pids.max", "400\n");
    let limits: Vec<_> = (0..COLD_EVERY).map(|_| reader.read().unwrap().pids_limit).collect();
    assert_eq!(limits.last(), Some(&Some(400)), "{limits:?}");
    let swapped: Vec<_> =
        (COLD_EVERY..FULL_EVERY).map(|_| reader.read().unwrap().memory_swap_bytes).collect();
    assert_eq!(swapped.last(), Some(&Some(8192)), "{swapped:?}");
}

#[test]
fn memory_that_moves_is_read_with_its_statistics_each_time() {
    let host = FakeHost::v2().unwrap();
    let path = docker_cgroupfs("ab");
    host.cgroup(&path).unwrap();
    let write = |name: &str, text: &str| {
        host.write(&host.cgroup_file("", &path, name), text.as_bytes()).unwrap();
    };
    let mut reader = open(&host, &path);
    reader.read_to(Depth::Full).unwrap();
    let mut working_set = |memory_mb: u64, inactive_mb: u64| {
        write("memory.current", &format!("{}\n", memory_mb << 20));
        write("memory.stat", &format!("inactive_file {}\n", inactive_mb << 20));
        reader.read_to(Depth::Hot).unwrap().memory_working_set_bytes.unwrap() >> 20
    };
    assert_eq!(working_set(100, 60), 40);
    assert_eq!(working_set(104, 10), 40, "a little does not count");
    assert_eq!(working_set(110, 10), 100);
}

#[test]
fn an_absent_file_is_none_until_it_appears_and_is_not_tried_each_time() {
    let host = FakeHost::v2().unwrap();
    let path = docker_cgroupfs("ab");
    host.cgroup(&path).unwrap();
    let file = host.cgroup_file("", &path, "memory.current");
    host.remove(&file).unwrap();
    let mut reader = open(&host, &path);
    for _ in 0..4 {
        assert_eq!(reader.read().unwrap().memory_bytes, None);
    }
    host.write(&file, b"4096\n").unwrap();
    // Looked for after 1, 2 and 4 readings: found after the seventh, read from the eighth on.
    let readings: Vec<_> = (5..=8).map(|_| reader.read().unwrap().memory_bytes).collect();
    assert_eq!(readings, [None, None, None, Some(4096)]);
    assert_eq!(reader.problems(), 0);
}

/// What happens past the limit on open files.
fn reopen_all(reader: &mut CgroupReader) {
    for file in &mut reader.files {
        file.state = FileState::Kept(KeptFile::Reopened);
    }
}

#[test]
fn files_that_are_not_kept_open_give_the_same_values() {
    let host = FakeHost::hybrid().unwrap();
    let path = docker_cgroupfs("ab");
    host.cgroup(&path).unwrap();
    let (mut kept, mut reopened) = (open(&host, &path), open(&host, &path));
    reopen_all(&mut reopened);
    assert_eq!(kept.read().unwrap(), reopened.read().unwrap());
}

#[test]
fn a_removed_cgroup_is_gone_and_a_removed_controller_is_not() {
    let host = FakeHost::v2().unwrap();
    let path = docker_cgroupfs("ab");
    host.cgroup(&path).unwrap();
    let mut reader = open(&host, &path);
    reopen_all(&mut reader);
    assert_eq!(reader.read().unwrap().memory_bytes, Some(4096));
    host.remove(&host.cgroup_file("", &path, "memory.current")).unwrap();
    assert_eq!(reader.read().unwrap().memory_bytes, None);
    host.remove_cgroup(&path).unwrap();
    assert!(reader.read().unwrap_err().is_gone());
}

#[test]
fn a_path_taken_over_by_another_cgroup_is_gone() {
    let host = FakeHost::v2().unwrap();
    let path = docker_cgroupfs("ab");
    let id = host.cgroup(&path).unwrap();
    let layout = CgroupLayout::detect(&HostRoot::new(host.root())).unwrap();
    let other = CgroupId(id.0 + 1);
    assert!(CgroupReader::open(&layout, Path::new(&path), other).unwrap_err().is_gone());
    host.remove_cgroup(&path).unwrap();
    assert!(CgroupReader::open(&layout, Path::new(&path), id).unwrap_err().is_gone());
}

#[test]
fn a_cgroup_of_this_host_has_cpu_time() {
    let layout = CgroupLayout::detect(&HostRoot::new("/")).unwrap();
    let root = CgroupTree::walk(&layout).unwrap().cgroups.swap_remove(0);
    let mut reader = CgroupReader::open(&layout, &root.path, root.id).unwrap();
    let first = reader.read().unwrap().cpu_ns.unwrap();
    assert!(first > 0 && reader.read().unwrap().cpu_ns.unwrap() >= first);
}
