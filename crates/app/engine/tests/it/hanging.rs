//! Every call that may never return is made to hang for ever, one at a time: what a made-up host holds is found all the same,
//! `status` shows the call, and the run ends when it is asked to.
//!
//! The calls are those that a run makes: a new one is among them by itself. Not here: the disk and the output (`tests/live`),
//! and calls to engines that answer in part (`sources`).

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam_channel::{Receiver, Sender, unbounded};
use deadline::faults;
use deadline::pulse::Pulses;
use engine::config::EngineConfig;
use engine::live::guard::Guard;
use engine::live::{Engine, EngineError, Notice, Show};
use model::incident::Incident;
use sources::containers::ContainersConfig;
use sources::outlet::{Stop, Stopper};
use tempfile::TempDir;
use testkit::host_tree::{FakeHost, FakeProcess};

use crate::stage::strategies;

const PID: u32 = 500;
const CGROUP: &str = "/made-by-hand";
const MOUNTS: &str = "\
    22 27 0:21 / /proc rw - proc proc rw\n\
    27 1 254:0 / / rw - ext4 /dev/vda rw\n\
    34 27 0:39 / /srv/rootfs rw - overlay overlay rw,upperdir=/srv/diff\n";
const OWN_MOUNTS: &str = "\
    75 49 0:39 / / rw - overlay overlay rw,upperdir=/srv/diff\n\
    76 75 0:42 / /proc rw - proc proc rw\n";
/// What is there at the start is judged within this time, with one call that hangs.
const FOUND_WITHIN: Duration = Duration::from_secs(8);
/// Every call was made at least once after so long.
const CALLED_WITHIN: Duration = Duration::from_secs(3);
const ENDED_WITHIN: Duration = Duration::from_secs(3);

/// A made-up host, and a data directory of which a run on it is over: what begins later is judged like any other.
struct Scene {
    host: FakeHost,
    seed: TempDir,
}

impl Scene {
    fn new() -> Self {
        let host = FakeHost::v2().unwrap();
        symlink(host.root(), host.root().join("proc/1/root")).unwrap();
        host.write("proc/1/mountinfo", MOUNTS.as_bytes()).unwrap();
        let scene = Self { host, seed: tempfile::tempdir().unwrap() };
        let (stop, notices, run) = run(&scene.host, &scene.seed.path().join("data"));
        let statuses = notices.iter().filter(|notice| matches!(notice, Notice::Status(_)));
        assert_eq!(statuses.take(2).count(), 2, "the host was looked at");
        drop(stop);
        run.join().unwrap().unwrap();
        begin_container(&scene.host);
        scene
    }

    /// A copy of the data directory and of what lies beside it.
    fn data(&self) -> TempDir {
        let copy = tempfile::tempdir().unwrap();
        let copied = Command::new("cp").arg("-a").arg(self.seed.path().join(".")).arg(copy.path()).status();
        assert!(copied.unwrap().success());
        copy
    }
}

/// A container made by hand, which has files of its own, begins now.
fn begin_container(host: &FakeHost) {
    host.cgroup(CGROUP).unwrap();
    host.write("rootfs/bin/miner", b"\x7fELF").unwrap();
    let program = host.root().join("rootfs/bin/miner").display().to_string();
    let process = FakeProcess::new(PID, "miner").contained(CGROUP).with_args(&["miner", "--all"]);
    let process = FakeProcess { exe: program, ..process };
    boot(host, Duration::from_millis(10 * process.start_ticks));
    host.process(&process).unwrap();
    host.members(CGROUP, &[PID]).unwrap();
    host.write(&format!("proc/{PID}/mountinfo"), OWN_MOUNTS.as_bytes()).unwrap();
    let status = b"Name:\tx\nUid:\t0\t0\t0\t0\nCapBnd:\t00000000a80425fb\nSeccomp:\t2\n";
    host.write(&format!("proc/{PID}/status"), status).unwrap();
    for (pid, kinds) in [(1, [1, 2, 3, 4]), (PID, [11, 12, 3, 4])] {
        for (kind, inode) in ["ipc", "uts", "user", "cgroup"].into_iter().zip(kinds) {
            symlink(format!("{kind}:[{inode}]"), host.root().join(format!("proc/{pid}/ns/{kind}"))).unwrap();
        }
    }
    symlink(host.root().join("rootfs"), host.root().join(format!("proc/{PID}/root"))).unwrap();
}

/// The host was booted so long ago.
fn boot(host: &FakeHost, ago: Duration) {
    let stat = fs::read_to_string(host.root().join("proc/stat")).unwrap();
    let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() - ago;
    let line = |line: &str| match line.starts_with("btime ") {
        true => format!("btime {}\n", at.as_secs()),
        false => format!("{line}\n"),
    };
    host.write("proc/stat", stat.lines().map(line).collect::<String>().as_bytes()).unwrap();
}

struct Told(Sender<Notice>);

impl Show for Told {
    fn show(&mut self, notice: Notice) {
        drop(self.0.send(notice));
    }
}

/// What a run on that host shows until it was found and the least time has passed, and how long it took to end.
struct Seen {
    found_after: Option<Duration>,
    shows_hung: bool,
    ended_after: Duration,
}

fn watch(scene: &Scene) -> Seen {
    let (data, begun) = (scene.data(), Instant::now());
    let (stop, notices, run) = run(&scene.host, &data.path().join("data"));
    let (found_after, shows_hung) = follow(&notices, begun);
    let asked = Instant::now();
    drop(stop);
    run.join().unwrap().unwrap();
    Seen { found_after, shows_hung, ended_after: asked.elapsed() }
}

type Running = (Stopper, Receiver<Notice>, JoinHandle<Result<(), EngineError>>);

fn run(host: &FakeHost, data: &Path) -> Running {
    let config = EngineConfig {
        node: "made-up".to_owned(),
        host_root: host.root().to_owned(),
        runtime_roots: vec!["/srv".to_owned()],
        containers: engine_at(&host.root().join("docker.sock")),
        ..EngineConfig::default()
    };
    let (guard, pulses) = (Guard::none(), Pulses::default());
    let engine = Engine::start(data, &config, Arc::new(strategies()), guard, pulses).unwrap();
    let (stopper, stop) = Stop::new();
    let (told, notices) = unbounded();
    let run = std::thread::spawn(move || engine.run(&stop, &mut Told(told)));
    (stopper, notices, run)
}

fn engine_at(socket: &Path) -> ContainersConfig {
    let mut config = ContainersConfig::default();
    socket.clone_into(&mut config.docker.socket);
    config
}

fn follow(notices: &Receiver<Notice>, begun: Instant) -> (Option<Duration>, bool) {
    let (mut found_after, mut shows_hung) = (None, false);
    while begun.elapsed() < FOUND_WITHIN && (found_after.is_none() || begun.elapsed() < CALLED_WITHIN) {
        match notices.recv_timeout(Duration::from_millis(100)) {
            Ok(Notice::Changed(changes) | Notice::NotStored(changes)) => {
                let is_found = changes.iter().any(|change| is_ghost(&change.incident));
                found_after = found_after.or(is_found.then(|| begun.elapsed()));
            }
            Ok(Notice::Status(status)) => {
                shows_hung |= status.calls.iter().any(|calls| calls.abandoned > calls.recovered);
            }
            _ => {}
        }
    }
    (found_after, shows_hung)
}

fn is_ghost(incident: &Incident) -> bool {
    incident.findings.iter().any(|finding| finding.judge == "ghost" && finding.claim.contains("miner"))
}

#[test]
fn a_call_that_never_returns_hides_nothing_and_holds_up_no_end() {
    let scene = Scene::new();
    let seen = watch(&scene);
    assert!(seen.found_after.is_some() && !seen.shows_hung, "the host as it is");
    let calls = faults::made();
    assert!(calls.len() >= 5, "{calls:?}");
    for call in calls {
        faults::hang(call);
        let seen = watch(&scene);
        assert!(seen.found_after.is_some(), "with {call:?} hanging, nothing is found");
        assert!(seen.shows_hung, "that {call:?} hangs is not shown");
        assert!(
            seen.ended_after <= ENDED_WITHIN,
            "with {call:?} hanging, it ends after {:?}",
            seen.ended_after
        );
    }
}

#[test]
fn an_engine_that_takes_connections_and_never_answers_hides_nothing_and_holds_up_no_end() {
    let scene = Scene::new();
    let _silent = UnixListener::bind(scene.host.root().join("docker.sock")).unwrap();
    let seen = watch(&scene);
    assert!(seen.found_after.is_some(), "nothing is found");
    assert!(seen.ended_after <= ENDED_WITHIN, "it ends after {:?}", seen.ended_after);
}
