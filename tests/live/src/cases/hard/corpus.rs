//! A thousand short lives of honest tools: package managers, builds, browsers, changes of user, sandboxes. None is a ghost,
//! none opens an incident.
//!
//! Not here: `sudo` where it is not installed, which is said by name; `systemd-run`, which needs a systemd that runs, and
//! `systemd-nspawn`, which is a container. What systemd does for a unit is in `services_in_private_namespaces_are_quiet`.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::cases::Outcome;
use crate::host;
use crate::incident::{array, text};
use crate::scene::told;
use crate::tidewatch::{Launch, Room, Tidewatch};
use crate::wait;

/// Processes that are started at least, by the kernel's own count of forks.
const PROCESSES_MIN: u64 = 1_000;
/// Longest time for all of them.
const TIME_MAX: Duration = Duration::from_secs(60);
/// Longest time of one of them.
const ONE_MAX: Duration = Duration::from_secs(30);
/// What a ghost needs to be told as one.
const SETTLING: Duration = Duration::from_secs(4);

/// A tool of which several short processes are run.
struct Tool {
    /// What it is, for messages.
    name: &'static str,
    /// What must be installed, and by which package.
    needs: &'static str,
    package: &'static str,
    /// How often its line is run.
    times: u32,
    /// What is run by a shell; `$ROOM` is a directory of the test's own.
    line: &'static str,
}

/// How Flatpak 1.14 calls bubblewrap (`flatpak-run.c`, `flatpak-context.c`), on the host's own files instead of a runtime's.
const FLATPAK: &str = "bwrap --unshare-user-try --unshare-pid --unshare-ipc --unshare-net --die-with-parent --new-session \
     --ro-bind /usr /usr --symlink usr/lib /lib --symlink usr/lib64 /lib64 --symlink usr/bin /bin --symlink usr/sbin /sbin \
     --proc /proc --dev /dev --tmpfs /tmp --tmpfs /run --dir /run/user/0 --dir /var/tmp --ro-bind /etc /etc --remount-ro / \
     --setenv FLATPAK_ID org.example.App --chdir / --unshare-uts --unshare-cgroup-try -- sh -c 'true; id >/dev/null'";

/// Each in its own words; together a thousand processes and more.
const TOOLS: &[Tool] = &[
    tool(
        "dpkg",
        "dpkg",
        "dpkg",
        30,
        "dpkg --list >/dev/null; dpkg-query -W bash >/dev/null; dpkg --print-architecture >/dev/null",
    ),
    tool(
        "apt",
        "apt-get",
        "apt",
        10,
        "apt-config dump >/dev/null; apt-get --version >/dev/null; apt-get indextargets >/dev/null",
    ),
    tool(
        "pip",
        "python3",
        "python3-minimal",
        10,
        "python3 -c 'import subprocess as s; [s.run([\"true\"]) for _ in range(5)]'",
    ),
    tool(
        "npm",
        "node",
        "nodejs",
        2,
        "node -e 'for (let i = 0; i < 5; i++) require(\"child_process\").execSync(\"true\")'",
    ),
    tool(
        "git",
        "git",
        "git",
        6,
        "cd $ROOM && rm -rf r && git init -q r && cd r && echo x >f && git add f && git -c user.name=x -c user.email=x@x commit -qm x && git log --oneline | cat >/dev/null",
    ),
    tool(
        "make and gcc",
        "gcc",
        "gcc",
        4,
        "cd $ROOM && echo 'int main(void){return 0;}' >m.c && printf 'm: m.c\\n\\tgcc -o m m.c\\n\\t./m\\n' >Makefile && rm -f m && make -s",
    ),
    tool("cargo", "cargo", "rustup", 2, "cargo --version >/dev/null; rustc --version >/dev/null"),
    tool(
        "shell pipes of a pipeline",
        "sh",
        "dash",
        60,
        "for i in 1 2 3; do echo $i | sed s/1/2/ | sort >/dev/null; done",
    ),
    tool("man", "man", "man-db", 2, "man --where ls >/dev/null 2>&1 || true"),
    tool(
        "ssh-keygen",
        "ssh-keygen",
        "openssh-client",
        4,
        "rm -f $ROOM/k $ROOM/k.pub; ssh-keygen -q -t ed25519 -N '' -f $ROOM/k",
    ),
    tool("runuser", "runuser", "util-linux", 15, "runuser -u nobody -- true"),
    tool(
        "setpriv",
        "setpriv",
        "util-linux",
        15,
        "setpriv --reuid 65534 --regid 65534 --clear-groups --no-new-privs true",
    ),
    tool("sudo", "sudo", "sudo", 10, "sudo -n true; sudo -n -u nobody true"),
    tool("chroot", "chroot", "coreutils", 15, "chroot / true"),
    tool("unshare of users", "unshare", "util-linux", 15, "unshare --user --map-root-user true"),
    tool(
        "unshare of mounts",
        "unshare",
        "util-linux",
        15,
        "unshare --mount --propagation private sh -c 'mount -t tmpfs none /mnt && true'",
    ),
    tool("unshare of processes", "unshare", "util-linux", 15, "unshare --pid --fork --mount-proc true"),
    tool(
        "unshare as podman build does",
        "unshare",
        "util-linux",
        8,
        "unshare --user --map-root-user --mount --pid --fork --ipc --uts chroot / sh -c 'true; true'",
    ),
    tool(
        "bubblewrap",
        "bwrap",
        "bubblewrap",
        20,
        "bwrap --ro-bind / / --dev /dev --proc /proc --unshare-all --die-with-parent true",
    ),
    tool("flatpak's bubblewrap", "bwrap", "bubblewrap", 20, FLATPAK),
    tool(
        "chromium",
        "chromium",
        "chromium",
        1,
        "mkdir -p $ROOM/c && chown 65534:65534 $ROOM/c && HOME=$ROOM/c timeout 20 setpriv --reuid 65534 --regid 65534 --clear-groups chromium --headless --disable-gpu --user-data-dir=$ROOM/c --dump-dom about:blank >/dev/null 2>&1 || true",
    ),
];

const fn tool(
    name: &'static str,
    needs: &'static str,
    package: &'static str,
    times: u32,
    line: &'static str,
) -> Tool {
    Tool { name, needs, package, times, line }
}

/// All of them, on an otherwise quiet host that approved nothing.
pub(crate) fn run(room: &Room) -> Result<Outcome> {
    let mut tidewatch = Tidewatch::start(room, Launch::default())?;
    let dir = room.path("tools");
    fs::create_dir_all(&dir)?;
    // Chromium's user has to come through.
    for open in [room.path("."), dir.clone()] {
        fs::set_permissions(open, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    }
    wait::pause(Duration::from_secs(3))?;
    let known = ghosts(&tidewatch)?;
    let (begun, forks) = (Instant::now(), forks()?);
    let mut missing = Vec::new();
    for tool in TOOLS {
        match host::require(tool.needs, tool.package) {
            Ok(()) => run_tool(tool, &dir)?,
            Err(_) => missing.push(tool.name),
        }
    }
    let (took, started) = (begun.elapsed(), self::forks()?.saturating_sub(forks));
    wait::pause(SETTLING)?;
    tidewatch.check_alive()?;
    let incidents = tidewatch.incidents()?;
    ensure!(incidents.is_empty(), "{} incidents about honest tools:\n{}", incidents.len(), told(&incidents));
    let found: Vec<String> = ghosts(&tidewatch)?.into_iter().filter(|ghost| !known.contains(ghost)).collect();
    ensure!(found.is_empty(), "{} honest processes are ghosts: {found:?}", found.len());
    ensure!(started >= PROCESSES_MIN, "only {started} processes were started; missing: {missing:?}");
    ensure!(took <= TIME_MAX, "{started} processes took {:.0} s", took.as_secs_f64());
    let note = format!("{started} processes in {:.0} s; not installed: {missing:?}", took.as_secs_f64());
    Ok(Outcome { note, ..Outcome::default() })
}

fn run_tool(tool: &Tool, dir: &Path) -> Result<()> {
    let script = format!("for run in $(seq {}); do {}; done", tool.times, tool.line);
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).env("ROOM", dir).env("LC_ALL", "C");
    host::succeed(&mut shell, ONE_MAX).map(drop).with_context(|| tool.name.to_owned())
}

/// Containers that no engine claims, ended ones too.
fn ghosts(tidewatch: &Tidewatch) -> Result<Vec<String>> {
    let all = tidewatch.ask_json(&["inventory", "--json", "--all"])?;
    let ghosts = array(&all, "containers")?.iter().filter(|one| one["kind"] == "ghost");
    ghosts.map(|one| Ok(format!("{} in {}", text(one, "name")?, text(one, "cgroup")?))).collect()
}

/// Processes and threads that the kernel has started since it was booted, and that are of this host as we see it.
fn forks() -> Result<u64> {
    let stat = fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
    let line = stat.lines().find_map(|line| line.strip_prefix("processes "));
    line.context("/proc/stat counts no processes")?.trim().parse().context("/proc/stat")
}
