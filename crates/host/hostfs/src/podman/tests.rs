//! Stores of Podman's in made-up directories.

use expect_test::expect;
use testkit::host_tree::{FakeHost, FakeProcess};

use super::*;

const ID: &str = "b309958119e0";

fn roots() -> StoreRoots {
    StoreRoots { graphroot: "/g".into(), runroot: "/r".into() }
}

fn store(host: &FakeHost) -> Store {
    Store::new(&HostRoot::new(host.root()), roots())
}

fn entry(id: &str, metadata: &str) -> String {
    let metadata = serde_json::to_string(metadata).unwrap();
    format!(
        r#"{{"id":"{id}","names":["web"],"image":"4fc2","layer":"9c","metadata":{metadata},"created":"2026-01-31T12:00:00.5Z","flags":{{"MountLabel":""}}}}"#
    )
}

fn with_one(host: &FakeHost) -> Stored {
    let list = format!("[{}]", entry(ID, r#"{"image-name":"localhost/bb:1","name":"web"}"#));
    host.write("g/overlay-containers/containers.json", list.as_bytes()).unwrap();
    store(host).list().unwrap().containers.remove(0)
}

#[test]
fn a_container_is_told_with_name_image_and_time() {
    let host = FakeHost::v2().unwrap();
    assert!(!store(&host).is_there());
    let stored = with_one(&host);
    assert!(store(&host).is_there());
    expect![[r#"
        Stored {
            id: "b309958119e0",
            name: "web",
            image: "localhost/bb:1",
            image_id: "4fc2",
            created: Some(
                Time(
                    1769860800500000000,
                ),
            ),
            driver: "overlay",
        }
    "#]]
    .assert_debug_eq(&stored);
}

#[test]
fn lists_of_all_drivers_and_of_containers_that_need_not_last_are_read() {
    let host = FakeHost::v2().unwrap();
    let files = [
        "g/overlay-containers/containers.json",
        "g/vfs-containers/volatile-containers.json",
        "r/overlay-containers/volatile-containers.json",
    ];
    for (number, file) in files.iter().enumerate() {
        host.write(file, format!("[{}]", entry(&format!("c{number}"), "{}")).as_bytes()).unwrap();
    }
    let ids: Vec<_> = store(&host).list().unwrap().containers.iter().map(|it| it.id.to_string()).collect();
    assert_eq!(ids, ["c0", "c2", "c1"]);
}

#[test]
fn pods_of_cri_o_and_ids_that_are_no_names_of_directories_are_left_out() {
    let host = FakeHost::v2().unwrap();
    let pod = entry("aa", r#"{"pod-id":"bb","image-name":"x"}"#);
    let list = format!("[{pod},{},{},{}]", entry("../../etc", "{}"), entry("", "{}"), entry("cc", "no json"));
    host.write("g/overlay-containers/containers.json", list.as_bytes()).unwrap();
    let ids: Vec<_> = store(&host).list().unwrap().containers.iter().map(|it| it.id.to_string()).collect();
    assert_eq!(ids, ["cc"]);
}

#[test]
fn a_change_is_noticed_once_and_a_torn_list_is_a_problem() {
    let host = FakeHost::v2().unwrap();
    let mut store = store(&host);
    with_one(&host);
    assert!(store.has_changed());
    assert!(!store.has_changed());
    host.write("g/overlay-containers/containers.json", b"[{").unwrap();
    assert!(store.has_changed());
    let problem = store.list().unwrap_err().to_string();
    assert!(problem.ends_with("containers.json\": is not a list of containers"), "{problem}");
}

#[test]
fn what_is_no_regular_file_is_not_opened() {
    let host = FakeHost::v2().unwrap();
    host.write("g/overlay-containers/x", b"").unwrap();
    let list = host.root().join("g/overlay-containers/containers.json");
    std::os::unix::fs::symlink("/dev/zero", list).unwrap();
    assert!(!store(&host).is_there());
    assert_eq!(store(&host).list().unwrap(), StoredList::default());
}

#[test]
fn the_first_process_counts_while_it_lives_below_its_own_monitor() {
    let host = FakeHost::v2().unwrap();
    let stored = with_one(&host);
    let pidfile = format!("r/overlay-containers/{ID}/userdata/pidfile");
    host.write(&pidfile, b"77").unwrap();
    assert_eq!(store(&host).process(&stored), None, "there is no such process");
    host.process(&FakeProcess::new(70, "conmon").with_args(&["conmon", "-c", ID])).unwrap();
    let first = FakeProcess { parent_pid: 70, ..FakeProcess::new(77, "sleep") };
    host.process(&first).unwrap();
    assert_eq!(store(&host).process(&stored).map(|it| it.pid), Some(77));
    host.process(&FakeProcess { state: 'Z', ..first.clone() }).unwrap();
    assert_eq!(store(&host).process(&stored), None, "it has ended");
    host.process(&first).unwrap();
    host.process(&FakeProcess::new(70, "conmon").with_args(&["conmon", "-c", "other"])).unwrap();
    assert_eq!(store(&host).process(&stored), None, "another container's monitor looks after it");
    host.process(&FakeProcess { parent_pid: 5, ..first }).unwrap();
    assert_eq!(store(&host).process(&stored), None, "somebody else's process");
}

#[test]
fn only_the_administrator_s_store_may_name_a_process_whose_monitor_is_gone() {
    let host = FakeHost::v2().unwrap();
    let stored = with_one(&host);
    host.write(&format!("r/overlay-containers/{ID}/userdata/pidfile"), b"77\n").unwrap();
    host.process(&FakeProcess::new(77, "sleep")).unwrap();
    let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(host.root().join("g")).unwrap());
    assert_eq!(store(&host).process(&stored).is_some(), owner == 0);
    if owner == 0 {
        std::os::unix::fs::chown(host.root().join("g"), Some(1000), None).unwrap();
        assert_eq!(store(&host).process(&stored), None);
    }
}

#[test]
fn a_store_is_served_by_its_owner_or_the_administrator_who_sees_it() {
    let host = FakeHost::v2().unwrap();
    with_one(&host);
    host.write("proc/900/root/g/x", b"").unwrap();
    let served = |pid, uid| store(&host).is_served_by(ProcessKey { pid, start_ns: 1 }, uid);
    let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(host.root().join("g")).unwrap());
    assert!(!served(900, owner), "another directory of the same name");
    std::fs::create_dir_all(host.root().join("proc/901")).unwrap();
    std::os::unix::fs::symlink(host.root(), host.root().join("proc/901/root")).unwrap();
    assert!(served(901, owner) && served(901, 0));
    assert!(!served(901, owner + 1), "somebody says that he serves it");
    assert!(!served(902, owner), "nobody");
}

#[test]
fn every_user_s_store_is_looked_for_where_podman_puts_it() {
    let host = FakeHost::v2().unwrap();
    let passwd =
        b"root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\nbob:x:1001:1:,:/home/bob:\n\
        bin:x:2:2:bin:/:/sbin/nologin\nrel:x:3:3::home/x:\ntorn:x\n";
    host.write("etc/passwd", passwd).unwrap();
    for path in ["home/ann", "home/bob"] {
        host.write(&format!("{path}/{ROOTLESS}/x"), b"").unwrap();
    }
    host.write("tmp/containers-user-1001/containers/x", b"").unwrap();
    let stores = standard_stores(&HostRoot::new(host.root()));
    let shown: Vec<_> =
        stores.iter().map(|it| format!("{} {}", it.graphroot.display(), it.runroot.display())).collect();
    assert_eq!(
        shown,
        [
            "/var/lib/containers/storage /run/containers/storage",
            "/home/ann/.local/share/containers/storage /run/user/1000/containers",
            "/home/bob/.local/share/containers/storage /tmp/containers-user-1001/containers",
        ]
    );
}

#[test]
fn a_specification_is_read_whole_or_not_at_all() {
    let host = FakeHost::v2().unwrap();
    let stored = with_one(&host);
    assert!(store(&host).spec(&stored).unwrap_err().is_gone());
    let path = format!("g/overlay-containers/{ID}/userdata/config.json");
    host.write(&path, b"{}").unwrap();
    assert_eq!(store(&host).spec(&stored).unwrap(), b"{}");
    host.write(&path, &vec![b' '; SPEC_BYTES_MAX + 2]).unwrap();
    assert!(store(&host).spec(&stored).is_err());
}
