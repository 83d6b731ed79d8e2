//! Processes of a made-up host, and one that this kernel shows.

use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use expect_test::{Expect, expect};
use testkit::host_tree::{CONTAINER_NAMESPACES, FakeHost, FakeProcess, HOST_NAMESPACES, docker_systemd};

use super::*;

const ID: &str = "00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff";
const HOST_TABLE: &str = "\
    22 27 0:21 / /proc rw - proc proc rw\n\
    23 27 0:22 / /sys rw - sysfs sysfs rw\n\
    24 27 0:5 / /dev rw - devtmpfs devtmpfs rw\n\
    27 1 254:0 / / rw - ext4 /dev/vda rw\n\
    30 27 0:25 / /run rw - tmpfs tmpfs rw\n\
    31 27 0:26 / /dev/shm rw - tmpfs tmpfs rw\n\
    32 23 0:38 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n\
    33 27 254:0 /etc /var/lib/docker/volumes/sly/_data rw - ext4 /dev/vda rw\n\
    34 27 0:39 / /var/lib/docker/overlay2/ab/merged rw - overlay overlay rw,upperdir=/var/lib/docker/overlay2/ab/diff\n";
const CONTAINER_TABLE: &str = "\
    75 49 0:39 / / rw - overlay overlay rw,upperdir=/var/lib/docker/overlay2/ab/diff\n\
    76 75 0:42 / /proc rw - proc proc rw\n\
    77 75 0:43 / /dev rw - tmpfs tmpfs rw\n\
    78 75 0:44 / /sys ro - sysfs sysfs ro\n\
    79 78 0:38 /docker/ab /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n";

/// A host with one container, whose first process is 500.
struct Scene {
    host: FakeHost,
}

impl Scene {
    fn new() -> Self {
        let scene = Self { host: FakeHost::v2().unwrap() };
        let path = docker_systemd(ID);
        scene.host.cgroup(&path).unwrap();
        for (pid, name, parent) in [(400, "containerd-shim", 1), (450, "runc", 400)] {
            let args: &[&str] = &[name, "-id", "ab"];
            scene
                .host
                .process(&FakeProcess { parent_pid: parent, ..FakeProcess::new(pid, name).with_args(args) })
                .unwrap();
        }
        let process = FakeProcess::new(500, "nginx").contained(&path).with_args(&["nginx", "-g"]);
        scene.host.process(&FakeProcess { parent_pid: 450, ..process }).unwrap();
        scene.write("proc/1/mountinfo", HOST_TABLE);
        for (pid, kinds) in [(1, [1, 2, 3, 4]), (500, [11, 12, 3, 4])] {
            for (kind, inode) in ["ipc", "uts", "user", "cgroup"].into_iter().zip(kinds) {
                scene.link(&format!("proc/{pid}/ns/{kind}"), &format!("{kind}:[{inode}]"));
            }
        }
        scene.host.write("layers/etc/passwd", b"").unwrap();
        scene.rooted("layers");
        scene.status("00000000a80425fb", "2");
        scene.write("proc/500/mountinfo", CONTAINER_TABLE);
        scene
    }

    fn write(&self, path: &str, text: &str) {
        self.host.write(path, text.as_bytes()).unwrap();
    }

    fn link(&self, path: &str, target: &str) {
        self.host.link(path, target).unwrap();
    }

    fn rooted(&self, directory: &str) {
        let target = self.host.root().join(directory);
        self.link("proc/500/root", target.to_str().unwrap());
    }

    fn status(&self, bounding: &str, seccomp: &str) {
        let text = format!("Name:\tx\nUid:\t0\t0\t0\t0\nCapBnd:\t{bounding}\nSeccomp:\t{seccomp}\n");
        self.write("proc/500/status", &text);
    }

    fn look(&self) -> Result<Look, HostfsError> {
        let root = HostRoot::new(self.host.root());
        let layout = CgroupLayout::detect(&root).unwrap();
        SetupReader::new(&root, &layout).unwrap().look(ProcessKey { pid: 500, start_ns: 6_000_000_000 })
    }

    fn setup(&self) -> Setup {
        self.look().unwrap().setup
    }

    /// The host's mounts in the container beside its usual ones: device, part, point, mode and kind of each.
    fn check_mounts(&self, mounts: &[[&str; 5]], expected: &Expect) {
        let mut table = CONTAINER_TABLE.to_owned();
        for [device, part, point, mode, kind] in mounts {
            table += &format!("92 75 {device} {part} {point} {mode},relatime master:1 - {kind} {kind} rw\n");
        }
        self.write("proc/500/mountinfo", &table);
        let mounts = self.setup().privileges.mounts;
        let line = |mount: &model::privilege::HostMount| {
            format!("{} {}", mount.path, if mount.is_writable { "rw" } else { "ro" })
        };
        expected.assert_eq(&mounts.iter().map(line).collect::<Vec<_>>().join("\n"));
    }
}

#[test]
fn an_ordinary_container_is_told_with_its_makers_and_without_rights() {
    let scene = Scene::new();
    let Look { setup, names, is_cloned } = scene.look().unwrap();
    assert_eq!((names[0].raw(), names[1].raw(), is_cloned), ("nginx", "nginx", false));
    assert_eq!(setup.program.raw(), "nginx -g");
    assert_eq!(setup.namespaces, CONTAINER_NAMESPACES);
    assert_eq!(setup.cgroup, scene.host.cgroup_id(&docker_systemd(ID)).unwrap());
    assert_eq!(setup.cgroup_path.raw(), docker_systemd(ID));
    assert_eq!(setup.root.raw(), "/var/lib/docker/overlay2/ab/merged");
    assert_eq!((setup.has_own_root, setup.has_own_users), (true, false));
    let makers: Vec<_> =
        setup.makers.iter().map(|maker| (maker.pid, maker.name.raw(), maker.args.raw())).collect();
    let expected = [
        (450, "runc", "runc -id ab"),
        (400, "containerd-shim", "containerd-shim -id ab"),
        (1, "systemd", "systemd"),
    ];
    assert_eq!(makers, expected);
    let usual = Privileges {
        capabilities: Capabilities::usual(),
        host_namespaces: vec![NamespaceKind::User, NamespaceKind::Cgroup],
        ..Privileges::default()
    };
    assert_eq!(setup.privileges, usual);
}

#[test]
fn rights_over_the_host_are_told() {
    let scene = Scene::new();
    scene.status("000001ffffffffff", "0");
    scene.link("proc/500/ns/pid", &format!("pid:[{}]", HOST_NAMESPACES.pid));
    scene.link("proc/500/ns/ipc", "ipc:[1]");
    scene.link("proc/500/ns/user", "user:[99]");
    let Setup { privileges, has_own_users, .. } = scene.setup();
    assert_eq!((privileges.capabilities, privileges.without_seccomp), (Capabilities::ALL, true));
    let shared = [NamespaceKind::Pid, NamespaceKind::Ipc, NamespaceKind::Cgroup];
    assert_eq!(privileges.host_namespaces, shared);
    assert!(has_own_users);
    scene.status("0", "2");
    assert!(!scene.setup().privileges.without_seccomp);
}

#[test]
fn who_is_not_confined_is_told_where_others_are() {
    let scene = Scene::new();
    scene.write("proc/500/attr/current", "unconfined\n");
    assert!(!scene.setup().privileges.is_unconfined, "nobody is, without AppArmor");
    scene.write("sys/module/apparmor/parameters/enabled", "Y\n");
    assert!(scene.setup().privileges.is_unconfined);
    scene.write("proc/500/attr/apparmor/current", "docker-default (enforce)\n");
    assert!(!scene.setup().privileges.is_unconfined, "the label of AppArmor itself counts");
    scene.write("sys/module/apparmor/parameters/enabled", "N\n");
    scene.write("sys/fs/selinux/enforce", "1");
    for (label, is_unconfined) in
        [("system_u:system_r:container_t:s0:c1,c2", false), ("system_u:system_r:spc_t:s0\0", true)]
    {
        scene.write("proc/500/attr/current", label);
        assert_eq!(scene.setup().privileges.is_unconfined, is_unconfined, "{label}");
    }
}

#[test]
fn what_of_the_host_is_mounted_is_told_the_most_dangerous_first() {
    let scene = Scene::new();
    let disk = "254:0";
    scene.check_mounts(
        &[
            [disk, "/srv/shop", "/data", "rw", "ext4"],
            [disk, "/home/ann", "/home", "ro", "ext4"],
            [disk, "/home/ann", "/again", "rw", "ext4"],
            [disk, "/etc/ssl", "/ssl", "ro", "ext4"],
            ["0:25", "/docker.sock", "/var/run/docker.sock", "rw", "tmpfs"],
            ["0:21", "/", "/host/proc", "ro", "proc"],
            ["0:38", "/", "/cg", "rw", "cgroup2"],
            [disk, "/", "/host", "ro", "ext4"],
            ["0:5", "/", "/hostdev", "rw", "devtmpfs"],
        ],
        &expect![[r#"
            / ro
            /run/docker.sock rw
            /etc/ssl ro
            /proc ro
            /dev rw
            /sys/fs/cgroup rw
            /home/ann rw
            /srv/shop rw"#]],
    );
}

#[test]
fn what_every_container_has_is_no_mount_of_the_host() {
    let scene = Scene::new();
    let made = format!("/var/lib/docker/containers/{ID}");
    scene.check_mounts(
        &[
            ["254:0", &format!("{made}/hosts"), "/etc/hosts", "rw", "ext4"],
            ["254:0", &format!("{made}/mounts/shm"), "/dev/shm", "rw", "tmpfs"],
            ["254:0", "/usr/bin/docker-init", "/sbin/docker-init", "ro", "ext4"],
            ["254:0", "/var/lib/docker/volumes/shop/_data", "/data", "rw", "ext4"],
            ["254:0", "/var/lib/kubelet/pods/12-34/etc-hosts", "/etc/hosts", "rw", "ext4"],
            ["0:25", "/containerd/io.containerd.grpc.v1.cri/sandboxes/ab/shm", "/dev/shm", "rw", "tmpfs"],
            ["0:43", "/null", "/proc/keys", "rw", "tmpfs"],
            ["0:42", "/sys", "/proc/sys", "ro", "proc"],
            ["0:5", "/null", "/dev/null", "rw", "devtmpfs"],
            ["0:38", "/", "/sys/fs/cgroup", "ro", "cgroup2"],
            ["0:99", "/", "/tmp", "rw", "tmpfs"],
        ],
        &expect![""],
    );
}

#[test]
fn a_name_that_looks_like_the_engine_s_hides_nothing() {
    let scene = Scene::new();
    scene.check_mounts(
        &[
            // A volume that is a bind of the host's directory, and the host's own file where the engine mounts its.
            ["254:0", "/etc", "/data", "rw", "ext4"],
            ["254:0", "/etc/hosts", "/etc/hosts", "rw", "ext4"],
            // With a pid namespace of its own, its /proc is not the host's.
            ["0:21", "/", "/proc", "rw", "proc"],
            ["254:0", "/root/.ssh//deleted", "/etc/resolv.confd", "ro", "ext4"],
        ],
        &expect![[r#"
            /etc rw
            /etc/hosts rw
            /root/.ssh ro
            /proc rw"#]],
    );
}

#[test]
fn a_thousand_mounts_are_bounded_and_the_worst_kept() {
    let scene = Scene::new();
    let mount = |number: usize| format!("92 75 254:0 /srv/{number:04} /m/{number} rw - ext4 /dev/vda rw\n");
    let many: String = (0..1000).map(mount).collect();
    let worst = "92 75 254:0 / /host rw - ext4 /dev/vda rw\n";
    scene.write("proc/500/mountinfo", &format!("{CONTAINER_TABLE}{many}{worst}"));
    let mounts = scene.setup().privileges.mounts;
    assert_eq!((mounts.len(), mounts[0].path.raw()), (model::privilege::HOST_MOUNTS_MAX, "/"));
}

#[test]
fn a_root_is_named_as_the_host_names_it_where_it_can() {
    let scene = Scene::new();
    for (top, named) in [
        ("75 49 254:0 /srv/rootfs / rw - ext4 /dev/vda rw\n", "/srv/rootfs"),
        (
            "75 49 0:77 / / rw - overlay overlay rw,lowerdir=/l,upperdir=/var/lib/c/7/fs,workdir=/w\n",
            "/var/lib/c/7",
        ),
        ("75 49 0:78 / / rw - tmpfs tmpfs rw\n", "tmpfs:/"),
        // What is mounted later covers what was there.
        ("75 49 0:39 / / rw - overlay o rw\n76 75 254:0 /a\\040b / rw - ext4 /dev/vda rw\n", "/a b"),
    ] {
        scene.write("proc/500/mountinfo", top);
        assert_eq!(scene.setup().root.raw(), named);
    }
}

#[test]
fn a_changed_root_in_the_host_s_mounts_is_told_by_its_path() {
    let scene = Scene::new();
    scene.link("proc/500/ns/mnt", &format!("mnt:[{}]", HOST_NAMESPACES.mnt));
    scene.write("proc/500/mountinfo", "");
    let setup = scene.setup();
    assert_eq!((setup.root.raw(), setup.has_own_root), ("/layers", true));
    assert_eq!(setup.privileges.mounts, []);
}

#[test]
fn whoever_has_the_host_s_root_has_all_of_it() {
    let scene = Scene::new();
    scene.rooted("");
    scene.write("proc/500/mountinfo", "27 1 254:0 / / ro,relatime - ext4 /dev/vda rw\n");
    let setup = scene.setup();
    assert_eq!((setup.root.raw(), setup.has_own_root), ("/", false));
    assert_eq!(setup.privileges.rights().iter().map(Untrusted::raw).collect::<Vec<_>>(), ["mount:/:ro"]);
    // In the host's mount namespace its table is not even read.
    scene.link("proc/500/ns/mnt", &format!("mnt:[{}]", HOST_NAMESPACES.mnt));
    scene.host.remove("proc/500/mountinfo").unwrap();
    assert!(scene.setup().privileges.mounts[0].is_writable);
}

#[test]
fn a_dev_that_is_a_link_is_not_followed_and_one_that_others_serve_not_read() {
    let scene = Scene::new();
    symlink("/dev", scene.host.root().join("layers/dev")).unwrap();
    assert_eq!(scene.setup().privileges.devices, []);
    let served = CONTAINER_TABLE.replace("/dev rw - tmpfs tmpfs", "/dev rw - fuse.trap trap");
    scene.write("proc/500/mountinfo", &served);
    let table = Mounted::read(&HostRoot::new(scene.host.root()), 500, Some(Path::new("/")), &[]).unwrap();
    assert!(!table.may_list_devices);
}

#[test]
fn a_process_that_ended_or_whose_pid_is_another_s_is_gone() {
    let scene = Scene::new();
    scene.host.process(&FakeProcess { start_ticks: 601, ..FakeProcess::new(500, "other") }).unwrap();
    assert!(scene.look().unwrap_err().is_gone());
    scene.host.end_process(500).unwrap();
    assert!(scene.look().unwrap_err().is_gone());
}

#[test]
fn malformed_files_are_refused_by_name() {
    let scene = Scene::new();
    scene.write("proc/500/status", "Name:\tx\n");
    let error = scene.look().unwrap_err().to_string();
    assert!(error.ends_with("500/status\": has no CapBnd"), "{error}");
    scene.status("a80425fb", "2");
    scene.link("proc/500/ns/uts", "uts:[x]");
    let error = scene.look().unwrap_err().to_string();
    assert!(error.ends_with("500/ns/uts\": is not a namespace link"), "{error}");
}

#[test]
fn a_root_of_its_own_is_seen_on_this_kernel() {
    let place = FakeHost::v2().unwrap();
    let place = place.root().display();
    // Only what the shell itself can do is left once the root is another.
    let script = format!(
        "set -e; mkdir {place}/own; mount -t tmpfs none {place}/own; cd {place}/own; mkdir old dev etc; touch dev/null\n\
         mount --bind /dev/null dev/null; mount --bind /etc etc; pivot_root . old; echo ready; read end"
    );
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "--uts", "sh", "-c", &script]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("unshare (util-linux)");
    let mut line = String::new();
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    assert_eq!(line, "ready\n", "user and mount namespaces can be made");
    let root = HostRoot::new("/");
    let layout = CgroupLayout::detect(&root).unwrap();
    let found = stat(&root, child.id(), &mut Vec::new()).unwrap();
    let looked = SetupReader::new(&root, &layout).unwrap().look(crate::proc_dir::key(&found));
    drop(child.stdin.take());
    child.wait().unwrap();
    let Look { setup, names, .. } = looked.unwrap();
    assert_eq!((names[1].raw(), setup.root.raw()), ("sh", "tmpfs:/"));
    assert!(setup.has_own_root && setup.has_own_users && !setup.privileges.shares(NamespaceKind::Uts));
    assert!(setup.privileges.shares(NamespaceKind::Net));
    let etc = setup.privileges.mounts.iter().find(|mount| mount.path.raw() == "/etc");
    assert!(etc.is_some_and(|mount| mount.is_writable), "{:?}", setup.privileges.mounts);
    assert_eq!(setup.privileges.devices, []);
    assert_eq!(setup.makers[0].pid, std::process::id());
}

#[test]
fn the_devices_of_this_host_are_found_and_the_usual_ones_are_not() {
    let found = devices(&HostRoot::new("/"), std::process::id());
    let has = |path: &str| found.iter().any(|device| device.raw() == path);
    assert!(!found.is_empty() && !has("/dev/null") && !has("/dev/tty"), "{found:?}");
    let on_host: Vec<_> =
        ["/dev/kmsg", "/dev/mem"].into_iter().filter(|path| Path::new(path).exists()).collect();
    assert!(on_host.into_iter().all(has), "{found:?}");
}

#[test]
fn an_empty_directory_is_no_root_to_live_in() {
    let scene = Scene::new();
    std::fs::create_dir(scene.host.root().join("empty")).unwrap();
    scene.rooted("empty");
    assert!(!scene.setup().has_own_root);
    scene.host.write("empty/tool", b"").unwrap();
    assert!(scene.setup().has_own_root);
}
