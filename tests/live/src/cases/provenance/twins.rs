//! Benign twins of attacks on provenance: what makes containers, enters them or lives in namespaces every day. Nothing may
//! be found.
//!
//! Not here: a rolling update of a Swarm's service, see the other twins.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::by_hand::ByHand;
use crate::cases::Outcome;
use crate::cgroups::Group;
use crate::docker::{Container, Docker};
use crate::host;
use crate::images::{Images, SERVE, WEB};
use crate::scene::Scene;
use crate::stage::Stage;
use crate::tidewatch::{Launch, Room, Tidewatch};
use crate::wait;

/// How long twins work.
const SPAN: Duration = Duration::from_secs(12);
const COMMAND: Duration = Duration::from_secs(60);
const PACKAGE: &str = "tw-live-package";
/// `nobody`, who may make namespaces only through one of users.
const NOBODY: &str = "65534";

/// A Compose project that is taken down and brought up again, as Compose does it: by labels.
pub(crate) fn compose(room: &Room) -> Result<Outcome> {
    let stage = Stage::set(1)?;
    let docker = stage.docker.clone();
    let project = up(&docker)?;
    let mut scene = Scene::open_with(room, stage, None)?;
    for container in &project {
        crate::stage::wait_for_name(&scene.tidewatch, &container.name)?;
    }
    scene.tidewatch.approve_running()?;
    drop(project);
    let again = up(&docker)?;
    scene.stay_quiet(SPAN)?;
    Ok(quiet(&format!("{} services down and up again", again.len())))
}

/// Services that the engine starts again when they fail, and services that it asks how they are.
pub(crate) fn looked_after(room: &Room) -> Result<Outcome> {
    let mut stage = Stage::set(1)?;
    // Fails twice, three seconds after its start, then serves.
    let fails =
        format!("for n in 1 2; do [ -e /tmp/$n ] || {{ touch /tmp/$n; sleep 3; exit 1; }}; done; {SERVE}");
    stage.add(
        "tw-live-restarted",
        &["--network", "none", "--restart", "on-failure:3", WEB, "sh", "-c", &fails],
    )?;
    let ask =
        ["--health-cmd", "wget -q -O /dev/null http://127.0.0.1:8080/ || exit 1", "--health-interval", "2s"];
    let args = [&["--network", "none"], &ask[..], &[WEB, "sh", "-c", SERVE]].concat();
    stage.add("tw-live-healthy", &args)?;
    let mut images = Images::none(&stage.docker);
    let declared =
        "HEALTHCHECK --interval=2s CMD [\"wget\", \"-q\", \"-O\", \"/dev/null\", \"http://127.0.0.1:8080/\"]";
    images.add("tw-live-declared:1", "asked how it is\n", &[declared.to_owned()])?;
    stage.add("tw-live-declared", &["--network", "none", "tw-live-declared:1", "sh", "-c", SERVE])?;
    let mut scene = Scene::open_with(room, stage, None)?;
    scene.stay_quiet(SPAN)?;
    let health = ["inspect", "--format", "{{.State.Health.Status}}", "tw-live-healthy", "tw-live-declared"];
    let health = scene.docker().call(&health)?;
    ensure!(health.lines().all(|state| state == "healthy"), "the health checks failed: {health}");
    let restarts = scene.docker().call(&["inspect", "--format", "{{.RestartCount}}", "tw-live-restarted"])?;
    ensure!(restarts == "2", "restarted {restarts} times instead of twice");
    Ok(quiet("two restarts by policy, two health checks"))
}

/// A pipeline that builds an image on the host under a name that was approved, and runs it.
pub(crate) fn build(room: &Room) -> Result<Outcome> {
    const BUILT: &str = "tw-live-pipeline/app:2";
    let mut scene = Scene::open(room)?;
    scene.tidewatch.ask(&["approve", "image", "tw-live-pipeline/*", "--note", "the pipeline's"])?;
    let context = room.path("context");
    fs::create_dir(&context)?;
    fs::write(context.join("page"), "built\n")?;
    let recipe = format!("FROM {WEB}\nCOPY page /www/index.html\nRUN wc -c /www/index.html\n");
    fs::write(context.join("Dockerfile"), recipe)?;
    let built = Built { docker: scene.docker().clone(), tag: BUILT };
    // The builder that every engine has: it runs the steps as containers of its own.
    let mut command = Command::new("docker");
    command.env("DOCKER_BUILDKIT", "0").args(["build", "--network", "none", "--tag", BUILT]).arg(&context);
    host::succeed(&mut command, COMMAND)?;
    let container =
        scene.docker().start("tw-live-built", &["--network", "none", BUILT, "sh", "-c", SERVE])?;
    container.running()?;
    scene.stay_quiet(SPAN)?;
    drop(container);
    drop(built);
    Ok(quiet("built under an approved name, and run"))
}

/// Services in the private namespaces that units of systemd ask for. Nothing here is systemd, so its view of such a host
/// is that there is none; where it manages the host, it has the units that these groups are called like.
pub(crate) fn units(room: &Room) -> Result<Outcome> {
    let mut scene = Scene::open(room)?;
    let sleep = ["sleep", "300"];
    let as_nobody = ["setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "sleep", "300"];
    // Its own /tmp in its own mounts, which is how PrivateTmp is done.
    let private_tmp = ["sh", "-c", "mount -t tmpfs none /tmp && exec sleep 300"];
    // Each by itself: the last is ended first, and the slice goes with the first, which brought it.
    let _tmp = unit("private-tmp", &["--mount"], &private_tmp)?;
    let _users = unit("private-users", &["--mount", "--user", "--map-root-user"], &sleep)?;
    let _network = unit("private-network", &["--mount", "--net", "--ipc", "--uts"], &sleep)?;
    let _user = unit("dynamic-user", &["--mount"], &as_nobody)?;
    scene.stay_quiet(SPAN)?;
    Ok(quiet("four services in private namespaces"))
}

/// A browser, every process of which that meets the world has namespaces of its own.
pub(crate) fn browser(room: &Room) -> Result<Outcome> {
    host::require("chromium", "chromium")?;
    let mut scene = Scene::open(room)?;
    let browser = Browser::open(room)?;
    let own = fs::read_link("/proc/self/ns/pid")?;
    let is_sandboxed = |pid: &u32| fs::read_link(format!("/proc/{pid}/ns/pid")).is_ok_and(|ns| ns != own);
    let sandboxed = wait::until(Duration::from_secs(10), "the browser's sandbox", || {
        let mut all = host::all_processes("chromium", "--type=renderer")?;
        all.retain(is_sandboxed);
        Ok(Some(all.len()).filter(|count| *count > 0))
    })?;
    scene.stay_quiet(SPAN)?;
    drop(browser);
    // A browser that was there before is seen by another way.
    let browser = Browser::open(room)?;
    wait::pause(Duration::from_secs(2))?;
    let data = Room::new(room.bin())?;
    let mut second = Tidewatch::start(&data, Launch::default())?;
    wait::pause(Duration::from_secs(5))?;
    second.check_alive()?;
    let incidents = second.incidents()?;
    ensure!(incidents.is_empty(), "started beside a browser:\n{}", crate::scene::told(&incidents));
    drop(browser);
    Ok(quiet(&format!("{sandboxed} processes in the sandbox")))
}

/// Packages installed and removed on the host, people who become others, networks made for a moment, a mount that is private.
pub(crate) fn administered(room: &Room) -> Result<Outcome> {
    let package = package(room)?;
    let mut scene = Scene::open(room)?;
    let end = Instant::now() + SPAN;
    let installed = Installed::from(&package)?;
    for line in [
        "unshare --mount --propagation private sh -c 'mount -t tmpfs none /mnt && touch /mnt/file'",
        "unshare --user --map-root-user --net true",
        "unshare --pid --fork --mount-proc sh -c 'ps >/dev/null; sleep 2'",
        "chroot / true",
    ] {
        host::succeed(Command::new("sh").args(["-ec", line]), COMMAND)?;
    }
    drop(installed);
    scene.stay_quiet(end.saturating_duration_since(Instant::now()).max(Duration::from_secs(4)))?;
    Ok(quiet("a package installed and removed, private mounts, users, networks and processes"))
}

/// Two services as Compose labels them.
fn up(docker: &Docker) -> Result<Vec<Container>> {
    let start = |service: &str| {
        let labels = [
            ("project", "tw-live-shop"),
            ("service", service),
            ("container-number", "1"),
            ("oneoff", "False"),
            ("config-hash", "5c0ffee0"),
            ("version", "2.29.7"),
        ];
        let labels: Vec<String> =
            labels.iter().map(|(key, value)| format!("--label=com.docker.compose.{key}={value}")).collect();
        let mut args = vec!["--network", "none"];
        args.extend(labels.iter().map(String::as_str));
        args.extend([WEB, "sh", "-c", SERVE]);
        docker.start(&format!("tw-live-shop-{service}-1"), &args)
    };
    ["front", "back"].into_iter().map(start).collect()
}

/// A process that systemd would start for `tw-live-NAME.service`.
fn unit(name: &str, namespaces: &[&str], argv: &[&str]) -> Result<ByHand> {
    let group = Group::make(&format!("system.slice/tw-live-{name}.service"))?;
    ByHand::unshared(Some(group), namespaces, argv).with_context(|| name.to_owned())
}

/// An image that the pipeline built, removed on drop.
struct Built {
    docker: Docker,
    tag: &'static str,
}

impl Drop for Built {
    fn drop(&mut self) {
        self.docker.remove_image(self.tag);
    }
}

/// A browser without a screen, in its sandbox: not as root, who would have to do without. Ended on drop.
struct Browser(Child);

impl Browser {
    fn open(room: &Room) -> Result<Self> {
        let home = room.path("browser");
        fs::create_dir_all(&home)?;
        let nobody = NOBODY.parse().context("nobody is a number")?;
        chown(&home, Some(nobody), Some(nobody))?;
        may_be_passed(&home)?;
        let child = Command::new("setpriv")
            .args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "chromium", "--headless"])
            .args(["--disable-gpu", "--remote-debugging-port=0", "about:blank"])
            .arg(format!("--user-data-dir={}", home.display()))
            .env("HOME", &home)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot run chromium")?;
        Ok(Self(child))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        host::end(&mut self.0, Duration::from_secs(5));
    }
}

/// A package of Debian's form, so that nothing is fetched.
fn package(room: &Room) -> Result<std::path::PathBuf> {
    let root = room.path("package");
    let control = root.join("DEBIAN");
    fs::create_dir_all(&control)?;
    let fields = "Version: 1\nArchitecture: all\nMaintainer: nobody <nobody@example.org>\nDescription: made by a test\n";
    fs::write(control.join("control"), format!("Package: {PACKAGE}\n{fields}"))?;
    let script = control.join("postinst");
    fs::write(&script, "#!/bin/sh\nset -e\nmktemp -d -t tw-live-XXXXXX | xargs rmdir\n")?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    fs::create_dir_all(root.join("usr/share").join(PACKAGE))?;
    let file = room.path("package.deb");
    host::succeed(
        Command::new("dpkg-deb").args(["--root-owner-group", "--build"]).arg(&root).arg(&file),
        COMMAND,
    )?;
    // apt reads packages as a user of its own.
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644))?;
    may_be_passed(&file)?;
    Ok(file)
}

/// Lets others than root through the room to what is in it.
fn may_be_passed(inner: &Path) -> Result<()> {
    let room = inner.parent().context("a room has a path")?;
    fs::set_permissions(room, fs::Permissions::from_mode(0o755)).context("cannot open the room")
}

/// The package on the host, purged on drop.
struct Installed;

impl Installed {
    fn from(file: &Path) -> Result<Self> {
        apt("install", &file.display().to_string()).map(|()| Self)
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        if let Err(error) = apt("purge", PACKAGE) {
            eprintln!("warning: {error:#}");
        }
    }
}

fn apt(action: &str, what: &str) -> Result<()> {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").args(["--quiet", "--assume-yes", action, what]);
    host::succeed(&mut command, COMMAND).map(drop)
}

fn quiet(note: &str) -> Outcome {
    Outcome { note: note.to_owned(), ..Outcome::default() }
}
