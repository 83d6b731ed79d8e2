//! Layouts of made-up hosts and of this one.

use std::os::unix::fs::MetadataExt;

use expect_test::{Expect, expect};
use testkit::host_tree::FakeHost;

use super::*;

fn show(host: &FakeHost) -> Result<String, HostfsError> {
    let layout = CgroupLayout::detect(&HostRoot::new(host.root()))?;
    let short = |path: &Path| path.strip_prefix(host.root()).unwrap().display().to_string();
    let mut text = format!("{:?}, ids from {}", layout.mode(), short(layout.id_root()));
    for controller in Controller::ALL {
        text += &layout
            .v1(controller)
            .map(|mount| format!("\n{} {}", controller.name(), short(mount)))
            .unwrap_or_default();
    }
    text += &layout.unified().map(|mount| format!("\nv2 {}", short(mount))).unwrap_or_default();
    text += &layout.cpuacct_hierarchy().map(|number| format!("\ncpuacct is {number}")).unwrap_or_default();
    Ok(text)
}

fn check(host: &FakeHost, expected: &Expect) {
    let shown = show(host).unwrap_or_else(|error| error.to_string());
    expected.assert_eq(&shown.replace(&host.root().display().to_string(), "ROOT"));
}

/// A v2 host whose mount table is replaced.
fn with_table(table: &[u8]) -> FakeHost {
    let host = FakeHost::v2().unwrap();
    host.write("proc/self/mountinfo", table).unwrap();
    host
}

#[test]
fn each_kind_of_host_is_told_apart() {
    check(
        &FakeHost::v1().unwrap(),
        &expect![[r#"
            V1, ids from sys/fs/cgroup/cpuacct
            cpu sys/fs/cgroup/cpu
            cpuacct sys/fs/cgroup/cpuacct
            memory sys/fs/cgroup/memory
            pids sys/fs/cgroup/pids
            blkio sys/fs/cgroup/blkio
            cpuacct is 2"#]],
    );
    check(
        &FakeHost::v1_joined().unwrap(),
        &expect![[r#"
            V1, ids from sys/fs/cgroup/cpu,cpuacct
            cpu sys/fs/cgroup/cpu,cpuacct
            cpuacct sys/fs/cgroup/cpu,cpuacct
            memory sys/fs/cgroup/memory
            pids sys/fs/cgroup/pids
            blkio sys/fs/cgroup/blkio
            cpuacct is 5"#]],
    );
    check(
        &FakeHost::v2().unwrap(),
        &expect![[r#"
            V2, ids from sys/fs/cgroup
            v2 sys/fs/cgroup"#]],
    );
    check(
        &FakeHost::hybrid().unwrap(),
        &expect![[r#"
            Hybrid, ids from sys/fs/cgroup/unified
            cpu sys/fs/cgroup/cpu
            cpuacct sys/fs/cgroup/cpuacct
            memory sys/fs/cgroup/memory
            pids sys/fs/cgroup/pids
            blkio sys/fs/cgroup/blkio
            v2 sys/fs/cgroup/unified"#]],
    );
}

#[test]
fn a_named_hierarchy_beside_v2_does_not_make_a_hybrid() {
    let host = FakeHost::v2().unwrap();
    let table = "32 31 0:38 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n\
                 33 31 0:39 / /sys/fs/cgroup rw - cgroup cgroup rw,name=systemd\n";
    host.write("proc/self/mountinfo", table.as_bytes()).unwrap();
    check(
        &host,
        &expect![[r#"
            V2, ids from sys/fs/cgroup
            v2 sys/fs/cgroup"#]],
    );
}

#[test]
fn a_mount_through_a_link_and_with_a_blank_in_its_name_is_found() {
    let host = with_table(b"32 31 0:38 / /mnt/c\\040g/link rw - cgroup2 cgroup2 rw\n");
    host.write("mnt/c g/real/cgroup.procs", b"").unwrap();
    std::os::unix::fs::symlink("real", host.root().join("mnt/c g/link")).unwrap();
    check(
        &host,
        &expect![[r#"
            V2, ids from mnt/c g/link
            v2 mnt/c g/link"#]],
    );
    let layout = CgroupLayout::detect(&HostRoot::new(host.root())).unwrap();
    let real = std::fs::metadata(host.root().join("mnt/c g/real")).unwrap().ino();
    assert_eq!(layout.id_of(Path::new("/")).unwrap(), CgroupId(real));
}

#[test]
fn hosts_without_usable_cgroups_are_refused_with_the_reason() {
    check(
        &with_table(b"1 0 0:1 / / rw - ext4 /dev/vda rw\n"),
        &expect![[
            r#""ROOT/proc/self/mountinfo" names neither a cgroup2 mount nor a v1 cpuacct mount: are control groups mounted?"#
        ]],
    );
    check(
        &with_table(b"32 31 0:38 /docker/ab /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"),
        &expect![[
            r#""ROOT/sys/fs/cgroup" shows only the part of the cgroup hierarchy below "/docker/ab": share the host's cgroup namespace"#
        ]],
    );
    let v1 = FakeHost::v1().unwrap();
    v1.write("proc/cgroups", b"cpu\t1\t1\t1\ncpuacct\tmany\t1\t1\n").unwrap();
    check(&v1, &expect![[r#""ROOT/proc/cgroups": has no line for cpuacct"#]]);
}

#[test]
fn hostile_mount_tables_are_refused_and_not_believed() {
    let huge = vec![b'x'; 1024 * 1024];
    for table in
        [&huge[..], b"", b"\xff\xfe\n", b"32 31 0:38", b"1 2 3 / /sys/fs/cgroup rw - cgroup2", b"- - - -\n"]
    {
        let shown = show(&with_table(table));
        let is_v2 = shown.as_ref().is_ok_and(|text| text.starts_with("V2"));
        // The fifth names a complete enough mount; all others name none.
        assert!(is_v2 == table.ends_with(b"cgroup2"), "{shown:?}");
    }
    let error = show(&with_table(&vec![b'x'; HOST_TABLE_BYTES_MAX + 1])).unwrap_err();
    assert!(matches!(error, HostfsError::Malformed { .. }), "{error}");
}

#[test]
fn paths_cannot_lead_out_of_the_hierarchy() {
    let host = FakeHost::v2().unwrap();
    let layout = CgroupLayout::detect(&HostRoot::new(host.root())).unwrap();
    for path in ["/../proc", "/a/../../b", ".."] {
        assert!(matches!(layout.id_of(Path::new(path)), Err(HostfsError::Malformed { .. })), "{path}");
    }
    assert!(layout.id_of(Path::new("/nowhere")).unwrap_err().is_gone());
}

#[test]
fn this_host_has_a_layout_and_its_root_an_id() {
    let layout = CgroupLayout::detect(&HostRoot::new("/")).unwrap();
    assert_ne!(layout.id_of(Path::new("/")).unwrap(), CgroupId(0));
}
