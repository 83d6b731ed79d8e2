//! Podman's stores on made-up hosts, and whoever serves Podman's interface there.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use expect_test::expect;
use hostfs::podman::StoreRoots;
use hostfs::root::HostRoot;
use model::event::{Body, Event};
use model::ids::{NodeId, ProcessKey};
use serde_json::json;
use sources::outlet::Outlet;
use sources::podman::{PodmanFollower, PodmanNote, PodmanServer};
use testkit::host_tree::{FakeHost, FakeProcess};

use crate::fake_engine::{FakeEngine, id};

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

    /// Where whoever serves the interface listens.
    fn socket(&self) -> PathBuf {
        self.host.root().join("p.sock")
    }

    /// A process of the store's owner is found that serves the store's interface.
    fn is_served_by(&mut self, pid: u32) {
        self.listens(pid);
        self.note_server(pid, self.owner());
    }

    fn owner(&self) -> u32 {
        std::fs::metadata(self.host.root()).unwrap().uid()
    }

    fn listens(&self, pid: u32) {
        self.host.process(&FakeProcess::new(pid, "podman")).unwrap();
        self.host.open_files(pid, &["socket:[11]"]).unwrap();
        let table = b"Num\n0: 2 0 00010000 0001 01 11 /p.sock\n";
        self.host.write(&format!("proc/{pid}/net/unix"), table).unwrap();
        symlink(self.host.root(), self.host.root().join(format!("proc/{pid}/root"))).unwrap();
    }

    fn note_server(&mut self, pid: u32, uid: u32) {
        let roots = StoreRoots {
            graphroot: "/var/lib/containers/storage".into(),
            runroot: "/run/containers/storage".into(),
        };
        // A made-up process started as many ticks and 100 after the boot as its pid says.
        let process = ProcessKey { pid, start_ns: (100 + u64::from(pid)) * 10_000_000 };
        let (program, cgroup) = ("/usr/bin/podman".into(), "/".into());
        self.follower
            .note(PodmanNote { roots, server: Some(PodmanServer { process, uid, program, cgroup }) });
    }

    /// Everything that is told until this is.
    fn look_until(&mut self, text: &str) -> String {
        let (mut told, begun) = (String::new(), Instant::now());
        while !told.contains(text) {
            assert!(begun.elapsed() < Duration::from_secs(20), "{text} is not in {told}");
            told += &self.look();
            pause();
        }
        told
    }

    /// Everything that is told within this time.
    fn look_for(&mut self, span: Duration) -> String {
        let (mut told, begun) = (String::new(), Instant::now());
        while begun.elapsed() < span {
            told += &self.look();
            pause();
        }
        told
    }

    fn look(&mut self) -> String {
        self.follower.look(&self.outlet);
        self.queue.try_iter().map(|event| show(event.body) + "\n").collect()
    }
}

/// Between two looks.
fn pause() {
    let nothing = crossbeam_channel::never::<()>().recv_timeout(Duration::from_millis(5));
    assert!(nothing.is_err());
}

fn show(body: Body) -> String {
    match body {
        Body::Container(facts) => {
            let digest: String = facts.digest.raw().chars().take(11).collect();
            let rights = facts.privileges.map(|it| it.rights()).unwrap_or_default();
            let place = &facts.view.place;
            let labels = facts.labels.iter().map(|(key, value)| format!(" {key}={value}"));
            let check = Some(&facts.health_check).filter(|check| !check.is_empty());
            let labels: String = labels.chain(check.map(|check| format!(" checked by `{check}`"))).collect();
            let orchestrated =
                facts.orchestrated.map(|it| format!(", {:?} by {}: {}", it.standing, it.name, it.reason));
            let labels = labels + &orchestrated.unwrap_or_default();
            format!(
                "{} {} {} {digest} {:?} {:?} `{}` {rights:?} root {} in {} at {place}{labels}",
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

#[test]
fn labels_and_the_health_check_are_asked_once_where_the_interface_is_served() {
    let mut case = Case::new();
    let (web, path) = (id('a'), format!("/containers/{}/json", id('a')));
    case.keep(STORE, &[&web]);
    assert!(!case.look().contains("shop"));
    let engine = FakeEngine::start(&case.socket(), &[]);
    let config = json!({"Labels": {"shop": "front"}, "Healthcheck": {"Test": ["CMD", "/check", "now"]}});
    engine.answer(&path, "200 OK", json!({"Id": web, "Name": "/of-no-account", "Config": config}));
    case.is_served_by(900);
    let told = case.look_until("shop=front checked by `/check now`");
    assert!(
        told.contains("aaa-name localhost/bb:1 sha256:4fc2 Created") && !told.contains("account"),
        "{told}"
    );
    case.run(&web, 700);
    let told = case.look();
    assert!(told.contains("Running Some(700)") && told.contains("shop=front"), "{told}");
    case.is_served_by(901);
    assert!(!case.look_for(Duration::from_millis(300)).contains("aaa-name"), "nothing is new");
    assert_eq!(engine.answered(&path), 1);
    case.keep(STORE, &[]);
    assert!(case.look().contains("gone aaa"));
}

#[test]
fn who_does_not_answer_holds_up_nothing_and_is_asked_again() {
    let mut case = Case::new();
    let (web, path) = (id('a'), format!("/containers/{}/json", id('a')));
    case.keep(STORE, &[&web]);
    let engine = FakeEngine::start(&case.socket(), &[]);
    engine.answer(&path, "200 OK", json!({"Id": web, "Config": {"Labels": {"shop": "front"}}}));
    engine.hold(&path);
    case.is_served_by(900);
    let begun = Instant::now();
    case.look();
    engine.wait_asked(&path);
    case.run(&web, 700);
    let told = case.look();
    assert!(told.contains("Running Some(700)"), "{told}");
    assert!(begun.elapsed() < Duration::from_secs(1), "a look waits for nobody");
    let told = case.look_for(Duration::from_millis(2300));
    assert!(!told.contains("Doubtful") && !told.contains("shop"), "{told}");
    engine.release();
    case.look_until("shop=front");
}

#[test]
fn nonsense_leaves_a_container_without_labels_and_others_with_theirs() {
    let mut case = Case::new();
    let ids = [id('a'), id('b'), id('c')];
    case.keep(STORE, &[&ids[0], &ids[1], &ids[2], "short"]);
    let engine = FakeEngine::start(&case.socket(), &[]);
    engine.garble(&format!("/containers/{}/json", ids[0]), true);
    let other = json!({"Id": id('d'), "Config": {"Labels": {"lie": "b"}}});
    engine.answer(&format!("/containers/{}/json", ids[1]), "200 OK", other);
    let labelled = json!({"Id": ids[2], "Config": {"Labels": {"shop": "front"}}});
    engine.answer(&format!("/containers/{}/json", ids[2]), "200 OK", labelled);
    case.is_served_by(900);
    let told = case.look_until("shop=front");
    assert!(!told.contains("lie") && told.contains("Answers"), "{told}");
}

#[test]
fn an_answer_without_end_is_cut_off() {
    let mut case = Case::new();
    case.keep(STORE, &[&id('a')]);
    let listener = UnixListener::bind(case.socket()).unwrap();
    let flood = std::thread::spawn(move || {
        let mut connection = listener.accept().unwrap().0;
        let mut sent = connection.write(b"HTTP/1.0 200 OK\r\n\r\n").unwrap();
        let begun = Instant::now();
        while let Ok(bytes) = connection.write(&[b' '; 65536]) {
            sent += bytes;
            assert!(begun.elapsed() < Duration::from_secs(10), "it is read for ever");
        }
        sent
    });
    case.is_served_by(900);
    while !flood.is_finished() {
        case.look_for(Duration::from_millis(20));
    }
    // What the kernel keeps for the two comes on top.
    assert!(flood.join().unwrap() < 4 * 1024 * 1024);
    assert!(!case.look().contains("Doubtful"));
}

#[test]
fn who_serves_may_go_and_come_back() {
    let mut case = Case::new();
    let (web, path) = (id('a'), format!("/containers/{}/json", id('a')));
    case.keep(STORE, &[&web]);
    case.is_served_by(900);
    assert!(!case.look_for(Duration::from_millis(100)).contains("shop"), "nobody listens yet");
    case.host.end_process(900).unwrap();
    let engine = FakeEngine::start(&case.socket(), &[]);
    engine.answer(&path, "200 OK", json!({"Id": web, "Config": {"Labels": {"shop": "front"}}}));
    // As when a service manager listens and no process of Podman's is there: nobody is to be woken.
    assert!(!case.look_for(Duration::from_millis(700)).contains("shop"));
    assert_eq!(engine.answered(&path), 0);
    case.is_served_by(901);
    case.look_until("shop=front");
}

#[test]
fn who_neither_owns_the_store_nor_sees_it_is_not_believed() {
    let mut case = Case::new();
    let (web, path) = (id('a'), format!("/containers/{}/json", id('a')));
    case.keep(STORE, &[&web]);
    let engine = FakeEngine::start(&case.socket(), &[]);
    engine.answer(&path, "200 OK", json!({"Id": web, "Config": {"Labels": {"shop": "front"}}}));
    case.is_served_by(900);
    std::fs::remove_file(case.host.root().join("proc/900/root")).unwrap();
    case.host.write("proc/900/root/var/lib/containers/storage/x", b"").unwrap();
    assert!(!case.look_for(Duration::from_millis(200)).contains("shop"));
    case.listens(901);
    case.note_server(901, case.owner() + 1);
    assert!(!case.look_for(Duration::from_millis(200)).contains("shop"));
    assert_eq!(engine.answered(&path), 0);
}

#[test]
fn labels_of_a_swarm_are_denied_where_podman_tells_them() {
    let mut case = Case::new();
    let (web, path) = (id('a'), format!("/containers/{}/json", id('a')));
    case.keep(STORE, &[&web]);
    let engine = FakeEngine::start(&case.socket(), &[]);
    let labels = json!({"com.docker.swarm.service.name": "shop"});
    engine.answer(&path, "200 OK", json!({"Id": web, "Config": {"Labels": labels}}));
    case.is_served_by(900);
    case.look_until(
        "com.docker.swarm.service.name=shop, Denied by swarm: a swarm has Docker run its containers",
    );
}

#[test]
fn labels_of_one_store_have_a_limit() {
    /// Of 10 KiB each, 409 fill the 4 MiB of one store.
    const MANY: u32 = 415;
    let mut case = Case::new();
    let ids: Vec<String> = (0..MANY).map(|number| format!("{number:064x}")).collect();
    case.keep(STORE, &ids.iter().map(String::as_str).collect::<Vec<_>>());
    let engine = FakeEngine::start(&case.socket(), &[]);
    // 64 of 1,024 bytes each, of which ten are kept.
    let long = "x".repeat(512);
    let labels: BTreeMap<String, &str> =
        (0..64).map(|number| (format!("{number:0>512}"), long.as_str())).collect();
    for id in &ids {
        let body = json!({"Id": id, "Config": {"Labels": labels, "Healthcheck": {"Test": ["CMD", "check"]}}});
        engine.answer(&format!("/containers/{id}/json"), "200 OK", body);
    }
    case.is_served_by(900);
    let (mut with, mut without) = (0, 0);
    let begun = Instant::now();
    while with + without < MANY {
        assert!(begun.elapsed() < Duration::from_secs(20), "{with} and {without} are told");
        case.follower.look(&case.outlet);
        for event in case.queue.try_iter() {
            let Body::Container(facts) = event.body else { continue };
            with += u32::from(!facts.labels.is_empty());
            without += u32::from(facts.labels_dropped == 64 && !facts.health_check.is_empty());
        }
        pause();
    }
    assert_eq!((with, without), (409, 6));
}
