//! Each judge of what is spent, beside the twin that must stay quiet.

use std::time::Duration;

use expect_test::expect;
use model::usage::{CpuTimes, DiskSpace, KernelObjects, Level, Pressure, Pressures};
use testkit::scene::Actor;

use super::*;

const NOTHING: Spends = Spends { own_cores: 0.0, log_bytes: 0, shim_cores: 0.0 };

fn cores(own_cores: f64) -> Spends {
    Spends { own_cores, ..NOTHING }
}

/// A container of an approved image whose workload has been watched for more than a minute.
fn known(scene: &mut Scene, name: &str, usually: Spends) -> Actor {
    approve_image(scene, name);
    let actor = scene.start(name, name, "serve");
    scene.seconds(75, &[(actor, usually)], 0.0);
    actor
}

/// The last findings of a judge: who, and the claim.
fn claims(events: Vec<Event>, judge: &str) -> Vec<String> {
    let of_judge = findings(events).into_iter().filter(|finding| finding.judge == judge);
    of_judge.map(|finding| finding.claim).collect()
}

#[test]
fn a_container_without_log_file_is_found_by_what_its_processes_write() {
    let told = |written_bytes: u64| {
        let mut scene = Scene::new(2);
        let attack = scene.start_unclaimed("yes");
        scene.claim(attack, "atk", "busybox", |facts| {
            facts.log_driver = "none".into();
            facts.log_path = None;
        });
        for _ in 0..3 {
            scene.look(attack, |deep| {
                deep.written_chars_bytes = Some(deep.written_chars_bytes.unwrap_or(0) + written_bytes);
            });
            // The scene's containers have logs; this one's stays empty.
            scene.second(&[(attack, Spends { own_cores: 0.6, log_bytes: 0, shim_cores: 0.3 })], 0.5);
        }
        let events = scene.take().into_iter().filter(|event| !matches!(event.body, Body::Log(_)));
        judged(events.collect()).lines().any(|line| line.starts_with("out_of_band_log atk"))
    };
    assert!(told(100_000_000));
    assert!(!told(0), "a shim that works without output is no log");
}

#[test]
fn what_the_engine_spends_is_told_of_the_node_only_when_no_container_drives_it() {
    let told = |engine_cores: f64, log_bytes: u64| {
        let mut scene = Scene::new(2);
        let app = scene.start("app", "app", "serve");
        scene.seconds(20, &[], 0.02);
        scene.seconds(6, &[(app, Spends { log_bytes, ..cores(0.1) })], engine_cores);
        claims(scene.take(), "unbooked_engine")
    };
    let claim = "the container engines spend 0.80 cores, 0.80 of it on nobody's behalf: no container writes, calls or is \
                 asked to run as much";
    assert_eq!(told(0.8, 0).last().map(String::as_str), Some(claim));
    assert_eq!(told(0.8, 30_000_000), Vec::<String>::new(), "booked to who writes");
    assert_eq!(told(0.2, 0), Vec::<String>::new());
}

#[test]
fn calls_of_the_engine_without_end_are_found_and_a_health_check_is_not() {
    let told = |calls: u64| {
        let mut scene = Scene::new(2);
        let app = scene.start("app", "app", "serve");
        for _ in 0..6 {
            scene.count(app, |counts| counts.engine_calls += calls);
            scene.second(&[(app, cores(0.1))], 0.15);
        }
        judged(scene.take()).lines().any(|line| line.starts_with("out_of_band_calls app"))
    };
    assert!(told(40));
    assert!(!told(1));
}

#[test]
fn programs_run_in_a_container_are_booked_to_who_asks_for_them() {
    let told = |execs: u32, calls: u64| {
        let mut scene = Scene::new(2);
        let (app, agent) = (scene.start("app", "app", "serve"), scene.start("agent", "agent", "ask"));
        for _ in 0..6 {
            scene.count(agent, |counts| counts.engine_calls += calls);
            (0..execs).for_each(|_| scene.emit(Source::Docker, Body::ran_in(app.id())));
            scene.second(&[(app, cores(0.1))], 0.15);
        }
        let lines = judged(scene.take());
        let of_calls = lines.lines().filter_map(|line| line.strip_prefix("out_of_band_calls "));
        let mut named: Vec<String> =
            of_calls.map(|line| line.split_whitespace().next().unwrap_or_default().to_owned()).collect();
        named.dedup();
        named
    };
    assert_eq!(told(12, 0), ["app"], "somebody on the host asks: where they run is all that is known");
    assert_eq!(told(12, 24), ["agent"], "a container with the engine's socket asks");
    assert_eq!(told(1, 0), [""; 0], "a health check");
}

#[test]
fn what_makes_the_hosts_logger_work_is_found() {
    let told = |logger_cores: f64| {
        let mut scene = Scene::new(2);
        let app = scene.start("app", "app", "log");
        let mut spent_ns = 0;
        for _ in 0..6 {
            spent_ns += (logger_cores * 1e9) as u64;
            scene.look(app, |deep| {
                deep.written_chars_bytes = Some(deep.written_chars_bytes.unwrap_or(0) + 1_000_000);
            });
            scene.second(&[(app, cores(0.1))], 0.0);
            let logger = model::usage::EngineUsage {
                process: model::ids::ProcessKey { pid: 77, start_ns: 0 },
                role: model::usage::EngineRole::Logger,
                name: "systemd-journal".into(),
                container_id: None,
                cpu_ns: spent_ns,
            };
            add_engine(&mut scene, &logger);
        }
        judged(scene.take()).lines().any(|line| line.starts_with("out_of_band_syslog app"))
    };
    assert!(told(0.6));
    assert!(!told(0.05));
}

/// Puts one more process beside the engines into the last reading of the host.
fn add_engine(scene: &mut Scene, process: &model::usage::EngineUsage) {
    let mut events = scene.take();
    for event in &mut events {
        if let Body::Host(host) = &mut event.body
            && host.engines.iter().all(|engine| engine.process != process.process)
        {
            host.engines.push(process.clone());
        }
    }
    scene.put_back(events);
}

#[test]
fn sync_without_end_is_found_and_one_now_and_then_is_not() {
    let told = |syncs: u64| {
        let mut scene = Scene::new(2);
        let app = scene.start("app", "app", "dd");
        for _ in 0..4 {
            scene.count(app, |counts| counts.whole_syncs += syncs);
            scene.second(&[(app, cores(0.2))], 0.0);
        }
        judged(scene.take()).lines().any(|line| line.starts_with("out_of_band_sync app"))
    };
    assert!(told(20));
    assert!(!told(1));
}

#[test]
fn fsync_harms_when_others_wait_for_the_disk_unless_the_workload_always_does_that() {
    let told = |usual_rate: u64, rate: u64, io_percent: f32| {
        let mut scene = Scene::new(2);
        approve_image(&mut scene, "db");
        let db = scene.start("db", "db", "serve");
        for second in 0..130 {
            let rate = if second < 120 { usual_rate } else { rate };
            scene.count(db, |counts| counts.file_syncs += rate);
            scene.change_host(|host| {
                let io = Pressure {
                    some_avg10_percent: if second < 120 { 0.0 } else { io_percent },
                    ..Pressure::default()
                };
                host.pressures.io = Some(io);
            });
            scene.second(&[(db, cores(0.2))], 0.0);
        }
        judged(scene.take()).lines().any(|line| line.starts_with("out_of_band_sync db"))
    };
    assert!(told(1, 400, 30.0), "a workload that never did");
    assert!(!told(300, 400, 30.0), "a database that always does");
    assert!(!told(1, 400, 0.0), "nobody waits");
}

#[test]
fn crashes_that_start_helpers_are_found_and_a_crash_is_not() {
    let told = |crashes: u64| {
        let mut scene = Scene::new(2);
        let app = scene.start("app", "app", "crash");
        for _ in 0..4 {
            scene.count(app, |counts| counts.core_dumps += crashes);
            scene.count_host(|counts| counts.helper_cpu_ns += crashes * 30_000_000);
            scene.second(&[(app, cores(0.1))], 0.0);
        }
        judged(scene.take()).lines().any(|line| line.starts_with("out_of_band_crash app"))
    };
    assert!(told(20));
    assert!(!told(0));
    assert!(!told(1));
}

#[test]
fn a_flood_of_packets_is_found_by_its_software_interrupts() {
    let told = |packets: u64, softirq_cores: f64| {
        let mut scene = Scene::new(2);
        let app = scene.start("app", "app", "send");
        for _ in 0..5 {
            scene.count(app, |counts| counts.sent_packets += packets);
            scene.change_host(|host| host.cpu.softirq_ns += (softirq_cores * 1e9) as u64);
            scene.second(&[(app, cores(0.5))], 0.0);
        }
        judged(scene.take()).lines().any(|line| line.starts_with("out_of_band_packets app"))
    };
    assert!(told(200_000, 0.5));
    assert!(!told(5_000, 0.5), "so few packets cost not that much");
    assert!(!told(200_000, 0.05));
}

#[test]
fn a_known_workload_that_burns_after_a_program_it_never_ran_is_hijacked() {
    check(
        |scene| {
            let web = known(scene, "web", cores(0.02));
            scene.run(web, "xmrig");
            scene.seconds(6, &[(web, cores(1.0))], 0.0);
        },
        &expect![[r#"
            hijack web 13.0
            excess web 4.0
        "#]],
    );
}

#[test]
fn a_known_workload_that_is_busy_with_its_own_program_weighs_half() {
    check(
        |scene| {
            let web = known(scene, "web", cores(0.02));
            scene.run(web, "serve");
            scene.seconds(6, &[(web, cores(1.0))], 0.0);
        },
        &expect![[r#"
            hijack web 6.0
            excess web 4.0
        "#]],
    );
}

#[test]
fn a_workload_that_has_been_that_busy_before_is_not_hijacked() {
    check(
        |scene| {
            let web = known(scene, "web", cores(0.02));
            scene.seconds(2, &[(web, cores(0.9))], 0.0);
            scene.seconds(60, &[(web, cores(0.02))], 0.0);
            scene.run(web, "report");
            scene.seconds(6, &[(web, cores(0.75))], 0.0);
        },
        &expect![""],
    );
}

/// A container with a limit, held back in this share of its periods.
fn limited(scene: &mut Scene, actor: Actor, seconds: u32, (used, throttled): (f64, u64)) {
    for _ in 0..seconds {
        scene.change(actor, |usage| {
            usage.cpu_limit_cores = Some(0.3);
            usage.periods = Some(usage.periods.unwrap_or(0) + 10);
            usage.throttled_periods = Some(usage.throttled_periods.unwrap_or(0) + throttled);
        });
        scene.second(&[(actor, cores(used))], 0.0);
    }
}

#[test]
fn a_burn_under_a_limit_is_found_however_small_it_looks() {
    check(
        |scene| {
            let miner = scene.start("miner", "busybox", "mine");
            limited(scene, miner, 12, (0.3, 9));
        },
        &expect![[r#"
            unapproved_image miner 4.0
            hidden_burn miner 8.0
        "#]],
    );
}

/// Periods are read now and then: a reading tells of the time since the one before.
#[test]
fn a_burn_under_a_limit_is_found_from_its_start_however_seldom_its_periods_are_read() {
    let mut scene = Scene::new(2);
    let miner = scene.start("miner", "busybox", "mine");
    scene.change(miner, |usage| {
        usage.cpu_limit_cores = Some(0.3);
        (usage.periods, usage.throttled_periods) = (Some(0), Some(0));
    });
    scene.seconds(5, &[(miner, cores(0.3))], 0.0);
    scene.change(miner, |usage| (usage.periods, usage.throttled_periods) = (Some(50), Some(45)));
    scene.second(&[(miner, cores(0.3))], 0.0);
    let judged = judged(scene.take());
    assert!(judged.contains("hidden_burn miner"), "{judged}");
}

#[test]
fn a_workload_that_always_runs_into_its_limit_or_just_started_hides_nothing() {
    check(
        |scene| {
            approve_image(scene, "batch");
            let batch = scene.start("batch", "batch", "work");
            limited(scene, batch, 50, (0.3, 9));
            limited(scene, batch, 30, (0.3, 9));
        },
        &expect![[r#"
            hidden_burn batch 3.0
        "#]],
    );
}

#[test]
fn many_small_containers_of_one_image_are_found_together() {
    check(
        |scene| {
            let herd: Vec<(Actor, Spends)> = (0..6)
                .map(|number| {
                    (
                        scene.start(&format!("small-{number}"), "busybox", &format!("work {number}")),
                        cores(0.2),
                    )
                })
                .collect();
            scene.seconds(5, &herd, 0.0);
        },
        &expect![[r#"
            unapproved_image small-0 4.0
            unapproved_image small-1 4.0
            unapproved_image small-2 4.0
            unapproved_image small-3 4.0
            unapproved_image small-4 4.0
            unapproved_image small-5 4.0
            herd small-0 8.5
        "#]],
    );
}

#[test]
fn the_replicas_of_an_approved_service_are_no_herd() {
    check(
        |scene| {
            approve_image(scene, "web");
            let replicas: Vec<(Actor, Spends)> = (0..6)
                .map(|number| (scene.start(&format!("web-{number}"), "web", "serve"), cores(0.2)))
                .collect();
            scene.seconds(5, &replicas, 0.0);
        },
        &expect![[""]],
    );
}

#[test]
fn a_fork_storm_is_found_by_its_rate_and_by_its_tasks() {
    let told = |forks: u64, tasks: u64| {
        let mut scene = Scene::new(2);
        scene.change_host(|host| host.tasks_limit = 32_768);
        let bomb = scene.start("bomb", "busybox", "bomb");
        for _ in 0..4 {
            scene.count(bomb, |counts| counts.forks += forks);
            scene.change(bomb, |usage| {
                usage.pids = Some(tasks);
                usage.pids_limit = Some(200);
            });
            scene.second(&[(bomb, cores(0.3))], 0.0);
        }
        claims(scene.take(), "fork_storm").pop()
    };
    assert_eq!(told(2_000, 10).as_deref(), Some("it made 2000 processes a second"));
    assert_eq!(told(10, 195).as_deref(), Some("it has 195 tasks of 200 that it may have"));
    assert_eq!(told(100, 20), None);
}

#[test]
fn a_workload_that_fails_again_and_again_is_a_crash_loop_and_jobs_that_succeed_are_none() {
    let told = |status: u8, ends: u32| {
        let mut scene = Scene::new(2);
        approve_image(&mut scene, "job");
        for _ in 0..ends {
            let job = scene.start("job", "job", "work");
            scene.second(&[(job, cores(0.1))], 0.0);
            scene.fail(job, status);
        }
        let found = findings(scene.take()).into_iter().filter(|finding| finding.judge == "crash_loop");
        found.map(|finding| finding.bits).fold(0.0, f64::max)
    };
    assert_eq!(told(1, 4), 0.0);
    assert_eq!(told(1, 6), 5.0);
    assert_eq!(told(139, 14), 9.0);
    assert_eq!(told(0, 14), 0.0);
}

#[test]
fn memory_that_grows_towards_its_limit_is_found_and_a_level_that_holds_is_not() {
    let told = |growth_bytes: u64| {
        let mut scene = Scene::new(2);
        let hog = scene.start("hog", "busybox", "grow");
        for second in 0..8 {
            scene.change(hog, |usage| {
                usage.memory_bytes = Some(40_000_000 + second * growth_bytes);
                usage.memory_limit_bytes = Some(256 << 20);
            });
            scene.second(&[(hog, cores(0.3))], 0.0);
        }
        claims(scene.take(), "memory_growth").pop()
    };
    assert_eq!(
        told(20_000_000).as_deref(),
        Some("its memory grew by 120 MB in 6 s and reaches its limit in 5 s")
    );
    assert_eq!(told(100_000), None);
}

#[test]
fn page_cache_that_is_told_now_and_then_hides_no_growth_and_is_none() {
    let told = |cache_bytes: u64, growth_bytes: u64| {
        let mut scene = Scene::new(2);
        let hog = scene.start("hog", "busybox", "grow");
        for second in 0..20 {
            scene.change(hog, |usage| {
                let working = 10_000_000 + second * growth_bytes;
                usage.memory_bytes = Some(working + if second < 5 { 0 } else { cache_bytes });
                usage.memory_limit_bytes = Some(256 << 20);
                if second % 10 == 5 {
                    usage.memory_working_set_bytes = Some(working);
                }
            });
            scene.second(&[(hog, cores(0.3))], 0.0);
        }
        claims(scene.take(), "memory_growth").len()
    };
    assert!(told(100_000_000, 8_000_000) > 5);
    assert_eq!(told(200_000_000, 0), 0, "a file was read");
}

#[test]
fn a_process_killed_for_want_of_memory_is_found() {
    let mut scene = Scene::new(2);
    let hog = scene.start("hog", "busybox", "grow");
    scene.second(&[], 0.0);
    scene.change(hog, |usage| usage.oom_kills = Some(0));
    scene.second(&[], 0.0);
    scene.change(hog, |usage| usage.oom_kills = Some(2));
    scene.second(&[], 0.0);
    let claim = claims(scene.take(), "memory_growth").pop();
    assert_eq!(claim.as_deref(), Some("the kernel killed 2 of its processes for want of memory"));
}

/// A host whose open files rise, and what two containers hold of them.
fn files(used: impl Fn(u64) -> u64, held: u64) -> String {
    let mut scene = Scene::new(2);
    approve_image(&mut scene, "web");
    let web = scene.start("web", "web", "serve");
    let demon = scene.start("demon", "busybox", "open");
    for second in 0..10 {
        scene.change_host(|host| {
            let level = Level { used: used(second), limit: Some(100_000) };
            host.objects = KernelObjects { files: Some(level), ..KernelObjects::default() };
        });
        scene.look(web, |deep| deep.files = Some(40));
        scene.look(demon, |deep| deep.files = Some(held));
        scene.second(&[], 0.0);
    }
    let found = findings(scene.take()).into_iter().rfind(|finding| finding.judge == "object_exhaustion");
    found.map_or_else(String::new, |finding| {
        let who = finding.container.map_or("node".to_owned(), |container| container.name.to_string());
        format!("{who} {:.0}: {}", finding.bits, finding.claim)
    })
}

#[test]
fn files_that_run_out_are_found_with_who_holds_them() {
    expect![
        "demon 10: the host has 41000 open files of 100000, 40000 more than 8 s ago; it holds 45000 of them"
    ]
    .assert_eq(&files(|second| 1_000 + second * 5_000, 45_000));
    expect!["node 5: the host has 41000 open files of 100000, 40000 more than 8 s ago; no single container is seen to hold most of them"]
        .assert_eq(&files(|second| 1_000 + second * 5_000, 900));
}

#[test]
fn a_hoard_is_found_before_the_host_runs_out_and_usual_levels_are_not() {
    expect![[r#"demon 8: it holds 60000 open files, which no cgroup counts"#]]
        .assert_eq(&files(|_| 70_000, 60_000));
    expect![[""]].assert_eq(&files(|second| 1_000 + second * 5, 500));
}

#[test]
fn a_disk_that_fills_is_found_with_who_writes() {
    let told = |filled_bytes: u64| {
        let mut scene = Scene::new(2);
        let filler = scene.start("filler", "busybox", "dd");
        for second in 0..10 {
            scene.change(filler, |usage| {
                usage.io_read_bytes = Some(0);
                usage.io_write_bytes = Some(second * filled_bytes);
            });
            scene.change_host(|host| {
                host.disks = vec![DiskSpace {
                    path: "/var/lib/docker".into(),
                    total_bytes: 100_000_000_000,
                    free_bytes: 30_000_000_000 - second * filled_bytes,
                    inodes_total: 0,
                    inodes_free: 0,
                }];
            });
            scene.second(&[(filler, cores(0.3))], 0.0);
        }
        claims(scene.take(), "disk_fill").pop()
    };
    expect![[r#"the disk at /var/lib/docker is 72 % full of bytes and will be full in 92 s; of what containers write there it writes 100 %"#]]
        .assert_eq(&told(300_000_000).unwrap());
    assert_eq!(told(100_000), None);
}

#[test]
fn a_log_that_grows_without_end_is_found_and_a_burst_is_not() {
    let told = |seconds: u32, bytes: u64| {
        let mut scene = Scene::new(2);
        let app = scene.start("app", "app", "log");
        scene.seconds(seconds, &[(app, Spends { log_bytes: bytes, ..cores(0.4) })], 0.1);
        scene.seconds(10 - seconds, &[(app, cores(0.1))], 0.0);
        claims(scene.take(), "log_fill").pop()
    };
    assert_eq!(told(10, 5_000_000).as_deref(), Some("its log grew by 5.0 MB a second for 8 s"));
    assert_eq!(told(1, 1_000_000), None);
    assert_eq!(told(10, 100_000), None);
}

/// A service that accepts connections, and a client that opens so many.
fn flood(accepts: u64, connects: u64) -> Vec<String> {
    let mut scene = Scene::new(2);
    approve_image(&mut scene, "web");
    let web = scene.start("web", "web", "serve");
    let client = scene.start("client", "busybox", "connect");
    for _ in 0..4 {
        scene.count(web, |counts| counts.accepts += accepts);
        scene.count(client, |counts| counts.connects += connects);
        scene.second(&[], 0.0);
    }
    let found = findings(scene.take()).into_iter().filter(|finding| finding.judge == "service_flood");
    let mut lines: Vec<String> =
        found.map(|finding| format!("{} {:.0}", finding.container.unwrap().name, finding.bits)).collect();
    lines.dedup();
    lines
}

#[test]
fn a_flooded_service_names_who_floods_it_if_that_is_one_of_ours() {
    assert_eq!(flood(2_000, 2_000), ["client 8"]);
    assert_eq!(flood(2_000, 10), ["web 6"]);
    assert_eq!(flood(20, 20), Vec::<String>::new());
}

#[test]
fn a_culprit_is_named_and_those_who_wait_are_victims_and_not_blamed() {
    let mut scene = Scene::new(2);
    approve_image(&mut scene, "web");
    let victims: Vec<Actor> = (0..6)
        .map(|number| scene.start(&format!("web-{number}"), "web", &format!("serve {number}")))
        .collect();
    let culprit = scene.start("hog", "busybox", "burn");
    let mut waited_us = 0;
    for second in 0..40 {
        let is_attacked = second >= 25;
        waited_us += if is_attacked { 600_000 } else { 10_000 };
        for victim in &victims {
            scene.change(*victim, |usage| {
                let cpu = Pressure { some_total_us: waited_us, ..Pressure::default() };
                usage.pressures = Pressures { cpu: Some(cpu), ..Pressures::default() };
            });
        }
        scene.press(if is_attacked { 60.0 } else { 1.0 });
        let burns = cores(if is_attacked { 1.7 } else { 0.0 });
        scene.second(&[(culprit, burns)], 0.0);
    }
    let events = scene.take();
    let last = findings(events.clone()).into_iter().rfind(|finding| finding.judge == "saturation").unwrap();
    assert_eq!(last.container.as_ref().unwrap().name.raw(), "hog");
    assert_eq!(last.bits, 6.0);
    expect!["tasks on the host wait for CPU 60 % of the time, and it causes 100 % of what is spent above usual; web-0, web-1, web-2, web-3, web-4, web-5 wait for it, up to 59 % of the time"]
        .assert_eq(&last.claim);
    assert!(judged(events).lines().all(|line| !line.contains("web")), "victims are not blamed");
}

#[test]
fn a_disk_that_all_wait_for_blames_who_syncs_and_not_who_computes() {
    let mut scene = Scene::new(2);
    let busy = scene.start("busy", "busybox", "compute");
    let syncs = scene.start("syncs", "alpine", "sync");
    for _ in 0..4 {
        scene.count(syncs, |counts| counts.whole_syncs += 30);
        scene.change_host(|host| {
            host.pressures.io =
                Some(Pressure { full_avg10_percent: 40.0, some_avg10_percent: 50.0, ..Pressure::default() });
        });
        scene.second(&[(busy, cores(0.9)), (syncs, cores(0.1))], 0.0);
    }
    let last = findings(scene.take()).into_iter().rfind(|finding| finding.judge == "saturation").unwrap();
    assert_eq!(last.container.unwrap().name.raw(), "syncs");
}

#[test]
fn times_of_the_host_that_run_backwards_break_nothing() {
    let mut scene = Scene::new(2);
    let app = scene.start("app", "app", "serve");
    scene.seconds(3, &[(app, cores(0.2))], 0.1);
    scene.change_host(|host| host.cpu = CpuTimes::default());
    scene.pause(Duration::from_secs(1));
    scene.readings(&[(app, cores(0.2))], 0.1);
    scene.seconds(3, &[(app, cores(0.2))], 0.1);
    assert!(findings(scene.take()).iter().all(|finding| finding.bits.is_finite()));
}

#[test]
fn cpu_that_rises_step_by_step_within_a_minute_is_a_ramp_and_a_start_is_none() {
    let told = |cores_at: fn(u32) -> f64| {
        let mut scene = Scene::new(2);
        let app = scene.start("app", "busybox", "creep");
        for second in 0..40 {
            let noise = f64::from(second * 7 % 5) * 0.01;
            scene.second(&[(app, cores(cores_at(second) + noise))], 0.0);
        }
        judged(scene.take()).lines().any(|line| line.starts_with("ramp app"))
    };
    assert!(told(|second| f64::from(second) * 0.02));
    assert!(!told(|second| if second < 20 { 0.0 } else { 0.9 }), "a step");
    assert!(!told(|second| if second % 10 < 5 { 0.1 } else { 0.5 }), "bursts");
    assert!(!told(|second| f64::from(second) * 0.005), "nothing material");
}

#[test]
fn what_creeps_up_over_hours_is_a_ramp_at_the_slower_resolutions() {
    let told = |risen: f64| {
        let mut scene = Scene::new(4);
        approve_image(&mut scene, "web");
        let web = scene.start("web", "web", "serve");
        // A day; what is further apart than ten seconds would be a gap in the host's books.
        for step in 0_u32..8_640 {
            let hours = f64::from(step) / 360.0;
            let day = 0.1 * (hours * std::f64::consts::TAU / 24.0).sin();
            let noise = f64::from(step * 7_919 % 101) / 101.0 * 0.1;
            let ramp = ((hours - 18.0) / 3.0).clamp(0.0, 1.0) * risen;
            scene.pause(Duration::from_secs(9));
            scene.second(&[(web, cores((0.3 + day + noise + ramp) * 10.0))], 0.0);
        }
        judged(scene.take()).lines().any(|line| line.starts_with("ramp web"))
    };
    assert!(told(1.0));
    assert!(!told(0.0));
}
