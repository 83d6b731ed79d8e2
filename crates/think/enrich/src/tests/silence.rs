//! A view that is silent, late, foreign or only named acquits nothing; an engine's outage pages for none of its containers.

use std::time::Duration;

use expect_test::expect;
use model::authority::Authority;
use model::coverage::{Health, Source};
use model::event::Body;
use model::identity::Kind;
use model::runtime::RunState;
use model::view::{EngineKind, EngineState, View};
use testkit::provenance::{helper, maker, moby, shim};
use testkit::scene::{Actor, Scene};

use super::{check, docker_path, folded};
use crate::Enrich;

/// Docker was found, served by root from the host's own executable, and then does not answer.
fn docker_falls_silent(scene: &mut Scene) {
    scene.engine(&View::default(), EngineState::Answers, |_| ());
    scene.second(&[], 0.0);
    scene.report(Source::Docker, Health::Down, "connection refused");
}

/// One that Docker's shim made, as the kernel shows it.
fn made_by_docker(scene: &mut Scene, command: &str) -> Actor {
    let actor = scene.start_unclaimed(command);
    scene.set_up(actor, |_| ());
    actor
}

/// One made by hand, in a cgroup of this path.
fn made_by_hand(scene: &mut Scene, path: &str) -> Actor {
    let actor = scene.appear(path, "miner");
    scene.set_up(actor, |setup| setup.makers = vec![maker(7, "unshare"), maker(6, "bash")]);
    actor
}

fn kind(enrich: &Enrich, actor: Actor) -> Kind {
    enrich.containers().find(|it| it.key.cgroup == actor.cgroup()).unwrap().kind
}

#[test]
fn a_ghost_is_found_at_once_whichever_engine_is_silent() {
    check(
        |scene| {
            docker_falls_silent(scene);
            made_by_hand(scene, "/hidden");
            scene.seconds(3, &[], 0.0);
        },
        &expect![[r#"
            2.0 appeared unsettled miner
            3.0 settled ghost miner: no container runtime claims it
        "#]],
    );
}

#[test]
fn what_a_silent_engines_shim_has_made_waits_for_a_bounded_time_and_is_named_when_it_is_back() {
    check(
        |scene| {
            docker_falls_silent(scene);
            let web = made_by_docker(scene, "httpd -f");
            scene.seconds(3, &[], 0.0);
            scene.claim(web, "web", "busybox", |_| ());
            scene.report(Source::Docker, Health::Up, "");
            scene.emit(Source::Docker, Body::listed(vec![web.id()]));
            scene.seconds(3, &[], 0.0);
        },
        &expect![[r#"
            2.0 appeared unsettled httpd -f
            4.0 settled unanswered httpd -f: the container runtime did not answer
            5.0 settled managed web
        "#]],
    );
    check(
        |scene| {
            docker_falls_silent(scene);
            made_by_docker(scene, "miner");
            scene.seconds(61, &[], 0.0);
        },
        &expect![[r#"
            2.0 appeared unsettled miner
            4.0 settled unanswered miner: the container runtime did not answer
            62.0 settled ghost miner: no container runtime claims it
        "#]],
    );
}

#[test]
fn what_ran_before_the_silence_waits_as_long_as_it_lasts() {
    let mut scene = Scene::new(4);
    scene.engine(&View::default(), EngineState::Answers, |_| ());
    scene.report(Source::Docker, Health::Down, "it hangs");
    let before = scene.next_actor();
    let path = docker_path(before);
    let web = scene.find(&path, "httpd -f", Duration::from_secs(3600));
    scene.set_up(web, |_| ());
    scene.seconds(300, &[], 0.0);
    assert_eq!(kind(&folded(&mut scene), web), Kind::Unanswered);
}

#[test]
fn what_an_engine_claimed_before_it_fell_silent_stays_its_own() {
    let mut scene = Scene::new(4);
    scene.engine(&View::default(), EngineState::Answers, |_| ());
    let containers: Vec<Actor> = (0..100).map(|_| scene.start("web", "busybox", "httpd -f")).collect();
    scene.seconds(3, &[], 0.0);
    scene.report(Source::Docker, Health::Down, "it restarts");
    scene.seconds(200, &[], 0.0);
    let enrich = folded(&mut scene);
    assert!(containers.iter().all(|actor| kind(&enrich, *actor) == Kind::Managed));
}

#[test]
fn a_helper_counts_by_its_executable_its_user_its_engine_and_its_container() {
    let of_another = View::new(EngineKind::Containerd, "/tmp/other.sock").of_namespace(&"x".into());
    type Makes = fn(Actor) -> Vec<model::setup::Maker>;
    let cases: [(&str, Makes); 4] = [
        ("called like a shim", |_| vec![maker(50, "containerd-shim")]),
        ("a user's", |actor| {
            let mut shim = shim(&moby(), &actor.id());
            shim.executable.as_mut().unwrap().uid = 65_534;
            vec![shim]
        }),
        ("from a file that is not the host's", |actor| {
            let mut shim = shim(&moby(), &actor.id());
            shim.executable.as_mut().unwrap().is_hosts = false;
            vec![shim]
        }),
        ("of another container", |_| vec![shim(&moby(), &"ab".repeat(32).as_str().into())]),
    ];
    for (what, makers) in cases {
        let mut scene = Scene::new(4);
        docker_falls_silent(&mut scene);
        let ghost = scene.start_unclaimed("miner");
        scene.set_up(ghost, |setup| setup.makers = makers(ghost));
        scene.seconds(3, &[], 0.0);
        assert_eq!(kind(&folded(&mut scene), ghost), Kind::Ghost, "{what}");
    }
    let mut scene = Scene::new(4);
    docker_falls_silent(&mut scene);
    let ghost = scene.start_unclaimed("miner");
    scene.set_up(ghost, |setup| setup.makers = vec![shim(&of_another, &ghost.id())]);
    scene.seconds(3, &[], 0.0);
    assert_eq!(kind(&folded(&mut scene), ghost), Kind::Ghost, "of another engine");
}

#[test]
fn names_of_cgroups_acquit_nothing() {
    let id = "ab".repeat(32);
    for path in [
        "/lxc.payload.web".to_owned(),
        "/lxc/web".to_owned(),
        "/machine.slice/machine-x.scope".to_owned(),
        "/machine-x".to_owned(),
        "/buildkit/x".to_owned(),
        format!("/docker/{id}"),
        format!("/system.slice/docker-{id}.scope"),
        format!("/machine.slice/libpod-{id}.scope"),
        format!("/kubepods/burstable/pod1/{id}"),
        format!("/kubepods.slice/crio-{id}.scope"),
        "/system.slice/foo.service".to_owned(),
        "/system.slice/cron.service/x".to_owned(),
        "/user.slice/user-0.slice/session-3.scope".to_owned(),
    ] {
        let mut scene = Scene::new(4);
        scene.units(true, &["cron.service"]);
        docker_falls_silent(&mut scene);
        let podman = View::new(EngineKind::Podman, "/var/lib/containers/storage");
        let cri = View::new(EngineKind::Cri, "/run/crio/crio.sock");
        for silent in [&podman, &cri] {
            scene.engine(silent, EngineState::Silent, |_| ());
        }
        let ghost = made_by_hand(&mut scene, &path);
        scene.seconds(4, &[], 0.0);
        let enrich = folded(&mut scene);
        assert_eq!(kind(&enrich, ghost), Kind::Ghost, "{path}");
        let container = enrich.containers().find(|it| it.key.cgroup == ghost.cgroup()).unwrap();
        let is_evidence = !container.tally.is_whole();
        // Folders at places where no runtime makes them, and a cgroup below a unit that runs, are not denied by any view.
        let is_denied = !matches!(path.as_str(), "/lxc/web" | "/machine-x" | "/system.slice/cron.service/x");
        assert_eq!(is_evidence, is_denied, "{path}: {:?}", container.tally.contradictions);
    }
}

#[test]
fn a_runtime_without_a_view_is_known_by_what_looks_after_its_containers() {
    check(
        |scene| {
            let web = scene.appear("/lxc.payload.web", "nginx");
            scene.set_up(web, |setup| setup.makers = vec![helper(60, "/usr/bin/lxc-start", 0)]);
            let fake = scene.appear("/machine.slice/machine-x.scope", "miner");
            scene.set_up(fake, |setup| setup.makers = vec![maker(60, "systemd-nspawn")]);
            scene.seconds(3, &[], 0.0);
        },
        &expect![[r#"
            1.0 appeared unsettled nginx
            1.0 appeared unsettled miner
            2.0 settled unwatched nginx: lxc-start runs it, which keeps no list that could be asked for
            2.0 settled ghost miner: no container runtime claims it
        "#]],
    );
}

#[test]
fn a_monitor_counts_by_its_user_its_place_and_what_stands_between() {
    type Makes = fn() -> Vec<model::setup::Maker>;
    let made_in_it = || {
        let mut shell = helper(61, "/usr/bin/unshare", 0);
        shell.executable.as_mut().unwrap().is_hosts = false;
        vec![shell, helper(60, "/usr/bin/lxc-start", 0)]
    };
    let cases: [(&str, Kind, Makes); 8] = [
        ("the host's", Kind::Unwatched, || vec![helper(60, "/usr/bin/lxc-start", 0)]),
        ("by a helper of its own", Kind::Unwatched, || {
            vec![helper(61, "/usr/bin/buildkit-runc", 0), helper(60, "/usr/local/bin/buildkitd", 0)]
        }),
        ("a copy", Kind::Ghost, || vec![helper(60, "/root/lxc-start", 0)]),
        ("a copy below a directory called so", Kind::Ghost, || vec![helper(60, "/tmp/usr/bin/lxc-start", 0)]),
        ("a user's", Kind::Ghost, || vec![helper(60, "/usr/bin/systemd-nspawn", 1000)]),
        ("one in a container of the monitor's", Kind::Ghost, made_in_it),
        ("something unknown stands between", Kind::Ghost, || {
            vec![maker(61, "bash"), helper(60, "/usr/bin/lxc-start", 0)]
        }),
        ("made by hand below the monitor", Kind::Ghost, || {
            vec![helper(61, "/usr/bin/unshare", 0), helper(60, "/usr/bin/dockerd", 0)]
        }),
    ];
    for (what, expected, makers) in cases {
        let mut scene = Scene::new(4);
        let ghost = scene.appear("/lxc.payload.web", "miner");
        scene.set_up(ghost, |setup| setup.makers = makers());
        scene.seconds(3, &[], 0.0);
        assert_eq!(kind(&folded(&mut scene), ghost), expected, "{what}");
    }
}

#[test]
fn an_engine_that_lists_again_and_again_does_not_put_a_ghost_off() {
    check(
        |scene| {
            let other = View::new(EngineKind::Containerd, "/tmp/x.sock");
            made_by_hand(scene, "/hidden");
            for _ in 0..4 {
                scene.engine(&other, EngineState::Silent, |_| ());
                scene.engine(&other, EngineState::Answers, |_| ());
                scene.emit(Source::Docker, Body::listed(Vec::new()));
                scene.second(&[], 0.0);
            }
        },
        &expect![[r#"
            1.0 appeared unsettled miner
            2.0 settled ghost miner: no container runtime claims it
        "#]],
    );
}

#[test]
fn claims_of_what_is_not_an_engine_and_of_users_on_what_is_not_theirs_count_for_nothing() {
    let fake = View::new(EngineKind::Docker, "/tmp/docker.sock");
    let store = View::new(EngineKind::Podman, "/home/u/.local/share/containers/storage");
    for (view, authority) in [
        (&fake, Authority::Refused { why: "it listens at no socket".into() }),
        (&fake, Authority::User { uid: 65_534 }),
        (&store, Authority::User { uid: 1000 }),
    ] {
        // Known before the claim, and found out after it.
        for is_early in [true, false] {
            let mut scene = Scene::new(4);
            let tell = |scene: &mut Scene| {
                scene.engine(view, EngineState::Answers, |seen| seen.authority = authority.clone());
            };
            if is_early {
                tell(&mut scene);
            }
            let ghost = made_by_hand(&mut scene, "/hidden");
            scene.claimed_by(view, ghost, |facts| facts.state = RunState::Running);
            tell(&mut scene);
            scene.seconds(4, &[], 0.0);
            assert_eq!(kind(&folded(&mut scene), ghost), Kind::Ghost, "{view} {authority:?} {is_early}");
        }
    }
}

#[test]
fn engines_of_one_user_fill_that_users_share_and_leave_room_for_roots() {
    let mut scene = Scene::new(4);
    for number in 0..300 {
        let view = View::new(EngineKind::Podman, &format!("/home/u/{number}"));
        scene.engine(&view, EngineState::Silent, |seen| seen.authority = Authority::User { uid: 1000 });
    }
    let roots = View::new(EngineKind::Containerd, "/run/containerd/containerd.sock");
    let another = View::new(EngineKind::Podman, "/home/v/storage");
    scene.engine(&roots, EngineState::Answers, |_| ());
    scene.engine(&another, EngineState::Answers, |seen| seen.authority = Authority::User { uid: 1001 });
    let app = scene.appear("/custom/app", "app");
    scene.claimed_by(&roots, app, |facts| facts.name = "app".into());
    let ghost = made_by_hand(&mut scene, "/hidden");
    let beyond = View::new(EngineKind::Podman, "/home/u/299");
    scene.claimed_by(&beyond, ghost, |facts| facts.state = RunState::Running);
    scene.seconds(4, &[], 0.0);
    let enrich = folded(&mut scene);
    assert_eq!(kind(&enrich, app), Kind::Managed);
    assert_eq!(kind(&enrich, ghost), Kind::Ghost, "an engine beyond the share claims nothing");
    let engines: Vec<View> = enrich.views.engines().map(|(view, _)| view).collect();
    assert!(engines.contains(&roots) && engines.contains(&another), "{}", engines.len());
}

#[test]
fn a_users_engine_claims_that_users_containers() {
    let store = View::new(EngineKind::Podman, "/home/u/.local/share/containers/storage");
    let mut scene = Scene::new(4);
    scene.engine(&store, EngineState::Answers, |seen| seen.authority = Authority::User { uid: 1000 });
    let app = scene.appear("/user.slice/x", "app");
    scene.claimed_by(&store, app, |facts| facts.name = "app".into());
    scene.set_up(app, |setup| {
        setup.makers = vec![helper(60, "/usr/bin/conmon", 1000)];
        setup.has_own_users = true;
    });
    scene.seconds(4, &[], 0.0);
    assert_eq!(kind(&folded(&mut scene), app), Kind::Managed);
}

#[test]
fn a_container_in_a_silent_owners_namespace_is_contradicted_when_the_owner_had_its_time() {
    let mut scene = Scene::new(4);
    scene.engine(&moby(), EngineState::Answers, |_| ());
    docker_falls_silent(&mut scene);
    let ghost = scene.appear("/moby/x", "miner");
    scene.claimed_by(&moby(), ghost, |facts| facts.name = "x".into());
    scene.seconds(30, &[], 0.0);
    let early = scene.take();
    let mut enrich = Enrich::default();
    early.into_iter().for_each(|event| drop(enrich.identify(event)));
    let is_whole = |enrich: &Enrich| enrich.containers().all(|it| it.tally.is_whole());
    assert!(is_whole(&enrich), "the owner may yet confirm it");
    scene.seconds(31, &[], 0.0);
    scene.take().into_iter().for_each(|event| drop(enrich.identify(event)));
    assert!(!is_whole(&enrich));
}
