//! A containerd of the test's own, followed through its own interface and through the kubelet's.
//!
//! Needs root, containerd with `ctr` and runc, and a busybox without libraries; `cargo nextest run -p sources
//! --run-ignored only`. Not here: the whole program beside an engine (`tests/live`).

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use containers::cri::Cri;
use containers::cri::pods::Wanted;
use crossbeam_channel::Receiver;
use deadline::pulse::Watched;
use model::event::{Body, Event};
use model::ids::NodeId;
use model::privilege::NamespaceKind;
use model::runtime::{ContainerFacts, RunState};
use model::untrusted::Untrusted;
use model::view::EngineState;
use sources::containers::follow_config::FollowConfig;
use sources::containers::{containerd, cri};
use sources::outlet::{Outlet, Stop, Stopper};
use tempfile::TempDir;

/// Long enough for a loaded machine; a test that passes does not wait for it.
const PATIENCE: Duration = Duration::from_secs(20);

const IMAGE: &str = "docker.io/library/box:1";
/// What the kubelet's interface runs as a pod's sandbox.
const SANDBOX: &str = "registry.k8s.io/pause:3.6";

/// The daemon, with everything of it below one directory.
struct Daemon {
    dir: TempDir,
    child: Child,
}

impl Daemon {
    fn start() -> Self {
        // Short, as a socket's path is limited to 107 bytes.
        let dir = tempfile::Builder::new().prefix("tw").tempdir_in("/tmp").unwrap();
        let at = |name: &str| dir.path().join(name).display().to_string();
        let settings = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\n[grpc]\naddress = {:?}\n\
             [plugins.\"io.containerd.grpc.v1.cri\"]\nsandbox_image = {SANDBOX:?}\nstream_server_port = \"0\"\nrestrict_oom_score_adj = true\n\
             [plugins.\"io.containerd.grpc.v1.cri\".containerd]\nsnapshotter = \"native\"\n",
            at("root"),
            at("state"),
            at("sock")
        );
        fs::write(at("config.toml"), settings).unwrap();
        let log = fs::File::create(at("log")).unwrap();
        let child = Command::new("containerd")
            .args(["--config", &at("config.toml")])
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let daemon = Self { dir, child };
        let begun = Instant::now();
        while !daemon.ctr("default", &["version"]) {
            assert!(begun.elapsed() < PATIENCE, "containerd does not answer");
        }
        daemon
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("sock")
    }

    fn client(&self, namespace: &str, args: &[&str]) -> Command {
        let mut ctr = Command::new("ctr");
        ctr.arg("--address").arg(self.socket()).args(["--namespace", namespace]).args(args);
        ctr.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        ctr
    }

    fn ctr(&self, namespace: &str, args: &[&str]) -> bool {
        self.client(namespace, args).status().unwrap().success()
    }

    fn listed(&self, namespace: &str, args: &[&str]) -> Vec<String> {
        let output = self.client(namespace, args).stdout(Stdio::piped()).output();
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        text.unwrap_or_default().lines().map(str::to_owned).collect()
    }

    fn import(&self, namespace: &str, name: &str) {
        let archive = archive(self.dir.path(), name);
        assert!(self.ctr(namespace, &["images", "import", "--snapshotter", "native", &archive]));
    }

    fn run(&self, namespace: &str, options: &[&str], name: &str) {
        let fixed = ["run", "--detach", "--snapshotter", "native"];
        let what = [IMAGE, name, "/bin/busybox", "sleep", "1000"];
        assert!(self.ctr(namespace, &[&fixed, options, &what].concat()));
    }

    fn remove(&self, namespace: &str, name: &str) {
        self.ctr(namespace, &["tasks", "remove", "--force", name]);
        self.ctr(namespace, &["containers", "remove", name]);
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // What a failed test has left running would outlive the daemon.
        for namespace in self.listed("default", &["namespaces", "list", "-q"]) {
            for task in self.listed(&namespace, &["tasks", "list", "-q"]) {
                self.ctr(&namespace, &["tasks", "remove", "--force", &task]);
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An image of one busybox, as an archive that Docker would have saved.
fn archive(dir: &Path, name: &str) -> String {
    let made = dir.join("archive");
    let bin = dir.join("files/bin");
    if !bin.exists() {
        fs::create_dir_all(&bin).unwrap();
        fs::create_dir_all(&made).unwrap();
        fs::copy("/bin/busybox", bin.join("busybox")).unwrap();
        // What the sandbox runs when it is told nothing else.
        symlink("busybox", bin.join("sleep")).unwrap();
    }
    tar(&made.join("layer.tar"), &dir.join("files"), &["."]);
    let sum = Command::new("sha256sum").arg(made.join("layer.tar")).output().unwrap().stdout;
    let sum = String::from_utf8(sum[..64].to_vec()).unwrap();
    let config = format!(
        r#"{{"architecture":"{}","os":"linux","config":{{"Cmd":["/bin/sleep","1000"]}},
            "rootfs":{{"type":"layers","diff_ids":["sha256:{sum}"]}}}}"#,
        if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
    );
    fs::write(made.join("config.json"), config).unwrap();
    let manifest = format!(r#"[{{"Config":"config.json","RepoTags":["{name}"],"Layers":["layer.tar"]}}]"#);
    fs::write(made.join("manifest.json"), manifest).unwrap();
    let archive = dir.join("image.tar");
    tar(&archive, &made, &["manifest.json", "config.json", "layer.tar"]);
    archive.display().to_string()
}

fn tar(to: &Path, from: &Path, what: &[&str]) {
    let status = Command::new("tar").arg("-cf").arg(to).arg("-C").arg(from).args(what).status().unwrap();
    assert!(status.success());
}

/// What a follower sends.
struct Follower {
    queue: Receiver<Event>,
    thread: Option<Watched>,
    stopper: Option<Stopper>,
}

impl Follower {
    fn start(spawn: fn(PathBuf, FollowConfig, Outlet, Stop) -> Watched, socket: PathBuf) -> Self {
        let (outlet, queue) = Outlet::new(NodeId::new("node"), 10_000);
        let (stopper, stop) = Stop::new();
        let thread = spawn(socket, FollowConfig::default(), outlet, stop);
        Self { queue, thread: Some(thread), stopper: Some(stopper) }
    }

    fn wait_for<T>(&self, what: &str, pick: impl Fn(Body) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let Ok(event) = self.queue.recv_deadline(deadline) else { panic!("not told: {what}") };
            if let Some(found) = pick(event.body) {
                return found;
            }
        }
    }

    fn state(&self, state: EngineState) {
        self.wait_for(&format!("{state:?}"), |body| match body {
            Body::Engine(seen) if seen.state == state => Some(()),
            _ => None,
        });
    }

    fn container(&self, name: &str, state: RunState) -> ContainerFacts {
        self.wait_for(&format!("{name} {state:?}"), |body| match body {
            Body::Container(facts) if facts.name.raw() == name && facts.state == state => Some(*facts),
            _ => None,
        })
    }

    fn gone(&self, id: &str) {
        self.wait_for(&format!("{id} gone"), |body| match body {
            Body::ContainerGone { id: gone, .. } if gone.raw() == id => Some(()),
            _ => None,
        });
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        drop(self.stopper.take());
        assert!(self.thread.take().unwrap().join_until(Instant::now() + Duration::from_secs(20)));
    }
}

#[test]
fn a_container_in_a_fresh_namespace_of_containerd_is_told_at_once_with_its_image_and_rights() {
    let daemon = Daemon::start();
    daemon.import("fresh", IMAGE);
    let follower = Follower::start(containerd::spawn, daemon.socket());
    follower.state(EngineState::Answers);
    let begun = Instant::now();
    let mounts = "type=bind,src=/etc,dst=/host,options=rbind:ro";
    daemon.run("fresh", &["--cap-add", "CAP_SYS_ADMIN", "--net-host", "--mount", mounts], "c1");
    let started = Instant::now();
    let facts = follower.container("c1", RunState::Running);
    assert!(started.elapsed() < Duration::from_millis(300), "told {:?} after start", started.elapsed());
    assert_eq!(facts.view.namespace.raw(), "fresh");
    assert_eq!((facts.image.raw(), facts.command.raw()), (IMAGE, "/bin/busybox sleep 1000"));
    assert!(facts.digest.raw().starts_with("sha256:") && facts.image_facts.is_local, "{facts:?}");
    assert_eq!((facts.image_facts.digests.len(), facts.cgroup.raw()), (1, "/fresh/c1"));
    assert!(facts.created.is_some_and(|at| at.ns() > 0) && begun.elapsed() < PATIENCE);
    let comm = fs::read_to_string(format!("/proc/{}/comm", facts.pid.unwrap())).unwrap();
    assert_eq!(comm.trim(), "busybox");
    let privileges = facts.privileges.unwrap();
    assert!(privileges.shares(NamespaceKind::Net) && !privileges.shares(NamespaceKind::Pid));
    let rights: Vec<_> = privileges.rights().iter().map(Untrusted::to_string).collect();
    assert_eq!(rights, ["cap:SYS_ADMIN", "host:net", "mount:/etc:ro", "no-seccomp"]);
    daemon.ctr("fresh", &["tasks", "exec", "--exec-id", "x1", "c1", "/bin/busybox", "true"]);
    follower.wait_for("exec", |body| {
        matches!(body, Body::EngineExec { id, .. } if id.raw() == "c1").then_some(())
    });
    daemon.remove("fresh", "c1");
    follower.container("c1", RunState::Exited);
    follower.gone("c1");
}

#[test]
fn a_name_that_was_given_to_another_image_since_is_not_believed() {
    let daemon = Daemon::start();
    daemon.import("swap", IMAGE);
    let follower = Follower::start(containerd::spawn, daemon.socket());
    follower.state(EngineState::Answers);
    daemon.run("swap", &[], "c1");
    let before = follower.container("c1", RunState::Running);
    assert!(!before.digest.is_empty());
    fs::write(daemon.dir.path().join("files/more"), "another image").unwrap();
    daemon.import("swap", IMAGE);
    // Who saw it start still knows; who comes later is told the name and no digest, as the files are of neither.
    let later = Follower::start(containerd::spawn, daemon.socket());
    let after = later.container("c1", RunState::Running);
    assert_eq!((after.image.raw(), after.pid), (IMAGE, before.pid));
    assert!(after.digest.is_empty() && after.image_facts.is_empty(), "{after:?}");
    daemon.remove("swap", "c1");
    assert_eq!(follower.container("c1", RunState::Exited).digest, before.digest);
}

#[test]
fn a_container_of_no_image_is_told_with_its_root_and_no_digest() {
    let daemon = Daemon::start();
    let follower = Follower::start(containerd::spawn, daemon.socket());
    follower.state(EngineState::Answers);
    archive(daemon.dir.path(), IMAGE);
    let files = daemon.dir.path().join("files").display().to_string();
    let what = ["run", "--detach", "--rootfs", &files, "bare", "/bin/busybox", "sleep", "1000"];
    assert!(daemon.ctr("bare", &what));
    let bare = follower.container("bare", RunState::Running);
    assert!(bare.digest.is_empty() && bare.image_facts.is_empty());
    assert_eq!(bare.root.raw(), files);
    daemon.remove("bare", "bare");
}

#[test]
fn an_engine_that_stops_is_silent_and_answers_again_with_all_it_has() {
    let mut daemon = Daemon::start();
    daemon.import("stays", IMAGE);
    daemon.run("stays", &[], "c1");
    let follower = Follower::start(containerd::spawn, daemon.socket());
    let facts = follower.container("c1", RunState::Running);
    follower.state(EngineState::Answers);
    daemon.child.kill().unwrap();
    daemon.child.wait().unwrap();
    follower.state(EngineState::Silent);
    daemon.child = Command::new("containerd")
        .arg("--config")
        .arg(daemon.dir.path().join("config.toml"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let again = follower.container("c1", RunState::Running);
    assert_eq!((again.pid, again.digest), (facts.pid, facts.digest));
    follower.state(EngineState::Answers);
    daemon.remove("stays", "c1");
    follower.gone("c1");
}

#[test]
fn a_pod_is_told_with_its_sandbox_and_its_container_by_both_interfaces() {
    let daemon = Daemon::start();
    daemon.import("k8s.io", SANDBOX);
    // The same image under two names would be told under either.
    fs::write(daemon.dir.path().join("files/more"), "another image").unwrap();
    daemon.import("k8s.io", IMAGE);
    let kubelets = Follower::start(cri::spawn, daemon.socket());
    let own = Follower::start(containerd::spawn, daemon.socket());
    kubelets.state(EngineState::Answers);
    own.state(EngineState::Answers);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client = runtime.block_on(Cri::connect(&daemon.socket(), 20_000)).unwrap();
    let wanted = Wanted {
        name: "web-1".into(),
        namespace: "shop".into(),
        uid: "u-1".into(),
        labels: [("io.kubernetes.pod.name".to_owned(), "another".to_owned())].into(),
        cgroup_parent: String::new(),
    };
    let pod = runtime.block_on(client.run_pod(&wanted)).unwrap();
    let sandbox = kubelets.container("POD/web-1", RunState::Running);
    assert_eq!((&sandbox.id, sandbox.image.raw()), (&pod, SANDBOX));
    assert!(sandbox.pid.is_some() && !sandbox.digest.is_empty());
    let command = ["/bin/busybox", "sleep", "1000"];
    let made = runtime.block_on(client.create_container((&pod, &wanted), "main", IMAGE, &command)).unwrap();
    runtime.block_on(client.start_container(&made)).unwrap();
    let facts = kubelets.container("main/web-1", RunState::Running);
    assert_eq!(
        (&facts.id, facts.image.raw(), facts.command.raw()),
        (&made, IMAGE, "/bin/busybox sleep 1000")
    );
    assert_eq!(facts.label("io.kubernetes.pod.name").map(Untrusted::raw), Some("web-1"));
    assert_eq!(facts.label("io.kubernetes.pod.namespace").map(Untrusted::raw), Some("shop"));
    let same = own.container(made.raw(), RunState::Running);
    assert_eq!((same.view.namespace.raw(), same.pid, &same.digest), ("k8s.io", facts.pid, &facts.digest));
    runtime.block_on(client.stop_pod(&pod)).unwrap();
    kubelets.container("main/web-1", RunState::Exited);
    runtime.block_on(client.remove_pod(&pod)).unwrap();
    kubelets.gone(made.raw());
}
