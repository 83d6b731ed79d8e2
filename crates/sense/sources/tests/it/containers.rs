//! The engine's view kept in step, against a fake engine that hangs, lies, stops and returns.
//!
//! Not here: a real engine (`tests/live`).

use std::path::PathBuf;
use std::time::{Duration, Instant};

use containers::docker::DockerConfig;
use crossbeam_channel::Receiver;
use deadline::pulse::Watched;
use expect_test::{Expect, expect};
use model::event::{Body, Event};
use model::ids::NodeId;
use model::runtime::{Administered, ContainerFacts};
use model::view::{EngineKind, View};
use serde_json::json;
use sources::containers::{ContainersConfig, spawn};
use sources::outlet::{Outlet, Stop, Stopper};
use tempfile::TempDir;

use crate::fake_engine::{FakeEngine, id};

/// Long enough for a loaded machine; a test that passes does not wait for it.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the source sent, as short lines.
pub(crate) struct Follower {
    queue: Receiver<Event>,
    thread: Option<Watched>,
    stopper: Option<Stopper>,
}

impl Follower {
    pub(crate) fn start(config: ContainersConfig) -> Self {
        let (outlet, queue) = Outlet::new(NodeId::new("node"), 10_000);
        let (stopper, stop) = Stop::new();
        Self { queue, thread: Some(spawn(config, outlet, stop)), stopper: Some(stopper) }
    }

    /// What is told of containers next.
    fn facts(&self) -> ContainerFacts {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let event = self.queue.recv_deadline(deadline).unwrap();
            if let Body::Container(facts) = event.body {
                return *facts;
            }
        }
    }

    /// Everything sent up to and including the first line that starts with `last`. Containers told in a row are
    /// sorted: they are inspected side by side.
    pub(crate) fn lines_to(&self, last: &str) -> String {
        let mut lines: Vec<String> = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        while !lines.last().is_some_and(|line| line.starts_with(last)) {
            let Ok(event) = self.queue.recv_deadline(deadline) else {
                panic!("no {last:?} after {lines:#?}")
            };
            lines.push(line(&event.body));
        }
        let is_container = |line: &str| line.starts_with("container ");
        lines.chunk_by_mut(|a, b| is_container(a) && is_container(b)).for_each(<[String]>::sort);
        lines.join("\n") + "\n"
    }

    fn check(&self, last: &str, expected: &Expect) {
        expected.assert_eq(&self.lines_to(last));
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        drop(self.stopper.take());
        assert!(self.thread.take().unwrap().join_until(Instant::now() + Duration::from_secs(20)));
    }
}

fn line(body: &Body) -> String {
    let name = |id: &model::untrusted::Untrusted| id.raw()[..1].to_owned();
    match body {
        Body::Container(facts) => format!("container {} {:?}", facts.name, facts.state),
        Body::ContainerGone { id, .. } => format!("gone {}", name(id)),
        Body::ContainerList { ids, .. } => format!("list {}", ids.iter().map(name).collect::<String>()),
        Body::Lost(loss) => format!("lost {} {}", loss.count, loss.stage),
        Body::Report(report) => {
            let reason = report.reason.raw();
            // The socket's path differs from run to run.
            let reason = reason.split_once("engine.sock: ").map_or(reason, |(_, reason)| reason);
            format!("{:?} {reason}", report.health).trim_end().to_owned()
        }
        Body::EngineExec { id, command, what, .. } => match what {
            Administered::Exec => format!("exec {} {command}", name(id)),
            other => format!("{other:?} {}", name(id)),
        },
        Body::Engine(engine) => format!("{:?} {}", engine.state, engine.view.place),
        Body::EngineWork(work) => format!("work {:?} {}", work.work, work.image),
        Body::Service(change) => format!("service {} {:?}", change.service, change.deploy),
        other => format!("{other:?}"),
    }
}

pub(crate) fn place() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("engine.sock");
    (dir, socket)
}

/// Quick to notice and patient enough never to take a loaded machine for a slow engine.
pub(crate) fn quick(socket: PathBuf) -> ContainersConfig {
    ContainersConfig {
        docker: DockerConfig { socket, call_timeout_ms: 5000, inspect_timeout_ms: 5000 },
        ping_interval_ms: 50,
        absent_interval_ms: 20,
        reconnect_min_ms: 20,
        reconnect_max_ms: 50,
        ..ContainersConfig::default()
    }
}

/// As [`quick`], but gives up on an answer early: for engines that never give one.
pub(crate) fn impatient(socket: PathBuf) -> ContainersConfig {
    let mut config = quick(socket);
    config.docker.call_timeout_ms = 300;
    config.docker.inspect_timeout_ms = 300;
    config
}

pub(crate) fn inspect_path(letter: char) -> String {
    format!("/containers/{}/json", id(letter))
}

#[test]
fn all_containers_are_told_then_the_list_then_that_the_source_is_up() {
    let (_dir, socket) = place();
    let _engine = FakeEngine::start(&socket, &[('a', "exited"), ('b', "running")]);
    let follower = Follower::start(quick(socket));
    follower.check(
        "Up",
        &expect![[r#"
            container a Exited
            container b Running
            list ab
            Up
        "#]],
    );
}

#[test]
fn a_life_is_told_from_creation_to_destruction() {
    let (_dir, socket) = place();
    let engine = FakeEngine::start(&socket, &[]);
    let follower = Follower::start(quick(socket));
    follower.lines_to("Up");
    engine.put('a', "created");
    engine.event("create", 'a');
    follower.check("container a", &expect![["container a Created\n"]]);
    engine.put('a', "running");
    engine.event("start", 'a');
    follower.check("container a", &expect![["container a Running\n"]]);
    engine.put('a', "paused");
    engine.event("pause", 'a');
    follower.check("container a", &expect![["container a Paused\n"]]);
    engine.put('a', "exited");
    engine.event("die", 'a');
    follower.check("container a", &expect![["container a Exited\n"]]);
    engine.remove('a');
    engine.event("destroy", 'a');
    follower.check("gone a", &expect![["gone a\n"]]);
}

#[test]
fn a_container_removed_as_it_dies_is_gone() {
    let (_dir, socket) = place();
    let engine = FakeEngine::start(&socket, &[('a', "running")]);
    let follower = Follower::start(quick(socket));
    follower.lines_to("Up");
    engine.remove('a');
    engine.event("die", 'a');
    engine.event("destroy", 'a');
    engine.put('b', "running");
    engine.event("start", 'b');
    let lines = follower.lines_to("container b");
    assert_eq!(lines.matches("gone a").count(), 1, "{lines}");
}

#[test]
fn facts_that_did_not_change_are_told_once() {
    let (_dir, socket) = place();
    let engine = FakeEngine::start(&socket, &[('a', "running")]);
    let follower = Follower::start(quick(socket));
    follower.lines_to("Up");
    engine.event("update", 'a');
    engine.wait_answered(&inspect_path('a'), 2);
    engine.put('b', "running");
    engine.event("start", 'b');
    follower.check("container b", &expect![["container b Running\n"]]);
}

#[test]
fn a_new_container_does_not_wait_for_those_the_engine_hangs_on() {
    let (_dir, socket) = place();
    let engine = FakeEngine::start(&socket, &[]);
    let hanging = "abcdef012345678";
    hanging.chars().for_each(|letter| engine.put(letter, "running"));
    hanging.chars().for_each(|letter| engine.hold(&inspect_path(letter)));
    let mut config = quick(socket);
    config.docker.inspect_timeout_ms = 60_000;
    let follower = Follower::start(config);
    // The last of the first eight: all places of the resynchronisation are taken.
    engine.wait_asked(&inspect_path('7'));
    engine.put('9', "running");
    engine.event("start", '9');
    follower.check("container", &expect![["container 9 Running\n"]]);
    engine.release();
    let lines = follower.lines_to("Up");
    assert!(lines.contains("list 0123456789abcdef\n"), "{lines}");
}

#[test]
fn an_engine_that_was_never_there_is_absent_once_and_up_when_it_comes() {
    let (_dir, socket) = place();
    let follower = Follower::start(quick(socket.clone()));
    follower.check("Absent", &expect![["Absent no such socket\n"]]);
    let engine = FakeEngine::start(&socket, &[]);
    follower.check(
        "Up",
        &expect![[r#"
            list 
            Up
        "#]],
    );
    drop(engine);
    follower.lines_to("Down");
}

#[test]
fn an_engine_that_returns_with_other_containers_is_told_anew() {
    let (_dir, socket) = place();
    let engine = FakeEngine::start(&socket, &[('a', "running"), ('b', "running")]);
    let follower = Follower::start(quick(socket.clone()));
    follower.lines_to("Up");
    drop(engine);
    follower.lines_to("Down");
    let _engine = FakeEngine::start(&socket, &[('b', "running"), ('c', "exited")]);
    let lines = follower.lines_to("Up");
    assert!(lines.ends_with("container b Running\ncontainer c Exited\nlist bc\nUp\n"), "{lines}");
}

#[test]
fn an_engine_too_slow_for_a_sign_of_life_is_down_while_changes_still_come() {
    let (_dir, socket) = place();
    let engine = FakeEngine::start(&socket, &[]);
    let follower = Follower::start(impatient(socket));
    follower.lines_to("Up");
    engine.hold("/_ping");
    follower.check("Down", &expect![["Down ping: no answer within 300 ms\n"]]);
    engine.put('a', "running");
    engine.event("start", 'a');
    follower.check("container a", &expect![["container a Running\n"]]);
    engine.release();
    follower.check("Up", &expect![["Up\n"]]);
}

#[test]
fn an_engine_that_does_not_list_is_down_until_it_does() {
    let (_dir, socket) = place();
    let engine = FakeEngine::start(&socket, &[('a', "running")]);
    engine.hold("/containers/json");
    let follower = Follower::start(impatient(socket));
    follower.check("Down", &expect![["Down list: no answer within 300 ms\n"]]);
    engine.release();
    follower.check(
        "Up",
        &expect![[r#"
            container a Running
            list a
            Up
        "#]],
    );
}

#[test]
fn a_container_that_cannot_be_inspected_is_named_until_it_can() {
    let (_dir, socket) = place();
    let engine = FakeEngine::start(&socket, &[('a', "running"), ('b', "running")]);
    engine.garble(&inspect_path('a'), true);
    let follower = Follower::start(quick(socket));
    let lines = follower.lines_to("Degraded");
    assert!(lines.starts_with("container b Running\nlist ab\nDegraded inspect: "), "{lines}");
    assert!(engine.answered(&inspect_path('a')) >= 2, "one retry");
    engine.garble(&inspect_path('a'), false);
    follower.check(
        "Up",
        &expect![[r#"
            container a Running
            Up
        "#]],
    );
}

#[test]
fn a_stream_that_turns_to_nonsense_is_left_and_taken_up_again() {
    let (_dir, socket) = place();
    let engine = FakeEngine::start(&socket, &[('a', "running")]);
    let follower = Follower::start(quick(socket));
    follower.lines_to("Up");
    engine.send("{\"Type\": \"container\", \"Action\": [\u{1b}]}");
    let down = follower.lines_to("Down");
    assert!(down.starts_with("Down events: "), "{down}");
    follower.check(
        "Up",
        &expect![[r#"
            container a Running
            list a
            Up
        "#]],
    );
}

#[test]
fn an_event_that_was_lost_is_made_up_for_by_comparing() {
    let (_dir, socket) = place();
    let engine = FakeEngine::start(&socket, &[('a', "running")]);
    let follower = Follower::start(ContainersConfig { compare_interval_ms: 50, ..quick(socket) });
    follower.lines_to("Up");
    engine.put('b', "running");
    follower.check("container b", &expect![["container b Running\n"]]);
    engine.put('b', "exited");
    follower.check("container b", &expect![["container b Exited\n"]]);
    engine.remove('a');
    follower.check("gone a", &expect![["gone a\n"]]);
}

#[test]
fn containers_beyond_the_limit_are_counted_and_running_ones_come_first() {
    let (_dir, socket) = place();
    let containers = [('a', "exited"), ('b', "exited"), ('c', "exited"), ('d', "running")];
    let engine = FakeEngine::start(&socket, &containers);
    let follower = Follower::start(ContainersConfig { containers_max: 2, ..quick(socket) });
    follower.check(
        "Up",
        &expect![[r#"
            lost 2 containers_max
            container a Exited
            container d Running
            list ad
            Up
        "#]],
    );
    engine.put('e', "running");
    engine.event("start", 'e');
    follower.check(
        "container e",
        &expect![[r#"
            lost 1 containers_max
            container e Running
        "#]],
    );
}

#[test]
fn stop_is_obeyed_while_the_engine_hangs() {
    let (_dir, socket) = place();
    let engine = FakeEngine::start(&socket, &[]);
    engine.hold("/version");
    let mut config = quick(socket);
    config.docker.call_timeout_ms = 60_000;
    let follower = Follower::start(config);
    engine.wait_asked("/version");
    let asked = Instant::now();
    drop(follower);
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
}

#[test]
fn a_setting_nobody_knows_is_refused() {
    let error = serde_json::from_str::<ContainersConfig>(r#"{"docker": {"soket": "/run/docker.sock"}}"#);
    assert!(error.unwrap_err().to_string().contains("unknown field `soket`"));
    assert_eq!(serde_json::from_str::<ContainersConfig>("{}").unwrap(), ContainersConfig::default());
}

#[test]
fn work_on_images_and_changes_of_services_are_told_as_they_are_announced() {
    let (_dir, socket) = place();
    let engine = FakeEngine::start(&socket, &[]);
    let follower = Follower::start(quick(socket));
    follower.lines_to("Up");
    engine.send(
        r#"{"Type":"image","Action":"import","Actor":{"ID":"sha256:0af7","Attributes":{"name":"busybox"}}}"#,
    );
    engine.send(r#"{"Type":"image","Action":"delete","Actor":{"ID":"sha256:0af7","Attributes":{}}}"#);
    engine.send(
        r#"{"Type":"service","Action":"update","Actor":{"ID":"s","Attributes":{"name":"web","replicas.old":"1","replicas.new":"3"}},"scope":"swarm"}"#,
    );
    follower.check(
        "service",
        &expect![[r#"
            work Import busybox
            service web ScaleOut
        "#]],
    );
}

#[test]
fn programs_run_in_a_container_are_told_once_each_and_not_those_of_before() {
    let (_dir, socket) = place();
    let engine = FakeEngine::start(&socket, &[]);
    let follower = Follower::start(quick(socket));
    follower.lines_to("Up");
    let exec = |time_ns: u64| {
        let id = "a".repeat(64);
        engine.send(&format!(
            r#"{{"Type":"container","Action":"exec_start: sh -c true","Actor":{{"ID":"{id}"}},"timeNano":{time_ns}}}"#
        ));
    };
    exec(1_700_000_000_000_000_000);
    exec(0);
    exec(u64::try_from(i64::MAX).unwrap());
    engine.send(r#"{"Type":"image","Action":"pull","Actor":{"ID":"last"}}"#);
    follower.check(
        "work",
        &expect![[r#"
            exec a sh -c true
            exec a sh -c true
            work Pull last
        "#]],
    );
}

fn image_path(letter: char) -> String {
    format!("/images/sha256:{}/json", id(letter))
}

fn history_path(letter: char) -> String {
    format!("/images/sha256:{}/history", id(letter))
}

/// What the engine answers about an image that registries know by one digest.
fn of_registry(digest: char) -> serde_json::Value {
    json!({"RepoDigests": [format!("shop/web@sha256:{}", id(digest))]})
}

#[test]
fn facts_come_with_those_of_their_image_which_is_asked_for_once() {
    let (_dir, socket) = place();
    let engine = FakeEngine::start(&socket, &[]);
    engine.answer(&image_path('1'), "200 OK", json!({"RepoDigests": []}));
    let step = |letter: char| json!({"Id": format!("sha256:{}", id(letter)), "Created": 1, "CreatedBy": "", "Tags": null, "Size": 0, "Comment": ""});
    engine.answer(&history_path('1'), "200 OK", json!([step('1'), step('2')]));
    let follower = Follower::start(quick(socket));
    follower.lines_to("Up");
    engine.put_labelled('a', '1', &json!(null));
    engine.event("start", 'a');
    let image = follower.facts().image_facts;
    assert!(image.is_local && image.digests.is_empty(), "{image:?}");
    assert_eq!(image.parent.raw(), format!("sha256:{}", id('2')));
    engine.put_labelled('b', '1', &json!(null));
    engine.event("start", 'b');
    assert!(follower.facts().image_facts.is_local);
    assert_eq!(engine.answered(&image_path('1')), 1);
    engine.answer(&image_path('1'), "200 OK", of_registry('3'));
    engine.send(
        r#"{"Type":"image","Action":"push","Actor":{"ID":"shop/web:1","Attributes":{"name":"shop/web"}}}"#,
    );
    engine.event("update", 'b');
    let image = follower.facts().image_facts;
    assert_eq!(image.digests, [format!("sha256:{}", id('3')).as_str().into()]);
    assert!(!image.is_local);
}

#[test]
fn facts_do_not_wait_for_an_image_the_engine_hangs_on_and_are_told_again_with_it() {
    let (_dir, socket) = place();
    let engine = FakeEngine::start(&socket, &[]);
    engine.answer(&image_path('1'), "200 OK", of_registry('3'));
    engine.hold(&image_path('1'));
    let follower = Follower::start(quick(socket));
    follower.lines_to("Up");
    engine.put_labelled('a', '1', &json!(null));
    engine.event("start", 'a');
    let told = follower.facts();
    assert!(told.image_facts.is_empty() && told.name.raw() == "a", "{told:?}");
    engine.release();
    assert_eq!(follower.facts().image_facts.digests.len(), 1);
}

#[test]
fn an_image_the_engine_fails_at_is_asked_for_again_at_the_next_comparison() {
    let (_dir, socket) = place();
    let engine = FakeEngine::start(&socket, &[]);
    engine.answer(&image_path('1'), "500 Internal Server Error", json!({"message": "busy"}));
    let follower = Follower::start(ContainersConfig { compare_interval_ms: 50, ..quick(socket) });
    follower.lines_to("Up");
    engine.put_labelled('a', '1', &json!(null));
    engine.event("start", 'a');
    assert!(follower.facts().image_facts.is_empty());
    engine.answer(&image_path('1'), "200 OK", of_registry('3'));
    assert_eq!(follower.facts().image_facts.digests.len(), 1);
}

const TASK: &str = "0kzzo1i0y4jz6027t0k7aezc7";

fn task_path() -> String {
    format!("/tasks/{TASK}")
}

/// The next word of the swarm on a container, and why.
fn word(follower: &Follower) -> String {
    let word = follower.facts().orchestrated.unwrap();
    format!("{} {:?} {}", word.name, word.standing, word.reason).trim_end().to_owned()
}

fn labelled_as_task(engine: &FakeEngine, letter: char) {
    let labels = json!({"com.docker.swarm.task.id": TASK, "com.docker.swarm.service.name": "web"});
    engine.put_labelled(letter, '1', &labels);
    engine.event("start", letter);
}

#[test]
fn a_task_of_a_swarm_is_confirmed_for_its_own_container_only() {
    let (_dir, socket) = place();
    let engine = FakeEngine::start(&socket, &[]);
    let status = json!({"State": "running", "ContainerStatus": {"ContainerID": id('a')}});
    engine.answer(&task_path(), "200 OK", json!({"ID": TASK, "Status": status}));
    let follower = Follower::start(quick(socket));
    follower.lines_to("Up");
    labelled_as_task(&engine, 'a');
    assert_eq!(word(&follower), "swarm Pending the swarm has not answered yet");
    assert_eq!(word(&follower), "swarm Present");
    labelled_as_task(&engine, 'b');
    assert_eq!(word(&follower), "swarm Pending the swarm has not answered yet");
    let denied = word(&follower);
    assert!(denied.starts_with("swarm Denied the container of the task is another one: aaa"), "{denied}");
}

#[test]
fn a_task_that_has_no_container_yet_is_waited_for() {
    let (_dir, socket) = place();
    let engine = FakeEngine::start(&socket, &[]);
    engine.answer(&task_path(), "200 OK", json!({"ID": TASK, "Status": {"State": "preparing"}}));
    let follower = Follower::start(quick(socket));
    follower.lines_to("Up");
    labelled_as_task(&engine, 'a');
    follower.facts();
    engine.wait_answered(&task_path(), 2);
    let status = json!({"State": "starting", "ContainerStatus": {"ContainerID": id('a')}});
    engine.answer(&task_path(), "200 OK", json!({"ID": TASK, "Status": status}));
    assert_eq!(word(&follower), "swarm Present");
}

#[test]
fn labels_of_a_swarm_are_denied_where_there_is_none_and_unanswered_on_a_worker() {
    let (_dir, socket) = place();
    let engine = FakeEngine::start(&socket, &[]);
    engine.answer(
        &task_path(),
        "503 Service Unavailable",
        json!({"message": "This node is not a swarm manager."}),
    );
    engine.answer(
        "/info",
        "200 OK",
        json!({"Swarm": {"LocalNodeState": "active", "ControlAvailable": false}}),
    );
    let follower = Follower::start(ContainersConfig { compare_interval_ms: 50, ..quick(socket) });
    follower.lines_to("Up");
    labelled_as_task(&engine, 'a');
    follower.facts();
    assert_eq!(word(&follower), "swarm Silent this engine is a worker of its swarm and may not ask");
    engine.answer(
        "/info",
        "200 OK",
        json!({"Swarm": {"LocalNodeState": "inactive", "ControlAvailable": false}}),
    );
    assert_eq!(word(&follower), "swarm Denied this engine is in no swarm");
}

#[test]
fn a_service_without_a_task_is_denied_at_once() {
    let (_dir, socket) = place();
    let engine = FakeEngine::start(&socket, &[]);
    let follower = Follower::start(quick(socket));
    follower.lines_to("Up");
    engine.put_labelled('a', '1', &json!({"com.docker.swarm.service.name": "web"}));
    engine.event("start", 'a');
    assert_eq!(word(&follower), "swarm Denied it is labelled as of a service and names no task");
}

#[test]
fn attaching_is_told_of_containers_that_run_and_copying_of_all() {
    let (_dir, socket) = place();
    let engine = FakeEngine::start(&socket, &[]);
    let follower = Follower::start(quick(socket));
    follower.lines_to("Up");
    engine.put('a', "created");
    engine.event("create", 'a');
    engine.event("extract-to-dir", 'a');
    engine.event("attach", 'a');
    engine.put('a', "running");
    engine.event("start", 'a');
    engine.event("attach", 'a');
    engine.event("archive-path", 'a');
    engine.event("die", 'a');
    engine.event("attach", 'a');
    // Its creation was not announced.
    engine.hold(&inspect_path('b'));
    engine.event("start", 'b');
    engine.event("attach", 'b');
    engine.send(r#"{"Type":"image","Action":"pull","Actor":{"ID":"last"}}"#);
    let lines = follower.lines_to("work");
    engine.release();
    // What the inspection of `a` found may come at any time.
    let about_b: Vec<_> = lines.lines().filter(|line| !line.starts_with("container a")).collect();
    assert!(about_b.ends_with(&["Attach b", "work Pull last"]), "{lines}");
    let told: Vec<_> =
        lines.lines().filter(|line| line.ends_with(" a") && !line.contains("container")).collect();
    assert_eq!(told, ["Copy a", "Attach a", "Copy a"], "{lines}");
}

#[test]
fn another_engine_is_told_as_another_view_and_reports_for_nobody_else() {
    let (_dir, socket) = place();
    let view = View::new(EngineKind::Docker, "/run/other.sock");
    let config = ContainersConfig { view: view.clone(), ..quick(socket.clone()) };
    let engine = FakeEngine::start(&socket, &[('a', "running")]);
    let (outlet, queue) = Outlet::new(NodeId::new("node"), 10_000);
    let (_stopper, stop) = Stop::new();
    let thread = spawn(config, outlet, stop.clone());
    let next = || queue.recv_timeout(PATIENCE).unwrap().body;
    assert!(matches!(next(), Body::Container(facts) if facts.view == view));
    assert!(matches!(next(), Body::ContainerList { view: of, .. } if of == view));
    let seen = next();
    assert_eq!(line(&seen), "Answers /run/other.sock");
    engine.event("exec_start: sh", 'a');
    assert!(matches!(next(), Body::EngineExec { view: of, .. } if of == view));
    engine.remove('a');
    engine.event("destroy", 'a');
    assert!(matches!(next(), Body::ContainerGone { view: of, .. } if of == view));
    drop(engine);
    let states: Vec<_> =
        std::iter::repeat_with(|| line(&next())).take_while(|it| !it.starts_with("Gone")).collect();
    assert!(states.iter().all(|state| state == "Silent /run/other.sock"), "{states:?}");
    stop.ask();
    assert!(thread.join_until(Instant::now() + Duration::from_secs(20)));
}
