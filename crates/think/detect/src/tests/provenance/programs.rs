//! Programs by their files, and what descends from programs that came in from outside: each attack beside its quiet twin.

use model::event::Exec;
use model::ids::ProcessKey;
use model::program::Descent;
use model::time::Time;
use testkit::provenance::run_file;

use super::*;

/// What `judge` claims of what is done in an approved container: the weights, in order.
fn bits_of(judge: &str, act: impl FnOnce(&mut Scene, Actor)) -> Vec<f64> {
    let mut scene = Scene::new(2);
    let web = settled(&mut scene);
    act(&mut scene, web);
    findings(scene.take()).into_iter().filter(|found| found.judge == judge).map(|found| found.bits).collect()
}

/// A file on another file system than the root, which changed so long after the container started, or before.
fn mounted(exec: &mut Exec, inode: u64, changed: Time) {
    exec.origin = FileOrigin::Mounted;
    exec.file = Some(run_file(inode, "tool", changed));
}

/// Some seconds before and after the container of [`settled`] started.
fn before(scene: &Scene) -> Time {
    scene.now().minus(Duration::from_secs(60))
}

#[test]
fn a_program_on_a_volume_weighs_by_whether_it_was_written_since_the_container_started() {
    let since = bits_of("drift", |scene, web| {
        let now = scene.now();
        scene.run_in(web, "/data/tool", |exec| mounted(exec, 7, now));
    });
    assert_eq!(since, [13.0]);
    let was_there = bits_of("drift", |scene, web| {
        let before = before(scene);
        scene.run_in(web, "/data/tool", |exec| mounted(exec, 7, before));
        scene.run_in(web, "/data/../data/tool", |exec| mounted(exec, 7, before));
    });
    assert_eq!(was_there, [1.5], "one file, whatever it is called");
    let rewritten = bits_of("drift", |scene, web| {
        let (before, now) = (before(scene), scene.now());
        scene.run_in(web, "/data/tool", |exec| mounted(exec, 7, before));
        scene.run_in(web, "/data/tool", |exec| mounted(exec, 7, now));
    });
    assert_eq!(rewritten, [1.5, 13.0], "the same file, written over");
}

#[test]
fn a_script_on_a_volume_is_quiet_unless_it_was_written_since() {
    let script = |exec: &mut Exec, changed: Time| {
        mounted(exec, 7, changed);
        exec.script = "/data/x.sh".into();
    };
    let told = |is_since: bool| {
        bits_of("drift", |scene, web| {
            let changed = if is_since { scene.now() } else { before(scene) };
            scene.run_in(web, "/bin/sh /data/x.sh", |exec| script(exec, changed));
        })
    };
    assert_eq!(told(true), [9.0]);
    assert!(told(false).is_empty());
}

#[test]
fn a_program_over_a_file_that_the_engine_mounts_is_found_and_the_engines_init_is_quiet() {
    let alone = |exec: &mut Exec, changed: Time| {
        mounted(exec, 9, changed);
        exec.file.as_mut().unwrap().is_mounted_alone = true;
    };
    let told = claims("drift", |scene, web| {
        let now = scene.now();
        scene.run_in(web, "/etc/hosts", |exec| alone(exec, now));
    });
    let claim = "it runs /etc/hosts, a file that its image does not hold: it is mounted by itself and was written after the \
                 container started";
    assert_eq!(told, [claim]);
    let init = |is_alone: bool| {
        bits_of("drift", |scene, web| {
            let before = before(scene);
            scene.run_in(web, "/sbin/docker-init -- httpd", |exec| {
                exec.process = web.process();
                mounted(exec, 9, before);
                exec.file.as_mut().unwrap().is_mounted_alone = is_alone;
            });
        })
    };
    assert!(init(true).is_empty());
    assert_eq!(init(false), [1.5], "to be the first process is not enough");
}

#[test]
fn forty_programs_before_it_hide_none() {
    let bits = bits_of("drift", |scene, web| {
        let before = before(scene);
        for number in 0..100 {
            scene.run_in(web, &format!("/data/{number}"), |exec| mounted(exec, 100 + number, before));
            scene.run_script(web, &format!("/tmp/{number}.sh"), FileOrigin::Written);
        }
        for number in 0..100 {
            scene.run_file(web, &format!("/tmp/{number}"), FileOrigin::Written);
        }
        scene.run_file(web, "/tmp/99", FileOrigin::Written);
    });
    let count = |weight: f64| bits.iter().filter(|bits| **bits == weight).count();
    assert_eq!((count(1.5), count(9.0), count(13.0), bits.len()), (100, 100, 100, 300));
}

#[test]
fn many_new_programs_are_counted() {
    let mut scene = Scene::new(2);
    let web = settled(&mut scene);
    for number in 0..40 {
        scene.run_file(web, &format!("/tmp/{number}"), FileOrigin::Written);
    }
    let last = findings(scene.take()).into_iter().rfind(|found| found.judge == "drift").unwrap();
    let count = last.evidence.iter().find(|(name, _)| name == "new_files");
    assert_eq!(count.unwrap().1, model::finding::Value::from(40_u64));
}

#[test]
fn a_flood_of_small_things_before_the_engine_has_told_hides_no_program() {
    check_after(
        |scene, _| {
            let quick = scene.start_unclaimed("sh -c go");
            for number in 0..20 {
                scene.run_file(quick, &format!("/data/{number}"), FileOrigin::Mounted);
            }
            scene.run_file(quick, "/tmp/x", FileOrigin::Written);
            scene.second(&[], 0.0);
            scene.claim(quick, "quick", "web", |_| ());
        },
        &expect![[r#"
            drift quick 13.0
        "#]],
    );
}

#[test]
fn what_a_loader_is_given_weighs_as_a_program() {
    let bits = bits_of("drift", |scene, web| {
        scene.run_in(web, "/lib64/ld-linux-x86-64.so.2 /tmp/x", |exec| {
            exec.is_by_loader = true;
            exec.script = "/tmp/x".into();
            exec.origin = FileOrigin::Written;
        });
    });
    assert_eq!(bits, [13.0]);
}

/// A package manager of `origin` runs, then something that descends from it and runs a file that changed when `changed` says.
fn installs(origin: FileOrigin, changed: fn(&Scene) -> Time) -> Vec<f64> {
    installs_by("/usr/bin/dpkg --configure nginx", origin, changed)
}

fn installs_by(command: &str, origin: FileOrigin, changed: fn(&Scene) -> Time) -> Vec<f64> {
    bits_of("drift", |scene, web| {
        let installer = ProcessKey { pid: 5_000_000, start_ns: 20_000_000_000 };
        let descent = Descent { entry: None, installer: Some(installer) };
        scene.run_in(web, command, |exec| {
            exec.process = installer;
            exec.descent = descent;
            exec.origin = origin;
        });
        scene.pause(Duration::from_secs(5));
        let file = run_file(70, "nginx.postinst", changed(scene));
        scene.run_in(web, "/var/lib/dpkg/info/nginx.postinst configure", |exec| {
            exec.process.start_ns = 25_000_000_000;
            exec.descent = descent;
            exec.origin = FileOrigin::Written;
            exec.file = Some(file);
        });
    })
}

#[test]
fn what_a_package_manager_of_the_image_writes_and_runs_weighs_little_and_nothing_else_does() {
    let just_now = |scene: &Scene| scene.now().minus(Duration::from_secs(1));
    assert_eq!(installs(FileOrigin::Image, just_now), [4.0]);
    assert_eq!(installs(FileOrigin::Image, before), [13.0], "it was there before the package manager began");
    assert_eq!(installs(FileOrigin::Written, just_now), [13.0, 13.0], "a package manager that is no image's");
    assert_eq!(installs(FileOrigin::Unknown, just_now), [13.0]);
}

#[test]
fn what_a_package_manager_is_given_to_run_weighs_as_if_it_were_not_there() {
    let just_now = |scene: &Scene| scene.now().minus(Duration::from_secs(1));
    for command in [
        "/usr/bin/apt-get -o APT::Update::Pre-Invoke::=/tmp/x update",
        "/usr/bin/apt-get install ./x.deb",
        "/usr/bin/apt-get -c x update",
        "/usr/bin/rpm -i x",
    ] {
        assert_eq!(installs_by(command, FileOrigin::Image, just_now), [13.0], "{command}");
    }
    assert_eq!(installs_by("/usr/bin/apt-get install -y nginx", FileOrigin::Image, just_now), [4.0]);
}

/// What a process that came in from outside has run: `launcher` itself, and what descends from it by a fork without an exec.
fn launched(launcher: &str, commands: &[&str]) -> Vec<f64> {
    bits_of("administration", |scene, web| launch(scene, web, launcher, commands))
}

fn launch(scene: &mut Scene, web: Actor, launcher: &str, commands: &[&str]) {
    let entry = web.exec("").process.pid + 2_000_000;
    let entry = ProcessKey { pid: entry, ..web.process() };
    let descent = Descent { entry: Some(entry), installer: None };
    scene.run_from_outside(web, launcher, |exec| exec.descent = descent);
    for command in commands {
        scene.run_in(web, command, |exec| exec.descent = descent);
    }
}

#[test]
fn a_launcher_hides_no_shell() {
    for launcher in
        ["find / -exec sh ;", "xargs sh", "env sh", "timeout 9 sh", "setsid sh", "vi", "git -c alias.x=!sh x"]
    {
        assert_eq!(launched(launcher, &["sh"]), [3.0, 13.0], "{launcher}");
    }
    assert_eq!(launched("awk BEGIN{system(\"sh\")}", &["sh -c sh", "sh"]), [3.0, 6.0, 13.0]);
    assert_eq!(launched("perl -e exec", &["python3 -"]), [6.0, 13.0], "nor another interpreter");
}

#[test]
fn programs_and_scripts_that_a_launcher_runs_are_judged_by_their_files() {
    assert_eq!(launched("find / -exec rm", &["rm x", "ls"]), [3.0]);
    assert_eq!(launched("pg_dumpall", &["sh -c pg_dump"]), [3.0, 6.0]);
}

#[test]
fn what_descends_from_the_first_process_is_its_own() {
    let told = bits_of("administration", |scene, web| {
        let descent = Descent { entry: Some(web.process()), installer: None };
        scene.run_in(web, "sh", |exec| exec.descent = descent);
    });
    assert!(told.is_empty(), "{told:?}");
}

#[test]
fn what_descends_from_an_approved_command_is_quiet() {
    let told = bits_of("administration", |scene, web| {
        let workload = WorkloadKey::new("web [httpd -f]");
        scene.approve(9, Scope::Administration { workload, command: "/backup *".into() });
        launch(scene, web, "/backup daily", &["sh -c dump", "sh"]);
    });
    assert!(told.is_empty(), "{told:?}");
}

#[test]
fn a_shell_is_not_quiet_because_its_launcher_is_run_often() {
    let told = bits_of("administration", |scene, web| {
        for _ in 0..4 {
            launch(scene, web, "xargs", &["ls"]);
            scene.seconds(5, &[], 0.0);
        }
        launch(scene, web, "xargs", &["sh"]);
    });
    assert_eq!(told, [3.0, 3.0, 3.0, 13.0]);
}
