//! What is looked at when containers begin, on made-up hosts.

use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use deadline::pulse::Watched;
use hostfs::layout::CgroupLayout;
use hostfs::root::HostRoot;
use model::coverage::Source;
use model::event::{Body, Event};
use model::ids::NodeId;
use model::setup::Setup;
use sources::birth;
use sources::outlet::{Outlet, Stop, Stopper};
use sources::scan::Scanner;
use testkit::host_tree::{CONTAINER_NAMESPACES, FakeHost, FakeProcess, docker_systemd};

use crate::contract;

/// How long the tests wait for what must come.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long they wait for what must not come: longer than a second look takes.
const QUIET: Duration = Duration::from_millis(400);

/// A host with one container, which is scanned and looked at.
struct Scene {
    host: FakeHost,
    path: String,
    scanner: Scanner,
    outlet: Outlet,
    queue: Receiver<Event>,
    stopper: Option<Stopper>,
    looking: Option<Watched>,
}

impl Scene {
    fn new() -> Self {
        let host = FakeHost::v2().unwrap();
        let path = docker_systemd(&"b".repeat(64));
        host.cgroup(&path).unwrap();
        for directory in ["layers", "proc/1"] {
            host.write(&format!("{directory}/x"), b"").unwrap();
        }
        host.link_within("proc/1/root", ".").unwrap();
        shares_users(&host, 1);
        let root = HostRoot::new(host.root());
        let layout = CgroupLayout::detect(&root).unwrap();
        let (outlet, queue) = Outlet::new(NodeId::new("node"), 10_000);
        let (stopper, stop) = Stop::new();
        let (births, looking) = birth::spawn(&root, &layout, outlet.clone(), stop).unwrap();
        let scanner = Scanner::new(&root, &layout).unwrap().showing(births);
        Self { host, path, scanner, outlet, queue, stopper: Some(stopper), looking: Some(looking) }
    }

    /// A process of the container, whose root is a directory of the host.
    fn process(&self, pid: u32, name: &str, root: &str) {
        self.begun(&FakeProcess::new(pid, name), root);
    }

    fn begun(&self, process: &FakeProcess, root: &str) {
        let pid = process.pid;
        self.host.process(&process.clone().contained(&self.path)).unwrap();
        let status = "Name:\tx\nUid:\t0\t0\t0\t0\nCapBnd:\t00000000a80425fb\nSeccomp:\t2\n";
        self.host.write(&format!("proc/{pid}/status"), status.as_bytes()).unwrap();
        self.host.write(&format!("proc/{pid}/mountinfo"), b"75 49 0:39 / / rw - overlay o rw\n").unwrap();
        self.host.link_within(&format!("proc/{pid}/root"), root).unwrap();
        shares_users(&self.host, pid);
    }

    fn scan(&mut self) {
        self.scanner.scan(&self.outlet).unwrap();
    }

    /// A process ends, and a scan notices it.
    fn end(&mut self, pid: u32) {
        self.host.end_process(pid).unwrap();
        self.scan();
    }

    /// Everything until an event fits, that one included.
    fn until(&self, what: &str, fits: impl Fn(&Body) -> bool) -> Vec<Event> {
        let start = Instant::now();
        let mut events = Vec::new();
        while let Ok(event) = self.queue.recv_timeout(PATIENCE.saturating_sub(start.elapsed())) {
            let found = fits(&event.body);
            events.push(event);
            if found {
                return events;
            }
        }
        panic!("{what} did not come, but {events:#?}");
    }

    fn setup(&self) -> Setup {
        let events = self.until("a setup", |body| matches!(body, Body::Setup(_)));
        match events.into_iter().last().unwrap().body {
            Body::Setup(setup) => *setup,
            other => panic!("{other:?}"),
        }
    }

    /// Lets a moment pass in which a first look is made, but no second one, and nothing is told.
    fn pass_by(&self) {
        let until = Instant::now() + Duration::from_millis(40);
        while let Ok(event) = self.queue.recv_deadline(until) {
            assert!(!matches!(event.body, Body::Setup(_)), "{event:?}");
        }
    }

    /// Setups and losses that come though nothing happens any more.
    fn stray(&self) -> Vec<Body> {
        let start = Instant::now();
        let mut stray = Vec::new();
        while let Ok(event) = self.queue.recv_timeout(QUIET.saturating_sub(start.elapsed())) {
            stray.extend(Some(event.body).filter(|body| matches!(body, Body::Setup(_) | Body::Lost(_))));
        }
        stray
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        drop(self.stopper.take());
        let ended =
            self.looking.take().map(|thread| thread.join_until(Instant::now() + Duration::from_secs(20)));
        assert!(ended.unwrap_or_default() || std::thread::panicking());
    }
}

fn shares_users(host: &FakeHost, pid: u32) {
    host.link(&format!("proc/{pid}/ns/user"), "user:[4026531837]").unwrap();
}

#[test]
fn the_first_process_of_a_container_is_followed_by_its_setup_and_others_are_not() {
    let mut scene = Scene::new();
    scene.process(70, "nginx", "layers");
    scene.process(71, "worker", "layers");
    scene.host.process(&FakeProcess::new(60, "sshd")).unwrap();
    scene.scan();
    let events = scene.until("a setup", |body| matches!(body, Body::Setup(_)));
    contract::check(&events, &[]);
    let last = events.last().unwrap();
    let Body::Setup(setup) = &last.body else { unreachable!("waited for") };
    assert_eq!((last.source, setup.process.pid, setup.program.raw()), (Source::Scan, 70, "nginx"));
    assert_eq!((setup.namespaces, setup.has_own_root), (CONTAINER_NAMESPACES, true));
    let process = |event: &Event| matches!(&event.body, Body::Process(exec) if exec.process.pid == 70);
    assert!(events.iter().any(process), "told before its setup");
    scene.scan();
    assert_eq!(scene.stray(), []);
}

#[test]
fn what_its_runtime_has_not_finished_is_looked_at_again_and_told_once() {
    let mut scene = Scene::new();
    scene.process(70, "runc:[2:INIT]", "layers");
    scene.scan();
    scene.pass_by();
    scene.process(70, "nginx", "layers");
    assert_eq!(scene.setup().program.raw(), "nginx");
    assert_eq!(scene.stray(), []);
}

#[test]
fn whoever_only_calls_itself_a_runtime_is_told_a_second_later() {
    let mut scene = Scene::new();
    scene.process(70, "runc", "layers");
    scene.scan();
    assert_eq!(scene.stray(), []);
    assert_eq!(scene.setup().program.raw(), "runc");
}

/// A process of the host, and one in the container that it has cloned.
fn cloned(scene: &Scene, maker: &str, name: &str) {
    scene.host.write(&format!("usr/bin/{maker}"), b"").unwrap();
    scene.host.process(&FakeProcess::new(50, maker)).unwrap();
    scene.host.link_within("proc/50/exe", &format!("usr/bin/{maker}")).unwrap();
    scene.host.link_within("proc/50/root", ".").unwrap();
    shares_users(&scene.host, 50);
    let clone = FakeProcess { parent_pid: 50, is_cloned: true, ..FakeProcess::new(70, name) };
    scene.begun(&clone, "layers");
}

#[test]
fn a_runtime_that_a_busy_host_lets_wait_is_not_judged_for_what_it_may_do() {
    let mut scene = Scene::new();
    cloned(&scene, "runc", "runc:[2:INIT]");
    scene.scan();
    let waits = Instant::now() + Duration::from_secs(2);
    while let Ok(event) = scene.queue.recv_deadline(waits) {
        assert!(!matches!(event.body, Body::Setup(_)), "{event:?}");
    }
    scene.process(70, "nginx", "layers");
    assert_eq!(scene.setup().program.raw(), "nginx");
}

#[test]
fn a_sandbox_that_ended_while_its_root_was_furnished_is_not_told() {
    let mut scene = Scene::new();
    cloned(&scene, "bwrap", "bwrap");
    scene.scan();
    scene.pass_by();
    scene.end(70);
    assert_eq!(scene.stray(), []);
}

#[test]
fn a_clone_that_works_in_a_root_of_its_own_and_ends_is_told() {
    let mut scene = Scene::new();
    cloned(&scene, "python3", "python3");
    scene.scan();
    // The second look has been made, the third has not.
    assert_eq!(scene.stray(), []);
    scene.end(70);
    assert!(scene.setup().has_own_root);
}

#[test]
fn a_clone_that_stays_in_a_root_of_its_own_is_told_a_second_later() {
    let mut scene = Scene::new();
    cloned(&scene, "python3", "python3");
    scene.scan();
    assert_eq!(scene.stray(), []);
    assert!(scene.setup().has_own_root);
}

#[test]
fn a_clone_of_what_is_not_the_host_s_is_told_at_once() {
    let mut scene = Scene::new();
    cloned(&scene, "own", "own");
    scene.host.link_within("proc/50/root", "layers").unwrap();
    scene.scan();
    assert!(scene.setup().has_own_root);
    assert_eq!(scene.stray(), []);
}

#[test]
fn a_runtime_s_process_that_came_to_nothing_is_not_told() {
    let mut scene = Scene::new();
    scene.process(70, "runc:[2:INIT]", "layers");
    scene.scan();
    scene.pass_by();
    scene.end(70);
    assert_eq!(scene.stray(), []);
}

#[test]
fn a_process_that_changes_its_root_later_is_told_with_the_root_it_has_then() {
    let mut scene = Scene::new();
    scene.process(70, "sh", "");
    scene.scan();
    scene.pass_by();
    scene.process(70, "sh", "layers");
    let setup = scene.setup();
    assert!(setup.has_own_root, "seen at the second look");
    assert_eq!(scene.stray(), []);
}

#[test]
fn a_process_that_keeps_the_host_s_root_is_told_after_the_second_look() {
    let mut scene = Scene::new();
    scene.process(70, "sandboxed", "");
    scene.scan();
    let setup = scene.setup();
    assert_eq!((setup.has_own_root, setup.root.raw()), (false, "/"));
}

#[test]
fn a_process_that_changes_its_root_after_that_was_told_is_told_again() {
    let mut scene = Scene::new();
    scene.process(70, "patient", "");
    scene.scan();
    assert!(!scene.setup().has_own_root);
    assert_eq!(scene.stray(), []);
    scene.process(70, "patient", "layers");
    assert!(scene.setup().has_own_root, "within a few seconds");
    assert_eq!(scene.stray(), []);
}

#[test]
fn a_root_that_is_changed_when_all_looks_were_made_is_seen_by_the_next_scan() {
    let mut scene = Scene::new();
    scene.process(70, "patient", "");
    scene.scan();
    assert!(!scene.setup().has_own_root);
    // All five looks take this long, and nothing changes meanwhile.
    let looks = Instant::now() + Duration::from_millis(10_500);
    assert!(scene.queue.recv_deadline(looks).is_err());
    scene.process(70, "patient", "layers");
    assert_eq!(scene.stray(), [], "no look is due");
    scene.scan();
    assert!(scene.setup().has_own_root);
}

#[test]
fn the_first_process_is_looked_at_again_when_it_executes_and_told_when_something_changed() {
    let mut scene = Scene::new();
    scene.process(70, "entrypoint", "layers");
    scene.scan();
    assert_eq!(scene.setup().program.raw(), "entrypoint");
    scene.process(70, "server", "layers");
    scene.scan();
    assert_eq!(scene.setup().program.raw(), "server");
}

#[test]
fn the_next_process_is_looked_at_when_the_first_has_ended() {
    let mut scene = Scene::new();
    scene.process(70, "one", "layers");
    scene.scan();
    assert_eq!(scene.setup().process.pid, 70);
    scene.host.end_process(70).unwrap();
    scene.process(75, "two", "layers");
    scene.scan();
    assert_eq!(scene.setup().process.pid, 75);
}

#[test]
fn what_cannot_be_looked_at_is_a_loss_of_its_cgroup() {
    let mut scene = Scene::new();
    scene.process(71, "odd", "layers");
    scene.host.write("proc/71/status", b"Uid:\t0\t0\t0\t0\n").unwrap();
    scene.scan();
    let cgroup = scene.host.cgroup_id(&scene.path).unwrap();
    let lost = |stage: &'static str| move |body: &Body| matches!(body, Body::Lost(loss) if loss.stage.raw().contains(stage) && loss.cgroup == Some(cgroup));
    scene.until("the loss", lost("unreadable"));
}

#[test]
fn what_was_seen_of_a_process_that_ended_before_the_second_look_is_told() {
    let mut scene = Scene::new();
    scene.process(70, "sandboxed", "");
    scene.scan();
    scene.pass_by();
    scene.end(70);
    assert_eq!(scene.setup().program.raw(), "sandboxed");
}

#[test]
fn more_containers_than_can_wait_are_counted_not_waited_for() {
    let mut scene = Scene::new();
    scene.host.cgroup("/many").unwrap();
    for number in 0..3000 {
        let namespaces = model::ids::Namespaces { mnt: 4_026_540_000 + number, ..CONTAINER_NAMESPACES };
        let process = FakeProcess::new(1000 + number, "web").contained("/many");
        scene.host.process(&FakeProcess { namespaces, ..process }).unwrap();
    }
    scene.scan();
    let full = |body: &Body| matches!(body, Body::Lost(loss) if loss.stage.raw().contains("too many"));
    let events = scene.until("the loss", full);
    let Body::Lost(loss) = &events.last().unwrap().body else { unreachable!("waited for") };
    assert!(loss.count > 500, "{loss:?}");
    contract::check(&events, &[]);
}
