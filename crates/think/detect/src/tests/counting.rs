//! What an attacker splits into many, beside the twin that must stay quiet: uploads, workloads, labels.
//!
//! Not here: one upload over one edge (`talking.rs`).

use std::time::Duration;

use model::event::SocketState;
use model::traffic::{Crowd, FlowCounts};
use model::untrusted::Untrusted;
use testkit::traffic::{inner, outer};

use super::*;

fn of(judge: &str, act: impl FnOnce(&mut Scene)) -> String {
    let mut scene = Scene::new(2);
    act(&mut scene);
    scene.pause(Duration::from_secs(5));
    scene.emit(Source::Engine, Body::Tick);
    judged(scene.take()).lines().filter(|line| line.starts_with(judge)).collect::<Vec<_>>().join("\n")
}

/// Twelve containers one after the other, each of which sends 30 MB to a place of its own.
fn in_pieces(
    scene: &mut Scene,
    image: impl Fn(u8) -> String,
    command: impl Fn(u8) -> String,
    sent_bytes: u64,
) {
    for piece in 0..12 {
        let actor = scene.start_unclaimed("sh");
        scene.claim(actor, &format!("p{piece}"), &image(piece), |facts| {
            facts.command = Untrusted::new(&command(piece));
            facts.addresses = vec![inner(20 + piece)];
        });
        scene.meets(actor, SocketState::Connected, (outer(piece), 443));
        let counts = FlowCounts { sent_bytes, received_bytes: 9_000, ..FlowCounts::default() };
        scene.carries(actor, (outer(piece), 443), counts);
        scene.pause(Duration::from_secs(4));
        scene.emit(Source::Engine, Body::Tick);
    }
}

#[test]
fn an_upload_split_among_workloads_of_one_image_is_one_finding() {
    let told = |sent_bytes, approved: bool| {
        of("volume", |scene| {
            if approved {
                approve_image(scene, "busybox");
            }
            in_pieces(
                scene,
                |_| "busybox".to_owned(),
                |n| format!("job --word {}", "x".repeat(usize::from(n))),
                sent_bytes,
            );
        })
    };
    assert_eq!(told(30_000_000, false), "volume p1 11.0");
    assert_eq!(told(30_000_000, true), "volume p1 11.0");
    assert_eq!(told(2_000_000, false), "", "twelve that send little");
}

#[test]
fn an_upload_split_among_images_is_a_lead_on_the_first_of_them() {
    let told = of("volume", |scene| {
        in_pieces(scene, |n| format!("image-{n}"), |_| "serve".to_owned(), 30_000_000);
    });
    assert_eq!(told, "volume p0 6.0");
}

#[test]
fn an_upload_to_more_addresses_than_are_told_apart_is_found_by_their_common_line() {
    let told = of("volume", |scene| {
        let atk = scene.start_at("atk", "busybox", 9);
        for _ in 0..10 {
            let counts = FlowCounts { sent_bytes: 10_000_000, ..FlowCounts::default() };
            scene.carries(atk, (Crowd::Outside.address(), 0), counts);
            scene.carries(atk, (Crowd::Inside.address(), 0), counts);
            scene.pause(Duration::from_secs(1));
        }
    });
    assert_eq!(told, "volume atk 11.0");
}

#[test]
fn what_accepted_workloads_send_is_no_part_of_a_sum() {
    let told = of("volume", |scene| {
        approve_image(scene, "busybox");
        for piece in 0..12_u64 {
            let workload = WorkloadKey::new(&format!("busybox [job --word {}]", "x".repeat(piece as usize)));
            scene.approve(100 + piece, Scope::Workload { workload, digest: digest("busybox") });
        }
        in_pieces(
            scene,
            |_| "busybox".to_owned(),
            |n| format!("job --word {}", "x".repeat(usize::from(n))),
            30_000_000,
        );
    });
    assert_eq!(told, "");
}

#[test]
fn labels_that_do_not_fit_are_evidence_of_their_container() {
    let told = |labels_dropped| {
        let mut scene = Scene::new(2);
        let actor = scene.start_unclaimed("serve");
        scene.claim(actor, "web", "web", |facts| facts.labels_dropped = labels_dropped);
        scene.pause(Duration::from_secs(5));
        scene.emit(Source::Engine, Body::Tick);
        judged(scene.take()).lines().filter(|line| line.starts_with("masquerade")).collect::<String>()
    };
    assert_eq!((told(0).as_str(), told(17).as_str()), ("", "masquerade web 4.0"));
}

#[test]
fn new_workloads_of_one_image_in_a_row_are_evidence_and_restarts_are_not() {
    let told = |command: fn(u8) -> String| {
        let mut scene = Scene::new(2);
        for number in 0..10 {
            scene.start(&format!("c{number}"), "busybox", &command(number));
            scene.pause(Duration::from_secs(20));
            scene.emit(Source::Engine, Body::Tick);
        }
        judged(scene.take()).lines().filter(|line| line.starts_with("unusual_start")).count()
    };
    let word = |number: u8| format!("job {}", "x".repeat(usize::from(number)));
    assert_eq!((told(word), told(|_| "job".to_owned())), (3, 0));
    assert_eq!(told(|number| format!("sh -c 'job' # {number}")), 0, "a comment makes no workload");
}
