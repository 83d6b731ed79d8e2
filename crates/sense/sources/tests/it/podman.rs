//! Podman's stores on made-up hosts.

use crossbeam_channel::Receiver;
use expect_test::expect;
use hostfs::podman::StoreRoots;
use hostfs::root::HostRoot;
use model::event::{Body, Event};
use model::ids::NodeId;
use sources::outlet::Outlet;
use sources::podman::{PodmanFollower, PodmanNote};
use testkit::host_tree::{FakeHost, FakeProcess};

const STORE: &str = "var/lib/containers/storage/overlay-containers";
const OF_BOOT: &str = "run/containers/storage/overlay-containers";
const IMAGE: &str = "4fc288fddf0fcdedb5e99a4658dfe8f69f0a13a5cc26dbf51be6d950fa7d0c49";

struct Case {
    host: FakeHost,
    follower: PodmanFollower,
    outlet: Outlet,
    queue: Receiver<Event>,
}

impl Case {
    fn new() -> Self {
        let host = FakeHost::v2().unwrap();
        let follower = PodmanFollower::new(HostRoot::new(host.root()));
        let (outlet, queue) = Outlet::new(NodeId::new("node"), 1024);
        Self { host, follower, outlet, queue }
    }

    fn keep(&self, store: &str, ids: &[&str]) {
        let entry = |id: &&str| {
            let metadata = r#"{\"image-name\":\"localhost/bb:1\",\"name\":\"web\"}"#;
            format!(r#"{{"id":"{id}","names":["{id}-name"],"image":"{IMAGE}","metadata":"{metadata}"}}"#)
        };
        let entries: Vec<String> = ids.iter().map(entry).collect();
        let list = format!("[{}]", entries.join(","));
        self.host.write(&format!("{store}/containers.json"), list.as_bytes()).unwrap();
    }

    fn run(&self, id: &str, pid: u32) {
        let monitor = FakeProcess::new(pid + 1, "conmon").with_args(&["conmon", "-c", id]);
        self.host.process(&monitor).unwrap();
        self.host.process(&FakeProcess { parent_pid: pid + 1, ..FakeProcess::new(pid, "sleep") }).unwrap();
        self.host.write(&format!("{OF_BOOT}/{id}/userdata/pidfile"), pid.to_string().as_bytes()).unwrap();
        let spec = br#"{"process":{"args":["sleep","9"],"capabilities":{"bounding":["CAP_SYS_ADMIN"]}},
            "root":{"path":"/var/lib/containers/storage/overlay/9/merged"},
            "mounts":[{"destination":"/h","type":"bind","source":"/etc","options":["ro","rbind"]},
              {"destination":"/v","type":"bind","source":"/var/lib/containers/storage/volumes/v/_data","options":["rbind"]}],
            "annotations":{"io.podman.annotations.privileged":"TRUE"},
            "linux":{"cgroupsPath":"/libpod_parent/libpod-a","namespaces":[{"type":"pid"},{"type":"mount"},
              {"type":"ipc"},{"type":"uts"}],"seccomp":{}}}"#;
        self.host.write(&format!("{STORE}/{id}/userdata/config.json"), spec).unwrap();
    }

    fn look(&mut self) -> String {
        self.follower.look(&self.outlet);
        self.queue.try_iter().map(|event| show(event.body) + "\n").collect()
    }
}

fn show(body: Body) -> String {
    match body {
        Body::Container(facts) => {
            let digest: String = facts.digest.raw().chars().take(11).collect();
            let rights = facts.privileges.map(|it| it.rights()).unwrap_or_default();
            let place = &facts.view.place;
            format!(
                "{} {} {} {digest} {:?} {:?} `{}` {rights:?} root {} in {} at {place}",
                facts.id,
                facts.name,
                facts.image,
                facts.state,
                facts.pid,
                facts.command,
                facts.root,
                facts.cgroup
            )
        }
        Body::ContainerGone { id, .. } => format!("gone {id}"),
        Body::ContainerList { ids, view } => format!("list {ids:?} {view}"),
        Body::Engine(seen) => {
            let standard = if seen.is_standard { "standard" } else { "unusual" };
            format!("engine {} {:?} {standard} {}", seen.view, seen.state, seen.reason)
        }
        Body::Report(report) => format!("{:?} {}", report.health, report.reason),
        other => format!("{other:?}"),
    }
}

#[test]
fn a_container_is_told_from_its_making_to_its_end() {
    let mut case = Case::new();
    assert_eq!(case.look(), "Absent no store of Podman\n");
    case.keep(STORE, &["aa"]);
    expect![[r#"
        aa aa-name localhost/bb:1 sha256:4fc2 Created None `` [] root  in  at /var/lib/containers/storage
        list ["aa"] podman at /var/lib/containers/storage
        engine podman at /var/lib/containers/storage Answers standard 
        Up 
    "#]]
    .assert_eq(&case.look());
    case.run("aa", 700);
    expect![[r#"
        aa aa-name localhost/bb:1 sha256:4fc2 Running Some(700) `sleep 9` ["cap:SYS_ADMIN", "host:net", "mount:/etc:ro", "privileged"] root /var/lib/containers/storage/overlay/9/merged in /libpod_parent/libpod-a at /var/lib/containers/storage
    "#]]
    .assert_eq(&case.look());
    assert_eq!(case.look(), "");
    case.host.end_process(700).unwrap();
    let told = case.look();
    assert!(told.contains("Exited None `sleep 9`"), "{told}");
    case.keep(STORE, &[]);
    assert_eq!(case.look(), "gone aa\n");
}

#[test]
fn a_list_that_cannot_be_read_makes_the_store_doubtful_and_takes_no_container_away() {
    let mut case = Case::new();
    case.keep(STORE, &["aa"]);
    case.look();
    case.host.write(&format!("{STORE}/containers.json"), b"[").unwrap();
    let told = case.look();
    assert!(told.starts_with("engine podman at /var/lib/containers/storage Doubtful standard "), "{told}");
    assert!(told.contains("\nDegraded ") && !told.contains("gone"), "{told}");
    case.keep(STORE, &["aa"]);
    let told = case.look();
    assert!(told.starts_with("list [\"aa\"]") && told.ends_with("Up \n"), "{told}");
}

#[test]
fn a_store_that_a_monitor_names_is_followed_and_is_unusual() {
    let mut case = Case::new();
    case.look();
    case.keep("tmp/s/overlay-containers", &["bb"]);
    assert_eq!(case.look(), "");
    let roots = StoreRoots { graphroot: "/tmp/s".into(), runroot: "/tmp/r".into() };
    case.follower.note(PodmanNote { roots, server: None });
    let told = case.look();
    assert!(told.contains("engine podman at /tmp/s Answers unusual"), "{told}");
    case.host.remove("tmp/s").unwrap();
    expect![[r#"
        gone bb
        engine podman at /tmp/s Gone unusual 
        Absent no store of Podman
    "#]]
    .assert_eq(&case.look());
}

#[test]
fn more_stores_than_the_limit_are_said_to_be_left_out() {
    let mut case = Case::new();
    for number in 0..70 {
        let roots = StoreRoots { graphroot: format!("/s{number}").into(), runroot: "/r".into() };
        case.follower.note(PodmanNote { roots, server: None });
    }
    assert_eq!(case.look(), "Degraded 7 stores are not followed: more than 64\n");
}
