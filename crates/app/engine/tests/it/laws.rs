//! What holds for every scene: the same events give the same bytes, also when the core is written down in between.

use std::time::Duration;

use engine::fold::Fold;
use model::approval::Scope;
use model::coverage::{Health, Source};
use model::event::{Body, Event};
use model::expectation::Expectation;
use model::runtime::{Deploy, EngineWork, ImageWork, ServiceChange};
use proptest::prelude::{Just, ProptestConfig, Strategy, prop, prop_oneof, proptest};
use testkit::expectations::{learned, scheduled};
use testkit::scene::{Actor, Scene, Spends, digest};

use crate::stage::{carried_over, known, new_fold, step_all, written};

/// Something that happens on the made-up host; numbers choose among what is there.
#[derive(Clone, Debug)]
enum Act {
    Start(u8),
    StartUnclaimed(u8),
    Claim(u8, u8),
    Appear(u8),
    End(u8),
    Gone(u8),
    List,
    Down,
    Up,
    Approve(u8),
    Revoke(u8),
    Press(u8),
    Pause(u16),
    Seconds(u8, f64, u32, f64),
    Expect(u8, bool),
    Unexpect(u8),
    EngineExec(u8),
    Work(u8),
    Service(u8),
}

fn act() -> impl Strategy<Value = Act> {
    let few = 0..4_u8;
    prop_oneof![
        2 => few.clone().prop_map(Act::Start),
        1 => few.clone().prop_map(Act::StartUnclaimed),
        1 => (few.clone(), few.clone()).prop_map(|(actor, image)| Act::Claim(actor, image)),
        1 => few.clone().prop_map(Act::Appear),
        1 => few.clone().prop_map(Act::End),
        1 => few.clone().prop_map(Act::Gone),
        1 => Just(Act::List),
        1 => Just(Act::Down),
        1 => Just(Act::Up),
        1 => few.clone().prop_map(Act::Approve),
        1 => few.clone().prop_map(Act::Revoke),
        1 => (few.clone(), prop::bool::ANY).prop_map(|(image, learned)| Act::Expect(image, learned)),
        1 => few.clone().prop_map(Act::Unexpect),
        1 => few.clone().prop_map(Act::EngineExec),
        1 => few.clone().prop_map(Act::Work),
        1 => few.prop_map(Act::Service),
        1 => (0..80_u8).prop_map(Act::Press),
        1 => (1..20_000_u16).prop_map(Act::Pause),
        5 => (1..8_u8, 0.0..2.0_f64, 0..60_000_000_u32, 0.0..2.0_f64)
            .prop_map(|(seconds, own, log, engine)| Act::Seconds(seconds, own, log, engine)),
    ]
}

fn play(acts: &[Act]) -> Vec<Event> {
    let mut scene = Scene::new(4);
    let mut actors: Vec<Actor> = Vec::new();
    for act in acts {
        perform(&mut scene, &mut actors, act);
    }
    scene.take()
}

fn perform(scene: &mut Scene, actors: &mut Vec<Actor>, act: &Act) {
    let chosen = |number: u8| actors.len().checked_sub(1 + usize::from(number)).map(|at| actors[at]);
    let image = |number: u8| format!("image-{number}");
    match *act {
        Act::Start(number) => {
            let started = scene.start(&format!("c{number}"), &image(number), "work");
            actors.push(started);
        }
        Act::StartUnclaimed(number) => actors.push(scene.start_unclaimed(&format!("work {number}"))),
        Act::Claim(number, which) => {
            if let Some(actor) = chosen(number) {
                scene.claim(actor, "claimed", &image(which), |_| ());
            }
        }
        Act::Appear(number) => actors.push(scene.appear(&format!("/by-hand/{number}"), "hidden")),
        Act::End(number) => {
            if let Some(actor) = chosen(number) {
                scene.end(actor);
            }
        }
        Act::Gone(number) => {
            if let Some(actor) = chosen(number) {
                scene.emit(Source::Docker, Body::gone(actor.id()));
            }
        }
        Act::List => {
            let ids = actors.iter().map(|actor| actor.id()).collect();
            scene.emit(Source::Docker, Body::listed(ids));
        }
        Act::Down => scene.report(Source::Docker, Health::Down, "refused"),
        Act::Up => scene.report(Source::Docker, Health::Up, ""),
        Act::Approve(number) => {
            let image = image(number);
            let scope = Scope::Digest { digest: digest(&image), image: image.as_str().into() };
            scene.approve(u64::from(number), scope);
        }
        Act::Revoke(number) => scene.emit(Source::Operator, Body::Revoked { id: u64::from(number) }),
        Act::Expect(number, is_learned) => {
            scene.emit(Source::Operator, Body::Expected(Box::new(expectation(number, is_learned))));
        }
        Act::Unexpect(number) => {
            scene.emit(Source::Operator, Body::Unexpected { id: expectation(number, false).id });
        }
        Act::EngineExec(number) => {
            if let Some(actor) = chosen(number) {
                scene.emit(Source::Docker, Body::ran_in(actor.id()));
            }
        }
        Act::Work(number) => {
            let work = if number == 0 { ImageWork::Build } else { ImageWork::Import };
            let image = image(number).as_str().into();
            scene.emit(Source::Docker, Body::EngineWork(EngineWork::new(work, image)));
        }
        Act::Service(number) => {
            let deploy = if number == 0 { Deploy::Rollout } else { Deploy::ScaleOut };
            let service = image(number).as_str().into();
            scene.emit(Source::Docker, Body::Service(ServiceChange { service, deploy }));
        }
        Act::Press(percent) => scene.press(f32::from(percent)),
        Act::Pause(ms) => scene.pause(Duration::from_millis(u64::from(ms))),
        Act::Seconds(count, own_cores, log_bytes, engine_cores) => {
            let spends = Spends { own_cores, log_bytes: u64::from(log_bytes), shim_cores: own_cores / 10.0 };
            let busy: Vec<(Actor, Spends)> =
                actors.last().map(|actor| (*actor, spends)).into_iter().collect();
            scene.seconds(u32::from(count), &busy, engine_cores);
        }
    }
}

fn expectation(number: u8, is_learned: bool) -> Expectation {
    let known = match is_learned {
        true => learned(&format!("image-{number} [work]")),
        false => scheduled(&format!("image:image-{number}"), "*/2 * * * *", 60),
    };
    Expectation { expires: None, ..known }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_same_events_give_the_same_bytes_also_when_written_down_in_between(
        acts in prop::collection::vec(act(), 1..40),
        cut in 0.0..1.0_f64,
    ) {
        let events = play(&acts);
        let mut once = new_fold();
        let lived = written(&step_all(&mut once, &events));
        let mut twice = new_fold();
        assert_eq!(written(&step_all(&mut twice, &events)), lived);

        let (first, rest) = events.split_at((events.len() as f64 * cut) as usize);
        let mut carried: Fold = new_fold();
        let mut changes = step_all(&mut carried, first);
        carried = carried_over(&carried);
        changes.extend(step_all(&mut carried, rest));
        assert_eq!(written(&changes), lived);
        assert_eq!(known(&carried), known(&once));
        assert_eq!(once.failed_judges(), Vec::<String>::new());
    }
}
