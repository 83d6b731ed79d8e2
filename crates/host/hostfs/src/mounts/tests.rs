//! Mount tables of made-up processes beside real sockets, and of a process with a root of its own.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};

use expect_test::{Expect, expect};
use testkit::host_tree::FakeHost;

use super::*;

/// A device that the host has mounted at `/data`.
const DATA: &str = "254:9";

/// A host whose `/run` is a file system of its own, with the sockets of Docker and its containerd, and a container.
struct Scene {
    host: FakeHost,
    run: String,
    _sockets: Vec<UnixListener>,
}

impl Scene {
    fn new() -> Self {
        let host = FakeHost::v2().unwrap();
        let bind = |path: &str| {
            host.write(path, b"").unwrap();
            host.remove(path).unwrap();
            UnixListener::bind(host.root().join(path)).unwrap()
        };
        let sockets = ["run/docker.sock", "run/docker/containerd/containerd.sock"].map(bind).into();
        let device = stat(host.root()).unwrap().st_dev;
        let run = format!("{}:{}", major(device), minor(device));
        let table = format!(
            "1 0 254:0 / / rw - ext4 /dev/vda rw\n2 1 {run} / /run rw - tmpfs tmpfs rw\n\
             3 1 {DATA} / /data rw - ext4 /dev/vdb rw\n4 1 254:0 /srv /export rw - ext4 /dev/vda rw\n"
        );
        host.write("proc/1/mountinfo", table.as_bytes()).unwrap();
        Self { host, run, _sockets: sockets }
    }

    /// The engine sockets of a process with a root of its own and these mounts: device, part and point of each.
    fn check(&self, mounts: &[[&str; 3]], expected: &Expect) {
        let mut table =
            "90 80 0:70 / / rw - overlay overlay rw\n91 90 0:71 / /proc rw - proc proc rw\n".to_owned();
        for [device, part, point] in mounts {
            table += &format!("92 90 {device} {part} {point} rw,relatime master:1 - ext4 /dev/x rw\n");
        }
        self.check_table(&table, expected);
    }

    fn check_table(&self, table: &str, expected: &Expect) {
        self.host.write("proc/70/mountinfo", table.as_bytes()).unwrap();
        let found = engine_sockets(&HostRoot::new(self.host.root()), 70);
        let shown = match found {
            Ok(found) => found.iter().map(|path| path.raw().to_owned()).collect::<Vec<_>>().join("\n"),
            Err(error) => error.to_string().replace(&self.host.root().display().to_string(), "ROOT"),
        };
        expected.assert_eq(&shown);
    }
}

#[test]
fn an_ordinary_container_has_none() {
    let scene = Scene::new();
    let hostname = ["254:0", "/var/lib/docker/containers/ab/hostname", "/etc/hostname"];
    let own_tmpfs = ["0:72", "/", "/run"];
    scene.check(&[hostname, own_tmpfs], &expect![""]);
}

#[test]
fn a_mounted_socket_is_told_by_the_host_s_path_whatever_it_is_called_inside() {
    let scene = Scene::new();
    let run = scene.run.as_str();
    scene.check(&[[run, "/docker.sock", "/var/run/docker.sock"]], &expect!["/run/docker.sock"]);
    scene.check(&[[run, "/docker.sock", "/tmp/x"]], &expect!["/run/docker.sock"]);
    scene.check(&[[DATA, "/podman/podman.sock", "/p"]], &expect!["/data/podman/podman.sock"]);
    // The closest of the host's mounts names it; one that the host does not have is named by its own path.
    scene.check(&[["254:0", "/srv/crio.sock", "/c"]], &expect!["/export/crio.sock"]);
    scene.check(&[["0:99", "/in\\040ner/cri-dockerd.sock", "/c"]], &expect!["/in ner/cri-dockerd.sock"]);
    // Replaced while it was mounted: whoever still listens on the old one can be talked to.
    scene.check(&[[run, "/docker.sock//deleted", "/d"]], &expect!["/run/docker.sock"]);
}

#[test]
fn a_mounted_directory_counts_for_the_sockets_that_are_below_it() {
    let scene = Scene::new();
    let run = scene.run.as_str();
    let both = expect![[r#"
        /run/docker/containerd/containerd.sock
        /run/docker.sock"#]];
    scene.check(&[[run, "/", "/host/run"]], &both);
    scene.check(&[["254:0", "/", "/host"], [run, "/", "/host/run"]], &both);
    scene.check(&[[run, "/docker", "/x"]], &expect!["/run/docker/containerd/containerd.sock"]);
    scene.check(&[[run, "/dock", "/x"], [run, "/other", "/y"]], &expect![""]);
    // Without what is mounted in it, the root's own `/run` is empty.
    scene.check(&[["254:0", "/", "/host"]], &expect![""]);
}

#[test]
fn what_only_looks_like_a_socket_is_none() {
    let scene = Scene::new();
    scene.host.write("data/docker.sock/x", b"").unwrap();
    scene.check(&[[DATA, "/docker.sock", "/var/run/docker.sock"]], &expect![""]);
    scene.check(&[[DATA, "/my-docker.sock", "/a"], [DATA, "/docker.sock/x", "/b"]], &expect![""]);
    // A file where the socket of containerd would be.
    scene.host.remove("run/docker/containerd/containerd.sock").unwrap();
    scene.host.write("run/docker/containerd/containerd.sock", b"").unwrap();
    scene.check(&[[&scene.run, "/docker", "/x"]], &expect![""]);
}

#[test]
fn a_process_in_the_host_s_own_root_has_nothing_mounted_into_it() {
    let scene = Scene::new();
    let table = std::fs::read_to_string(scene.host.root().join("proc/1/mountinfo")).unwrap();
    scene.check_table(&table, &expect![""]);
    let prepared =
        format!("{table}9 1 {} /docker.sock /var/lib/root/docker.sock rw - tmpfs tmpfs rw\n", scene.run);
    scene.check_table(&prepared, &expect![""]);
}

#[test]
fn malformed_and_huge_tables_do_no_harm() {
    let scene = Scene::new();
    scene.check_table("", &expect![""]);
    scene.check_table("1 2 3\n1 2 0:1 /docker.sock\n\u{fffd}\n1 2 0:1 /a/docker.sock /b rw\n", &expect![""]);
    let mount = |number: usize| format!("1 2 0:9 /{number:04}/docker.sock /b rw - tmpfs tmpfs rw\n");
    let many: String = (0..40_000).map(mount).collect();
    scene.host.write("proc/70/mountinfo", many.as_bytes()).unwrap();
    let found = engine_sockets(&HostRoot::new(scene.host.root()), 70).unwrap();
    assert_eq!((found.len(), found[0].raw()), (ENGINE_SOCKETS_MAX, "/0000/docker.sock"));
    scene.host.remove("proc/70").unwrap();
    assert!(engine_sockets(&HostRoot::new(scene.host.root()), 70).unwrap_err().is_gone());
}

#[test]
fn a_socket_mounted_into_another_root_is_found_on_this_kernel() {
    let directory = FakeHost::v2().unwrap();
    let place = directory.root().display().to_string();
    let _socket = UnixListener::bind(directory.root().join("docker.sock")).unwrap();
    // Only what the shell itself can do is left once the root is another.
    let script = format!(
        "set -e; mkdir {place}/root; mount -t tmpfs none {place}/root; cd {place}/root; mkdir old; touch s;\n\
         mount --bind {place}/docker.sock s; pivot_root . old; echo ready; read end"
    );
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("unshare (util-linux)");
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n", "user and mount namespaces can be made");
    let found = engine_sockets(&HostRoot::new("/"), child.id());
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    child.wait().unwrap();
    let wanted = format!("{place}/docker.sock");
    assert!(found.as_ref().unwrap().iter().any(|path| path.raw() == wanted), "{wanted} in {found:?}");
}
