//! What joins, settles and ends a container, in whatever order the views tell it; and that all of it is bounded.

use std::fmt::Write as _;
use std::time::Duration;

use expect_test::{Expect, expect};
use model::coverage::{Health, Source};
use model::event::{Attach, Body, CgroupPath, Exec, Exit};
use model::fact::Fact;
use model::identity::{Container, News};
use model::ids::{CgroupId, Namespaces, ProcessKey};
use model::runtime::RunState;
use model::untrusted::Untrusted;
use testkit::scene::{Actor, START, Scene, Spends};

use super::Enrich;

mod leaving;

mod silence;

mod tally;
mod within;

/// Plays the scene; what changed in the inventory, one line each: second, what, kind, name, why.
fn check(act: impl FnOnce(&mut Scene), changes: &Expect) {
    let mut scene = Scene::new(4);
    act(&mut scene);
    changes.assert_eq(&told(&mut Enrich::default(), &mut scene));
}

fn told(enrich: &mut Enrich, scene: &mut Scene) -> String {
    let mut text = String::new();
    for event in scene.take() {
        // A recording begins with all that is known, whenever it begins.
        serde_json::to_string(enrich).unwrap();
        let second = event.time.since(START).as_secs_f64();
        for news in enrich.identify(event).identity.news {
            let (what, container) = match &news {
                News::Appeared(container) => ("appeared", container),
                News::Settled(container) => ("settled", container),
                News::Ended(container) => ("ended", container),
                // What the views say is told in tests of the tally.
                News::Tallied(_) => continue,
            };
            writeln!(text, "{second:.1} {what} {}", line(container)).unwrap();
        }
    }
    text
}

fn line(container: &Container) -> String {
    let why = match &container.facts {
        Fact::Failed { reason } => format!(": {reason}"),
        Fact::Pending { .. } | Fact::Known(_) => String::new(),
    };
    format!("{} {}{why}", container.kind.name(), container.name())
}

fn folded(scene: &mut Scene) -> Enrich {
    let mut enrich = Enrich::default();
    scene.take().into_iter().for_each(|event| drop(enrich.identify(event)));
    enrich
}

/// Bytes of all it knows, written down.
fn size(enrich: &Enrich) -> usize {
    serde_json::to_string(enrich).unwrap().len()
}

fn gone(actor: Actor) -> Body {
    Body::gone(actor.id())
}

fn path_of(cgroup: CgroupId, path: &str) -> CgroupPath {
    CgroupPath { cgroup, path: Untrusted::new(path) }
}

fn docker_path(actor: Actor) -> String {
    format!("/docker/{}", actor.id())
}

#[test]
fn a_claim_is_joined_by_the_cgroup_path_whatever_pid_it_tells() {
    check(
        |scene| {
            let web = scene.start_unclaimed("httpd -f");
            scene.second(&[], 0.0);
            scene.claim(web, "web", "busybox", |facts| facts.pid = Some(99));
        },
        &expect![[r#"
            1.0 appeared unsettled httpd -f
            2.0 settled managed web
        "#]],
    );
}

#[test]
fn a_claim_is_joined_by_pid_where_the_path_says_nothing() {
    check(
        |scene| {
            let web = scene.appear("/custom/web", "httpd -f");
            scene.second(&[], 0.0);
            scene.claim(web, "web", "busybox", |_| ());
        },
        &expect![[r#"
            1.0 appeared unsettled httpd -f
            2.0 settled managed web
        "#]],
    );
}

#[test]
fn a_claim_that_fits_nobody_names_nobody() {
    check(
        |scene| {
            let web = scene.appear("/custom/web", "httpd -f");
            scene.claim(web, "web", "busybox", |facts| facts.pid = Some(99));
            scene.seconds(2, &[], 0.0);
        },
        &expect![[r#"
            1.0 appeared unsettled httpd -f
            3.0 settled ghost httpd -f: no container runtime claims it
        "#]],
    );
}

#[test]
fn facts_that_come_before_the_kernels_view_are_joined_when_it_comes() {
    check(
        |scene| {
            scene.claim(scene.next_actor(), "web", "busybox", |_| ());
            scene.second(&[], 0.0);
            scene.start_unclaimed("httpd -f");
            scene.claim(scene.next_actor(), "by pid", "busybox", |_| ());
            scene.second(&[], 0.0);
            scene.appear("/custom/web", "httpd -f");
        },
        &expect![[r#"
            2.0 appeared unsettled httpd -f
            2.0 settled managed web
            3.0 appeared unsettled httpd -f
            3.0 settled managed by pid
        "#]],
    );
}

#[test]
fn a_cgroup_path_that_comes_last_still_joins_the_claim() {
    check(
        |scene| {
            let web = scene.next_actor();
            scene.claim(web, "web", "busybox", |facts| facts.pid = None);
            scene.emit(Source::Kernel, Body::Exec(Box::new(web.exec("httpd -f"))));
            scene.second(&[], 0.0);
            let path = path_of(web.cgroup(), &docker_path(web));
            scene.emit(Source::Scan, Body::CgroupCreated(path));
            scene.seconds(3, &[], 0.0);
        },
        &expect![[r#"
            1.0 appeared unsettled httpd -f
            2.0 settled managed web
        "#]],
    );
}

#[test]
fn nobody_is_a_ghost_before_two_seconds_nor_with_a_claim_in_time() {
    check(
        |scene| {
            scene.appear("/hidden", "miner");
            let late = scene.start_unclaimed("httpd -f");
            scene.second(&[], 0.0);
            scene.pause(Duration::from_millis(900));
            scene.emit(Source::Engine, Body::Tick);
            scene.claim(late, "late", "busybox", |_| ());
            scene.second(&[], 0.0);
        },
        &expect![[r#"
            1.0 appeared unsettled miner
            1.0 appeared unsettled httpd -f
            2.9 settled managed late
            3.9 settled ghost miner: no container runtime claims it
        "#]],
    );
}

#[test]
fn a_claim_turns_a_ghost_into_a_managed_container() {
    check(
        |scene| {
            let late = scene.start_unclaimed("httpd -f");
            scene.seconds(3, &[], 0.0);
            scene.claim(late, "late", "busybox", |_| ());
        },
        &expect![[r#"
            1.0 appeared unsettled httpd -f
            3.0 settled ghost httpd -f: no container runtime claims it
            4.0 settled managed late
        "#]],
    );
}

#[test]
fn a_ghost_from_before_the_start_does_not_wait_for_the_engine_s_list() {
    let mut scene = Scene::new(4);
    let mut early = scene.take();
    early.retain(|event| event.source != Source::Docker);
    let mut enrich = Enrich::default();
    early.into_iter().for_each(|event| drop(enrich.identify(event)));
    scene.find("/hidden", "miner", Duration::from_secs(3600));
    scene.second(&[], 0.0);
    scene.emit(Source::Docker, Body::listed(Vec::new()));
    scene.seconds(3, &[], 0.0);
    expect![[r#"
        0.0 appeared unsettled miner
        3.0 settled ghost miner: no container runtime claims it
    "#]]
    .assert_eq(&told(&mut enrich, &mut scene));
}

#[test]
fn without_any_engine_on_the_host_nobody_can_claim() {
    check(
        |scene| {
            scene.report(Source::Docker, Health::Absent, "no socket");
            scene.appear("/hidden", "miner");
            scene.seconds(3, &[], 0.0);
        },
        &expect![[r#"
            1.0 appeared unsettled miner
            3.0 settled ghost miner: no container runtime runs on this host
        "#]],
    );
}

#[test]
fn systemd_units_and_sessions_are_services_at_once() {
    check(
        |scene| {
            scene.units(true, &["cron.service", "session-3.scope"]);
            scene.appear("/system.slice/cron.service", "cron -f");
            scene.appear("/user.slice/user-0.slice/session-3.scope", "unshare -m bash");
            scene.second(&[], 0.0);
        },
        &expect![[r#"
            1.0 appeared unsettled cron -f
            1.0 settled service cron -f: a systemd unit; no runtime is asked
            1.0 appeared unsettled unshare -m bash
            1.0 settled service unshare -m bash: a systemd unit; no runtime is asked
        "#]],
    );
}

#[test]
fn a_cgroup_below_a_containers_own_belongs_to_it() {
    let mut scene = Scene::new(4);
    let outer = scene.start("outer", "systemd", "init");
    let below = path_of(CgroupId(77), &format!("{}/init.scope", docker_path(outer)));
    scene.emit(Source::Kernel, Body::CgroupCreated(below.clone()));
    let inner = Exec { cgroup: below.cgroup, ..outer.exec("sh -c work") };
    scene.emit(Source::Kernel, Body::Exec(Box::new(inner.clone())));
    let mut enrich = folded(&mut scene);
    assert_eq!(enrich.containers().count(), 1);
    scene.emit(Source::Kernel, Body::Exec(Box::new(inner.clone())));
    let exec = scene.take().remove(0);
    let seen = enrich.identify(exec);
    assert_eq!(seen.identity.process, Some(inner.process));
    assert_eq!(seen.identity.container.unwrap().name().raw(), "outer");

    scene.emit(Source::Kernel, Body::CgroupRemoved(below));
    let removed = scene.take().remove(0);
    assert!(enrich.identify(removed).identity.news.is_empty(), "the container goes on without it");
}

#[test]
fn a_container_ends_with_its_first_process_only() {
    check(
        |scene| {
            let web = scene.start("web", "busybox", "httpd -f");
            let other = ProcessKey { pid: 5, start_ns: 5 };
            let exit = |process| {
                let (cgroup, name) = (web.cgroup(), Untrusted::new("httpd"));
                Body::Exit(Exit { process, cgroup, status: 0, signal: 9, core_dumped: false, name })
            };
            scene.emit(Source::Kernel, exit(other));
            scene.emit(Source::Kernel, exit(ProcessKey { start_ns: 1, ..web.process() }));
            scene.second(&[], 0.0);
            scene.end(web);
            scene.emit(Source::Docker, gone(web));
        },
        &expect![[r#"
            1.0 appeared unsettled httpd -f
            1.0 settled managed web
            2.0 ended managed web
        "#]],
    );
}

#[test]
fn a_container_ends_with_its_cgroup_when_the_exit_was_lost() {
    check(
        |scene| {
            let web = scene.start("web", "busybox", "httpd -f");
            scene.emit(Source::Scan, Body::CgroupRemoved(path_of(web.cgroup(), &docker_path(web))));
        },
        &expect![[r#"
            1.0 appeared unsettled httpd -f
            1.0 settled managed web
            1.0 ended managed web
        "#]],
    );
}

#[test]
fn a_container_ends_when_the_engine_says_so_by_any_of_three_ways() {
    check(
        |scene| {
            let by_gone = scene.start("gone", "busybox", "a");
            let by_state = scene.start("exited", "busybox", "b");
            let by_list = scene.start("not listed", "busybox", "c");
            let stays = scene.start("stays", "busybox", "d");
            scene.second(&[], 0.0);
            scene.emit(Source::Docker, gone(by_gone));
            scene.claim(by_state, "exited", "busybox", |facts| {
                facts.state = RunState::Exited;
                facts.pid = None;
            });
            scene.second(&[], 0.0);
            let ids = vec![by_state.id(), stays.id()];
            scene.emit(Source::Docker, Body::listed(ids));
            assert_ne!(by_list, stays);
        },
        &expect![[r#"
            1.0 appeared unsettled a
            1.0 settled managed gone
            1.0 appeared unsettled b
            1.0 settled managed exited
            1.0 appeared unsettled c
            1.0 settled managed not listed
            1.0 appeared unsettled d
            1.0 settled managed stays
            2.0 ended managed gone
            2.0 settled managed exited
            2.0 ended managed exited
            3.0 ended managed not listed
        "#]],
    );
}

#[test]
fn a_late_word_about_the_run_before_does_not_end_the_restarted_container() {
    check(
        |scene| {
            let web = scene.start("web", "busybox", "httpd -f");
            scene.second(&[], 0.0);
            scene.end(web);
            let before = scene.now();
            scene.second(&[], 0.0);
            let again = scene.appear(&docker_path(web), "httpd -f");
            scene.emit_at(before, Source::Docker, gone(web));
            scene.claim(web, "web", "busybox", |facts| {
                facts.state = RunState::Exited;
                facts.pid = None;
                facts.started = Some(START);
            });
            scene.claim(web, "web", "busybox", |facts| facts.pid = Some(again.process().pid));
        },
        &expect![[r#"
            1.0 appeared unsettled httpd -f
            1.0 settled managed web
            2.0 ended managed web
            3.0 appeared unsettled httpd -f
            3.0 settled managed web
            3.0 settled managed web
        "#]],
    );
}

#[test]
fn one_that_ends_before_an_engine_claims_it_can_still_be_claimed() {
    check(
        |scene| {
            let short = scene.start_unclaimed("true");
            scene.end(short);
            scene.claim(short, "short", "busybox", |_| ());
            scene.seconds(3, &[], 0.0);
        },
        &expect![[r#"
            1.0 appeared unsettled true
            1.0 ended unsettled true
            1.0 settled managed short
        "#]],
    );
}

#[test]
fn an_ended_container_is_remembered_for_a_minute() {
    let mut scene = Scene::new(4);
    let web = scene.start("web", "busybox", "httpd -f");
    scene.second(&[], 0.0);
    scene.end(web);
    scene.seconds(59, &[], 0.0);
    let mut enrich = folded(&mut scene);
    assert_eq!(enrich.containers().filter(|container| container.ended.is_some()).count(), 1);
    scene.second(&[], 0.0);
    scene.take().into_iter().for_each(|event| drop(enrich.identify(event)));
    assert_eq!(enrich.containers().count(), 0);
}

#[test]
fn a_cgroup_that_is_used_again_holds_a_new_container() {
    let mut scene = Scene::new(4);
    let web = scene.start("web", "busybox", "httpd -f");
    scene.second(&[], 0.0);
    scene.end(web);
    scene.second(&[], 0.0);
    let again = ProcessKey { pid: 4242, start_ns: 7 };
    scene.emit(Source::Kernel, Body::Exec(Box::new(Exec { process: again, ..web.exec("httpd -f") })));
    // Within a minute of the first one's end: forgetting that must not take the second along.
    scene.seconds(61, &[], 0.0);
    let enrich = folded(&mut scene);
    let containers: Vec<_> = enrich.containers().collect();
    assert_eq!(containers.len(), 1);
    assert_eq!(containers[0].init, Some(again));
    assert_eq!(containers[0].key.started, START.plus(Duration::from_secs(3)));
    assert_eq!(containers[0].ended, None);
    assert_eq!(containers[0].name().raw(), "web", "the engine's claim still stands");
}

#[test]
fn a_forged_label_joins_no_workload_of_another_image() {
    let labels = |names: &[(&str, &str)]| -> Vec<(Untrusted, Untrusted)> {
        names.iter().map(|(key, value)| (Untrusted::new(key), Untrusted::new(value))).collect()
    };
    let workload = |image: &str, names: &[(&str, &str)]| {
        let mut scene = Scene::new(4);
        let actor = scene.start_unclaimed("app");
        scene.claim(actor, "any", image, |facts| facts.labels = labels(names));
        let enrich = folded(&mut scene);
        enrich.containers().next().unwrap().workload()
    };
    let swarm = [("com.docker.swarm.service.name", "shop")];
    let compose = [("com.docker.compose.project", "shop"), ("com.docker.compose.service", "web")];
    for names in [&swarm[..], &compose[..]] {
        assert_ne!(workload("shop/app:1", names), workload("evil/miner", names));
        assert_eq!(
            workload("shop/app:1", names),
            workload("shop/app:2", names),
            "an update is the same workload"
        );
    }
    assert_ne!(workload("shop/app", &compose[..1]), workload("shop/app", &compose), "half a name is none");
}

#[test]
fn before_the_hosts_own_namespaces_are_known_nobody_is_a_container() {
    let mut scene = Scene::new(4);
    let mut early = scene.take();
    let init = early.remove(early.iter().position(|event| matches!(event.body, Body::Process(_))).unwrap());
    let web = scene.start("web", "busybox", "httpd -f");
    scene.second(&[(web, Spends::default())], 0.0);
    let mut enrich = Enrich::default();
    for event in early.into_iter().chain(scene.take()) {
        let seen = enrich.identify(event);
        assert!(seen.identity.news.is_empty() && seen.identity.container.is_none());
    }
    enrich.identify(init);
    scene.emit(Source::Scan, Body::Process(Box::new(web.exec("httpd -f"))));
    expect![[r#"
        2.0 appeared unsettled httpd -f
        2.0 settled managed web
    "#]]
    .assert_eq(&told(&mut enrich, &mut scene));
}

#[test]
fn what_shares_the_hosts_cgroup_or_all_its_namespaces_is_the_host() {
    check(
        |scene| {
            let (in_host, of_host) = (scene.next_actor(), Namespaces { pid: 1, mnt: 2, net: 3 });
            let exec = Exec { cgroup: CgroupId(1), ..in_host.exec("unshare") };
            scene.emit(Source::Kernel, Body::Exec(Box::new(exec)));
            let exec = Exec { namespaces: of_host, ..in_host.exec("login") };
            scene.emit(Source::Kernel, Body::Exec(Box::new(exec)));
            let exec = Exec { namespaces: Namespaces { net: 9, ..of_host }, ..in_host.exec("vpn") };
            scene.emit(Source::Kernel, Body::Exec(Box::new(exec)));
        },
        &expect![[r#"
            1.0 appeared unsettled vpn
        "#]],
    );
}

#[test]
fn events_of_a_container_name_it_whatever_they_tell() {
    let mut scene = Scene::new(4);
    let web = scene.start("web", "busybox", "httpd -f");
    let mut enrich = folded(&mut scene);
    scene.second(&[], 0.0);
    scene.emit(Source::Docker, gone(web));
    for event in scene.take() {
        let told = match event.body {
            Body::Usage(_) | Body::Log(_) | Body::ContainerGone { .. } => "web",
            _ => "",
        };
        let seen = enrich.identify(event);
        let name = seen.identity.container.map(|container| container.name().raw().to_owned());
        assert_eq!(name.unwrap_or_default(), told, "{:?}", seen.event.body);
    }
}

#[test]
fn ten_thousand_containers_are_known_and_the_next_ones_counted() {
    let mut scene = Scene::new(4);
    let mut enrich = folded(&mut scene);
    for _ in 0..10_003 {
        let actor = scene.next_actor();
        scene.appear("/same", "flood");
        assert_ne!(actor, scene.next_actor());
    }
    scene.take().into_iter().for_each(|event| drop(enrich.identify(event)));
    assert_eq!((enrich.containers().count(), enrich.dropped()), (10_000, 3));
}

#[test]
fn cgroups_of_one_directory_are_named_up_to_half_of_all_and_the_next_ones_counted() {
    let mut scene = Scene::new(4);
    for number in 0..16_389 {
        let path = path_of(CgroupId(1_000_000 + number), &format!("/flood/{number}"));
        scene.emit(Source::Kernel, Body::CgroupCreated(path));
    }
    assert_eq!(folded(&mut scene).dropped(), 5);
}

#[test]
fn twenty_thousand_claims_are_kept_and_the_next_ones_counted() {
    let mut scene = Scene::new(4);
    let known = scene.next_actor();
    for number in 0..20_002 {
        scene.claim(known, "stopped", "busybox", |facts| {
            facts.id = Untrusted::new(&format!("{number:064x}"));
            facts.pid = None;
            facts.state = RunState::Exited;
        });
    }
    let mut enrich = folded(&mut scene);
    assert_eq!(enrich.dropped(), 2);
    // A claim that is known already may still change, and a list makes room.
    scene.claim(known, "renamed", "busybox", |facts| facts.id = Untrusted::new(&format!("{:064x}", 0)));
    scene.emit(Source::Docker, Body::listed(Vec::new()));
    scene.start("web", "busybox", "httpd -f");
    assert!(told(&mut enrich, &mut scene).ends_with("settled managed web\n"));
    assert_eq!(enrich.dropped(), 2);
}

#[test]
fn a_cgroup_that_is_renamed_again_and_again_takes_the_room_of_one() {
    let mut scene = Scene::new(4);
    let mut enrich = folded(&mut scene);
    let mut sizes = Vec::new();
    for number in 0..100 {
        let (cgroup, path) = (CgroupId(77), Untrusted::new(&format!("/moving/{number:04}")));
        let process = ProcessKey { pid: 7, start_ns: 7 };
        let moved = Attach { process, cgroup, path, namespaces: None, by_pid: 0, by_cgroup: cgroup };
        scene.emit(Source::Kernel, Body::CgroupAttached(moved));
        scene.take().into_iter().for_each(|event| drop(enrich.identify(event)));
        sizes.push(size(&enrich));
    }
    assert_eq!(sizes[0], sizes[99]);
}

#[test]
fn containers_that_come_and_go_leave_nothing_behind() {
    let mut scene = Scene::new(4);
    let mut enrich = folded(&mut scene);
    let empty = size(&enrich);
    for _ in 0..50 {
        let web = scene.start("web", "busybox", "httpd -f");
        let below = path_of(CgroupId(77), &format!("{}/below", docker_path(web)));
        scene.emit(Source::Kernel, Body::CgroupCreated(below.clone()));
        scene.second(&[], 0.0);
        scene.end(web);
        scene.emit(Source::Docker, gone(web));
        scene.emit(Source::Kernel, Body::CgroupRemoved(below));
        let path = path_of(web.cgroup(), &docker_path(web));
        scene.emit(Source::Kernel, Body::CgroupRemoved(path));
    }
    scene.seconds(61, &[], 0.0);
    scene.take().into_iter().for_each(|event| drop(enrich.identify(event)));
    assert_eq!(size(&enrich), empty);
}

#[test]
fn hostile_names_are_joined_and_bounded_like_any_other() {
    let long = "\u{202e}\n\0'\"".repeat(1_000);
    let mut scene = Scene::new(4);
    let actor = scene.appear(&format!("/{long}"), &long);
    scene.claim(actor, &long, &long, |facts| {
        facts.labels = vec![(long.as_str().into(), long.as_str().into())];
    });
    let enrich = folded(&mut scene);
    let container = enrich.containers().next().unwrap();
    assert!(container.facts.known().is_some());
    assert!(container.workload().raw().len() <= model::untrusted::UNTRUSTED_BYTES_MAX);
}
