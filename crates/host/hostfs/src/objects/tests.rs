//! Levels of made-up hosts, well-formed and not, and of this one.

use expect_test::{Expect, expect};
use testkit::host_tree::FakeHost;

use super::*;

fn read(host: &FakeHost) -> KernelObjects {
    let mut reader = ObjectsReader::new(&HostRoot::new(host.root()));
    reader.refresh();
    reader.read(121, 32_768)
}

fn show(objects: &KernelObjects) -> String {
    let line = |(name, level): (&str, Option<Level>)| {
        let limit = |level: Level| level.limit.map(|limit| format!(" of {limit}")).unwrap_or_default();
        let level =
            level.map_or_else(|| "unknown".to_owned(), |level| format!("{}{}", level.used, limit(level)));
        format!("{name} {level}\n")
    };
    let levels = [
        ("files", objects.files),
        ("inodes", objects.inodes),
        ("ptys", objects.ptys),
        ("conntrack", objects.conntrack),
        ("threads", objects.threads),
        ("ports", objects.ports),
        ("shm", objects.sysv_shm),
        ("sem", objects.sysv_sem),
        ("msg", objects.sysv_msg),
        ("mounts", objects.mounts),
        ("inotify", objects.inotify_instances),
    ];
    levels.map(line).concat()
}

#[test]
fn every_level_but_inotify_s_is_read_with_its_limit_under_every_layout() {
    let hosts = [FakeHost::v1().unwrap(), FakeHost::v2().unwrap(), FakeHost::hybrid().unwrap()];
    let [v1, v2, hybrid] = hosts.map(|host| show(&read(&host)));
    expect![[r#"
        files 385 of 2466174
        inodes 190000
        ptys 3 of 4096
        conntrack 12 of 262144
        threads 121 of 32768
        ports 15 of 28232
        shm 1 of 4096
        sem 0 of 32000
        msg 0 of 32000
        mounts 2 of 100000
        inotify unknown
    "#]]
    .assert_eq(&v2);
    assert_eq!((&v1, &hybrid), (&v2, &v2));
}

#[test]
fn what_a_host_does_not_have_is_unknown_and_never_zero() {
    let host = FakeHost::v2().unwrap();
    for path in ["proc/sys/net", "proc/sys/fs", "proc/sys/kernel/pty", "proc/sysvipc", "proc/1"] {
        host.remove(path).unwrap();
    }
    expect![[r#"
        files unknown
        inodes unknown
        ptys unknown
        conntrack unknown
        threads 121 of 32768
        ports unknown
        shm unknown
        sem unknown
        msg unknown
        mounts unknown
        inotify unknown
    "#]]
    .assert_eq(&show(&read(&host)));
}

/// Writes one file and shows what differs then.
fn check(path: &str, text: &[u8], expected: &Expect) {
    let host = FakeHost::v2().unwrap();
    let before = show(&read(&host));
    host.write(path, text).unwrap();
    let after = show(&read(&host));
    let differing = after.lines().filter(|line| !before.lines().any(|other| other == *line));
    expected.assert_eq(&differing.collect::<Vec<_>>().join("\n"));
}

#[test]
fn malformed_files_are_unknown_and_huge_tables_counted_up_to_a_limit() {
    check("proc/sys/fs/file-nr", b"", &expect!["files unknown"]);
    check("proc/sys/fs/file-nr", b"12 0\n", &expect!["files unknown"]);
    check("proc/sys/fs/file-nr", b"12 0 -1\n", &expect!["files unknown"]);
    check("proc/sys/fs/inode-nr", b"5 7\n", &expect!["inodes unknown"]);
    check("proc/sys/kernel/pty/nr", b"\xff\xff\n", &expect!["ptys unknown"]);
    check("proc/sys/kernel/pty/max", b"many\n", &expect!["ptys 3"]);
    check("proc/sys/kernel/sem", b"1 2 3\n", &expect!["sem 0"]);
    check("proc/sys/kernel/threads-max", b"100\n", &expect!["threads 121 of 100"]);
    check("proc/sys/net/ipv4/ip_local_port_range", b"60999 32768\n", &expect!["ports 15"]);
    check("proc/1/net/sockstat", b"sockets: used 29\n", &expect!["ports unknown"]);
    check("proc/1/net/sockstat", b"TCP: inuse lots\n", &expect!["ports unknown"]);
    check("proc/1/net/sockstat6", b"", &expect!["ports 10 of 28232"]);
    check("proc/sysvipc/shm", b"", &expect!["shm unknown"]);
    let rows = b"x\n".repeat(9);
    check("proc/sysvipc/sem", &rows, &expect!["sem 8 of 32000"]);
    let huge = b"x\n".repeat(2_000_000);
    check("proc/1/mountinfo", &huge, &expect!["mounts 139264 of 100000"]);
    check("proc/sys/net/netfilter/nf_conntrack_count", &huge, &expect!["conntrack unknown"]);
}

#[test]
fn what_a_module_brings_later_is_found_by_the_next_refresh() {
    let host = FakeHost::v2().unwrap();
    host.remove("proc/sys/net").unwrap();
    let mut reader = ObjectsReader::new(&HostRoot::new(host.root()));
    reader.refresh();
    assert_eq!(reader.read(1, 2).conntrack, None);
    host.write("proc/sys/net/netfilter/nf_conntrack_count", b"7\n").unwrap();
    assert_eq!(reader.read(1, 2).conntrack, None);
    reader.refresh();
    assert_eq!(reader.read(1, 2).conntrack, Some(Level { used: 7, limit: None }));
}

#[test]
fn this_host_s_open_files_include_ours() {
    let mut reader = ObjectsReader::new(&HostRoot::new("/"));
    reader.refresh();
    let held: Vec<_> = (0..900).map(|_| std::fs::File::open("/proc/self/stat").unwrap()).collect();
    let objects = reader.read(1, 2);
    let files = objects.files.unwrap();
    // Some kernels tell this number in batches, a few dozen a core.
    assert!(files.used >= held.len() as u64 / 2 && files.used < files.limit.unwrap(), "{objects:?}");
    assert!(objects.inodes.unwrap().used > 0 && objects.mounts.unwrap().used > 0, "{objects:?}");
}
