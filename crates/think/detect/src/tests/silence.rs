//! No view that is silent, late or foreign lowers a finding: a property over the views, and the engines that are none.

use model::authority::{Authority, Executable};
use model::setup::{Maker, Setup};
use model::view::{EngineKind, EngineSeen};
use proptest::prelude::*;
use testkit::provenance::{maker, moby, shim};
use testkit::scene::Actor;

use super::*;

/// One word about an engine that a host may have beside others, and when it comes.
#[derive(Clone, Debug)]
struct Word {
    view: View,
    state: EngineState,
    authority: Authority,
    is_standard: bool,
    /// Second of the scene; the ghost begins in the fourth.
    second: u32,
    lists: bool,
    /// Whether it claims the ghost.
    claims: bool,
}

fn view() -> impl Strategy<Value = View> {
    let default = Just(View::default());
    let kinds = prop::sample::select(vec![
        EngineKind::Docker,
        EngineKind::Containerd,
        EngineKind::Cri,
        EngineKind::Podman,
    ]);
    let places = prop::sample::select(vec![
        "/run/containerd/containerd.sock",
        "/run/docker/containerd/containerd.sock",
        "/run/crio/crio.sock",
        "/tmp/containerd.sock",
        "/tmp/crio",
    ]);
    prop_oneof![1 => default, 4 => (kinds, places).prop_map(|(kind, place)| View::new(kind, place))]
}

fn authority() -> impl Strategy<Value = Authority> {
    prop_oneof![
        Just(Authority::Unknown),
        Just(Authority::Host),
        Just(Authority::User { uid: 65_534 }),
        Just(Authority::Refused { why: "it listens at no socket".into() }),
    ]
}

fn word() -> impl Strategy<Value = Word> {
    let states = prop::sample::select(vec![EngineState::Silent, EngineState::Doubtful, EngineState::Answers]);
    (view(), states, authority(), any::<bool>(), 0..8_u32, any::<bool>(), any::<bool>()).prop_map(
        |(view, state, authority, is_standard, second, lists, claims)| {
            // An engine of root's that claims it is no longer foreign: that is a finding of other judges.
            let claims = claims && matches!(authority, Authority::User { .. } | Authority::Refused { .. });
            Word { view, state, authority, is_standard, second, lists, claims }
        },
    )
}

/// Who made a ghost, and what its cgroup is called.
fn ghost() -> impl Strategy<Value = (usize, String)> {
    let id = "ab".repeat(32);
    let paths = vec![
        "/hidden".to_owned(),
        "/machine.slice/machine-x.scope".to_owned(),
        "/lxc.payload.x".to_owned(),
        format!("/docker/{id}"),
        format!("/machine.slice/libpod-{id}.scope"),
        format!("/kubepods/pod1/{id}"),
        format!("/system.slice/crio-{id}.scope"),
        "/system.slice/foo.service".to_owned(),
    ];
    (0..6_usize, prop::sample::select(paths))
}

/// What stands above a ghost: nothing of any engine, or what only looks so.
fn makers(which: usize, ghost: Actor) -> Vec<Maker> {
    let mut of_user = shim(&moby(), &ghost.id());
    of_user.executable.as_mut().unwrap().uid = 65_534;
    let mut copied = shim(&moby(), &ghost.id());
    copied.executable.as_mut().unwrap().is_hosts = false;
    match which {
        0 => vec![maker(7, "unshare"), maker(6, "bash")],
        1 => vec![maker(7, "containerd-shim")],
        2 => vec![maker(7, "conmon")],
        3 => vec![helper(7, "/usr/bin/conmon", 65_534)],
        4 => vec![of_user],
        _ => vec![copied],
    }
}

fn scene_of(words: &[Word], which: usize, path: &str, change: impl FnOnce(&mut Setup)) -> Vec<Event> {
    let mut scene = Scene::new(2);
    scene.units(true, &["cron.service"]);
    let mut ghost = None;
    let mut change = Some(change);
    for second in 0..12 {
        if second == 4 {
            let actor = scene.appear(path, "miner");
            scene.set_up(actor, |setup| {
                setup.makers = makers(which, actor);
                change.take().into_iter().for_each(|change| change(setup));
            });
            ghost = Some(actor);
        }
        for word in words.iter().filter(|word| word.second == second) {
            scene.engine(&word.view, word.state, |seen| {
                seen.authority = word.authority.clone();
                seen.is_standard = word.is_standard;
            });
            if word.view.is_default() {
                let health = if word.state == EngineState::Silent { Health::Down } else { Health::Degraded };
                scene.report(Source::Docker, health, "it does not answer");
            }
            if word.lists {
                let ids = Vec::new();
                scene.emit(Source::Docker, Body::ContainerList { ids, view: word.view.clone() });
            }
            if let Some(actor) = ghost.filter(|_| word.claims) {
                scene.claimed_by(&word.view, actor, |_| ());
            }
        }
        scene.second(&[], 0.0);
    }
    scene.take()
}

/// The most that is held against the ghost as what stands with no view.
fn bits(events: Vec<Event>) -> f64 {
    let held = findings(events).into_iter().filter(|finding| finding.container.is_some());
    held.filter(|finding| finding.judge == "ghost").map(|finding| finding.bits).fold(0.0, f64::max)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_silent_late_or_foreign_engine_lowers_what_weighs_against_a_ghost(
        base in prop::collection::vec(word(), 0..3),
        more in prop::collection::vec(word(), 1..4),
        (which, path) in ghost(),
        has_hosts_root in any::<bool>(),
    ) {
        let silent: Vec<Word> =
            more.into_iter().map(|word| Word { state: silent_of(word.state), ..word }).collect();
        let change = |setup: &mut Setup| setup.has_own_root = !has_hosts_root;
        let alone = bits(scene_of(&base, which, &path, change));
        let beside = bits(scene_of(&[base, silent].concat(), which, &path, change));
        prop_assert!(alone >= 6.0, "{alone}");
        prop_assert!(beside >= alone, "{beside} < {alone}");
    }
}

fn silent_of(state: EngineState) -> EngineState {
    if state == EngineState::Answers { EngineState::Silent } else { state }
}

fn daemon(path: &str, inode: u64) -> Executable {
    Executable { path: path.into(), device: (8, 1), inode, uid: 0, is_hosts: true }
}

/// What is said when an engine that was here from the start is found to be served by another executable.
fn replaced(change: impl FnOnce(&mut EngineSeen)) -> String {
    let mut scene = Scene::new(2);
    let docker = View::default();
    let served = |seen: &mut EngineSeen| seen.executable = Some(daemon("/usr/bin/dockerd", 7));
    scene.engine(&docker, EngineState::Answers, served);
    scene.seconds(20, &[], 0.0);
    scene.engine(&docker, EngineState::Silent, served);
    scene.engine(&docker, EngineState::Answers, |seen| {
        served(seen);
        change(seen);
    });
    judged(scene.take())
}

#[test]
fn a_known_engine_that_another_executable_serves_is_found_and_a_restart_is_not() {
    let program = |seen: &mut EngineSeen| seen.executable = Some(daemon("/opt/x/dockerd", 8));
    assert_eq!(replaced(program), "second_engine node 9.0\n");
    let imitated = |seen: &mut EngineSeen| {
        seen.executable = Some(Executable { uid: 65_534, ..daemon("/usr/bin/socat", 9) });
        seen.authority = Authority::User { uid: 65_534 };
    };
    assert_eq!(replaced(imitated), "second_engine node 13.0\n");
    let upgraded = |seen: &mut EngineSeen| seen.executable = Some(daemon("/usr/bin/dockerd", 8));
    assert_eq!(replaced(upgraded), "second_engine node 3.0\n");
    assert_eq!(replaced(|_| ()), "");
    // A follower knows how it is, and nothing of who serves it.
    let unknown = |seen: &mut EngineSeen| (seen.authority, seen.executable) = (Authority::Unknown, None);
    assert_eq!(replaced(unknown), "");
}

#[test]
fn a_process_that_only_looks_like_an_engine_is_found_also_when_it_was_here_before() {
    let mut scene = Scene::new(2);
    let fake = View::new(EngineKind::Containerd, "/tmp/containerd");
    scene.engine(&fake, EngineState::Silent, |seen| {
        seen.authority = Authority::Refused { why: "it listens at no socket of the host".into() };
        seen.program = "/tmp/containerd".into();
    });
    let found = findings(scene.take());
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        found[0].claim,
        "/tmp/containerd looks like an engine of kind containerd and is not one: it listens at no socket of the host"
    );
}
