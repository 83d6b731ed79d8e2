//! Engines found on made-up hosts, where nobody answers, and the Docker of a host that has one.

use expect_test::{Expect, expect};
use hostfs::layout::CgroupLayout;
use model::authority::Authority;
use model::ids::NodeId;
use testkit::host_tree::{FakeHost, FakeProcess};

use super::*;
use crate::containers::ContainersConfig;
use crate::engines::EnginesConfig;

const HEADING: &str = "Num       RefCount Protocol Flags    Type St Inode Path\n";

struct Case {
    host: FakeHost,
    registry: Registry,
    outlet: Outlet,
    queue: Receiver<Event>,
    sockets: Vec<(u64, String)>,
}

impl Case {
    fn new() -> Self {
        Self::with(EnginesConfig::default())
    }

    fn with(config: EnginesConfig) -> Self {
        let host = FakeHost::v2().unwrap();
        let root = HostRoot::new(host.root());
        let finder = DaemonFinder::new(&root, &CgroupLayout::detect(&root).unwrap()).unwrap();
        let (outlet, queue) = Outlet::new(NodeId::new("node"), 1024);
        std::fs::create_dir_all(host.root().join("var")).unwrap();
        std::os::unix::fs::symlink("/run", host.root().join("var/run")).unwrap();
        let registry = Registry::new(&root, finder, (config, ContainersConfig::default()), &outlet);
        Self { host, registry, outlet, queue, sockets: Vec::new() }
    }

    /// A process, with these arguments, that listens at these sockets.
    fn process(&mut self, pid: u32, parent_pid: u32, args: &[&str], sockets: &[&str]) {
        let name: String = args[0].chars().take(15).collect();
        let process = FakeProcess { parent_pid, ..FakeProcess::new(pid, &name) }.with_args(args);
        self.host.process(&process).unwrap();
        let first = self.sockets.len() as u64 + 100;
        let numbered: Vec<(u64, String)> = (first..).zip(sockets.iter().map(ToString::to_string)).collect();
        let links: Vec<String> = numbered.iter().map(|(inode, _)| format!("socket:[{inode}]")).collect();
        let links: Vec<&str> = links.iter().map(String::as_str).collect();
        self.host.open_files(pid, &links).unwrap();
        self.sockets.extend(numbered);
        let line = |(inode, path): &(u64, String)| format!("0: 2 0 00010000 0001 01 {inode} {path}\n");
        let table: String = self.sockets.iter().map(line).collect();
        for pid in [1, pid] {
            self.host
                .write(&format!("proc/{pid}/net/unix"), (HEADING.to_owned() + &table).as_bytes())
                .unwrap();
        }
    }

    fn end(&mut self, pid: u32) {
        self.host.end_process(pid).unwrap();
        self.host.write("proc/1/net/unix", HEADING.as_bytes()).unwrap();
    }

    /// What is told of engines, and of how their sources are.
    fn look(&mut self) -> String {
        self.registry.look(&self.outlet);
        let bodies = self.queue.try_iter().map(|event| event.body);
        bodies.map(show).collect()
    }

    fn check(&mut self, expected: &Expect) {
        expected.assert_eq(&self.look());
    }
}

fn show(body: Body) -> String {
    match body {
        Body::Engine(seen) => {
            let standard = if seen.is_standard { "standard" } else { "unusual" };
            let process = seen.process.map(|process| format!(" by {} {}", process.pid, seen.program));
            let part_of = seen.part_of.map(|view| format!(" part of {view}"));
            let (process, part_of) = (process.unwrap_or_default(), part_of.unwrap_or_default());
            format!("{} {:?} {standard}{process}{part_of}\n", seen.view, seen.state)
        }
        Body::Report(report) => format!("{} {:?} {}\n", report.source, report.health, report.reason),
        other => format!("{other:?}\n"),
    }
}

const OWN: &str = "/run/docker/containerd/containerd.sock";
const OWN_ARGS: [&str; 3] = ["containerd", "--config", "/var/run/docker/containerd/containerd.toml"];

#[test]
fn docker_and_the_containerd_that_is_its_part_are_told_apart_from_others() {
    let mut case = Case::new();
    case.process(900, 1, &["dockerd"], &["/var/run/docker.sock", "/run/docker/metrics.sock"]);
    case.process(901, 900, &OWN_ARGS, &["/run/docker/containerd/containerd-debug.sock", OWN]);
    case.process(902, 1, &["containerd", "--address", "/tmp/c"], &["/tmp/c.ttrpc", "/tmp/c"]);
    case.check(&expect![[r#"
        containerd at /run/docker/containerd/containerd.sock Silent standard by 901 /usr/bin/containerd part of docker
        docker Answers standard by 900 /usr/bin/dockerd
        containerd at /tmp/c Silent unusual by 902 /usr/bin/containerd
        cri Absent no engine of cri
    "#]]);
    assert_eq!(case.look(), "");
}

#[test]
fn a_containerd_whose_docker_does_not_listen_yet_is_its_part_from_the_start() {
    let mut case = Case::new();
    case.process(900, 1, &["dockerd", "-H", "unix:///tmp/d.sock"], &[]);
    case.process(
        901,
        900,
        &["containerd", "--config", "/tmp/d/containerd.toml"],
        &["/tmp/d/containerd.sock"],
    );
    case.check(&expect![[r#"
        containerd at /tmp/d/containerd.sock Silent unusual by 901 /usr/bin/containerd part of docker at /tmp/d.sock
        cri Absent no engine of cri
    "#]]);
    case.process(900, 1, &["dockerd", "-H", "unix:///tmp/d.sock"], &["/tmp/d.sock"]);
    case.check(&expect![[r#"
        docker at /tmp/d.sock Silent unusual by 900 /usr/bin/dockerd
    "#]]);
}

#[test]
fn a_renamed_daemon_is_found_by_the_name_of_its_socket() {
    let mut case = Case::new();
    case.process(900, 1, &["update-notifier"], &["/opt/x/containerd.sock", "/opt/x/other.sock"]);
    case.process(901, 1, &["proxy"], &["/opt/x/unrelated.sock"]);
    case.check(&expect![[r#"
        containerd at /opt/x/containerd.sock Silent unusual by 900 /usr/bin/update-notifier
        cri Absent no engine of cri
    "#]]);
}

#[test]
fn a_shim_tells_of_an_engine_that_nothing_else_tells_of() {
    let mut case = Case::new();
    case.process(
        910,
        1,
        &["containerd-shim", "-namespace", "n", "-id", "a", "-address", "/var/run/hidden"],
        &[],
    );
    case.check(&expect![[r#"
        containerd at /run/hidden Silent unusual
        cri Absent no engine of cri
    "#]]);
}

#[test]
fn an_engine_of_which_nothing_is_left_is_gone_and_one_with_a_shim_is_not() {
    let mut case = Case::new();
    case.process(900, 1, &["crio"], &["/run/crio/crio.sock"]);
    case.process(901, 1, &["containerd"], &["/tmp/c"]);
    case.process(902, 1, &["containerd-shim", "-id", "a", "-address", "/tmp/c"], &[]);
    case.look();
    case.end(900);
    case.end(901);
    assert_eq!(case.look(), "", "it may be started anew");
    for engine in case.registry.engines.values_mut() {
        engine.missing = engine.missing.and_then(|since| since.checked_sub(GONE_AFTER));
    }
    case.check(&expect![[r#"
        cri at /run/crio/crio.sock Gone standard
        cri Absent no engine of cri
    "#]]);
    assert_eq!(case.registry.engines.keys().collect::<Vec<_>>(), [Path::new("/tmp/c")]);
}

#[test]
fn a_daemon_without_a_socket_of_the_host_is_told_after_a_while() {
    let mut case = Case::new();
    case.process(900, 1, &["dockerd", "-H", "tcp://127.0.0.1:2375"], &[]);
    case.check(&expect![[r#"
        containerd Absent no engine of containerd
        cri Absent no engine of cri
    "#]]);
    assert!(case.registry.is_one_starting());
    for (_, since) in &mut case.registry.starting {
        *since = since.checked_sub(STARTING_MAX).unwrap();
    }
    case.check(&expect![[r#"
        docker at /usr/bin/dockerd Silent unusual by 900 /usr/bin/dockerd
    "#]]);
}

#[test]
fn what_a_follower_says_is_completed_and_its_sources_health_follows() {
    let mut case = Case::new();
    case.process(900, 1, &["containerd"], &["/run/containerd/containerd.sock"]);
    case.look();
    let reach = case.host.root().join("run/containerd/containerd.sock").display().to_string();
    let mut say = |kind, state, reason: &str| {
        let view = View::new(kind, &reach);
        let seen = EngineSeen {
            view,
            state,
            reason: reason.into(),
            process: None,
            program: "".into(),
            cgroup: "".into(),
            is_standard: false,
            part_of: None,
            authority: Authority::default(),
            executable: None,
        };
        let inlet = Outlet::new(NodeId::new("node"), 1).0;
        let event = inlet.stamp(Source::Containerd, inlet.now(), Body::Engine(Box::new(seen)));
        case.registry.take(event, &case.outlet);
        case.queue.try_iter().map(|event| show(event.body)).collect::<String>()
    };
    assert_eq!(say(EngineKind::Cri, EngineState::Silent, "no such service"), "");
    expect![[r#"
        containerd at /run/containerd/containerd.sock Answers standard by 900 /usr/bin/containerd
        containerd Up 
    "#]]
    .assert_eq(&say(EngineKind::Containerd, EngineState::Answers, ""));
    expect![[r#"
        cri at /run/containerd/containerd.sock Answers standard by 900 /usr/bin/containerd part of containerd at /run/containerd/containerd.sock
        cri Up 
    "#]]
    .assert_eq(&say(EngineKind::Cri, EngineState::Answers, ""));
    expect![[r#"
        containerd at /run/containerd/containerd.sock Doubtful standard by 900 /usr/bin/containerd
        containerd Degraded containerd at /run/containerd/containerd.sock: too many
    "#]]
    .assert_eq(&say(EngineKind::Containerd, EngineState::Doubtful, "too many"));
}

#[test]
fn podman_s_monitors_and_services_are_passed_on_to_those_who_follow_it() {
    let mut case = Case::new();
    case.process(900, 1, &["podman", "system", "service"], &["/run/podman/podman.sock"]);
    let monitor = [
        "conmon",
        "-b",
        "/g/overlay-containers/a/userdata",
        "-p",
        "/r/overlay-containers/a/userdata/pidfile",
    ];
    case.process(901, 1, &[&monitor[..], &["--exit-command", "podman"]].concat(), &[]);
    case.look();
    let notes: Vec<String> = case
        .registry
        .podman_notes()
        .iter()
        .map(|note| {
            let server = note.server.as_ref().map(|server| server.process.pid);
            format!("{} {} {server:?}", note.roots.graphroot.display(), note.roots.runroot.display())
        })
        .collect();
    assert_eq!(notes, ["/var/lib/containers/storage /run/containers/storage Some(900)", "/g /r None"]);
    assert!(case.registry.engines.is_empty());
}

#[test]
fn a_store_that_only_its_monitor_sees_is_reached_through_it() {
    let mut case = Case::new();
    let args = [
        "conmon",
        "-b",
        "/g/overlay-containers/a/userdata",
        "-p",
        "/r/overlay-containers/a/userdata/pidfile",
    ];
    case.process(901, 1, &[&args[..], &["--exit-command", "podman"]].concat(), &[]);
    case.host.write("proc/901/root/g/x", b"").unwrap();
    case.look();
    let roots: Vec<_> = case.registry.podman_notes().into_iter().map(|note| note.roots).collect();
    let hidden = StoreRoots { graphroot: "/proc/901/root/g".into(), runroot: "/proc/901/root/r".into() };
    assert_eq!(roots, [hidden]);
}

#[test]
fn more_engines_than_the_limit_are_said_to_be_left_out() {
    let mut case = Case::new();
    for pid in 900..900 + u32::try_from(ENGINES_MAX).unwrap() + 2 {
        case.process(pid, 1, &["containerd-shim", "-id", "a", "-address", &format!("/tmp/{pid}")], &[]);
    }
    let told = case.look();
    assert!(told.ends_with("cri Degraded 2 engines are not followed: too many\n"), "{told}");
    assert_eq!(case.look(), "");
}

#[test]
fn a_socket_that_settings_name_is_looked_for() {
    let sockets = vec!["/srv/containerd.sock".into()];
    let mut case = Case::with(EnginesConfig { sockets, ..EnginesConfig::default() });
    case.process(900, 1, &["x"], &["/srv/containerd.sock"]);
    case.host.remove("proc/900/fd").unwrap();
    case.check(&expect![[r#"
        containerd at /srv/containerd.sock Silent unusual
        cri Absent no engine of cri
    "#]]);
}

/// Which containers the engines told so far can have made, and who serves them.
fn authorities(case: &Case) -> Vec<(String, u32, Authority)> {
    let told = case.registry.told.values();
    told.map(|seen| {
        let pid = seen.process.map_or(0, |process| process.pid);
        (seen.view.to_string(), pid, seen.authority.clone())
    })
    .collect()
}

#[test]
fn a_user_s_process_called_like_an_engine_is_none_and_one_that_listens_is_that_users() {
    let mut case = Case::new();
    case.process(900, 1, &["containerd"], &[]);
    case.process(901, 1, &["dockerd"], &["/tmp/docker.sock"]);
    for (pid, name) in [(900, "containerd"), (901, "dockerd")] {
        let process = FakeProcess { uid: 65_534, ..FakeProcess::new(pid, name) };
        case.host.process(&process).unwrap();
    }
    case.look();
    for (_, since) in &mut case.registry.starting {
        *since = since.checked_sub(STARTING_MAX).unwrap();
    }
    case.look();
    let nothing = Authority::Refused { why: "it listens at no socket of the host".into() };
    let docker = ("docker at /tmp/docker.sock".to_owned(), 901, Authority::User { uid: 65_534 });
    let containerd = ("containerd at /usr/bin/containerd".to_owned(), 900, nothing);
    assert_eq!(authorities(&case), [docker, containerd]);
}

#[test]
fn a_process_of_a_container_that_listens_at_an_engines_socket_is_no_engine() {
    let mut case = Case::new();
    case.process(900, 1, &["python3"], &["/srv/shared/docker.sock"]);
    let contained = FakeProcess::new(900, "python3").contained("/docker/x");
    case.host.process(&contained).unwrap();
    case.look();
    let why = "it runs in a pid namespace of its own".into();
    let docker = ("docker at /srv/shared/docker.sock".to_owned(), 900, Authority::Refused { why });
    assert_eq!(authorities(&case), [docker]);
}

#[test]
fn a_socket_put_in_the_place_of_an_engine_that_runs_is_known_by_who_listens_at_it() {
    let mut case = Case::new();
    let place = "/run/containerd/containerd.sock";
    case.process(900, 1, &["containerd"], &[place]);
    case.look();
    assert_eq!(authorities(&case)[0].1, 900);
    let path = case.host.root().join(&place[1..]);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let own = FakeProcess { uid: 1000, ..FakeProcess::new(std::process::id(), "socat") };
    case.host.process(&own).unwrap();
    case.look();
    assert_eq!(authorities(&case)[0].1, own.pid);
    assert_eq!(authorities(&case)[0].2, Authority::User { uid: 1000 });
}
