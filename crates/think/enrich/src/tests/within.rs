//! Containers without a cgroup or a life of their own, told apart by what the kernel shows of who made them.
//!
//! Not here: containers that are the first in their cgroup.

use expect_test::expect;
use model::confines::{Confines, RootId, RunFile};
use model::coverage::Source;
use model::event::{Body, Exec, Exit, Lineage};
use model::ids::{CgroupId, Namespaces, ProcessKey};
use model::untrusted::Untrusted;
use testkit::scene::{Actor, HOST, Scene};

use super::{check, folded, told};
use crate::Enrich;

/// The root of containers that an engine makes, and of one made by hand.
const IMAGE: RootId = RootId { device: 40, inode: 1 };
const BY_HAND: RootId = RootId { device: 41, inode: 1 };

fn lives_at(root: RootId) -> Option<Confines> {
    let file = RunFile { device: root.device, ..RunFile::default() };
    Some(Confines { root, has_own_root: true, file, pid_inside: 1, ..Confines::default() })
}

fn from(cgroup: CgroupId, namespaces: Namespaces) -> Option<Lineage> {
    let (login_uid, has_terminal, user_ns) = (None, false, 0);
    Some(Lineage { parent_cgroup: cgroup, parent_namespaces: namespaces, login_uid, has_terminal, user_ns })
}

/// A program of a root made by hand, in these namespaces and in the cgroup of `around`.
fn made(around: Actor, namespaces: Namespaces) -> Exec {
    Exec {
        process: ProcessKey { pid: 777, start_ns: 7_770_000_000 },
        namespaces,
        lineage: from(around.cgroup(), HOST),
        confines: lives_at(BY_HAND),
        ..around.exec("miner")
    }
}

fn approved(scene: &mut Scene) -> Actor {
    let path = format!("/docker/{}", scene.next_actor().id());
    let web = scene.appear_with(&path, "httpd", |exec| exec.confines = lives_at(IMAGE));
    scene.claim(web, "web", "busybox", |_| ());
    scene.second(&[], 0.0);
    web
}

const APART: Namespaces = Namespaces { pid: 900, mnt: 901, net: 902 };

#[test]
fn one_in_the_cgroup_of_a_managed_container_is_a_container_of_its_own() {
    check(
        |scene| {
            let web = approved(scene);
            scene.emit(Source::Kernel, Body::Exec(Box::new(made(web, APART))));
            scene.seconds(3, &[], 0.0);
        },
        &expect![[r#"
            1.0 appeared unsettled httpd
            1.0 settled managed web
            2.0 appeared unsettled miner
            4.0 settled ghost miner: no container runtime claims it
        "#]],
    );
}

#[test]
fn what_an_engine_runs_in_its_container_and_a_sandbox_there_are_the_containers() {
    check(
        |scene| {
            let web = approved(scene);
            let own = web.exec("sh").namespaces;
            let entered = Exec { confines: lives_at(IMAGE), ..made(web, own) };
            scene.emit(Source::Kernel, Body::Exec(Box::new(entered)));
            let apart = Exec { confines: lives_at(IMAGE), ..made(web, APART) };
            scene.emit(Source::Kernel, Body::Exec(Box::new(apart)));
            let file = RunFile { device: IMAGE.device, is_in_place: true, ..RunFile::default() };
            let sandbox = lives_at(BY_HAND).map(|confines| Confines { file, ..confines });
            let sandbox = Exec { confines: sandbox, ..made(web, APART) };
            scene.emit(Source::Kernel, Body::Exec(Box::new(sandbox)));
            scene.seconds(4, &[], 0.0);
        },
        &expect![[r#"
            1.0 appeared unsettled httpd
            1.0 settled managed web
        "#]],
    );
}

#[test]
fn a_scan_that_meets_unshare_before_what_it_made_finds_the_container() {
    check(
        |scene| {
            let cgroup = scene.next_actor();
            let outside = |exec: &mut Exec| {
                exec.namespaces = Namespaces { mnt: APART.mnt, ..HOST };
                exec.confines = Some(Confines::default());
            };
            scene.appear_with("/made", "unshare -p -f", outside);
            let first = Exec { lineage: None, ..made(cgroup, APART) };
            scene.emit(Source::Scan, Body::Process(Box::new(first)));
            scene.seconds(4, &[], 0.0);
        },
        &expect![[r#"
            1.0 appeared unsettled unshare -p -f
            3.0 settled ghost miner: no container runtime claims it
        "#]],
    );
}

/// The root of the host, and that of whoever executed there.
const OUTSIDE: RootId = RootId { device: 1, inode: 2 };

/// A program of the host in namespaces and a cgroup of its own, which then gives itself a root that holds `hosts_file`.
fn changes_its_root(scene: &mut Scene, after_seconds: u32, hosts_file: bool) {
    let lives_outside = Some(Confines { root: OUTSIDE, ..Confines::default() });
    let init = ProcessKey { pid: 1, start_ns: 0 };
    let host = Exec {
        process: init,
        namespaces: HOST,
        cgroup: CgroupId(1),
        confines: lives_outside,
        ..made(scene.next_actor(), HOST)
    };
    scene.emit(Source::Scan, Body::Process(Box::new(Exec { lineage: None, ..host })));
    let apart = scene.appear_with("/made", "python3 it.py", |exec| {
        exec.namespaces = APART;
        exec.confines = lives_outside;
    });
    scene.seconds(after_seconds, &[], 0.0);
    scene.set_up(apart, |setup| {
        setup.namespaces = APART;
        setup.runs_hosts_file = hosts_file;
    });
    scene.seconds(4, &[], 0.0);
}

#[test]
fn one_that_changes_its_root_and_executes_nothing_lives_apart() {
    check(
        |scene| changes_its_root(scene, 0, false),
        &expect![[r#"
        1.0 appeared unsettled python3 it.py
        3.0 settled ghost python3 it.py: no container runtime claims it
    "#]],
    );
}

#[test]
fn one_that_changes_its_root_after_it_was_settled_is_judged_again() {
    check(
        |scene| changes_its_root(scene, 4, false),
        &expect![[r#"
            1.0 appeared unsettled python3 it.py
            3.0 settled ghost python3 it.py: no container runtime claims it
            7.0 settled ghost python3 it.py: no container runtime claims it
        "#]],
    );
}

#[test]
fn a_sandbox_whose_root_holds_the_hosts_file_stays_one() {
    check(
        |scene| changes_its_root(scene, 0, true),
        &expect![[r#"
        1.0 appeared unsettled python3 it.py
        3.0 settled sandbox python3 it.py: it has namespaces of its own and the files of the host
    "#]],
    );
}

#[test]
fn one_that_a_scan_reports_after_its_end_is_over_when_the_scan_no_longer_finds_it() {
    check(
        |scene| {
            let web = approved(scene);
            let first = Exec { lineage: None, ..made(web, APART) };
            let process = first.process;
            scene.emit(Source::Scan, Body::Process(Box::new(first)));
            scene.emit(Source::Scan, Body::Vanished(process));
            scene.emit(Source::Scan, Body::Vanished(process));
            scene.seconds(4, &[], 0.0);
        },
        &expect![[r#"
            1.0 appeared unsettled httpd
            1.0 settled managed web
            2.0 appeared unsettled miner
            2.0 ended unsettled miner
            4.0 settled ghost miner: no container runtime claims it
        "#]],
    );
}

#[test]
fn one_that_ends_before_it_is_settled_is_judged_all_the_same() {
    check(
        |scene| {
            let short = scene.appear_with("/made", "miner", |exec| exec.confines = lives_at(BY_HAND));
            scene.end(short);
            scene.seconds(4, &[], 0.0);
        },
        &expect![[r#"
            1.0 appeared unsettled miner
            1.0 ended unsettled miner
            3.0 settled ghost miner: no container runtime claims it
        "#]],
    );
}

#[test]
fn one_after_the_other_in_one_cgroup_are_all_judged() {
    check(
        |scene| {
            let first = scene.appear_with("/made", "first", |exec| exec.confines = lives_at(BY_HAND));
            scene.end(first);
            let again = Exec { cgroup: first.cgroup(), ..made(first, APART) };
            scene.emit(Source::Kernel, Body::Exec(Box::new(again)));
            scene.seconds(4, &[], 0.0);
        },
        &expect![[r#"
            1.0 appeared unsettled first
            1.0 ended unsettled first
            1.0 appeared unsettled miner
            3.0 settled ghost first: no container runtime claims it
            3.0 settled ghost miner: no container runtime claims it
        "#]],
    );
}

#[test]
fn a_root_of_its_own_in_a_cgroup_of_its_own_needs_no_namespace() {
    check(
        |scene| {
            scene.appear_with("/made", "miner", |exec| {
                exec.namespaces = HOST;
                exec.confines = lives_at(BY_HAND);
            });
            scene.seconds(4, &[], 0.0);
        },
        &expect![[r#"
            1.0 appeared unsettled miner
            3.0 settled ghost miner: no container runtime claims it
        "#]],
    );
}

#[test]
fn the_end_of_a_container_that_the_engine_told_first_makes_no_other() {
    check(
        |scene| {
            let web = approved(scene);
            scene.emit(Source::Docker, Body::gone(web.id()));
            let last =
                Exec { lineage: from(web.cgroup(), HOST), confines: lives_at(IMAGE), ..web.exec("httpd") };
            scene.emit(Source::Kernel, Body::Process(Box::new(last)));
            let (process, cgroup, name) = (web.process(), web.cgroup(), Untrusted::new("httpd"));
            let exit = Exit { process, cgroup, status: 0, signal: 9, core_dumped: false, name };
            scene.emit(Source::Kernel, Body::Exit(exit));
            scene.seconds(4, &[], 0.0);
        },
        &expect![[r#"
            1.0 appeared unsettled httpd
            1.0 settled managed web
            2.0 ended managed web
        "#]],
    );
}

#[test]
fn a_sandbox_in_a_cgroup_of_the_host_whose_first_process_executes_nothing_is_none() {
    check(
        |scene| {
            let shell = scene.next_actor();
            let file = RunFile { is_in_place: true, is_on_hosts: true, ..RunFile::default() };
            let program = Exec {
                process: ProcessKey { pid: 778, start_ns: 7_780_000_000 },
                confines: lives_at(BY_HAND).map(|confines| Confines { file, pid_inside: 2, ..confines }),
                cgroup: CgroupId(1),
                ..made(shell, APART)
            };
            scene.emit(Source::Kernel, Body::Exec(Box::new(program)));
            // As bubblewrap's: it made the root, waits for the program, and its file is the host's.
            let first = Exec { cgroup: CgroupId(1), lineage: from(CgroupId(1), HOST), ..made(shell, APART) };
            scene.emit(Source::Kernel, Body::Process(Box::new(first)));
            scene.seconds(4, &[], 0.0);
        },
        &expect![[r#""#]],
    );
}

#[test]
fn a_second_cgroup_called_like_a_running_container_is_not_that_container() {
    check(
        |scene| {
            let web = approved(scene);
            let path = format!("/user.slice/docker-{}.scope", web.id());
            scene.appear_with(&path, "miner", |exec| exec.confines = lives_at(BY_HAND));
            scene.seconds(4, &[], 0.0);
        },
        &expect![[r#"
            1.0 appeared unsettled httpd
            1.0 settled managed web
            2.0 appeared unsettled miner
            4.0 settled ghost miner: no container runtime claims it
        "#]],
    );
}

#[test]
fn one_made_in_a_units_cgroup_is_one_container_also_when_it_executes_twice() {
    check(
        |scene| {
            let unit = scene.appear_with("/system.slice/session.scope", "chroot", |exec| {
                exec.namespaces = APART;
                exec.lineage = from(exec.cgroup, HOST);
                exec.confines = Some(Confines::default());
            });
            let (process, lineage) = (unit.process(), from(unit.cgroup(), APART));
            let miner = Exec { process, lineage, ..made(unit, APART) };
            scene.emit(Source::Kernel, Body::Exec(Box::new(miner)));
            scene.seconds(14, &[], 0.0);
        },
        &expect![[r#"
            1.0 appeared unsettled chroot
            1.0 ended unsettled chroot
            1.0 appeared unsettled miner
            11.0 settled ghost chroot: no container runtime claims it
            11.0 settled ghost miner: no container runtime claims it
        "#]],
    );
}

/// One that is known by its mounts alone, in the cgroup of a container.
fn by_mounts(scene: &mut Scene, web: Actor, (pid, mnt): (u32, u32)) -> Exec {
    let namespaces = Namespaces { mnt, ..web.exec("httpd").namespaces };
    let process = ProcessKey { pid, start_ns: u64::from(pid) * 1_000_000 };
    let exec = Exec { process, ..made(web, namespaces) };
    scene.emit(Source::Kernel, Body::Exec(Box::new(exec.clone())));
    exec
}

fn running(enrich: &Enrich) -> usize {
    enrich.containers().filter(|it| it.ended.is_none()).count()
}

#[test]
fn one_without_a_cgroup_whose_end_was_lost_is_over_when_its_pid_is_anothers() {
    let mut scene = Scene::new(4);
    let web = approved(&mut scene);
    by_mounts(&mut scene, web, (777, 901));
    scene.seconds(4, &[], 0.0);
    let host = ProcessKey { pid: 777, start_ns: 9_000_000_000 };
    let exec = Exec { process: host, namespaces: HOST, cgroup: CgroupId(1), ..web.exec("cron") };
    scene.emit(Source::Scan, Body::Process(Box::new(exec)));
    // The kernel gives the number of its mounts to another one.
    by_mounts(&mut scene, web, (778, 901));
    let told = told(&mut Enrich::default(), &mut scene);
    assert_eq!(told.matches("appeared unsettled miner").count(), 2, "{told}");
    assert_eq!(told.matches("ended ghost miner").count(), 1, "{told}");
}

#[test]
fn one_that_gives_itself_other_mounts_leaves_no_entry_behind_at_its_end() {
    let mut scene = Scene::new(4);
    let web = approved(&mut scene);
    let first = by_mounts(&mut scene, web, (777, 901));
    by_mounts(&mut scene, web, (777, 905));
    let exit = Exit {
        process: first.process,
        cgroup: first.cgroup,
        status: 0,
        signal: 9,
        core_dumped: false,
        name: Untrusted::new("miner"),
    };
    scene.emit(Source::Kernel, Body::Exit(exit));
    scene.seconds(4, &[], 0.0);
    let mut enrich = folded(&mut scene);
    assert_eq!(running(&enrich), 1, "the engine's");
    by_mounts(&mut scene, web, (778, 901));
    scene.take().into_iter().for_each(|event| drop(enrich.identify(event)));
    assert_eq!(running(&enrich), 2, "its number is another one's");
}
