//! Containers that end before a view claims them: a name, an unverified claim and another container's id acquit none.

use model::authority::Authority;
use model::confines::{Confines, RootId, RunFile};
use model::coverage::Source;
use model::event::{Body, Exec};
use model::identity::{Kind, News};
use model::runtime::RunState;
use model::view::{EngineKind, EngineState, View};
use testkit::provenance::helper;
use testkit::scene::{Actor, Scene};

use super::docker_path;
use crate::Enrich;

/// A program of a root that is not an image's.
fn by_hand(exec: &mut Exec) {
    let root = RootId { device: 41, inode: 1 };
    let file = RunFile { device: root.device, ..RunFile::default() };
    exec.confines = Some(Confines { root, has_own_root: true, file, pid_inside: 1, ..Confines::default() });
}

/// A container that ends at once, and another one that begins in its cgroup.
fn comes_and_goes(scene: &mut Scene, path: &str) -> Actor {
    let first = scene.appear_with(path, "first", by_hand);
    scene.end(first);
    let mut next = Exec { cgroup: first.cgroup(), ..Scene::new(1).next_actor().exec("next") };
    next.process.pid = 777;
    by_hand(&mut next);
    scene.emit(Source::Kernel, Body::Exec(Box::new(next)));
    first
}

/// The kind that the container of the program `first` is settled as; `None` when it is not settled alone.
fn kind_of_first(scene: &mut Scene) -> Option<Kind> {
    let mut enrich = Enrich::default();
    let news = scene.take().into_iter().flat_map(|event| enrich.identify(event).identity.news);
    let settled = news.filter_map(|news| match news {
        News::Settled(container) if container.program.raw() == "first" => Some(container.kind),
        _ => None,
    });
    settled.last()
}

fn exited(scene: &mut Scene, view: &View, actor: Actor, cgroup: &str) {
    scene.claimed_by(view, actor, |facts| {
        (facts.state, facts.pid, facts.cgroup) = (RunState::Exited, None, cgroup.into());
    });
}

#[test]
fn a_claim_by_an_engine_that_is_not_verified_names_none_that_left_its_cgroup() {
    let view = View::new(EngineKind::Docker, "/tmp/docker.sock");
    let why = "it listens at no socket".into();
    for (authority, expected) in [
        (None, Some(Kind::Ghost)),
        (Some(Authority::Refused { why }), Some(Kind::Ghost)),
        (Some(Authority::User { uid: 1000 }), Some(Kind::Ghost)),
        (Some(Authority::Host), None),
    ] {
        let mut scene = Scene::new(4);
        if let Some(authority) = &authority {
            scene.engine(&view, EngineState::Answers, |seen| seen.authority = authority.clone());
        }
        let path = docker_path(scene.next_actor());
        let first = comes_and_goes(&mut scene, &path);
        exited(&mut scene, &view, first, "");
        scene.seconds(4, &[], 0.0);
        assert_eq!(kind_of_first(&mut scene), expected, "{authority:?}");
    }
}

#[test]
fn a_claim_about_another_cgroup_names_none_that_left_its_own() {
    let view = View::new(EngineKind::Docker, "/run/other.sock");
    for (cgroup, expected) in [("/docker/another", Some(Kind::Ghost)), ("/docker", None)] {
        let mut scene = Scene::new(4);
        scene.engine(&view, EngineState::Answers, |_| ());
        let path = docker_path(scene.next_actor());
        let first = comes_and_goes(&mut scene, &path);
        exited(&mut scene, &view, first, cgroup);
        scene.seconds(4, &[], 0.0);
        assert_eq!(kind_of_first(&mut scene), expected, "{cgroup}");
    }
}

#[test]
fn a_cgroup_called_like_a_running_container_acquits_none_that_left_it() {
    let mut scene = Scene::new(4);
    scene.engine(&View::default(), EngineState::Answers, |_| ());
    let web = scene.start("web", "busybox", "httpd");
    let path = format!("/user.slice/docker-{}.scope", web.id());
    comes_and_goes(&mut scene, &path);
    scene.seconds(4, &[], 0.0);
    assert_eq!(kind_of_first(&mut scene), Some(Kind::Ghost));
}

/// One that ends within its first second in a cgroup that is called like Podman's, on a host with Podman.
fn short_in_podmans_name(act: impl FnOnce(&mut Scene, &View, Actor)) -> Option<Kind> {
    let mut scene = Scene::new(4);
    let store = View::new(EngineKind::Podman, "/home/u/.local/share/containers/storage");
    scene.engine(&store, EngineState::Answers, |seen| seen.authority = Authority::User { uid: 1000 });
    let path = format!("/machine.slice/libpod-{}.scope", scene.next_actor().id());
    let short = scene.appear_with(&path, "first", by_hand);
    act(&mut scene, &store, short);
    scene.end(short);
    scene.seconds(4, &[], 0.0);
    kind_of_first(&mut scene)
}

#[test]
fn a_short_life_in_a_cgroup_called_like_podmans_is_a_ghost_unless_the_store_knows_it_or_conmon_made_it() {
    assert_eq!(short_in_podmans_name(|_, _, _| ()), Some(Kind::Ghost), "a name");
    let in_store = short_in_podmans_name(|scene, store, short| exited(scene, store, short, ""));
    assert_eq!(in_store, Some(Kind::Unanswered), "known to the store");
    let by_conmon = short_in_podmans_name(|scene, _, short| {
        let mut conmon = helper(60, "/usr/bin/conmon", 0);
        conmon.args = format!("conmon -c {}", short.id()).as_str().into();
        scene.set_up(short, |setup| setup.makers = vec![conmon]);
    });
    assert_eq!(by_conmon, Some(Kind::Unanswered), "made by Podman's helper");
}
