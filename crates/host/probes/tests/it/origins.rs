//! Where executed files come from, what started them and for whom, who moves whom into which cgroup.
//!
//! Not here: files of containers of an engine; they lie on the same overlayfs that is mounted here.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use model::event::{Attach, Body, Exec, FileOrigin};
use probes::{Probes, Record};
use rustix::fs::{MemfdFlags, memfd_create};

use crate::host::{TestCgroup, load, own_cgroup, until};

/// Whether it is the exec of `true` with this argument, or of a file of this name.
fn is_marked(body: &Body, mark: &str) -> bool {
    let Body::Exec(exec) = body else { return false };
    let args = exec.args.raw();
    let args = args.strip_prefix("/bin/").unwrap_or(args);
    args.strip_prefix("true ") == Some(mark) || exec.path.raw().ends_with(mark)
}

fn exec_marked(probes: &mut Probes, mark: &str) -> Exec {
    let records = until(probes, mark, |body| is_marked(body, mark));
    found_exec(records, |body| is_marked(body, mark))
}

fn found_exec(records: Vec<Record>, fits: impl Fn(&Body) -> bool) -> Exec {
    match records.into_iter().map(|record| record.body).find(fits) {
        Some(Body::Exec(exec)) => *exec,
        other => panic!("{other:?}"),
    }
}

fn inode(pid: u32, kind: &str) -> u32 {
    let inode = fs::metadata(format!("/proc/{pid}/ns/{kind}")).unwrap().ino();
    u32::try_from(inode).unwrap()
}

/// A program that does nothing, in a file of its own.
struct Program(PathBuf);

impl Program {
    fn new(directory: &Path, name: &str) -> Self {
        let path = directory.join(format!("{name}-{}", std::process::id()));
        fs::copy("/bin/true", &path).unwrap();
        Self(path)
    }

    fn run(&self) {
        // Another test may fork while the copy is still open for writing; its child closes it soon.
        let start = std::time::Instant::now();
        while start.elapsed().as_secs() < 5 {
            match Command::new(&self.0).status() {
                Ok(status) => return assert!(status.success()),
                Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ExecutableFileBusy),
            }
        }
        panic!("{} stays busy", self.0.display());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Runs what an open file of this process holds.
fn run_open(file: &impl AsRawFd) -> Child {
    Command::new(format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd())).spawn().unwrap()
}

/// The first exec of a child, by its pid.
fn exec_of(probes: &mut Probes, mut child: Child) -> Exec {
    assert!(child.wait().unwrap().success());
    let fits = |body: &Body| matches!(body, Body::Exec(exec) if exec.process.pid == child.id());
    found_exec(until(probes, "the exec", fits), fits)
}

#[test]
fn a_program_in_memory_is_told_from_one_whose_name_is_gone() {
    let mut probes = load();
    let memory = memfd_create("quiet", MemfdFlags::CLOEXEC).unwrap();
    // A file that is open for writing is not executed: only the name of the memory is kept open.
    let mut writable = File::from(memory.try_clone().unwrap());
    writable.write_all(&fs::read("/bin/true").unwrap()).unwrap();
    let readable = File::open(format!("/proc/self/fd/{}", memory.as_raw_fd())).unwrap();
    drop((memory, writable));
    assert_eq!(exec_of(&mut probes, run_open(&readable)).origin, FileOrigin::Memory);

    let program = Program::new(&std::env::temp_dir(), "deleted");
    let open = File::open(&program.0).unwrap();
    fs::remove_file(&program.0).unwrap();
    assert_eq!(exec_of(&mut probes, run_open(&open)).origin, FileOrigin::Deleted);

    let shared = Path::new("/dev/shm");
    let named = Program::new(shared, "memfd:named");
    let open = File::open(&named.0).unwrap();
    assert_eq!(exec_of(&mut probes, run_open(&open)).origin, FileOrigin::Mounted, "it has a name");
}

#[test]
fn a_program_on_another_file_system_than_the_root_is_mounted() {
    let mut probes = load();
    let program = Program::new(Path::new("/dev/shm"), "mounted");
    program.run();
    let mark = program.0.display().to_string();
    assert_eq!(exec_marked(&mut probes, &mark).origin, FileOrigin::Mounted);
}

/// Shell that makes an overlay over the host's root in a mount namespace of its own; `merged` is where it is shown.
const OVERLAY: &str = "set -e; dir=/mnt; mount -t tmpfs none $dir; cd $dir; mkdir up work merged\n\
    mount -t overlay -o lowerdir=/,upperdir=$dir/up,workdir=$dir/work overlay merged\n";

#[test]
fn files_of_an_image_are_told_from_those_written_later() {
    let mut probes = load();
    let pid = std::process::id();
    let script = format!(
        "echo '#!/bin/bash' > merged/script-{pid}; chmod +x merged/script-{pid}
         cp merged/bin/true merged/written-{pid}; cp merged/bin/true merged/gone-{pid}
         echo '#!/bash-{pid}' > merged/own-{pid}; chmod +x merged/own-{pid}
         mkdir merged/volume-{pid}; mount -t tmpfs none merged/volume-{pid}; cp /bin/true merged/volume-{pid}/true
         cp merged/script-{pid} merged/volume-{pid}/script
         chroot merged /bin/true of-the-image-{pid}
         chroot merged /written-{pid}
         chroot merged /volume-{pid}/true
         chroot merged /script-{pid}
         chroot merged /bin/bash /script-{pid} by-hand-{pid}
         chroot merged /volume-{pid}/script
         cp merged/bin/bash merged/bash-{pid}; chroot merged /own-{pid}
         chroot merged /bin/touch -h /bin/true; chroot merged /bin/true copied-up-{pid}
         exec 9< merged/gone-{pid}; rm merged/gone-{pid}; exec -a true /proc/$$/fd/9 deleted-{pid}"
    );
    let script = format!("{OVERLAY}{script}");
    let status = Command::new("unshare").args(["--mount", "bash", "-c", &script]).status().unwrap();
    assert!(status.success(), "an overlay can be mounted and its files run: {status}");
    let last = format!("deleted-{pid}");
    let records = until(&mut probes, &last, |body| is_marked(body, &last));
    let origin = |mark: String| found_exec(records.clone(), |body| is_marked(body, &mark)).origin;
    assert_eq!(origin(format!("of-the-image-{pid}")), FileOrigin::Image);
    assert_eq!(origin(format!("/written-{pid}")), FileOrigin::Written);
    assert_eq!(origin(format!("/volume-{pid}/true")), FileOrigin::Mounted);
    let script = |mark: String| {
        let exec = found_exec(records.clone(), |body| is_marked(body, &mark));
        (exec.script.raw().to_owned(), exec.origin)
    };
    let unknown = |path: String| (path, FileOrigin::Unknown);
    let path = format!("/script-{pid}");
    assert_eq!(script(path.clone()), unknown(path.clone()), "only its interpreter is known");
    let volume = format!("/volume-{pid}/script");
    assert_eq!(script(volume.clone()), unknown(volume));
    let by_hand = format!("/bin/bash /script-{pid} by-hand-{pid}");
    let by_hand = |body: &Body| matches!(body, Body::Exec(exec) if exec.args.raw() == by_hand);
    assert_eq!(found_exec(records.clone(), by_hand).script.raw(), path);
    assert_eq!(script(format!("/own-{pid}")), (String::new(), FileOrigin::Written), "its interpreter is");
    assert_eq!(origin(format!("copied-up-{pid}")), FileOrigin::Written);
    assert_eq!(origin(last.clone()), FileOrigin::Deleted);
}

#[test]
fn an_exec_in_the_namespaces_of_another_tells_where_its_parent_is() {
    let (inside, outside) = (TestCgroup::new(), TestCgroup::new());
    let mut probes = load();
    let mut contained = inside.command("exec unshare --pid --mount --fork sleep 60").spawn().unwrap();
    let asleep = |body: &Body| matches!(body, Body::Exec(exec) if exec.parent_pid == contained.id() && exec.args.raw() == "sleep 60");
    let sleeper = found_exec(until(&mut probes, "sleep", asleep), asleep).process.pid;
    let (pid_ns, mnt_ns) = (inode(sleeper, "pid"), inode(sleeper, "mnt"));
    let mark = format!("entered-{}", std::process::id());
    let entered = outside.run(&format!("exec nsenter --target {sleeper} --pid --mount true {mark}"));
    Command::new("kill").arg("-9").arg(sleeper.to_string()).status().unwrap();
    contained.wait().unwrap();
    assert!(entered.success());
    let exec = exec_marked(&mut probes, &mark);
    let lineage = exec.lineage.unwrap();
    assert_eq!((exec.namespaces.pid, exec.namespaces.mnt), (pid_ns, mnt_ns));
    assert_eq!((exec.cgroup, lineage.parent_cgroup), (outside.id, outside.id));
    assert_eq!(lineage.parent_namespaces.pid, inode(std::process::id(), "pid"));
    assert_eq!(lineage.parent_namespaces.net, inode(std::process::id(), "net"));
    assert_eq!(lineage.user_ns, inode(std::process::id(), "user"));
}

#[test]
fn a_terminal_and_a_login_are_told() {
    let mut probes = load();
    let pid = std::process::id();
    let run = |program: &str, args: &[&str]| {
        let status = Command::new(program).args(args).stdin(Stdio::null()).stdout(Stdio::null()).status();
        assert!(status.unwrap().success(), "{program} {args:?}");
    };
    run("setsid", &["--wait", "true", &format!("without-terminal-{pid}")]);
    let lineage = exec_marked(&mut probes, &format!("without-terminal-{pid}")).lineage.unwrap();
    let own: u32 = fs::read_to_string("/proc/self/loginuid").unwrap().trim().parse().unwrap();
    assert_eq!((lineage.has_terminal, lineage.login_uid), (false, Some(own).filter(|&uid| uid != u32::MAX)));
    run("script", &["-qec", &format!("exec true with-terminal-{pid}"), "/dev/null"]);
    assert!(exec_marked(&mut probes, &format!("with-terminal-{pid}")).lineage.unwrap().has_terminal);
    run("bash", &["-c", &format!("echo 4711 > /proc/self/loginuid && exec true logged-in-{pid}")]);
    let lineage = exec_marked(&mut probes, &format!("logged-in-{pid}")).lineage.unwrap();
    assert_eq!(lineage.login_uid, Some(4711));
}

#[test]
fn whoever_moves_a_process_into_a_cgroup_is_told_with_its_namespaces() {
    let cgroup = TestCgroup::new();
    let mut probes = load();
    let mut child = Command::new("unshare").args(["--mount", "--net", "sleep", "60"]).spawn().unwrap();
    let started = |body: &Body| matches!(body, Body::Exec(exec) if exec.process.pid == child.id() && exec.name.raw() == "sleep");
    until(&mut probes, "sleep", started);
    let pid = child.id();
    let (mnt, net) = (inode(child.id(), "mnt"), inode(child.id(), "net"));
    fs::write(cgroup.dir.join("cgroup.procs"), child.id().to_string()).unwrap();
    let moved = |body: &Body| matches!(body, Body::CgroupAttached(at) if at.process.pid == pid);
    let records = until(&mut probes, "the move", moved);
    child.kill().unwrap();
    child.wait().unwrap();
    let Some(Body::CgroupAttached(attach)) = records.into_iter().map(|record| record.body).find(moved) else {
        panic!()
    };
    let Attach { namespaces, by_pid, by_cgroup, .. } = attach;
    let namespaces = namespaces.unwrap();
    assert_eq!((by_pid, by_cgroup), (std::process::id(), own_cgroup()));
    assert_eq!((namespaces.mnt, namespaces.net), (mnt, net));
    assert_eq!(namespaces.pid, inode(std::process::id(), "pid"));
}
