//! Cases of provenance, each attack beside its quiet twin: who knows a container, whose image it is, what it may do, what is
//! done in it.

use std::time::Duration;

use model::event::{Attach, FileOrigin};
use model::ids::{CgroupId, Namespaces};
use model::privilege::{Capabilities, HostMount, NamespaceKind, Privileges};
use model::runtime::{Administered, EngineWork, ImageWork, Orchestrated, OrderedBy};
use model::view::{EngineKind, Standing};
use testkit::provenance::{maker, moby};
use testkit::scene::{Actor, HOST};

use super::*;

mod programs;

/// A host that was approved some time ago, with one container that is fine.
fn settled(scene: &mut Scene) -> Actor {
    approve_image(scene, "web");
    let web = scene.start_unclaimed("httpd -f");
    scene.set_up(web, |_| ());
    scene.claim(web, "web", "web", |facts| facts.command = "httpd -f".into());
    scene.seconds(10, &[], 0.0);
    web
}

fn check_after(act: impl FnOnce(&mut Scene, Actor), expected: &Expect) {
    check(
        |scene| {
            let web = settled(scene);
            act(scene, web);
            scene.seconds(4, &[], 0.0);
        },
        expected,
    );
}

fn claims(about: &str, act: impl FnOnce(&mut Scene, Actor)) -> Vec<String> {
    let mut scene = Scene::new(2);
    let web = settled(&mut scene);
    act(&mut scene, web);
    scene.seconds(4, &[], 0.0);
    let found = findings(scene.take()).into_iter().filter(|finding| finding.judge == about);
    found.map(|finding| finding.claim).collect()
}

#[test]
fn a_container_made_by_hand_with_its_own_files_is_enough_alone_and_one_with_the_hosts_is_not() {
    check_after(
        |scene, _| {
            let own = scene.appear("/hidden", "miner");
            scene.set_up(own, |setup| setup.makers = vec![maker(7, "unshare")]);
            let hosts = scene.appear("/other", "sleep");
            scene.set_up(hosts, |setup| setup.has_own_root = false);
        },
        &expect![[r#"
            ghost miner 13.0
            ghost sleep 6.0
        "#]],
    );
}

#[test]
fn a_ghost_that_people_approved_is_quiet() {
    check_after(
        |scene, _| {
            scene.approve(
                7,
                Scope::Unclaimed {
                    workload: WorkloadKey::new("unclaimed:miner"),
                    root: "/var/lib/docker/overlay2/x/merged".into(),
                },
            );
            let own = scene.appear("/hidden", "miner");
            scene.set_up(own, |_| ());
        },
        &expect![[""]],
    );
}

#[test]
fn a_name_of_a_cgroup_that_docker_denies_is_a_masquerade_beside_the_ghost() {
    check_after(
        |scene, _| {
            let fake = scene.appear(&format!("/docker/{}", "ab".repeat(32)), "miner");
            scene.set_up(fake, |setup| setup.makers = vec![maker(7, "unshare")]);
        },
        &expect![[r#"
            ghost miner 13.0
            masquerade miner 13.0
        "#]],
    );
}

#[test]
fn an_engine_that_came_later_is_told_and_so_is_what_it_runs() {
    check_after(
        |scene, _| {
            let other = View::new(EngineKind::Containerd, "/tmp/x.sock");
            scene.engine(&other, EngineState::Answers, |seen| seen.is_standard = false);
            let app = scene.appear("/default/app", "app");
            scene.set_up(app, |_| ());
            scene.claimed_by(&other.of_namespace(&"default".into()), app, |facts| facts.name = "app".into());
        },
        &expect![[r#"
            second_engine node 9.0
            unapproved_image app 4.0
            second_engine app 13.0
        "#]],
    );
}

#[test]
fn an_engine_is_from_before_by_when_its_daemon_began_and_not_by_when_it_was_found() {
    let told = |start_ns: u64| {
        let mut scene = Scene::new(2);
        let other = View::new(EngineKind::Containerd, "/tmp/x.sock");
        scene.engine(&other, EngineState::Answers, |seen| {
            seen.is_standard = false;
            seen.process = Some(model::ids::ProcessKey { pid: 70, start_ns });
        });
        judged(scene.take())
    };
    assert_eq!(told(900_000_000), "second_engine node 9.0\n");
    assert_eq!(told(0), "");
}

#[test]
fn dockers_own_containerd_and_an_engine_that_people_approved_are_quiet() {
    check_after(
        |scene, _| {
            scene.engine(&moby(), EngineState::Answers, |seen| seen.part_of = Some(View::default()));
            let web = scene.start_unclaimed("httpd -f");
            scene.claimed_by(&moby(), web, |_| ());
            scene.claim(web, "web-2", "web", |_| ());
            let other = View::new(EngineKind::Podman, "/srv/storage");
            scene.approve(7, Scope::Engine { view: other.clone() });
            scene.engine(&other, EngineState::Answers, |seen| seen.is_standard = false);
            let app = scene.appear("/machine.slice/app", "app");
            scene.claimed_by(&other, app, |facts| {
                facts.name = "app".into();
                facts.digest = digest("web");
            });
        },
        &expect![""],
    );
}

#[test]
fn another_namespace_of_dockers_containerd_is_nobodys_whom_the_host_works_for() {
    check_after(
        |scene, _| {
            scene.engine(&moby(), EngineState::Answers, |seen| seen.part_of = Some(View::default()));
            let app = scene.appear("/fresh/app", "app");
            scene.set_up(app, |_| ());
            scene.claimed_by(&moby().of_namespace(&"fresh".into()), app, |facts| facts.name = "app".into());
        },
        &expect![[r#"
            unapproved_image app 4.0
            unmanaged app 13.0
        "#]],
    );
}

#[test]
fn a_static_pod_is_outside_its_cluster_and_one_of_the_api_server_is_not() {
    check_after(
        |scene, _| {
            let cri = View::new(EngineKind::Cri, "/run/containerd/containerd.sock");
            scene.approve(3, Scope::Engine { view: cri.clone() });
            scene.engine(&cri, EngineState::Answers, |_| ());
            for (name, ordered_by) in [
                ("file", OrderedBy::HostFile),
                ("http", OrderedBy::Address),
                ("api", OrderedBy::Orchestrator),
                ("untold", OrderedBy::Untold),
                ("sandbox", OrderedBy::HostFile),
            ] {
                let pod = scene.appear(&format!("/kubepods/{name}"), name);
                scene.claimed_by(&cri, pod, |facts| {
                    facts.name = name.into();
                    facts.labels = vec![("io.kubernetes.pod.name".into(), name.into())];
                    if name != "sandbox" {
                        facts.labels.push(("io.kubernetes.container.name".into(), "main".into()));
                    }
                    facts.orchestrated = Some(Orchestrated {
                        name: "kubernetes".into(),
                        standing: Standing::Present,
                        ordered_by,
                        ..Orchestrated::default()
                    });
                });
            }
        },
        &expect![[r#"
            unapproved_image file 4.0
            unapproved_image http 4.0
            unapproved_image api 4.0
            unapproved_image untold 4.0
            unapproved_image sandbox 4.0
            unmanaged file 9.0
            unmanaged http 9.0
        "#]],
    );
}

#[test]
fn what_ran_in_another_namespace_before_anything_was_approved_belongs_here() {
    let mut scene = Scene::new(2);
    scene.engine(&moby(), EngineState::Answers, |seen| seen.part_of = Some(View::default()));
    let old = scene.find("/jobs/app", "app", Duration::from_secs(3600));
    scene.claimed_by(&moby().of_namespace(&"jobs".into()), old, |facts| facts.name = "app".into());
    scene.seconds(4, &[], 0.0);
    approve_image(&mut scene, "job");
    let new = scene.appear("/jobs/next", "next");
    scene.claimed_by(&moby().of_namespace(&"jobs".into()), new, |facts| {
        facts.name = "next".into();
        facts.digest = digest("job");
    });
    scene.seconds(4, &[], 0.0);
    assert_eq!(judged(scene.take()), "unapproved_image app 2.0\n");
}

#[test]
fn an_approved_name_with_another_content_is_swapped_and_a_new_version_that_is_approved_is_not() {
    check_after(
        |scene, _| {
            let swapped = scene.start_unclaimed("httpd -f");
            scene.claim(swapped, "swapped", "web", |facts| facts.digest = "sha256:evil".into());
            scene.approve(2, Scope::Digest { digest: "sha256:two".into(), image: "web".into() });
            let newer = scene.start_unclaimed("httpd -f");
            scene.claim(newer, "newer", "web", |facts| facts.digest = "sha256:two".into());
        },
        &expect![[r#"
            unapproved_image swapped 4.0
            swapped_tag swapped 9.5
        "#]],
    );
}

#[test]
fn a_digest_of_several_platforms_covers_the_image_of_this_one() {
    check_after(
        |scene, _| {
            scene.approve(2, Scope::Digest { digest: "sha256:index".into(), image: "tool:1".into() });
            let tool = scene.start_unclaimed("tool");
            scene.claim(tool, "tool", "retagged:9", |facts| {
                facts.digest = "sha256:amd64".into();
                facts.image_facts.digests = vec!["sha256:index".into(), "sha256:manifest".into()];
            });
        },
        &expect![[""]],
    );
}

#[test]
fn a_name_that_a_pattern_covers_is_swapped_when_it_was_made_here_and_not_when_it_was_pulled() {
    let told = |work: ImageWork| {
        let mut scene = Scene::new(2);
        settled(&mut scene);
        scene.approve(3, Scope::Pattern { pattern: "shop/*".into() });
        scene.start("one", "shop/api", "api");
        scene.seconds(3, &[], 0.0);
        let mut done = EngineWork::new(work, "shop/api:latest".into());
        done.digest = "sha256:new".into();
        scene.emit(Source::Docker, Body::EngineWork(done));
        let two = scene.start_unclaimed("api");
        scene.claim(two, "two", "shop/api", |facts| facts.digest = "sha256:new".into());
        scene.seconds(3, &[], 0.0);
        judged(scene.take())
    };
    assert_eq!(told(ImageWork::Import), "swapped_tag two 13.0\n");
    assert_eq!(told(ImageWork::Pull), "");
}

#[test]
fn a_commit_is_told_of_its_container_unless_its_name_is_one_that_people_approved() {
    let told = |image: &str| {
        let mut scene = Scene::new(2);
        let web = settled(&mut scene);
        scene.approve(3, Scope::Pattern { pattern: "ci/*".into() });
        let mut work = EngineWork::new(ImageWork::Commit, image.into());
        work.container = web.id();
        scene.emit(Source::Docker, Body::EngineWork(work));
        judged(scene.take())
    };
    assert_eq!(told("stolen:1"), "local_image web 13.0\n");
    assert_eq!(told("ci/web"), "");
}

#[test]
fn an_image_that_nobody_approved_and_was_made_here_weighs_somewhat_more() {
    check_after(
        |scene, _| {
            scene.emit(
                Source::Docker,
                Body::EngineWork(EngineWork::new(ImageWork::Import, "tool:latest".into())),
            );
            scene.start("tool", "tool", "tool");
        },
        &expect![[r#"
            unapproved_image tool 4.0
            local_image tool 5.0
        "#]],
    );
}

#[test]
fn a_name_one_letter_from_an_approved_one_is_a_masquerade() {
    check_after(
        |scene, _| {
            scene.approve(2, Scope::Digest { digest: "sha256:p".into(), image: "postgres:16".into() });
            scene.start("db", "postgress:16", "postgres");
            scene.start("other", "redis:7", "redis");
        },
        &expect![[r#"
            unapproved_image db 4.0
            masquerade db 9.0
            unapproved_image other 4.0
        "#]],
    );
}

fn given(change: impl Fn(&mut Privileges)) -> Box<Privileges> {
    let mut privileges = Privileges { capabilities: Capabilities::usual(), ..Privileges::default() };
    change(&mut privileges);
    Box::new(privileges)
}

#[test]
fn power_over_the_host_is_found_by_what_the_engine_says_and_by_what_the_kernel_shows() {
    check_after(
        |scene, _| {
            let privileged = scene.start_unclaimed("a");
            scene.claim(privileged, "privileged", "web", |facts| {
                facts.privileges = Some(given(|given| given.is_privileged = true));
            });
            let pid = scene.start_unclaimed("b");
            scene.set_up(pid, |setup| setup.privileges.host_namespaces = vec![NamespaceKind::Pid]);
            scene.claim(pid, "host pid", "web", |_| ());
            let admin = scene.start_unclaimed("c");
            let more = Capabilities::usual().with(Capabilities::parse("SYS_ADMIN").unwrap());
            scene.set_up(admin, |setup| setup.privileges.capabilities = more);
            scene.claim(admin, "admin", "web", |facts| {
                facts.privileges = Some(given(|given| given.capabilities = more));
            });
            let root = scene.start_unclaimed("d");
            scene.claim(root, "root", "web", |facts| {
                let mount = HostMount { path: "/".into(), is_writable: true };
                facts.privileges = Some(given(|given| given.mounts = vec![mount.clone()]));
            });
            let usual = scene.start_unclaimed("e");
            scene.set_up(usual, |_| ());
            scene.claim(usual, "usual", "web", |facts| facts.privileges = Some(given(|_| ())));
        },
        &expect![[r#"
            privilege privileged 13.0
            privilege host pid 13.0
            privilege admin 13.0
            privilege root 13.0
        "#]],
    );
}

#[test]
fn rights_that_people_approved_for_the_workload_are_quiet_and_one_more_is_not() {
    check_after(
        |scene, _| {
            scene.approve(
                5,
                Scope::Rights {
                    workload: WorkloadKey::new("web [exporter]"),
                    rights: vec!["host:net".into(), "host:pid".into(), "mount:/:ro".into()],
                },
            );
            let given_to = |scene: &mut Scene, name: &str, also: Option<&str>| {
                let actor = scene.start_unclaimed("exporter");
                scene.claim(actor, name, "web", |facts| {
                    facts.command = "exporter".into();
                    facts.privileges = Some(given(|given| {
                        given.host_namespaces = vec![NamespaceKind::Pid, NamespaceKind::Net];
                        given.mounts = vec![HostMount { path: "/".into(), is_writable: false }];
                        given.capabilities =
                            also.and_then(Capabilities::parse).unwrap_or_default().with(given.capabilities);
                    }));
                });
            };
            given_to(scene, "approved", None);
            given_to(scene, "one more", Some("SYS_PTRACE"));
        },
        &expect![[r#"
            privilege one more 13.0
        "#]],
    );
}

#[test]
fn what_lives_in_user_namespaces_of_its_own_has_no_power_over_the_host() {
    check_after(
        |scene, _| {
            let rootless = scene.start_unclaimed("a");
            scene.set_up(rootless, |setup| {
                setup.has_own_users = true;
                setup.privileges.capabilities = Capabilities::ALL;
            });
            scene.claim(rootless, "rootless", "web", |_| ());
        },
        &expect![[""]],
    );
}

#[test]
fn a_file_that_the_image_does_not_hold_is_found_by_where_it_is_from() {
    let told = |path: &str, origin: FileOrigin| {
        let mut scene = Scene::new(2);
        let web = settled(&mut scene);
        scene.run_file(web, path, origin);
        scene.run_file(web, path, origin);
        let found = findings(scene.take()).into_iter().filter(|finding| finding.judge == "drift");
        found.map(|finding| finding.bits).collect::<Vec<_>>()
    };
    assert_eq!(told("/tmp/x", FileOrigin::Written), [13.0]);
    assert_eq!(told("/memfd:x", FileOrigin::Memory), [13.0]);
    assert_eq!(told("/tmp/gone", FileOrigin::Deleted), [13.0]);
    assert_eq!(told("/var/lib/dpkg/../../../tmp/x", FileOrigin::Written), [13.0], "whatever it is called");
    assert_eq!(told("/data/tool", FileOrigin::Mounted), [1.5]);
    assert!(told("/bin/ls", FileOrigin::Image).is_empty());
    assert!(told("/bin/ls", FileOrigin::Unknown).is_empty());
}

#[test]
fn a_script_that_the_image_does_not_hold_is_named_and_weighs_less_than_a_program() {
    let told = |script: &str, origin: FileOrigin| {
        let mut scene = Scene::new(2);
        let web = settled(&mut scene);
        scene.run_script(web, script, origin);
        scene.run_script(web, script, origin);
        let found = findings(scene.take()).into_iter().filter(|finding| finding.judge == "drift");
        found.map(|finding| (finding.bits, finding.claim)).collect::<Vec<_>>()
    };
    let written =
        "it runs /tmp/x.sh, a script that its image does not hold: it was written after it was made";
    assert_eq!(told("/tmp/x.sh", FileOrigin::Written), [(9.0, written.to_owned())]);
    let bits = |script: &str, origin: FileOrigin| {
        told(script, origin).into_iter().map(|(bits, _)| bits).collect::<Vec<_>>()
    };
    assert_eq!(bits("/tmp/gone", FileOrigin::Deleted), [9.0]);
    assert_eq!(bits("/memfd:x", FileOrigin::Memory), [13.0]);
    assert_eq!(
        bits("/var/lib/dpkg/info/nginx.postinst", FileOrigin::Written),
        [9.0],
        "no package manager ran"
    );
    assert!(bits("/docker-entrypoint.sh", FileOrigin::Image).is_empty());
    assert!(bits("/data/backup.sh", FileOrigin::Mounted).is_empty());
    assert!(bits("x.sh", FileOrigin::Unknown).is_empty());
}

#[test]
fn a_script_written_in_a_container_that_nobody_approved_adds_little_to_that() {
    check_after(
        |scene, _| {
            let tool = scene.start("tool", "tool", "tool");
            scene.seconds(2, &[], 0.0);
            scene.run_script(tool, "/tmp/x.sh", FileOrigin::Written);
        },
        &expect![[r#"
            unapproved_image tool 4.0
            drift tool 6.0
        "#]],
    );
}

#[test]
fn what_was_done_in_a_container_that_ended_before_its_engine_told_of_it_is_judged_when_it_has() {
    check(
        |scene| {
            let short = scene.start_unclaimed("httpd -f");
            scene.run_from_outside(short, "sh", |_| ());
            scene.end(short);
            scene.claim(short, "short", "web", |_| ());
            scene.seconds(3, &[], 0.0);
        },
        &expect![[r#"
            unapproved_image short 4.0
            administration short 13.0
        "#]],
    );
}

#[test]
fn a_shell_from_outside_before_the_engine_has_told_of_the_container_is_judged_when_it_has() {
    check_after(
        |scene, _| {
            let early = scene.start_unclaimed("httpd -f");
            scene.run_from_outside(early, "sh", |_| ());
            scene.pause(Duration::from_millis(300));
            scene.claim(early, "early", "web", |_| ());
        },
        &expect![[r#"
            administration early 13.0
        "#]],
    );
}

#[test]
fn a_shell_from_outside_is_told_with_who_asked_for_it_and_a_health_check_is_not() {
    let shell = claims("administration", |scene, web| {
        scene.run_from_outside(web, "sh", |exec| exec.lineage.as_mut().unwrap().has_terminal = true);
    });
    assert_eq!(shell, ["somebody outside runs sh in it, at a terminal"]);

    let mut scene = Scene::new(2);
    let web = settled(&mut scene);
    scene.claim(web, "web", "web", |facts| {
        facts.command = "httpd -f".into();
        facts.health_check = "/bin/sh -c true".into();
    });
    for _ in 0..3 {
        scene.run_from_outside(web, "/bin/sh -c true", |_| ());
        scene.emit(
            Source::Docker,
            Body::EngineExec {
                id: web.id(),
                view: View::default(),
                command: "/bin/sh -c true".into(),
                what: Administered::Exec,
            },
        );
        scene.second(&[], 0.0);
    }
    assert_eq!(judged(scene.take()), "");
}

#[test]
fn a_command_that_is_run_again_and_again_becomes_how_the_workload_is_kept() {
    let told = claims("administration", |scene, web| {
        for _ in 0..8 {
            scene.run_from_outside(web, "/probe", |_| ());
            scene.seconds(5, &[], 0.0);
        }
    });
    assert_eq!(told.len(), 3);
}

#[test]
fn a_command_that_people_approved_is_quiet() {
    let told = claims("administration", |scene, web| {
        let workload = WorkloadKey::new("web [httpd -f]");
        scene.approve(9, Scope::Administration { workload, command: "sh -c /backup *".into() });
        scene.run_from_outside(web, "sh -c /backup daily", |_| ());
    });
    assert!(told.is_empty(), "{told:?}");
}

#[test]
fn what_a_container_starts_itself_is_no_administration() {
    let told = claims("administration", |scene, web| {
        scene.run_file(web, "sh", FileOrigin::Image);
    });
    assert!(told.is_empty(), "{told:?}");
}

#[test]
fn a_process_of_the_host_in_a_containers_mounts_has_stepped_in() {
    let entered = |scene: &mut Scene, web: Actor, mnt: u32| {
        scene.run_from_outside(web, "sh", |exec| {
            exec.cgroup = CgroupId(1);
            exec.namespaces = Namespaces { mnt, ..HOST };
        });
    };
    let told = claims("namespace_entry", |scene, web| {
        let mnt = web.exec("").namespaces.mnt;
        entered(scene, web, mnt);
    });
    assert_eq!(told, ["a process of the host stepped into it past its engine: sh"]);
    assert!(claims("namespace_entry", |scene, web| entered(scene, web, HOST.mnt)).is_empty());
    let forked = claims("namespace_entry", |scene, web| {
        scene.run_from_outside(web, "sh", |exec| {
            exec.cgroup = CgroupId(1);
            exec.lineage.as_mut().unwrap().parent_namespaces.mnt = exec.namespaces.mnt;
        });
    });
    assert_eq!(forked.len(), 1, "whoever forks after it stepped in");
    let left = claims("namespace_entry", |scene, web| {
        scene.run_from_outside(web, "sh", |exec| {
            exec.cgroup = CgroupId(1);
            exec.lineage.as_mut().unwrap().parent_namespaces = exec.namespaces;
        });
    });
    assert!(left.is_empty(), "a child of a process that left its cgroup: {left:?}");
}

#[test]
fn a_process_that_leaves_its_containers_cgroup_is_told_with_who_moved_it() {
    let moved = |by_cgroup: fn(Actor) -> CgroupId, to: CgroupId| {
        let mut scene = Scene::new(2);
        let web = settled(&mut scene);
        let process = web.process();
        scene.emit(
            Source::Kernel,
            Body::CgroupAttached(Attach {
                process,
                cgroup: to,
                path: "/".into(),
                namespaces: Some(web.exec("").namespaces),
                by_pid: 5,
                by_cgroup: by_cgroup(web),
            }),
        );
        judged(scene.take())
    };
    assert_eq!(moved(Actor::cgroup, CgroupId(1)), "cgroup_escape web 13.0\n");
    assert_eq!(moved(|_| CgroupId(1), CgroupId(1)), "cgroup_escape web 5.0\n");
    assert_eq!(moved(Actor::cgroup, CgroupId(1000)), "", "it is where it was");
}

#[test]
fn what_is_done_before_it_is_known_whose_the_container_is_is_judged_when_it_is() {
    check_after(
        |scene, _| {
            let quick = scene.start_unclaimed("sh -c go");
            scene.run_file(quick, "/tmp/x", FileOrigin::Written);
            let process = quick.process();
            scene.emit(
                Source::Kernel,
                Body::CgroupAttached(Attach {
                    process,
                    cgroup: CgroupId(1),
                    path: "/".into(),
                    namespaces: Some(quick.exec("").namespaces),
                    by_pid: process.pid,
                    by_cgroup: CgroupId(1),
                }),
            );
            scene.second(&[], 0.0);
            scene.claim(quick, "quick", "web", |_| ());
        },
        &expect![[r#"
            drift quick 13.0
            cgroup_escape quick 13.0
        "#]],
    );
}

#[test]
fn many_short_lives_of_an_image_that_nobody_approved_are_told() {
    check_after(
        |scene, _| {
            for number in 0..12 {
                let job = scene.start(&format!("job-{number}"), "job", "job");
                scene.second(&[], 0.0);
                scene.fail(job, 0);
            }
        },
        &expect![[r#"
            unapproved_image job-0 4.0
            unapproved_image job-1 4.0
            unapproved_image job-2 4.0
            unapproved_image job-3 4.0
            unapproved_image job-4 4.0
            unapproved_image job-5 4.0
            unapproved_image job-6 4.0
            unapproved_image job-7 4.0
            unapproved_image job-8 4.0
            unapproved_image job-9 4.0
            unusual_start job-9 3.0
            unapproved_image job-10 4.0
            unusual_start job-10 3.0
            unapproved_image job-11 4.0
            unusual_start job-11 3.0
        "#]],
    );
}
