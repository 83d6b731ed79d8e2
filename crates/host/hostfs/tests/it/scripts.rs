//! Scripts in an overlay that is mounted in a mount namespace of its own. Needs root, and fails without.
//!
//! Not here: hostile trees, see `layers/tests.rs`.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use hostfs::layers::script;
use hostfs::process::namespaces;
use hostfs::root::HostRoot;
use model::event::{Exec, FileOrigin, Streams};
use model::ids::{CgroupId, ProcessKey};
use model::program::Descent;
use model::time::Time;

/// An overlay over the host's root, a volume in it, and files of all kinds; its shell then waits in it.
const CONTAINER: &str = r#"set -e
    mkdir -p $1/up $1/work $1/merged
    mount -t overlay -o lowerdir=/,upperdir=$1/up,workdir=$1/work overlay $1/merged
    mkdir $1/merged/volume; mount -t tmpfs none $1/merged/volume
    for file in written 'with blank' volume/mounted open; do echo true > "$1/merged/$file"; done
    mkfifo $1/merged/pipe $1/merged/volume/pipe
    echo true > $1/single; touch -d 2001-01-01 $1/single; touch $1/merged/bound; mount --bind $1/single $1/merged/bound
    ln -s /volume/mounted $1/merged/to-volume
    cd $1/merged
    if [ "$2" = pivot ]; then pivot_root . mnt; fi
    exec chroot . sh -c 'cd /volume; exec 7< /open; rm /open; echo ready; read end'"#;

struct Container {
    child: Child,
    directory: PathBuf,
}

impl Container {
    fn start(way: &str) -> Self {
        // Where the host sees it as well, as it does an engine's: not below a mount of the container's namespace.
        let directory = PathBuf::from(format!("/var/tmp/tidewatch-scripts-{way}-{}", std::process::id()));
        let place = directory.to_str().unwrap();
        let mut child = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "bash", "-c", CONTAINER, "bash", place, way])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "an overlay can be mounted: this test needs root");
        Self { child, directory }
    }

    fn exec(&self, script: &str) -> Exec {
        let (root, pid) = (HostRoot::new("/"), self.child.id());
        Exec {
            process: ProcessKey { pid, start_ns: start_ns(pid) },
            parent_pid: std::process::id(),
            uid: 0,
            cgroup: CgroupId(1),
            namespaces: namespaces(&root, pid).unwrap(),
            name: "sh".into(),
            path: "/bin/sh".into(),
            args: "sh".into(),
            streams: Streams::default(),
            origin: FileOrigin::Unknown,
            script: script.into(),
            is_by_loader: false,
            file: None,
            descent: Descent::default(),
            lineage: None,
            confines: None,
        }
    }

    fn check(&self, path: &str, expected: Option<(&str, FileOrigin)>) {
        let found = script(&HostRoot::new("/"), &self.exec(path));
        let found = found.as_ref().map(|found| (found.path.raw(), found.origin));
        assert_eq!(found, expected, "{path}");
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = self.child.stdin.take().map(|mut input| input.write_all(b"end\n"));
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn start_ns(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let after = text.rsplit(')').next().unwrap();
    after.split_whitespace().nth(19).unwrap().parse::<u64>().unwrap() * 10_000_000
}

#[test]
fn scripts_in_an_overlay_are_told_by_where_they_are_from() {
    for way in ["pivot", "chroot"] {
        let container = Container::start(way);
        container.check("/written", Some(("/written", FileOrigin::Written)));
        container.check("../written", Some(("/written", FileOrigin::Written)));
        container.check("/with blank", Some(("/with blank", FileOrigin::Written)));
        container.check("/volume/mounted", Some(("/volume/mounted", FileOrigin::Mounted)));
        container.check("mounted", Some(("/volume/mounted", FileOrigin::Mounted)));
        container.check("/to-volume", Some(("/volume/mounted", FileOrigin::Mounted)));
        container.check("/pipe", Some(("/pipe", FileOrigin::Memory)));
        container.check("/volume/pipe", Some(("/volume/pipe", FileOrigin::Memory)));
        container.check("/bound", Some(("/bound", FileOrigin::Mounted)));
        container.check("/dev/fd/7", Some((gone(&container).as_str(), FileOrigin::Deleted)));
        let image = std::fs::canonicalize("/usr/bin/ldd").unwrap();
        let image = image.to_str().unwrap();
        container.check("/usr/bin/ldd", Some((image, FileOrigin::Image)));
        container.check("/nothing", None);
    }
}

/// What the kernel calls its open file without a name.
fn gone(container: &Container) -> String {
    let link = format!("/proc/{}/fd/7", container.child.id());
    std::fs::read_link(Path::new(&link)).unwrap().display().to_string()
}

#[test]
fn a_file_on_another_mount_is_told_with_when_it_changed_and_whether_it_is_mounted_alone() {
    let start = Time::from_ns(nanoseconds()).minus(Duration::from_secs(1));
    let container = Container::start("pivot");
    let file = |path: &str| script(&HostRoot::new("/"), &container.exec(path)).unwrap().file.unwrap();
    let (single, volume) = (file("/bound"), file("/volume/mounted"));
    assert!(single.is_mounted_alone && !volume.is_mounted_alone);
    assert!(single.changed > start, "it was touched to look old: {single:?}");
    let merged = container.directory.join("single");
    assert_eq!(single.id.inode, std::fs::metadata(merged).unwrap().ino());
    assert_eq!((single.name.raw(), volume.name.raw()), ("bound", "mounted"));
}

#[test]
fn what_a_loader_is_given_is_the_gravest_of_its_arguments() {
    let container = Container::start("pivot");
    let given = |args: &str| {
        let exec = Exec { is_by_loader: true, args: args.into(), ..container.exec("") };
        // It has ended, as far as its own arguments are concerned: those that the kernel told count.
        let gone = Exec {
            process: ProcessKey { pid: u32::MAX, start_ns: 1 },
            parent_pid: container.child.id(),
            ..exec
        };
        script(&HostRoot::new("/"), &gone).map(|found| (found.path.raw().to_owned(), found.origin))
    };
    let written = Some(("/written".to_owned(), FileOrigin::Written));
    assert_eq!(given("ld.so /written"), written);
    assert_eq!(given("ld.so --argv0 ls --library-path /lib /written -x"), written);
    assert_eq!(given("ld.so --preload /written /usr/bin/env"), written);
    assert_eq!(given("ld.so --preload=/written /usr/bin/env"), written);
    assert_eq!(given("ld.so --verify /written"), None, "ldd");
    assert_eq!(given("ld.so --list --verify /written").map(|it| it.1), Some(FileOrigin::Written));
    assert_eq!(given("ld.so /usr/bin/env").map(|it| it.1), Some(FileOrigin::Image));
    assert_eq!(given("ld.so"), None);
}

fn nanoseconds() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_nanos()).unwrap()
}
