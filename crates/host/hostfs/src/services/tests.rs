//! Services of made-up hosts of every layout, and of this one.

use expect_test::{Expect, expect};
use testkit::host_tree::{FakeHost, docker_cgroupfs, docker_systemd};

use super::*;
use crate::root::HostRoot;

fn reader(host: &FakeHost) -> ServicesReader {
    ServicesReader::new(&CgroupLayout::detect(&HostRoot::new(host.root())).unwrap())
}

fn show(usages: &[ServiceUsage]) -> String {
    usages.iter().map(|usage| format!("{} {} us\n", usage.path, usage.cpu_ns / 1000)).collect()
}

/// Makes groups; those marked with `!` are containers.
fn check(groups: &[&str], expected: &Expect) {
    let hosts = [FakeHost::v1().unwrap(), FakeHost::v2().unwrap(), FakeHost::hybrid().unwrap()];
    let [v1, v2, hybrid] = hosts.map(|host| {
        let containers: Vec<PathBuf> =
            groups.iter().filter_map(|group| group.strip_prefix('!')).map(PathBuf::from).collect();
        for group in groups {
            host.cgroup(group.trim_start_matches('!')).unwrap();
        }
        let mut reader = reader(&host);
        reader.refresh(containers.iter().map(PathBuf::as_path));
        show(&reader.read())
    });
    expected.assert_eq(&v2);
    assert_eq!((&v1, &hybrid), (&v2, &v2));
}

#[test]
fn slices_are_told_by_their_leaves_and_containers_not_at_all() {
    check(
        &[
            "/init.scope",
            "/system.slice/ssh.service",
            "/system.slice/systemd-journald.service/inner",
            "/system.slice/system-getty.slice/getty@tty1.service",
            &format!("!{}", docker_systemd("ab")),
            "/user.slice/user-1000.slice/session-3.scope",
            "/user.slice/user-1000.slice/user@1000.service/app.slice",
            "!/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-cd.scope/container",
            "/machine.slice",
            "/machine2.slice",
        ],
        &expect![[r#"
            /init.scope 26004 us
            /machine.slice 26004 us
            /machine2.slice 26004 us
            /system.slice/ssh.service 26004 us
            /system.slice/system-getty.slice/getty@tty1.service 26004 us
            /user.slice/user-1000.slice/session-3.scope 26004 us
            /user.slice/user-1000.slice/user@1000.service/app.slice 26004 us
        "#]],
    );
}

#[test]
fn a_group_that_holds_containers_is_no_service_whatever_its_name() {
    check(
        &[
            &format!("!{}", docker_cgroupfs("ab")),
            &format!("!{}/nested", docker_cgroupfs("ab")),
            "/docker2",
            "!/kubepods/burstable/pod1/cd",
            "/kubelet",
        ],
        &expect![[r#"
            /docker2 26004 us
            /kubelet 26004 us
        "#]],
    );
}

#[test]
fn a_container_found_between_two_searches_is_taken_out_at_once() {
    let host = FakeHost::v2().unwrap();
    for group in ["/system.slice/ssh.service", "/system.slice/docker-ab.scope", "/alone"] {
        host.cgroup(group).unwrap();
    }
    let mut reader = reader(&host);
    reader.refresh([]);
    assert_eq!(reader.read().len(), 3);
    reader.exclude(Path::new("/system.slice/docker-ab.scope"));
    reader.exclude(Path::new("/alone/deeper/still"));
    assert_eq!(show(&reader.read()), "/system.slice/ssh.service 26004 us\n");
}

#[test]
fn time_is_read_anew_and_an_ended_or_malformed_service_is_left_out() {
    let host = FakeHost::v2().unwrap();
    for group in ["/a.service", "/b.service", "/c.service"] {
        host.cgroup(group).unwrap();
    }
    let mut reader = reader(&host);
    reader.refresh([]);
    let stat = |group: &str, text: &[u8]| host.write(&host.cgroup_file("", group, "cpu.stat"), text).unwrap();
    stat("/a.service", b"usage_usec 30000\n");
    stat("/b.service", b"usage_usec a lot\n");
    assert_eq!(show(&reader.read()), "/a.service 30000 us\n/c.service 26004 us\n");
    host.remove_cgroup("/a.service").unwrap();
    host.remove_cgroup("/c.service").unwrap();
    stat("/b.service", &[b'x'; 100_000]);
    reader.refresh([]);
    assert_eq!(show(&reader.read()), "");
    stat("/b.service", b"usage_usec 5\n");
    reader.refresh([]);
    assert_eq!(show(&reader.read()), "/b.service 5 us\n");
}

#[test]
fn more_services_than_the_limit_are_counted() {
    let host = FakeHost::v2().unwrap();
    for number in 0..SERVICES_MAX + 3 {
        host.write(&format!("sys/fs/cgroup/x.slice/{number}.service/cpu.stat"), b"usage_usec 1\n").unwrap();
    }
    let deep: String = (0..40).map(|level| format!("/{level}.slice")).collect();
    host.cgroup(&deep).unwrap();
    let mut reader = reader(&host);
    reader.refresh([]);
    assert_eq!((reader.read().len(), reader.left_out()), (SERVICES_MAX, 4));
}

#[test]
fn this_host_s_services_never_run_backwards() {
    let layout = CgroupLayout::detect(&HostRoot::new("/")).unwrap();
    let mut reader = ServicesReader::new(&layout);
    reader.refresh([]);
    let (first, second) = (reader.read(), reader.read());
    for (before, after) in first.iter().zip(&second).filter(|(before, after)| before.path == after.path) {
        assert!(after.cpu_ns >= before.cpu_ns, "{before:?} {after:?}");
    }
}
