//! Records made by hand, byte by byte, and what they are read as.
//!
//! Not here: records made by the kernel, see `tests/it`.

use std::net::IpAddr;

use expect_test::{Expect, expect};
use model::event::{Body, FileOrigin, Lineage};
use model::ids::{CgroupId, Namespaces};
use model::traffic::{Direction, FlowKey, Protocol};

use super::{
    COUNTERS_BYTES, Settings, counters, flow_counts, flow_key, flow_key_bytes, record, settings_bytes,
    spacing,
};

/// Builds a record: a header, then fields as they come.
struct Bytes(Vec<u8>);

impl Bytes {
    fn new(kind: u32) -> Self {
        Self(Vec::new()).u32(kind).u32(0).u64(77).u64(4242)
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    fn u16(self, value: u16) -> Self {
        self.raw(&value.to_ne_bytes())
    }

    fn u32(self, value: u32) -> Self {
        self.raw(&value.to_ne_bytes())
    }

    fn u64(self, value: u64) -> Self {
        self.raw(&value.to_ne_bytes())
    }

    /// A field of fixed size, filled up with what a ring buffer holds of older records.
    fn field(self, text: &[u8], size: usize) -> Self {
        let stale = vec![b'#'; size - text.len()];
        self.raw(text).raw(&stale)
    }

    /// `struct confines`: every flag but that of an own user namespace.
    fn confines(self) -> Self {
        self.u64(256).u64(0xff).u32(0x80_0001).u32(0x80_0002).u32(1).u32(0b1111)
    }

    /// `struct file_record`.
    fn file(self, inode: u64, origin: u16, name: &[u8]) -> Self {
        let named = self.u64(8).u64(inode).u64(5_000_000_001).u16(origin).u16(1).u32(0).raw(name);
        named.raw(&vec![0; 32 - name.len()])
    }

    /// `struct descent_record`: a process that came in, and no package manager.
    fn descent(self) -> Self {
        self.u64(20_000_001).u64(0).u32(9).u32(0)
    }

    fn finish(mut self) -> Vec<u8> {
        let size = u32::try_from(self.0.len()).unwrap();
        self.0[4..8].copy_from_slice(&size.to_ne_bytes());
        self.0
    }
}

fn exec_bytes(path: &[u8], args: &[u8], args_full: u32) -> Vec<u8> {
    let len = |text: &[u8]| u32::try_from(text.len()).unwrap();
    Bytes::new(1)
        .u64(1_234_567_890)
        .u32(10)
        .u32(1)
        .u32(1000)
        .u32(11)
        .u32(12)
        .u32(13)
        .u32(len(path))
        .u32(len(args))
        .u32(args_full)
        .u32(0b11)
        .u16(2)
        .raw(&4444_u16.to_be_bytes())
        .u32(0)
        .field(&[203, 0, 113, 9], 16)
        .u64(21)
        .u32(22)
        .u32(23)
        .u32(24)
        .u32(1001)
        .u32(26)
        .u16(2)
        .u16(1)
        .confines()
        .descent()
        .file(61, 2, b"busybox")
        .raw(b"sleep\0##########")
        .field(path, 256)
        .field(args, 256)
        .finish()
}

/// An exit with this wait status, for other files' tests.
pub(crate) fn exit_bytes(code: u32) -> Vec<u8> {
    Bytes::new(2).u64(20_000_000).u32(10).u32(code).raw(b"sixteen-bytes-ok").finish()
}

fn process_bytes() -> Vec<u8> {
    let process = Bytes::new(8).u64(30_000_001).u32(9).u32(1).u32(1000).u32(11).u32(12).u32(13);
    let lineage = process.u64(21).u32(22).u32(23).u32(24).u32(u32::MAX).u32(26).u16(0).u16(0);
    lineage.confines().raw(b"sixteen-bytes-ok").finish()
}

fn cgroup_bytes(kind: u32, path: &[u8]) -> Vec<u8> {
    let path_len = u32::try_from(path.len()).unwrap();
    let process = Bytes::new(kind).u64(30_000_001).u32(9).u32(11).u32(12).u32(13);
    process.u64(5151).u32(8).u32(path_len).field(path, 512).finish()
}

fn socket_bytes(state: u16, family: u16, local: &[u8], remote: &[u8]) -> Vec<u8> {
    Bytes::new(6)
        .u64(100)
        .u64(200)
        .u64(3_000_000)
        .u32(99)
        .u16(state)
        .u16(family)
        .raw(&443_u16.to_be_bytes())
        .raw(&50_000_u16.to_be_bytes())
        .u16(6)
        .u16(2)
        .field(local, 16)
        .field(remote, 16)
        .raw(b"curl\0###########")
        .finish()
}

fn names_bytes(message: &[u8]) -> Vec<u8> {
    let len = u32::try_from(message.len()).unwrap();
    Bytes::new(7).u16(2).u16(0).u32(len).u32(len).u32(0).field(&[9, 9, 9, 9], 16).field(message, 512).finish()
}

fn check(bytes: &[u8], expected: &Expect) {
    let read = record(bytes);
    assert!(read.as_ref().is_none_or(|record| record.ktime_boot_ns == 77));
    expected.assert_eq(&read.map_or_else(|| "malformed".to_owned(), |record| format!("{:?}", record.body)));
}

#[test]
fn an_exec_has_its_process_namespaces_path_and_arguments() {
    check(
        &exec_bytes(b"/bin/sleep", b"sleep\x001\x00", 8),
        &expect![[
            r#"Exec(Exec { process: ProcessKey { pid: 10, start_ns: 1230000000 }, parent_pid: 1, uid: 1000, cgroup: CgroupId(4242), namespaces: Namespaces { pid: 11, mnt: 12, net: 13 }, name: "sleep", path: "/bin/sleep", args: "sleep 1", streams: Streams { sockets: 3, remote: Some(203.0.113.9:4444) }, origin: Written, script: "", is_by_loader: false, file: Some(FileFacts { id: FileId { device: 8, inode: 61 }, changed: Time(5000000001), is_mounted_alone: true, name: "busybox" }), descent: Descent { entry: Some(ProcessKey { pid: 9, start_ns: 20000000 }), installer: None }, lineage: Some(Lineage { parent_cgroup: CgroupId(21), parent_namespaces: Namespaces { pid: 22, mnt: 23, net: 24 }, login_uid: Some(1001), has_terminal: true, user_ns: 26 }), confines: Some(Confines { root: RootId { device: 8388609, inode: 256 }, has_own_root: true, file: RunFile { device: 8388610, is_in_place: true, is_on_hosts: true, is_roots: true }, has_own_users: false, capabilities: Capabilities(255), pid_inside: 1 }) })"#
        ]],
    );
}

#[test]
fn a_process_that_executes_nothing_is_told_as_it_is() {
    check(
        &process_bytes(),
        &expect![[
            r#"Process(Exec { process: ProcessKey { pid: 9, start_ns: 30000000 }, parent_pid: 1, uid: 1000, cgroup: CgroupId(4242), namespaces: Namespaces { pid: 11, mnt: 12, net: 13 }, name: "sixteen-bytes-ok", path: "", args: "", streams: Streams { sockets: 0, remote: None }, origin: Unknown, script: "", is_by_loader: false, file: None, descent: Descent { entry: None, installer: None }, lineage: Some(Lineage { parent_cgroup: CgroupId(21), parent_namespaces: Namespaces { pid: 22, mnt: 23, net: 24 }, login_uid: None, has_terminal: false, user_ns: 26 }), confines: Some(Confines { root: RootId { device: 8388609, inode: 256 }, has_own_root: true, file: RunFile { device: 8388610, is_in_place: true, is_on_hosts: true, is_roots: true }, has_own_users: false, capabilities: Capabilities(255), pid_inside: 1 }) })"#
        ]],
    );
    assert_eq!(record(&process_bytes()[..135]).map(|record| record.body), None);
}

/// Where the lineage lies in a record of an exec.
const LOGIN_UID_AT: usize = 24 + 48 + 24 + 20;
const ORIGIN_AT: usize = LOGIN_UID_AT + 8;

#[test]
fn an_exec_tells_who_started_it_for_whom_and_where_its_file_is_from() {
    let read = |bytes: &[u8]| match record(bytes).map(|record| record.body) {
        Some(Body::Exec(exec)) => (exec.lineage.unwrap(), exec.origin),
        other => panic!("{other:?}"),
    };
    let mut bytes = exec_bytes(b"/x", b"", 0);
    let told = Lineage {
        parent_cgroup: CgroupId(21),
        parent_namespaces: Namespaces { pid: 22, mnt: 23, net: 24 },
        login_uid: Some(1001),
        has_terminal: true,
        user_ns: 26,
    };
    assert_eq!(read(&bytes), (told, FileOrigin::Written));
    bytes[LOGIN_UID_AT..LOGIN_UID_AT + 4].copy_from_slice(&u32::MAX.to_ne_bytes());
    bytes[ORIGIN_AT..ORIGIN_AT + 4].fill(0);
    assert_eq!(read(&bytes), (Lineage { login_uid: None, has_terminal: false, ..told }, FileOrigin::Unknown));
    bytes[ORIGIN_AT] = 7;
    assert_eq!(read(&bytes).1, FileOrigin::Unknown, "an origin of a later version");
}

#[test]
fn an_exec_tells_the_script_that_it_runs_unless_its_interpreter_is_out_of_place() {
    let read = |path: &[u8], args: &[u8], origin: u8| {
        let mut bytes = exec_bytes(path, args, u32::try_from(args.len()).unwrap());
        bytes[ORIGIN_AT] = origin;
        match record(&bytes).map(|record| record.body) {
            Some(Body::Exec(exec)) => (exec.script.raw().to_owned(), exec.origin),
            other => panic!("{other:?}"),
        }
    };
    let unknown = |script: &str| (script.to_owned(), FileOrigin::Unknown);
    assert_eq!(read(b"/tmp/x", b"/bin/awk\0-f\0/tmp/x\0", 6), unknown("/tmp/x"), "it names its interpreter");
    assert_eq!(read(b"/bin/sh", b"sh\0/tmp/a b\0", 1), unknown("/tmp/a b"));
    assert_eq!(read(b"/bin/sh", b"sh\0/tmp/a b\0", 0), unknown("/tmp/a b"));
    assert_eq!(read(b"/tmp/sh", b"sh\0/tmp/x\0", 2), (String::new(), FileOrigin::Written));
    assert_eq!(read(b"/bin/sh", b"sh\0-c\0/tmp/x\0", 1), (String::new(), FileOrigin::Image));
}

#[test]
fn what_the_kernel_cut_says_so() {
    let read = record(&exec_bytes(&[b'p'; 255], &[b'a'; 256], 5000));
    let Some(Body::Exec(exec)) = read.map(|record| record.body) else { panic!("not an exec") };
    assert_eq!(exec.path.raw(), format!("{}…", "p".repeat(255)));
    assert_eq!(exec.args.raw(), format!("{}…", "a".repeat(256)));
}

#[test]
fn bytes_that_are_not_text_become_text() {
    check(
        &exec_bytes(b"/bin/\xff\x1b[2J", b"", 0),
        &expect![[
            r#"Exec(Exec { process: ProcessKey { pid: 10, start_ns: 1230000000 }, parent_pid: 1, uid: 1000, cgroup: CgroupId(4242), namespaces: Namespaces { pid: 11, mnt: 12, net: 13 }, name: "sleep", path: "/bin/�\u{1b}[2J", args: "", streams: Streams { sockets: 3, remote: Some(203.0.113.9:4444) }, origin: Written, script: "", is_by_loader: false, file: Some(FileFacts { id: FileId { device: 8, inode: 61 }, changed: Time(5000000001), is_mounted_alone: true, name: "busybox" }), descent: Descent { entry: Some(ProcessKey { pid: 9, start_ns: 20000000 }), installer: None }, lineage: Some(Lineage { parent_cgroup: CgroupId(21), parent_namespaces: Namespaces { pid: 22, mnt: 23, net: 24 }, login_uid: Some(1001), has_terminal: true, user_ns: 26 }), confines: Some(Confines { root: RootId { device: 8388609, inode: 256 }, has_own_root: true, file: RunFile { device: 8388610, is_in_place: true, is_on_hosts: true, is_roots: true }, has_own_users: false, capabilities: Capabilities(255), pid_inside: 1 }) })"#
        ]],
    );
}

#[test]
fn an_exit_tells_status_signal_and_core_dump() {
    check(
        &exit_bytes(3 << 8),
        &expect![[
            r#"Exit(Exit { process: ProcessKey { pid: 10, start_ns: 20000000 }, cgroup: CgroupId(4242), status: 3, signal: 0, core_dumped: false, name: "sixteen-bytes-ok" })"#
        ]],
    );
    check(
        &exit_bytes(9),
        &expect![[
            r#"Exit(Exit { process: ProcessKey { pid: 10, start_ns: 20000000 }, cgroup: CgroupId(4242), status: 0, signal: 9, core_dumped: false, name: "sixteen-bytes-ok" })"#
        ]],
    );
    check(
        &exit_bytes(0x80 | 11),
        &expect![[
            r#"Exit(Exit { process: ProcessKey { pid: 10, start_ns: 20000000 }, cgroup: CgroupId(4242), status: 0, signal: 11, core_dumped: true, name: "sixteen-bytes-ok" })"#
        ]],
    );
}

#[test]
fn cgroup_records_tell_which_and_where() {
    check(
        &cgroup_bytes(3, b"/docker/abc"),
        &expect![[r#"CgroupCreated(CgroupPath { cgroup: CgroupId(4242), path: "/docker/abc" })"#]],
    );
    check(
        &cgroup_bytes(4, b"/docker/abc"),
        &expect![[r#"CgroupRemoved(CgroupPath { cgroup: CgroupId(4242), path: "/docker/abc" })"#]],
    );
    check(
        &cgroup_bytes(5, b"/docker/abc"),
        &expect![[
            r#"CgroupAttached(Attach { process: ProcessKey { pid: 9, start_ns: 30000000 }, cgroup: CgroupId(4242), path: "/docker/abc", namespaces: Some(Namespaces { pid: 11, mnt: 12, net: 13 }), by_pid: 8, by_cgroup: CgroupId(5151) })"#
        ]],
    );
}

#[test]
fn a_process_that_ends_is_moved_without_namespaces() {
    let mut bytes = cgroup_bytes(5, b"/x");
    bytes[36..48].fill(0);
    let Some(Body::CgroupAttached(attach)) = record(&bytes).map(|record| record.body) else { panic!() };
    assert_eq!((attach.namespaces, attach.by_pid), (None, 8));
}

#[test]
fn socket_addresses_are_read_in_both_families() {
    check(
        &socket_bytes(1, 2, &[127, 0, 0, 1], &[10, 0, 0, 2]),
        &expect![[
            r#"Socket(Socket { cgroup: CgroupId(4242), state: Connected, protocol: Protocol(6), local: 127.0.0.1:443, remote: 10.0.0.2:50000, translated: None, opened_by: Some(In), net_ns: 99, sent_bytes: 100, received_bytes: 200, lasted_ms: 3, program: "curl" })"#
        ]],
    );
    let mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 2];
    let local = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    check(
        &socket_bytes(4, 10, &local, &mapped),
        &expect![[
            r#"Socket(Socket { cgroup: CgroupId(4242), state: Closed, protocol: Protocol(6), local: [fd00::1]:443, remote: 10.0.0.2:50000, translated: None, opened_by: Some(In), net_ns: 99, sent_bytes: 100, received_bytes: 200, lasted_ms: 3, program: "curl" })"#
        ]],
    );
}

#[test]
fn nothing_odd_is_read_as_a_record() {
    let mut cases = vec![Vec::new(), vec![0; 3], vec![0; 24]];
    cases.push(cgroup_bytes(8, b"/unknown-kind"));
    cases.push(socket_bytes(6, 2, &[], &[]));
    cases.push(socket_bytes(1, 1, &[], &[]));
    let mut lying_length = cgroup_bytes(3, b"/x");
    lying_length[60..64].copy_from_slice(&513_u32.to_ne_bytes());
    cases.push(lying_length);
    for bytes in cases {
        assert_eq!(record(&bytes), None, "{bytes:?}");
    }
}

#[test]
fn every_record_one_byte_short_or_long_is_malformed() {
    let whole = [
        exec_bytes(b"/x", b"x", 1),
        exit_bytes(0),
        cgroup_bytes(3, b"/x"),
        socket_bytes(1, 2, &[], &[]),
        names_bytes(b""),
    ];
    for bytes in whole {
        assert!(record(&bytes).is_some());
        for size in [bytes.len() - 1, bytes.len() + 1] {
            let mut changed = bytes.clone();
            changed.resize(size, 0);
            assert_eq!(record(&changed), None);
            changed[4..8].copy_from_slice(&u32::try_from(size).unwrap().to_ne_bytes());
            assert_eq!(record(&changed), None, "even when its header agrees");
        }
    }
}

#[test]
fn starts_are_cut_to_ticks() {
    let Some(Body::Exec(exec)) = record(&exec_bytes(b"", b"", 0)).map(|record| record.body) else {
        panic!("not an exec");
    };
    assert_eq!(exec.process.start_ns, 1_230_000_000);
}

#[test]
fn counters_are_read_in_their_order() {
    let bytes: Vec<u8> = (1..=30_u64).flat_map(u64::to_ne_bytes).collect();
    let read = counters(CgroupId(5), &bytes).unwrap();
    assert_eq!((read.forks, read.core_dumps, read.helper_cpu_ns, read.engine_calls), (1, 5, 8, 12));
    assert_eq!((read.sent_packets, read.received_packets, read.file_syncs), (15, 17, 20));
    assert_eq!((read.submitted, read.no_room, read.crowded), (21, 23, 25));
    assert_eq!(super::u64_at(&bytes, super::CREATOR_AT), Some(26));
    assert_eq!(counters(CgroupId(5), &bytes[..COUNTERS_BYTES - 1]), None);
}

#[test]
fn a_line_of_flows_is_found_by_what_it_was_read_as() {
    let mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 2];
    let bytes = [&4242_u64.to_ne_bytes()[..], &mapped, &443_u16.to_be_bytes(), &[6, 1, 0, 0, 0, 0]].concat();
    let (cgroup, key) = flow_key(&bytes).unwrap();
    let read = FlowKey {
        direction: Direction::In,
        protocol: Protocol::TCP,
        remote: IpAddr::from([10, 0, 0, 2]),
        port: 443,
    };
    assert_eq!((cgroup, key), (CgroupId(4242), read));
    assert_eq!(flow_key_bytes(cgroup, &key), bytes);
    assert_eq!(flow_key(&bytes[1..]), None);
    let counts: Vec<u8> = (1..=9_u64).flat_map(|count| (count * 1_000_000).to_ne_bytes()).collect();
    let counts = flow_counts(&counts).unwrap();
    assert_eq!((counts.opened, counts.sent_bytes, counts.lasted_ms), (1_000_000, 4_000_000, 8));
}

#[test]
fn budgets_become_a_spacing_and_no_budget_is_zero() {
    assert_eq!(spacing((2_000, 4_000)), (500_000, 1_999_500_000));
    assert_eq!(spacing((0, 0)), (1_000_000_000, 0));
    let settings = Settings {
        budget: (1, 1),
        host_budget: (1, 1),
        wake_bytes: 0,
        hierarchy_id: 2,
        is_v1: true,
        exit_tells_group: false,
    };
    assert_eq!(settings_bytes(&settings).len(), 48);
}
