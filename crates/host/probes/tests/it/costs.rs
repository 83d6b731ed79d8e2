//! What only counts: packets, forced write-back, the kernel's helpers, CPU of the ended, calls of engines. Each is done in
//! a cgroup of its own, beside another in which nothing happens.
//!
//! Not here: requested modules, which need a kernel that has modules: `tests/live/src/kernels.rs`.

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::ids::CgroupId;
use model::usage::KernelCounts;

use crate::host::{TestCgroup, counts_of, counts_when, load, own_cgroup, root_cgroup};

/// On a disk, as `/tmp` need not be.
const DISK: &str = env!("CARGO_TARGET_TMPDIR");
const CORE_PATTERN: &str = "/proc/sys/kernel/core_pattern";

/// A directory, removed with the value.
struct Dir(PathBuf);

impl Dir {
    fn new(below: &Path, name: &str) -> Self {
        let dir = below.join(format!("{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn packets_are_booked_on_the_cgroups_of_both_sockets() {
    let (cgroup, other) = (TestCgroup::new(), TestCgroup::new());
    let probes = load();
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    receiver.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let port = receiver.local_addr().unwrap().port();
    let before = counts_of(&probes, own_cgroup());
    cgroup.run(&format!("exec 3<>/dev/udp/127.0.0.1/{port}; for i in {{1..50}}; do echo x >&3; done"));
    for _ in 0..50 {
        assert_eq!(receiver.recv(&mut [0; 8]).unwrap(), 2);
    }
    let (counts, after) = (counts_of(&probes, cgroup.id), counts_of(&probes, own_cgroup()));
    // Two bytes, behind headers of UDP (8) and IPv4 (20).
    assert_eq!((counts.sent_packets, counts.sent_packet_bytes), (50, 50 * 30));
    assert_eq!((counts.received_packets, counts.received_packet_bytes), (0, 0));
    assert!(after.received_packets >= before.received_packets + 50);
    assert!(after.received_packet_bytes >= before.received_packet_bytes + 50 * 30);
    assert_eq!(counts_of(&probes, other.id), KernelCounts { cgroup: CgroupId(0), ..KernelCounts::default() });
}

#[test]
fn packets_of_a_removed_cgroup_make_no_new_entry() {
    let cgroup = TestCgroup::new();
    let mut probes = load();
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    receiver.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let port = receiver.local_addr().unwrap().port();
    let left = cgroup.dir.parent().unwrap().join("cgroup.procs");
    let script = format!(
        "exec 3<>/dev/udp/127.0.0.1/{port}; echo $$ > {}; echo x >&3; read; echo x >&3",
        left.display()
    );
    let mut command = cgroup.command(&script);
    let mut sender = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
    receiver.recv(&mut [0; 8]).unwrap();
    let id = cgroup.id;
    fs::remove_dir(&cgroup.dir).unwrap();
    assert_eq!(probes.forget(id).unwrap().unwrap().sent_packets, 1);
    let rest = counts_of(&probes, CgroupId(0)).sent_packets;
    drop(sender.stdin.take());
    receiver.recv(&mut [0; 8]).unwrap();
    sender.wait().unwrap();
    assert!(probes.counts().unwrap().iter().all(|counts| counts.cgroup != id));
    assert!(counts_of(&probes, CgroupId(0)).sent_packets > rest);
}

#[test]
fn forced_writing_back_is_booked_on_whoever_forces_it() {
    let (cgroup, other) = (TestCgroup::new(), TestCgroup::new());
    let dir = Dir::new(Path::new(DISK), "syncs");
    let probes = load();
    let file = dir.0.join("file");
    let dd = format!("dd if=/dev/zero of={} bs=1 count=1 status=none", file.display());
    other.run(&dd);
    cgroup.run(&format!("for i in 1 2 3 4 5; do {dd} conv=fsync; done; {dd} oflag=sync"));
    let counts = counts_of(&probes, cgroup.id);
    assert_eq!((counts.file_syncs, counts.whole_syncs), (6, 0));
    cgroup.run(&format!("for i in 1 2 3; do {dd}; sync -f {}; done", file.display()));
    let counts = counts_of(&probes, cgroup.id);
    assert_eq!(counts.file_syncs, 6);
    assert!(counts.whole_syncs >= 3, "{counts:?}");
    let counts = counts_of(&probes, other.id);
    assert_eq!((counts.file_syncs, counts.whole_syncs, counts.execs), (0, 0, 1));
}

/// Sets the handler of core dumps for as long as it lives.
struct CoreHandler {
    before: String,
    _dir: Dir,
}

impl CoreHandler {
    fn new(script: &str) -> Self {
        // The kernel takes at most 127 bytes.
        let dir = Dir::new(&std::env::temp_dir(), "cores");
        let handler = dir.0.join("handler");
        fs::write(&handler, format!("#!/bin/bash\n{script}\n")).unwrap();
        fs::set_permissions(&handler, fs::Permissions::from_mode(0o755)).unwrap();
        let before = fs::read_to_string(CORE_PATTERN).unwrap();
        fs::write(CORE_PATTERN, format!("|{}", handler.display())).unwrap();
        Self { before, _dir: dir }
    }
}

impl Drop for CoreHandler {
    fn drop(&mut self) {
        let _ = fs::write(CORE_PATTERN, &self.before);
    }
}

#[test]
fn a_helper_of_the_kernel_is_booked_with_its_children_where_it_runs() {
    let (cgroup, root) = (TestCgroup::new(), root_cgroup());
    let mut probes = load();
    let before = counts_of(&probes, root);
    let handler = CoreHandler::new("cat > /dev/null\nbash -c 'for i in {1..200000}; do :; done'");
    cgroup.run("kill -SEGV $$");
    let after =
        counts_when(&mut probes, root, |counts| counts.helper_cpu_ns >= before.helper_cpu_ns + 100_000_000);
    drop(handler);
    assert!(after.helpers > before.helpers);
    let counts = counts_of(&probes, cgroup.id);
    assert_eq!((counts.core_dumps, counts.helpers, counts.helper_cpu_ns), (1, 0, 0));
}

#[test]
fn the_ended_have_spent_what_their_cgroup_has() {
    let (cgroup, other) = (TestCgroup::new(), TestCgroup::new());
    let mut probes = load();
    cgroup.run("for i in {1..50}; do /bin/true; done; bash -c 'for i in {1..200000}; do :; done'; :");
    let stat = fs::read_to_string(cgroup.dir.join("cpu.stat")).unwrap();
    let usage = stat.lines().find_map(|line| line.strip_prefix("usage_usec ")).unwrap();
    let spent_ns = usage.parse::<u64>().unwrap() * 1_000;
    let counts = counts_when(&mut probes, cgroup.id, |counts| counts.ended_cpu_ns >= spent_ns);
    // The shell spent something before it entered.
    assert!(counts.ended_cpu_ns < spent_ns + 100_000_000, "{} of {spent_ns}", counts.ended_cpu_ns);
    assert_eq!((counts.helpers, counts_of(&probes, other.id).ended_cpu_ns), (0, 0));
}

#[test]
fn connections_to_the_sockets_of_engines_are_counted_by_name() {
    let (cgroup, other) = (TestCgroup::new(), TestCgroup::new());
    let dir = Dir::new(&std::env::temp_dir(), "engines");
    let within = dir.0.join("docker.sock");
    let engines = ["containerd.sock", "podman.sock", "crio.sock", "cri-dockerd.sock", "docker.raw.sock"];
    let strangers = ["xdocker.sock", "docker.sock2", "docker.soc", "a-longer-name-than-any-engine-has.sock"];
    fs::create_dir(&within).unwrap();
    let _listening: Vec<UnixListener> = engines
        .iter()
        .chain(&strangers)
        .map(|name| UnixListener::bind(within.join(name)).unwrap())
        .chain([UnixListener::bind(dir.0.join("docker.raw.sock")).unwrap()])
        .collect();
    let probes = load();
    let connect = "exec perl -MSocket -e 'for (@ARGV) { socket(S, PF_UNIX, SOCK_STREAM, 0); connect(S, sockaddr_un($_)) or die \"$_: $!\" }'";
    let at = |names: &[&str]| -> String {
        names.iter().map(|name| format!(" {}", within.join(name).display())).collect()
    };
    assert!(other.run(&format!("{connect} {}", at(&strangers))).success());
    // The last one has no directory before its name.
    assert!(
        cgroup.run(&format!("cd {}; {connect} {} docker.raw.sock", dir.0.display(), at(&engines))).success()
    );
    assert_eq!(counts_of(&probes, cgroup.id).engine_calls, 6);
    let counts = counts_of(&probes, other.id);
    assert_eq!((counts.engine_calls, counts.execs), (0, 1));
    fs::remove_dir_all(&within).unwrap();
    let _engine = UnixListener::bind(&within).unwrap();
    assert!(other.run(&format!("{connect} {}", within.display())).success());
    assert_eq!(counts_of(&probes, other.id).engine_calls, 1);
}
