//! What each pair of views says when they disagree: the contradiction matrix, attack by attack, with the quiet twins.

use std::time::Duration;

use expect_test::{Expect, expect};
use model::coverage::{Health, Source};
use model::event::Body;
use model::ids::CgroupId;
use model::privilege::{Capabilities, Privileges};
use model::runtime::{ContainerFacts, Orchestrated, OrderedBy, RunState};
use model::view::{EngineKind, EngineState, Standing, View};
use testkit::provenance::{apart, maker, moby, setup};
use testkit::scene::{HOST, Scene, docker_path};

use crate::Enrich;

/// Plays the scene, lets four seconds pass, and writes the tally of every container: kind and name, a row a witness, and
/// a sentence a contradiction.
fn check(act: impl FnOnce(&mut Scene), expected: &Expect) {
    let mut scene = Scene::new(4);
    act(&mut scene);
    scene.seconds(4, &[], 0.0);
    let mut enrich = Enrich::default();
    scene.take().into_iter().for_each(|event| drop(enrich.identify(event)));
    let mut text = String::new();
    for container in enrich.containers() {
        text += &format!("{} {}\n", container.kind.name(), container.name());
        for row in &container.tally.rows {
            text += &format!("  {}: {} ({})\n", row.witness, row.standing.name(), row.says);
        }
        for found in &container.tally.contradictions {
            text += &format!("  ! {}: {}\n", found.about.name(), found.sentence);
        }
    }
    expected.assert_eq(&text);
}

fn labelled(facts: &mut ContainerFacts, labels: &[(&str, &str)]) {
    facts.labels = labels.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
}

#[test]
fn docker_and_its_containerd_tally() {
    check(
        |scene| {
            scene.engine(&moby(), EngineState::Answers, |_| ());
            let web = scene.start_unclaimed("httpd -f");
            scene.set_up(web, |_| ());
            scene.claimed_by(&moby(), web, |_| ());
            scene.claim(web, "web", "busybox", |_| ());
        },
        &expect![[r#"
            managed web
              kernel: present (pid 1000, cgroup /docker/00000000000000000000000000000000000000000000000000000000000003e8, root /var/lib/docker/overlay2/x/merged)
              docker: present (web, image busybox)
              containerd:moby at /run/docker/containerd/containerd.sock: present ()
        "#]],
    );
}

#[test]
fn a_cgroup_named_like_dockers_is_denied_by_docker() {
    check(
        |scene| {
            let path = format!("/docker/{}", "ab".repeat(32));
            scene.appear(&path, "miner");
        },
        &expect![[r#"
            ghost miner
              kernel: present (pid 1000, cgroup /docker/abababababababababababababababababababababababababababababababab)
              docker: denied ()
              ! cgroup_of_engine: its cgroup names the container abababababababababababababababababababababababababababababababab, and docker knows no such container
        "#]],
    );
}

#[test]
fn a_cgroup_named_like_podmans_is_denied_where_there_is_no_podman() {
    check(
        |scene| {
            scene.appear(&format!("/machine.slice/libpod-{}.scope", "ab".repeat(32)), "miner");
        },
        &expect![[r#"
            ghost miner
              kernel: present (pid 1000, cgroup /machine.slice/libpod-abababababababababababababababababababababababababababababababab.scope)
              docker: denied ()
              ! cgroup_of_engine: its cgroup names the container abababababababababababababababababababababababababababababababab, and podman does not run here
        "#]],
    );
}

#[test]
fn a_cgroup_named_like_a_unit_is_denied_by_systemd() {
    check(
        |scene| {
            scene.units(true, &["cron.service"]);
            scene.appear("/system.slice/foo.scope", "miner");
            scene.appear("/system.slice/cron.service", "cron -f");
        },
        &expect![[r#"
            ghost miner
              kernel: present (pid 1000, cgroup /system.slice/foo.scope)
              systemd: denied (foo.scope)
              docker: denied ()
              ! cgroup_of_unit: its cgroup names the unit foo.scope, and systemd knows no such unit
            service cron -f
              kernel: present (pid 1001, cgroup /system.slice/cron.service)
              systemd: present (cron.service)
              docker: - ()
        "#]],
    );
}

#[test]
fn a_cgroup_named_like_a_unit_is_denied_where_systemd_does_not_run() {
    check(
        |scene| {
            scene.units(false, &[]);
            scene.appear("/system.slice/foo.scope", "miner");
        },
        &expect![[r#"
            ghost miner
              kernel: present (pid 1000, cgroup /system.slice/foo.scope)
              systemd: denied (foo.scope)
              docker: denied ()
              ! cgroup_of_unit: its cgroup names the unit foo.scope, and systemd does not run here
        "#]],
    );
}

#[test]
fn a_container_made_by_hand_in_the_hosts_own_cgroup_is_a_ghost_after_a_second() {
    check(
        |scene| {
            let actor = scene.next_actor();
            scene.emit(
                Source::Kernel,
                Body::Setup(Box::new(model::setup::Setup {
                    cgroup: CgroupId(1),
                    cgroup_path: "/".into(),
                    namespaces: apart(70),
                    root: "/tmp/root".into(),
                    program: "sh -c evil".into(),
                    makers: vec![maker(4, "unshare"), maker(3, "bash")],
                    ..setup(actor)
                })),
            );
        },
        &expect![[r#"
            ghost sh -c evil
              kernel: present (pid 1000, cgroup /, root /tmp/root)
              docker: denied ()
        "#]],
    );
}

#[test]
fn a_container_made_by_hand_in_a_session_is_told_from_the_session() {
    check(
        |scene| {
            scene.units(true, &["session-3.scope"]);
            let session = scene.appear("/user.slice/user-0.slice/session-3.scope", "unshare -m bash");
            scene.second(&[], 0.0);
            let actor = scene.next_actor();
            scene.emit(
                Source::Kernel,
                Body::Setup(Box::new(model::setup::Setup {
                    cgroup: session.cgroup(),
                    cgroup_path: "/user.slice/user-0.slice/session-3.scope".into(),
                    namespaces: apart(70),
                    root: "/tmp/root".into(),
                    program: "sh -c evil".into(),
                    makers: vec![maker(4, "unshare")],
                    ..setup(actor)
                })),
            );
        },
        &expect![[r#"
            service unshare -m bash
              kernel: present (pid 1000, cgroup /user.slice/user-0.slice/session-3.scope)
              systemd: present (session-3.scope)
              docker: - ()
            ghost sh -c evil
              kernel: present (pid 1001, cgroup /user.slice/user-0.slice/session-3.scope, root /tmp/root)
              systemd: present (session-3.scope)
              docker: denied ()
        "#]],
    );
}

#[test]
fn a_container_in_dockers_namespace_of_containerd_is_denied_by_docker() {
    check(
        |scene| {
            scene.engine(&moby(), EngineState::Answers, |_| ());
            let ghost = scene.appear("/moby/x", "miner");
            scene.claimed_by(&moby(), ghost, |facts| facts.name = "x".into());
        },
        &expect![[r#"
            managed x
              kernel: present (pid 1000, cgroup /moby/x)
              docker: denied ()
              containerd:moby at /run/docker/containerd/containerd.sock: present (x)
              ! owners_namespace: it is in the namespace moby of docker's containers, and docker knows no such container
        "#]],
    );
}

#[test]
fn labels_of_a_service_are_denied_by_the_swarm() {
    check(
        |scene| {
            let web = scene.start_unclaimed("httpd -f");
            scene.claim(web, "web", "busybox", |facts| {
                labelled(facts, &[("com.docker.swarm.service.name", "shop")]);
                facts.orchestrated = Some(Orchestrated {
                    name: "swarm".into(),
                    standing: Standing::Denied,
                    reason: "there is no such task".into(),
                    ..Orchestrated::default()
                });
            });
        },
        &expect![[r#"
            managed web
              kernel: present (pid 1000, cgroup /docker/00000000000000000000000000000000000000000000000000000000000003e8)
              docker: present (web, image busybox)
              swarm: denied (there is no such task)
              ! orchestrator_labels: its labels name the orchestrator swarm, which denies it: there is no such task
        "#]],
    );
}

#[test]
fn labels_of_a_pod_are_denied_where_nothing_serves_a_kubelet_and_by_what_does() {
    let pod = [("io.kubernetes.pod.name", "api-1"), ("io.kubernetes.pod.uid", "7")];
    let forge = |scene: &mut Scene| {
        let web = scene.start_unclaimed("httpd -f");
        scene.claim(web, "web", "busybox", |facts| labelled(facts, &pod));
    };
    check(
        forge,
        &expect![[r#"
        managed web
          kernel: present (pid 1000, cgroup /docker/00000000000000000000000000000000000000000000000000000000000003e8)
          docker: present (web, image busybox)
          kubernetes: denied (pod api-1)
          ! pod_labels: its labels name the pod api-1, and nothing here serves a kubelet
    "#]],
    );
    check(
        |scene| {
            let cri = View::new(EngineKind::Cri, "/run/containerd/containerd.sock");
            scene.engine(&cri, EngineState::Answers, |_| ());
            let real = scene.appear(&format!("/kubepods/pod7/{}", "cd".repeat(32)), "api");
            scene.claimed_by(&cri, real, |facts| {
                facts.name = "api".into();
                labelled(facts, &pod);
            });
            let fixed = scene.appear(&format!("/kubepods/pod8/{}", "ef".repeat(32)), "etcd");
            scene.claimed_by(&cri, fixed, |facts| {
                facts.name = "etcd".into();
                labelled(facts, &[("io.kubernetes.pod.name", "etcd-1")]);
                facts.orchestrated = Some(Orchestrated {
                    name: "kubernetes".into(),
                    standing: Standing::Present,
                    reason: "a static pod: ordered by a file on this host".into(),
                    ordered_by: OrderedBy::HostFile,
                });
            });
            forge(scene);
        },
        &expect![[r#"
            managed api
              kernel: present (pid 1000, cgroup /kubepods/pod7/cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd)
              docker: - ()
              cri at /run/containerd/containerd.sock: present (api)
              kubernetes: present (pod api-1)
            managed etcd
              kernel: present (pid 1001, cgroup /kubepods/pod8/efefefefefefefefefefefefefefefefefefefefefefefefefefefefefefefef)
              docker: - ()
              cri at /run/containerd/containerd.sock: present (etcd)
              kubernetes: present (pod etcd-1, a static pod: ordered by a file on this host)
            managed web
              kernel: present (pid 1002, cgroup /docker/00000000000000000000000000000000000000000000000000000000000003ea)
              docker: present (web, image busybox)
              cri at /run/containerd/containerd.sock: denied ()
              kubernetes: denied (pod api-1)
              ! pod_labels: its labels name the pod api-1, and what serves the kubelet knows no such container
        "#]],
    );
}

#[test]
fn capabilities_that_the_engine_did_not_give_are_shown_by_the_kernel() {
    check(
        |scene| {
            let web = scene.start_unclaimed("httpd -f");
            let more = Capabilities::usual().with(Capabilities::parse("SYS_ADMIN").unwrap());
            scene.set_up(web, |setup| setup.privileges.capabilities = more);
            scene.claim(web, "web", "busybox", |facts| {
                let usual = Capabilities::usual();
                facts.privileges =
                    Some(Box::new(Privileges { capabilities: usual, ..Privileges::default() }));
            });
        },
        &expect![[r#"
            managed web
              kernel: present (pid 1000, cgroup /docker/00000000000000000000000000000000000000000000000000000000000003e8, root /var/lib/docker/overlay2/x/merged)
              docker: present (web, image busybox)
              ! rights: the kernel shows capabilities that docker did not give: SYS_ADMIN
        "#]],
    );
}

#[test]
fn a_name_that_only_a_silent_engine_could_confirm_is_not_confirmed() {
    check(
        |scene| {
            scene.report(Source::Docker, Health::Down, "it hangs");
            let miner = scene.appear(&format!("/docker/{}", "ab".repeat(32)), "miner");
            scene.set_up(miner, |setup| setup.makers = vec![maker(7, "unshare")]);
            let podman = View::new(EngineKind::Podman, "/var/lib/containers/storage");
            scene.engine(&podman, EngineState::Silent, |_| ());
            let nginx = scene.appear(&format!("/machine.slice/libpod-{}.scope", "ab".repeat(32)), "nginx");
            scene.set_up(nginx, |setup| setup.makers = vec![maker(7, "unshare")]);
        },
        &expect![[r#"
            ghost miner
              kernel: present (pid 1000, cgroup /docker/abababababababababababababababababababababababababababababababab, root /var/lib/docker/overlay2/x/merged)
              docker: silent ()
              podman at /var/lib/containers/storage: silent ()
              ! cgroup_of_engine: its cgroup names the container abababababababababababababababababababababababababababababababab, and docker has not confirmed it
            ghost nginx
              kernel: present (pid 1001, cgroup /machine.slice/libpod-abababababababababababababababababababababababababababababababab.scope, root /var/lib/docker/overlay2/x/merged)
              docker: silent ()
              podman at /var/lib/containers/storage: silent ()
              ! cgroup_of_engine: its cgroup names the container abababababababababababababababababababababababababababababababab, and podman has not confirmed it
        "#]],
    );
}

#[test]
fn what_keeps_the_hosts_files_is_a_sandbox_and_no_ghost() {
    check(
        |scene| {
            let browser = scene.appear_with("/batch/browser", "chromium --type=zygote", |exec| {
                exec.namespaces.mnt = HOST.mnt;
            });
            scene.set_up(browser, |setup| setup.has_own_root = false);
            let jail = scene.appear("/batch/jail", "sh");
            scene.set_up(jail, |_| ());
        },
        &expect![[r#"
            sandbox chromium --type=zygote
              kernel: present (pid 1000, cgroup /batch/browser)
              docker: - ()
            ghost sh
              kernel: present (pid 1001, cgroup /batch/jail, root /var/lib/docker/overlay2/x/merged)
              docker: denied ()
        "#]],
    );
}

#[test]
fn what_an_engine_ran_that_is_gone_is_claimed_by_nobody() {
    check(
        |scene| {
            let other = View::new(EngineKind::Containerd, "/run/other.sock");
            scene.engine(&other, EngineState::Answers, |_| ());
            let app = scene.appear("/default/app", "app");
            scene.claimed_by(&other.of_namespace(&"default".into()), app, |facts| facts.name = "app".into());
            scene.seconds(4, &[], 0.0);
            scene.engine(&other, EngineState::Gone, |_| ());
        },
        &expect![[r#"
            ghost app
              kernel: present (pid 1000, cgroup /default/app)
              docker: denied ()
        "#]],
    );
}

#[test]
fn a_word_that_comes_late_or_changes_is_compared_anew() {
    let mut scene = Scene::new(4);
    let web = scene.start("web", "busybox", "httpd -f");
    scene.seconds(3, &[], 0.0);
    let mut enrich = Enrich::default();
    scene.take().into_iter().for_each(|event| drop(enrich.identify(event)));
    scene.pause(Duration::from_secs(1));
    scene.claim(web, "web", "busybox", |facts| {
        facts.orchestrated = Some(Orchestrated {
            name: "swarm".into(),
            standing: Standing::Denied,
            ..Orchestrated::default()
        });
    });
    scene.second(&[], 0.0);
    let news: Vec<_> =
        scene.take().into_iter().flat_map(|event| enrich.identify(event).identity.news).collect();
    let tallied = news.iter().filter_map(|news| match news {
        model::identity::News::Tallied(container) => Some(container.tally.is_whole()),
        _ => None,
    });
    assert_eq!(tallied.collect::<Vec<_>>(), [false]);
    assert_eq!(enrich.containers().count(), 1);
    assert_eq!(docker_path(web), enrich.containers().next().unwrap().cgroup_path.raw());
}

#[test]
fn a_process_with_a_containers_mounts_in_the_hosts_cgroup_is_no_container_of_its_own() {
    let mut scene = Scene::new(4);
    let web = scene.start("web", "busybox", "httpd -f");
    scene.second(&[], 0.0);
    let namespaces = web.exec("").namespaces;
    let stepped_in =
        model::setup::Setup { cgroup: CgroupId(1), cgroup_path: "/".into(), namespaces, ..setup(web) };
    scene.emit(Source::Kernel, Body::Setup(Box::new(stepped_in)));
    scene.seconds(4, &[], 0.0);
    let mut enrich = Enrich::default();
    scene.take().into_iter().for_each(|event| drop(enrich.identify(event)));
    assert_eq!(enrich.containers().count(), 1);
}

#[test]
fn the_containerd_below_docker_does_not_say_when_a_container_is_over() {
    let mut scene = Scene::new(4);
    let web = scene.start("web", "busybox", "httpd -f");
    scene.claimed_by(&moby(), web, |_| ());
    scene.claimed_by(&moby(), web, |facts| facts.state = RunState::Exited);
    let mut enrich = Enrich::default();
    scene.take().into_iter().for_each(|event| drop(enrich.identify(event)));
    assert!(enrich.containers().all(|container| container.ended.is_none()));
}

#[test]
fn what_two_engines_claimed_goes_by_the_other_when_the_first_is_gone() {
    check(
        |scene| {
            let podman = View::new(EngineKind::Podman, "/srv/storage");
            let other = View::new(EngineKind::Containerd, "/run/other.sock");
            scene.engine(&podman, EngineState::Answers, |_| ());
            scene.engine(&other, EngineState::Answers, |_| ());
            let app = scene.appear("/default/app", "app");
            scene.claimed_by(&podman, app, |facts| facts.name = "by podman".into());
            scene.claimed_by(&other.of_namespace(&"default".into()), app, |facts| {
                facts.name = "by other".into();
            });
            scene.seconds(4, &[], 0.0);
            scene.engine(&podman, EngineState::Gone, |_| ());
        },
        &expect![[r#"
            managed by other
              kernel: present (pid 1000, cgroup /default/app)
              docker: - ()
              containerd:default at /run/other.sock: present (by other)
        "#]],
    );
}
