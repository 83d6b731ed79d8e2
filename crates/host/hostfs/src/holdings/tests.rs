//! Holdings of made-up containers of every layout, well-formed and not, and of this process's own group.

use std::io::Write;
use std::process::{Command, Stdio};

use expect_test::{Expect, expect};
use testkit::host_tree::{FakeHost, FakeProcess};

use super::*;
use crate::process::process_cgroup;

const WEB: &str = "/docker/web";

fn reader(host: &FakeHost) -> HoldingsReader {
    let root = HostRoot::new(host.root());
    let layout = CgroupLayout::detect(&root).unwrap();
    HoldingsReader::new(&root, &layout, Path::new(WEB), host.cgroup_id(WEB).unwrap())
}

fn read(host: &FakeHost) -> DeepUsage {
    reader(host).read(&mut { Allowance::BEAT }).unwrap()
}

fn show(usage: &DeepUsage) -> String {
    let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    let [files, watches, instances] =
        [usage.files, usage.inotify_watches, usage.inotify_instances].map(number);
    let [ptys, sockets, threads] = [usage.ptys, usage.sockets, usage.threads].map(number);
    let [mounts, conntrack, ports] = [usage.mounts, usage.conntrack, usage.ports].map(number);
    let [shm, sem, msg] = [usage.sysv_shm, usage.sysv_sem, usage.sysv_msg].map(number);
    let [written, calls, read] =
        [usage.written_chars_bytes, usage.write_calls, usage.read_chars_bytes].map(number);
    format!(
        "processes {} threads {threads}\nfiles {files} inotify {watches} in {instances} ptys {ptys} sockets {sockets}\n\
         mounts {mounts} conntrack {conntrack} ports {ports} sysv {shm} {sem} {msg}\n\
         written {written} in {calls} read {read}\nleft out {}",
        usage.processes, usage.left_out
    )
}

fn io(host: &FakeHost, pid: u32, written: u64) {
    let text = format!(
        "rchar: 70\nwchar: {written}\nsyscr: 5\nsyscw: {}\nread_bytes: 0\nwrite_bytes: 9\ncancelled_write_bytes: 0\n",
        written / 100
    );
    host.write(&format!("proc/{pid}/io"), text.as_bytes()).unwrap();
}

/// A container with two processes, the second of them in a group of its own.
fn make_web(host: &FakeHost) {
    let process = |pid| FakeProcess { threads: 3, ..FakeProcess::new(pid, "web") };
    for (pid, group) in [(70, WEB.to_owned()), (71, format!("{WEB}/inner"))] {
        host.cgroup(&group).unwrap();
        host.process(&process(pid).contained(&group)).unwrap();
        host.members(&group, &[pid]).unwrap();
        io(host, pid, 1000);
    }
    host.open_files(70, &["/dev/null", "socket:[17]", "/dev/pts/0", "/dev/ptmx", "anon_inode:inotify"])
        .unwrap();
    host.open_files(71, &["anon_inode:[eventpoll]", "socket:[18]", "/var/lib/socket:[1]"]).unwrap();
    let fdinfo =
        "pos:\t0\nflags:\t02000000\nmnt_id:\t15\nino:\t1056\ninotify wd:2 ino:1\ninotify wd:1 ino:2\n";
    host.write("proc/70/fdinfo/4", fdinfo.as_bytes()).unwrap();
    host.write("proc/70/mountinfo", b"1 2 3\n4 5 6\n7 8 9\n").unwrap();
    host.write("proc/70/net/sockstat", b"TCP: inuse 3 orphan 0 tw 1\nUDP: inuse 2 mem 0\n").unwrap();
    host.write("proc/70/net/sockstat6", b"TCP6: inuse 1\nUDP6: inuse 0\n").unwrap();
    host.write("proc/70/net/stat/nf_conntrack", b"entries  found\n0000001f  00000000\n0000001f  00000000\n")
        .unwrap();
}

#[test]
fn a_container_s_holdings_are_found_under_every_layout() {
    let hosts = [FakeHost::v1().unwrap(), FakeHost::v2().unwrap(), FakeHost::hybrid().unwrap()];
    let [v1, v2, hybrid] = hosts.map(|host| {
        make_web(&host);
        show(&read(&host))
    });
    expect![[r#"
        processes 2 threads 6
        files 8 inotify 2 in 1 ptys 2 sockets 2
        mounts 3 conntrack 31 ports 7 sysv - - -
        written 2000 in 20 read 140
        left out 0"#]]
    .assert_eq(&v2);
    assert_eq!((&v1, &hybrid), (&v2, &v2));
}

#[test]
fn engines_are_looked_for_in_the_first_two_readings_and_every_fifth() {
    let host = FakeHost::v2().unwrap();
    make_web(&host);
    let mount = |part: &str| {
        let table = format!("1 0 0:70 / / rw - overlay overlay rw\n2 1 0:9 {part} /x rw - tmpfs tmpfs rw\n");
        host.write("proc/70/mountinfo", table.as_bytes()).unwrap();
    };
    let mut reader = reader(&host);
    let mut told = || {
        let usage = reader.read(&mut { Allowance::BEAT }).unwrap();
        usage.engine_sockets.iter().map(|path| path.raw().to_owned()).collect::<Vec<_>>().join(" ")
    };
    mount("/none");
    assert_eq!(told(), "");
    mount("/docker.sock");
    assert_eq!(told(), "/docker.sock");
    mount("/crio.sock");
    assert_eq!([told(), told(), told()], ["/docker.sock"; 3]);
    assert_eq!([told(), told()], ["/crio.sock"; 2]);
}

#[test]
fn packet_sockets_are_counted_unless_the_network_is_the_host_s() {
    let host = FakeHost::v2().unwrap();
    make_web(&host);
    assert_eq!(read(&host).packet_sockets, None, "no table");
    host.write("proc/70/net/packet", b"sk RefCnt Type\n00000000f3a1b2c4 3 3\n").unwrap();
    assert_eq!(read(&host).packet_sockets, Some(1));
    host.process(&FakeProcess::new(70, "web")).unwrap();
    assert_eq!(read(&host).packet_sockets, None);
}

#[test]
fn system_v_objects_are_known_of_our_own_ipc_namespace() {
    let host = FakeHost::v2().unwrap();
    make_web(&host);
    for process in ["self", "70"] {
        let directory = host.root().join(format!("proc/{process}/ns"));
        std::fs::create_dir_all(&directory).unwrap();
        std::os::unix::fs::symlink("ipc:[4026531839]", directory.join("ipc")).unwrap();
    }
    let usage = read(&host);
    assert_eq!((usage.sysv_shm, usage.sysv_sem, usage.sysv_msg), (Some(1), Some(0), Some(0)));
}

#[test]
fn what_was_written_stays_written_when_a_process_ends_or_its_pid_is_reused() {
    let host = FakeHost::v2().unwrap();
    make_web(&host);
    let mut reader = reader(&host);
    let mut written = |pids: &[u32]| {
        host.members(WEB, pids).unwrap();
        let usage = reader.read(&mut { Allowance::BEAT }).unwrap();
        (usage.written_chars_bytes.unwrap(), usage.write_calls.unwrap())
    };
    assert_eq!(written(&[70]), (2000, 20));
    io(&host, 70, 5000);
    assert_eq!(written(&[70]), (6000, 60));
    assert_eq!(written(&[]), (6000, 60));
    host.process(&FakeProcess { start_ticks: 9999, ..FakeProcess::new(70, "other") }).unwrap();
    io(&host, 70, 300);
    assert_eq!(written(&[70]), (6300, 63));
    io(&host, 70, 200);
    assert_eq!(written(&[70]), (6300, 63), "a counter that falls is no growth");
}

/// Changes a container and shows its holdings.
fn check(change: impl FnOnce(&FakeHost), expected: &Expect) {
    let host = FakeHost::v2().unwrap();
    make_web(&host);
    host.remove_cgroup(&format!("{WEB}/inner")).unwrap();
    change(&host);
    expected.assert_eq(&show(&read(&host)));
}

#[test]
fn empty_malformed_and_ended_are_told_from_nothing() {
    check(
        |host| host.members(WEB, &[]).unwrap(),
        &expect![[r#"
        processes 0 threads 0
        files 0 inotify 0 in 0 ptys 0 sockets 0
        mounts - conntrack - ports - sysv - - -
        written - in - read -
        left out 0"#]],
    );
    check(
        |host| host.end_process(70).unwrap(),
        &expect![[r#"
        processes 1 threads -
        files 0 inotify 0 in 0 ptys 0 sockets 0
        mounts - conntrack - ports - sysv - - -
        written - in - read -
        left out 0"#]],
    );
    check(
        |host| {
            host.write("proc/70/io", b"rchar: x\nwchar: 1\n").unwrap();
            host.write("proc/70/net/sockstat", b"\xff\n").unwrap();
            host.write("proc/70/net/stat/nf_conntrack", b"entries\nzz\n").unwrap();
            host.write("proc/70/mountinfo", b"").unwrap();
            host.remove("proc/70/fdinfo").unwrap();
        },
        &expect![[r#"
            processes 1 threads 3
            files 5 inotify 0 in 1 ptys 2 sockets 1
            mounts - conntrack - ports - sysv - - -
            written - in - read -
            left out 0"#]],
    );
    check(
        |host| {
            let procs = host.cgroup_file("", WEB, "cgroup.procs");
            host.write(&procs, b"0\n70\n70\n-1\n99999999999\nx\n70").unwrap();
            host.remove("proc/70/fd").unwrap();
            host.write("proc/70/fd", b"no directory").unwrap();
        },
        &expect![[r#"
            processes 1 threads 3
            files - inotify - in - ptys - sockets -
            mounts 3 conntrack 31 ports 7 sysv - - -
            written 1000 in 10 read 70
            left out 1"#]],
    );
}

#[test]
fn what_an_allowance_leaves_out_is_counted() {
    let host = FakeHost::v2().unwrap();
    make_web(&host);
    let mut reader = reader(&host);
    let mut left_out = |processes, files| {
        let mut allowance = Allowance { processes, files };
        let usage = reader.read(&mut allowance).unwrap();
        (usage.processes, usage.files.unwrap(), usage.left_out, allowance)
    };
    // Five files, and six lines about one of them.
    assert_eq!(left_out(1, 100), (2, 5, 1, Allowance { processes: 0, files: 89 }));
    // What is beyond the allowance of files is at least one more in each process.
    assert_eq!(left_out(2, 0), (2, 2, 2, Allowance { processes: 0, files: 0 }));
    assert_eq!(left_out(0, 0), (2, 0, 2, Allowance { processes: 0, files: 0 }));
}

#[test]
fn huge_lists_are_cut_and_it_is_said() {
    let host = FakeHost::v2().unwrap();
    make_web(&host);
    host.write(&host.cgroup_file("", WEB, "cgroup.procs"), &b"4194000\n".repeat(1_000_000)).unwrap();
    let usage = read(&host);
    assert_eq!((usage.processes, usage.left_out), (2, 1));
    host.members(WEB, &(100_000..103_000).collect::<Vec<u32>>()).unwrap();
    let usage = read(&host);
    // One of them is in the group below.
    assert_eq!((usage.processes, usage.left_out), (3001, 1001));
    let watches = b"inotify wd:1 ino:2 sdev:3\n".repeat(300_000);
    host.members(WEB, &[70]).unwrap();
    host.write("proc/70/fdinfo/4", &watches).unwrap();
    let usage = read(&host);
    assert!(usage.inotify_watches.unwrap() >= Allowance::BEAT.files && usage.left_out > 0, "{usage:?}");
}

#[test]
fn a_group_that_was_removed_or_replaced_is_gone() {
    let host = FakeHost::v2().unwrap();
    make_web(&host);
    let mut reader = reader(&host);
    reader.cgroup = CgroupId(reader.cgroup.0 + 1);
    assert!(reader.read(&mut { Allowance::BEAT }).unwrap_err().is_gone());
    host.remove_cgroup(WEB).unwrap();
    assert!(reader.read(&mut { Allowance::BEAT }).unwrap_err().is_gone());
}

#[test]
fn shares_are_given_out_and_what_is_left_comes_back() {
    let all = Allowance { processes: 100, files: 1000 };
    let share = all.share(4);
    assert_eq!(share, Allowance { processes: 25, files: 250 });
    let rest = Allowance { processes: 20, files: 0 };
    assert_eq!(all.after(share, rest), Allowance { processes: 95, files: 750 });
    assert_eq!(all.share(0), all);
}

#[test]
fn what_this_process_opens_and_writes_is_seen_in_its_group() {
    let root = HostRoot::new("/");
    let layout = CgroupLayout::detect(&root).unwrap();
    let own = process_cgroup(&root, &layout, std::process::id()).unwrap();
    let mut reader = HoldingsReader::new(&root, &layout, &own.path, own.id);
    let before = reader.read(&mut { Allowance::BEAT }).unwrap();
    let inotify = rustix::fs::inotify::init(rustix::fs::inotify::CreateFlags::CLOEXEC).unwrap();
    for path in ["/proc", "/sys", "/dev"] {
        rustix::fs::inotify::add_watch(&inotify, path, rustix::fs::inotify::WatchFlags::CREATE).unwrap();
    }
    let _pty = std::fs::File::open("/dev/ptmx").unwrap();
    let _socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    std::fs::File::options().write(true).open("/dev/null").unwrap().write_all(&vec![0; 1 << 20]).unwrap();
    let after = reader.read(&mut { Allowance::BEAT }).unwrap();
    assert!(after.inotify_watches >= Some(3) && after.inotify_instances >= Some(1), "{after:?}");
    assert!(after.ptys >= Some(1) && after.sockets >= Some(1) && after.files >= Some(6), "{after:?}");
    assert!(after.threads >= Some(2) && after.mounts >= Some(1) && after.ports >= Some(1), "{after:?}");
    let written = |usage: &DeepUsage| usage.written_chars_bytes.unwrap();
    assert!(written(&after) >= written(&before) + (1 << 20), "{before:?} {after:?}");
}

#[test]
fn files_beyond_the_allowance_count_where_the_kernel_tells_their_number() {
    let root = HostRoot::new("/");
    let layout = CgroupLayout::detect(&root).unwrap();
    let own = process_cgroup(&root, &layout, std::process::id()).unwrap();
    let _held: Vec<_> = (0..100).map(|_| std::fs::File::open("/dev/null").unwrap()).collect();
    let told = std::fs::metadata("/proc/self/fd").unwrap().len();
    let mut reader = HoldingsReader::new(&root, &layout, &own.path, own.id);
    let usage = reader.read(&mut Allowance { processes: 100_000, files: 0 }).unwrap();
    // 0 before Linux 6.2, where one is all that is known.
    let known = if told == 0 { 1 } else { 100 };
    assert!(usage.files >= Some(known) && usage.left_out >= known, "{usage:?}");
}

#[test]
fn the_system_v_objects_of_another_ipc_namespace_are_counted_from_inside() {
    let mut child = Command::new("unshare")
        .args([
            "--ipc",
            "sh",
            "-c",
            "ipcmk -Q >/dev/null && ipcmk -M 4096 >/dev/null && echo ready && read end",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = [0; 6];
    let waited = std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut ready);
    let counts = sysv(&HostRoot::new("/"), child.id());
    drop(child.stdin.take());
    child.wait().unwrap();
    assert!(waited.is_ok(), "making an IPC namespace needs root, unshare and ipcmk");
    assert_eq!((counts.shm, counts.sem, counts.msg), (Some(1), Some(0), Some(1)));
}
