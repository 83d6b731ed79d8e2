//! Each judge of who talks to whom, beside the twin that must stay quiet.

use std::time::Duration;

use expect_test::expect;
use model::event::{Exec, SocketState, Streams};
use model::expectation::{EdgePattern, EndpointPattern, Expectation, Expected, When};
use model::traffic::{EdgeKey, Endpoint, FlowCounts, Protocol};
use testkit::scene::Actor;
use testkit::traffic::{inner, outer};

use super::*;

const DAY: Duration = Duration::from_secs(86_400);

/// Two approved workloads that have talked for days: `web` to `db`.
fn watched(scene: &mut Scene, days: u32) -> (Actor, Actor) {
    approve_image(scene, "web");
    scene.approve(2, Scope::Digest { digest: digest("db"), image: "db".into() });
    let (web, db) = (scene.start_at("web", "web", 2), scene.start_at("db", "db", 3));
    scene.listens(db, 5432);
    for _ in 0..days {
        scene.talks(web, (inner(3), 5432), (300, 4_000));
        let busy = FlowCounts { opened: 900, closed: 900, ..FlowCounts::default() };
        scene.carries(web, (inner(3), 5432), busy);
        scene.pause(DAY);
        scene.emit(Source::Engine, Body::Tick);
    }
    (web, db)
}

fn of(judge: &str, act: impl FnOnce(&mut Scene)) -> String {
    let mut scene = Scene::new(2);
    act(&mut scene);
    scene.pause(Duration::from_secs(5));
    scene.emit(Source::Engine, Body::Tick);
    judged(scene.take()).lines().filter(|line| line.starts_with(judge)).collect::<Vec<_>>().join("\n")
}

#[test]
fn an_edge_between_workloads_that_never_talked_is_surprising_after_days_of_habit() {
    let told = |days| {
        of("new_edge", |scene| {
            let (_, db) = watched(scene, days);
            scene.start_at("cache", "cache", 4);
            scene.meets(db, SocketState::Connected, (inner(4), 6379));
        })
    };
    assert_eq!(told(0), "", "nobody knows yet what is usual");
    let habit = of("new_edge", |scene| {
        let (web, _) = watched(scene, 10);
        scene.start_at("cache", "cache", 4);
        scene.meets(web, SocketState::Connected, (inner(4), 6379));
    });
    assert_eq!(habit, "new_edge web 3.2");
    let again = of("new_edge", |scene| {
        let (web, _) = watched(scene, 10);
        scene.talks(web, (inner(3), 5432), (300, 4_000));
    });
    assert_eq!(again, "");
}

#[test]
fn replicas_of_a_new_version_share_what_is_new_and_it_is_told_once() {
    let told = of("new_edge", |scene| {
        watched(scene, 10);
        scene.start_at("cache", "cache", 4);
        for last in 5..9 {
            let replica = scene.start_at(&format!("web-{last}"), "web", last);
            scene.meets(replica, SocketState::Connected, (inner(4), 6379));
        }
    });
    assert_eq!(told, "new_edge web-5 3.2");
}

#[test]
fn an_approved_edge_is_no_news() {
    let told = of("new_edge", |scene| {
        let (web, _) = watched(scene, 10);
        let workload = |name: &str| Endpoint::Workload(WorkloadKey::new(&format!("{name} [serve]")));
        let edge =
            EdgeKey { from: workload("web"), to: workload("cache"), port: 6379, protocol: Protocol::TCP };
        scene.approve(3, Scope::Edge(edge));
        scene.start_at("cache", "cache", 4);
        scene.meets(web, SocketState::Connected, (inner(4), 6379));
    });
    assert_eq!(told, "");
}

#[test]
fn a_workload_that_stayed_within_and_goes_outside_weighs_as_much_as_contacts_may() {
    let told = |days, named: bool| {
        of("new_external", |scene| {
            let (web, _) = watched(scene, days);
            if named {
                scene.is_told(web, "api.example.com", outer(9));
            }
            scene.meets(web, SocketState::Connected, (outer(9), 443));
        })
    };
    assert_eq!(told(10, false), "new_external web 8.3");
    assert_eq!(told(0, false), "");
}

#[test]
fn a_search_for_ports_is_decided_after_seven_failures_and_a_dead_server_is_none() {
    let scan = |ports: u16| {
        of("scan", |scene| {
            let atk = scene.start_at("atk", "busybox", 9);
            (1..=ports).for_each(|port| scene.meets(atk, SocketState::Failed, (inner(3), port)));
        })
    };
    assert_eq!(scan(6), "");
    assert_eq!(scan(7), "scan atk 13.0");
    let dead = of("scan", |scene| {
        let (web, _) = watched(scene, 0);
        for _ in 0..40 {
            scene.meets(web, SocketState::Failed, (inner(3), 5432));
            scene.pause(Duration::from_secs(70));
        }
    });
    assert_eq!(dead, "");
}

#[test]
fn datagrams_that_nobody_answers_are_failures_and_those_answered_are_not() {
    let told = |answers: u64| {
        of("scan", |scene| {
            let atk = scene.start_at("atk", "busybox", 9);
            for last in 10..30 {
                let mut events = scene.take();
                scene.meets(atk, SocketState::Connected, (inner(last), 161));
                let counts =
                    FlowCounts { received_packets: answers, sent_packets: 1, ..FlowCounts::default() };
                scene.carries(atk, (inner(last), 161), counts);
                events.extend(scene.take().into_iter().map(|mut event| {
                    match &mut event.body {
                        Body::Socket(socket) => socket.protocol = Protocol::UDP,
                        Body::Flows(flows) => flows.flows[0].key.protocol = Protocol::UDP,
                        _ => {}
                    }
                    event
                }));
                scene.put_back(events);
            }
            scene.pause(Duration::from_secs(6));
            scene.emit(Source::Engine, Body::Tick);
        })
    };
    assert_eq!(told(0), "scan atk 13.0");
    assert_eq!(told(1), "");
}

/// Calls somebody outside so often, after pauses of so long with that jitter.
fn calls(scene: &mut Scene, actor: Actor, (times, seconds, jitter): (u32, f64, f64)) {
    for turn in 0..times {
        scene.talks(actor, (outer(9), 443), (420, 300));
        // Weyl's sequence is as even as a jitter can be, and the same in every run.
        let part = f64::from(turn) * 0.618_033_988 % 1.0;
        scene.pause(Duration::from_secs_f64(seconds * (1.0 - jitter * part)));
    }
}

#[test]
fn a_beacon_is_found_within_24_intervals_whatever_its_jitter_up_to_a_half() {
    for jitter in [0.0, 0.3, 0.5] {
        let told = of("beacon", |scene| {
            let atk = scene.start_at("atk", "busybox", 9);
            calls(scene, atk, (25, 2.0, jitter));
        });
        assert_eq!(told, "beacon atk 11.0", "jitter {jitter}");
    }
}

#[test]
fn over_an_edge_that_somebody_approved_a_beacon_weighs_less() {
    let told = of("beacon", |scene| {
        let atk = scene.start_at("atk", "busybox", 9);
        let from = Endpoint::Workload(WorkloadKey::new("busybox [serve]"));
        let to = Endpoint::Outside("203.0.113.0/24".into());
        scene.approve(3, Scope::Edge(EdgeKey { from, to, port: 443, protocol: Protocol::TCP }));
        calls(scene, atk, (25, 2.0, 0.3));
    });
    assert_eq!(told, "beacon atk 7.0");
}

#[test]
fn a_health_check_within_and_calls_without_rhythm_are_no_beacons() {
    let inside = of("beacon", |scene| {
        let (web, _) = watched(scene, 0);
        for _ in 0..60 {
            scene.talks(web, (inner(3), 5432), (100, 100));
            scene.pause(Duration::from_secs(5));
        }
    });
    let irregular = of("beacon", |scene| {
        let (web, _) = watched(scene, 0);
        for turn in 1..60_u32 {
            scene.talks(web, (outer(9), 443), (u64::from(turn) * 37 % 900, 100));
            // From a second to ten minutes, as people click.
            scene.pause(Duration::from_secs_f64(600_f64.powf(f64::from(turn) * 0.618_033_988 % 1.0)));
        }
    });
    assert_eq!((inside.as_str(), irregular.as_str()), ("", ""));
}

/// Sends over one open connection so often, with pauses of so many seconds.
fn messages(scene: &mut Scene, actor: Actor, (times, seconds): (u32, u64)) {
    scene.meets(actor, SocketState::Connected, (outer(9), 443));
    for _ in 0..times {
        let counts = FlowCounts { sent_bytes: 300, received_bytes: 300, ..FlowCounts::default() };
        scene.carries(actor, (outer(9), 443), counts);
        scene.pause(Duration::from_secs(seconds));
    }
}

#[test]
fn messages_over_one_connection_are_a_beacon_and_a_stream_is_none() {
    let told = |seconds| {
        of("beacon", |scene| {
            let atk = scene.start_at("atk", "busybox", 9);
            messages(scene, atk, (40, seconds));
        })
    };
    assert_eq!((told(5).as_str(), told(1).as_str()), ("beacon atk 11.0", ""));
}

/// Asks for ever new names below a domain.
fn tunnels(scene: &mut Scene) {
    let atk = scene.start_at("atk", "busybox", 9);
    for turn in 0..40_u64 {
        let data = turn.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        scene.asks(atk, &format!("{data:016x}{data:016x}{data:016x}.t.example.com"), 16);
        scene.pause(Duration::from_millis(200));
    }
}

#[test]
fn a_domain_that_somebody_declared_is_expected_to_be_asked_about_and_no_other() {
    for (domain, is_expected) in [("example.com", true), ("example.org", false)] {
        let mut scene = Scene::new(2);
        let edge = EdgePattern {
            from: EndpointPattern::Workload { pattern: "busybox [serve]".into() },
            to: EndpointPattern::Domain { pattern: domain.into() },
            ports: None,
            protocol: None,
            side: None,
        };
        let why = ("block lists".into(), "ann".into());
        let declared = Expectation::new(Expected::Edge(Box::new(edge)), When::Always, why, Time::default());
        scene.emit(Source::Engine, Body::Expected(Box::new(declared)));
        tunnels(&mut scene);
        let found: Vec<Finding> =
            findings(scene.take()).into_iter().filter(|finding| finding.judge == "dns_tunnel").collect();
        assert!(!found.is_empty());
        assert!(found.iter().all(|finding| finding.expected_by.is_some() == is_expected), "{domain}");
    }
}

#[test]
fn data_in_names_is_a_tunnel_and_a_mail_server_that_asks_much_is_none() {
    let tunnel = of("dns_tunnel", tunnels);
    let mail = of("dns_tunnel", |scene| {
        let (web, _) = watched(scene, 0);
        for turn in 0..400 {
            for kind in ["mx", "www", "ns1"] {
                scene.asks(web, &format!("{kind}.customer{}.com", turn % 150), 1);
            }
            scene.pause(Duration::from_secs(1));
        }
    });
    assert_eq!((tunnel.as_str(), mail.as_str()), ("dns_tunnel atk 13.0", ""));
}

#[test]
fn an_upload_is_found_and_a_download_is_not() {
    let told = |sent_bytes, received_bytes| {
        of("volume", |scene| {
            let atk = scene.start_at("atk", "busybox", 9);
            scene.meets(atk, SocketState::Connected, (outer(9), 443));
            for _ in 0..10 {
                let counts = FlowCounts { sent_bytes, received_bytes, ..FlowCounts::default() };
                scene.carries(atk, (outer(9), 443), counts);
                scene.pause(Duration::from_secs(1));
            }
        })
    };
    assert_eq!(told(10_000_000, 50_000), "volume atk 11.0");
    assert_eq!(told(50_000, 10_000_000), "");
}

fn streams(actor: Actor, name: &str, args: &str, sockets: u8) -> Body {
    let mut exec: Exec = actor.exec(args);
    exec.process.pid += 1_000;
    exec.name = name.into();
    exec.streams = Streams { sockets, remote: Some((outer(9), 4444).into()) };
    Body::Exec(Box::new(exec))
}

#[test]
fn a_shell_whose_streams_are_a_connection_is_found_by_any_of_its_names() {
    let told = |name: &str, args: &str, sockets: u8| {
        of("reverse_shell", |scene| {
            let web = scene.start_at("web", "web", 2);
            scene.emit(Source::Kernel, streams(web, name, args, sockets));
        })
    };
    assert_eq!(told("sh", "sh", 0b111), "reverse_shell web 13.0");
    assert_eq!(told("busybox", "/bin/sh -i", 0b011), "reverse_shell web 13.0");
    assert_eq!(told("kworker", "-bash", 0b011), "reverse_shell web 13.0");
    assert_eq!(told("sh", "sh /srv/serve-one", 0b011), "reverse_shell web 6.0");
    assert_eq!(told("fingerd", "fingerd", 0b011), "reverse_shell web 5.0");
    assert_eq!(told("curl", "curl http://x", 0b100), "");
}

#[test]
fn a_new_port_weighs_by_how_well_its_workload_is_known() {
    let told = |days| {
        of("new_listener", |scene| {
            let (web, _) = watched(scene, days);
            scene.listens(web, 31_337);
        })
    };
    assert_eq!((told(0).as_str(), told(10).as_str()), ("", "new_listener web 8.0"));
}

#[test]
fn a_port_that_is_opened_before_the_runtime_claims_the_container_is_its_workloads() {
    let told = of("new_listener", |scene| {
        let (_, db) = watched(scene, 10);
        scene.listens(db, 5433);
        let replica = scene.start_unclaimed("serve");
        scene.listens(replica, 5433);
        scene.claim(replica, "db-2", "db", |facts| facts.command = "serve".into());
    });
    assert_eq!(told, "new_listener db 6.0", "of the first one only");
}

#[test]
fn a_container_in_another_ones_network_is_named_as_itself() {
    let told = |image: &str, mode: &str| {
        of("foreign_namespace", |scene| {
            approve_image(scene, "web");
            let web = scene.start_at("web", "web", 2);
            scene.pause(Duration::from_secs(1));
            let mut joined = scene.next_actor().exec("sleep 100");
            joined.namespaces.net = web.exec("").namespaces.net;
            let atk = scene.next_actor();
            let path = format!("/docker/{}", atk.id()).as_str().into();
            scene.emit(
                Source::Kernel,
                Body::CgroupCreated(model::event::CgroupPath { cgroup: atk.cgroup(), path }),
            );
            scene.emit(Source::Kernel, Body::Exec(Box::new(joined)));
            scene.claim(atk, "atk", image, |facts| facts.network_mode = mode.into());
        })
    };
    assert_eq!(told("busybox", "container:0123"), "foreign_namespace atk 9.0");
    assert_eq!(told("web-helper", "bridge"), "foreign_namespace atk 9.0");
    // Another workload of the approved image: a side-car that its runtime put there.
    assert_eq!(told("web", "container:0123"), "foreign_namespace atk 2.0");
}

#[test]
fn whoever_reaches_for_what_controls_others_is_told() {
    let socket = of("control_plane", |scene| {
        let atk = scene.start_at("atk", "busybox", 9);
        scene.look(atk, |deep| deep.engine_sockets = vec!["/run/docker.sock".into()]);
    });
    let calls = of("control_plane", |scene| {
        let atk = scene.start_at("atk", "busybox", 9);
        scene.second(&[], 0.0);
        scene.count(atk, |counts| counts.engine_calls += 3);
        scene.second(&[], 0.0);
    });
    let metadata = of("control_plane", |scene| {
        let atk = scene.start_at("atk", "busybox", 9);
        scene.meets(atk, SocketState::Connected, ([169, 254, 169, 254].into(), 80));
    });
    let web = of("control_plane", |scene| {
        let (web, _) = watched(scene, 1);
        scene.meets(web, SocketState::Connected, (outer(9), 6443));
    });
    assert_eq!((socket.as_str(), calls.as_str()), ("control_plane atk 3.0", "control_plane atk 9.0"));
    assert_eq!((metadata.as_str(), web.as_str()), ("control_plane atk 7.0", ""));
}

#[test]
fn echoes_that_carry_data_and_sockets_below_ip_are_told_and_a_ping_is_not() {
    let pings = |to, bytes: u64| {
        of("unusual_protocol", |scene| {
            let atk = scene.start_at("atk", "busybox", 9);
            let mut events = scene.take();
            let counts = FlowCounts { sent_packets: 10, sent_bytes: 10 * bytes, ..FlowCounts::default() };
            scene.carries(atk, (to, 0), counts);
            events.extend(scene.take().into_iter().map(|mut event| {
                if let Body::Flows(flows) = &mut event.body {
                    flows.flows[0].key.protocol = Protocol::ICMP;
                }
                event
            }));
            scene.put_back(events);
        })
    };
    let below = of("unusual_protocol", |scene| {
        let atk = scene.start_at("atk", "busybox", 9);
        scene.look(atk, |deep| deep.packet_sockets = Some(1));
    });
    assert_eq!(
        (pings(outer(9), 84), pings(outer(9), 1_000)),
        (String::new(), "unusual_protocol atk 9.0".to_owned())
    );
    assert_eq!(pings([10, 8, 0, 1].into(), 1_000), "unusual_protocol atk 6.0");
    assert_eq!(below, "unusual_protocol atk 5.0");
}

#[test]
fn connections_without_end_are_a_flood_and_a_busy_proxy_is_none() {
    let told = |per_second: u64| {
        of("connection_flood", |scene| {
            let atk = scene.start_at("atk", "busybox", 9);
            for _ in 0..4 {
                scene.count(atk, |counts| counts.connects += per_second);
                scene.second(&[], 0.0);
            }
        })
    };
    assert_eq!((told(20_000).as_str(), told(900).as_str()), ("connection_flood atk 8.0", ""));
}

#[test]
fn a_health_check_and_a_scrape_and_a_query_are_quiet_from_the_first_day_on() {
    check(
        |scene| {
            let (web, _) = watched(scene, 3);
            for _ in 0..40 {
                scene.talks(web, (inner(3), 5432), (200, 900));
                scene.seconds(5, &[], 0.0);
            }
        },
        &expect![[""]],
    );
}
