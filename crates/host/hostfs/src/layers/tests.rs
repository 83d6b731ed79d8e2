//! Scripts in a made-up container, by directories that look like an overlay and its upper directory.
//!
//! Not here: a real overlay, see `tests/it`.

use std::os::unix::fs::{MetadataExt, symlink};
use std::process::Command;

use model::event::{Lineage, Streams};
use model::ids::{CgroupId, Namespaces, ProcessKey};
use model::program::Descent;
use testkit::host_tree::{CONTAINER_NAMESPACES, FakeHost, FakeProcess, HOST_NAMESPACES};

use super::*;

const PID: u32 = 500;
const PARENT: u32 = 400;

/// A container whose root is `merged`, in which `/tmp` is the current directory of its one process.
struct Scene(FakeHost);

impl Scene {
    fn new() -> Self {
        let scene = Self(FakeHost::v2().unwrap());
        for (pid, parent_pid) in [(PARENT, 1), (PID, PARENT)] {
            let process = FakeProcess::new(pid, "sh").contained("/docker/ab");
            scene.0.process(&FakeProcess { parent_pid, ..process }).unwrap();
            scene.link(&format!("proc/{pid}/root"), &scene.path("merged"));
            scene.link(&format!("proc/{pid}/cwd"), &scene.path("merged/tmp"));
        }
        scene.write("merged/bin/entry.sh", "");
        scene.write("up/tmp/kept", "");
        scene.written("tmp/x.sh");
        scene.table("overlay", "rw,upperdir=/up,workdir=/work");
        scene
    }

    fn path(&self, below: &str) -> PathBuf {
        self.0.root().join(below)
    }

    fn write(&self, path: &str, text: &str) {
        self.0.write(path, text.as_bytes()).unwrap();
    }

    fn link(&self, path: &str, target: &Path) {
        symlink(target, self.path(path)).unwrap();
    }

    /// What is written in a container is in its upper directory, and is shown.
    fn written(&self, path: &str) {
        self.write(&format!("up/{path}"), "");
        self.write(&format!("merged/{path}"), "");
    }

    fn table(&self, kind: &str, options: &str) {
        let device = self.device();
        let text = format!(
            "75 49 {device} / / rw - {kind} {kind} {options}\n76 75 0:42 / /proc rw - proc proc rw\n"
        );
        for pid in [PID, PARENT] {
            self.write(&format!("proc/{pid}/mountinfo"), &text);
        }
    }

    fn device(&self) -> String {
        let device = std::fs::metadata(self.path("merged")).unwrap().dev();
        format!("{}:{}", major(device), minor(device))
    }

    fn exec(script: &str) -> Exec {
        let ticks = 100 + u64::from(PID);
        Exec {
            process: ProcessKey { pid: PID, start_ns: ticks * crate::stat::TICK_NS },
            parent_pid: PARENT,
            uid: 0,
            cgroup: CgroupId(7),
            namespaces: CONTAINER_NAMESPACES,
            name: "sh".into(),
            path: "/bin/sh".into(),
            args: format!("sh {script}").as_str().into(),
            streams: Streams::default(),
            origin: FileOrigin::Unknown,
            script: script.into(),
            is_by_loader: false,
            file: None,
            descent: Descent::default(),
            lineage: None::<Lineage>,
            confines: None,
        }
    }

    fn check(&self, script: &str, expected: Option<(&str, FileOrigin)>) {
        let root = HostRoot::new(self.0.root());
        let found = super::script(&root, &Self::exec(script));
        let found = found.as_ref().map(|found| (found.path.raw(), found.origin));
        assert_eq!(found, expected, "{script}");
    }
}

const WRITTEN: Option<(&str, FileOrigin)> = Some(("/tmp/x.sh", FileOrigin::Written));

#[test]
fn a_script_of_the_image_is_told_from_one_that_was_written() {
    let scene = Scene::new();
    scene.check("/tmp/x.sh", WRITTEN);
    scene.check("x.sh", WRITTEN);
    scene.check("../bin/../tmp/./x.sh", WRITTEN);
    scene.check("/bin/entry.sh", Some(("/bin/entry.sh", FileOrigin::Image)));
    scene.check("../bin/entry.sh", Some(("/bin/entry.sh", FileOrigin::Image)));
}

#[test]
fn links_are_followed_within_the_container_only() {
    let scene = Scene::new();
    scene.write("secret", "");
    scene.link("merged/tmp/link", Path::new("/tmp/x.sh"));
    scene.link("merged/tmp/out", Path::new("../../../../../../secret"));
    scene.link("merged/tmp/round", Path::new("round"));
    scene.check("link", WRITTEN);
    for path in ["out", "round", "/../../secret", "/nothing", "", "/", "/tmp", "/tmp/x.sh/y"] {
        scene.check(path, None);
    }
}

#[test]
fn a_pipe_holds_what_no_layer_does_and_nothing_is_waited_for() {
    let scene = Scene::new();
    let pipe = scene.path("merged/tmp/pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    scene.check("/tmp/pipe", Some(("/tmp/pipe", FileOrigin::Memory)));
    scene.check("/tmp", None);
    // A name that the upper directory takes away is not shown by a true overlay.
    scene.write("merged/tmp/odd", "");
    std::fs::create_dir(scene.path("up/tmp/odd")).unwrap();
    scene.check("/tmp/odd", None);
}

#[test]
fn a_file_that_is_open_is_looked_at_by_its_number() {
    let scene = Scene::new();
    let memory =
        std::fs::File::from(rustix::fs::memfd_create("quiet", rustix::fs::MemfdFlags::CLOEXEC).unwrap());
    let named = scene.path("merged/tmp/x.sh");
    // In a made-up tree these are ordinary links: that to the memory can only be opened by the one who has it.
    scene.0.open_files(PID, &["/dev/null", "/dev/null", "/dev/null", &named.display().to_string()]).unwrap();
    scene.check("/dev/fd/3", WRITTEN);
    scene.check("/proc/self/fd/3", WRITTEN);
    scene.check("/dev/fd/0", None);
    scene.check("/dev/fd/9", None);
    scene.check("/dev/fd/x", None);
    let place = Place::of(&HostRoot::new(scene.0.root()), PID).unwrap();
    let path = target(Path::new(&format!("/proc/self/fd/{}", memory.as_raw_fd()))).unwrap();
    let found = place.regular(&memory.into(), &path).unwrap();
    assert_eq!(found.origin, FileOrigin::Memory);
    assert_eq!(found.path.raw(), "/memfd:quiet (deleted)");
}

#[test]
fn where_layers_are_not_in_sight_nothing_is_told() {
    let scene = Scene::new();
    let table = |kind: &str, options: &str| {
        scene.table(kind, options);
        scene.check("/tmp/x.sh", None);
    };
    table("overlay", "rw,lowerdir=/up");
    table("overlay", "rw,upperdir=up");
    table("overlay", "rw,upperdir=/elsewhere");
    table("ext4", "rw,upperdir=/up");
    scene.table("overlay", "rw,upperdir=/u\\160");
    scene.check("/tmp/x.sh", WRITTEN);
    for text in ["", "\n", "75 49 0:0 / / rw - overlay overlay rw,upperdir=/up\n", "75 49"] {
        scene.write(&format!("proc/{PID}/mountinfo"), text);
        scene.check("/tmp/x.sh", None);
    }
    let device = "0:1 / /volume rw - tmpfs none rw\n".repeat(10_000);
    scene.write(&format!("proc/{PID}/mountinfo"), &device);
    scene.check("/tmp/x.sh", None);
}

#[test]
fn layers_that_are_named_from_where_the_engine_was_are_found_by_the_hosts_mount() {
    let scene = Scene::new();
    scene.table("overlay", "rw,lowerdir=l/A:l/B,upperdir=ab/diff,workdir=ab/work");
    scene.check("/tmp/x.sh", None);
    scene.write("store/ab/diff/tmp/x.sh", "");
    let device = scene.device();
    let table =
        format!("27 1 0:1 / / rw - ext4 x rw\n34 27 {device} / /store/ab/merged rw - overlay overlay rw\n");
    scene.write("proc/1/mountinfo", &table);
    scene.check("/tmp/x.sh", WRITTEN);
    scene.check("/bin/entry.sh", Some(("/bin/entry.sh", FileOrigin::Image)));
    scene.write("proc/1/mountinfo", &format!("34 27 {device} / / rw - overlay overlay rw\n"));
    scene.check("/tmp/x.sh", None);
}

#[test]
fn of_a_process_that_has_ended_whoever_started_it_is_asked() {
    let scene = Scene::new();
    scene.0.end_process(PID).unwrap();
    scene.check("/tmp/x.sh", WRITTEN);
    scene.check("x.sh", None);
    scene.check("/dev/fd/3", None);
    scene.0.end_process(PARENT).unwrap();
    scene.check("/tmp/x.sh", None);
}

#[test]
fn a_later_process_of_that_pid_or_one_in_other_mounts_is_not_taken_for_it() {
    let scene = Scene::new();
    let later = FakeProcess::new(PID, "sh").contained("/docker/ab");
    scene.0.process(&FakeProcess { start_ticks: 9_999, ..later }).unwrap();
    scene.check("x.sh", None);
    scene.check("/tmp/x.sh", WRITTEN);
    let namespaces = Namespaces { mnt: HOST_NAMESPACES.mnt, ..CONTAINER_NAMESPACES };
    let outside = FakeProcess { namespaces, ..FakeProcess::new(PARENT, "sh") };
    scene.0.process(&outside).unwrap();
    scene.check("/tmp/x.sh", None);
}
