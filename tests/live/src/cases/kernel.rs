//! Containers made by hand that have no cgroup of their own, join another's, or live for a moment; and sandboxes of the
//! host, which live likewise and are none.
//!
//! Not here: ones in cgroups of their own that live on, see `provenance/by_hand.rs`.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};

use crate::cases::{Case, Outcome};
use crate::cgroups::{self, Group};
use crate::host;
use crate::images::service_tree;
use crate::incident::Incident;
use crate::scene::{Scene, told};
use crate::tidewatch::{Launch, Room, Tidewatch};
use crate::wait;

pub(crate) const CASES: [Case; 9] = [
    Case { name: "a_container_made_in_an_approved_containers_cgroup_is_found", run: in_an_approved_cgroup },
    Case { name: "a_container_made_inside_an_approved_container_is_found", run: inside_an_approved_one },
    Case { name: "a_container_made_beside_a_shell_with_mounts_of_its_own_is_found", run: beside_a_shell },
    Case { name: "a_container_made_in_one_made_by_hand_is_found_beside_it", run: in_one_made_by_hand },
    Case { name: "a_container_made_by_hand_is_found_by_the_next_run", run: by_the_next_run },
    Case { name: "containers_made_by_hand_that_live_for_a_moment_are_found", run: short },
    Case { name: "containers_made_by_hand_in_six_other_ways_are_found", run: variants },
    Case { name: "sandboxes_and_short_containers_of_an_engine_are_quiet", run: quiet },
    Case { name: "a_sandbox_that_lasts_is_quiet_also_for_the_next_run", run: lasting_sandbox },
];

/// From the first process to the incident, in seconds.
const WITHIN: f64 = 4.0;
/// How much later than that is waited for.
const GRACE: f64 = 6.0;
/// Made and gone within half a second; of all of them so many must be found.
const SHORT: usize = 100;
const SHORT_FOUND: usize = 95;
/// A sandbox as tools of the host build them: a root of its own, and in it the host's directories at their own paths.
const SANDBOX: &str = "mount -t tmpfs none /mnt && mkdir /mnt/usr /mnt/proc && mount --bind /usr /mnt/usr && \
                       for at in bin sbin lib lib64; do ln -s usr/$at /mnt/$at; done && exec chroot /mnt";

fn in_an_approved_cgroup(room: &Room) -> Result<Outcome> {
    let mut attack = Attack::open(room)?;
    let victim = attack.scene.stage.benign().first().context("a benign container")?.running()?.pid;
    let path = cgroups::path_of(victim)?;
    let group = cgroups::unified()?.join(path.trim_start_matches('/'));
    let script = format!("echo $$ > {}/cgroup.procs; exec unshare -p -m -f chroot $ROOT", group.display());
    let delay = attack.found(&script, 11)?;
    Ok(Outcome { delays: vec![delay], ..Outcome::default() })
}

/// By somebody in it: the container may do anything, and is approved.
fn inside_an_approved_one(room: &Room) -> Result<Outcome> {
    let mut stage = crate::stage::Stage::set(1)?;
    let root = room.path("root");
    service_tree(&root, "made by hand\n")?;
    let volume = format!("{}:/inner", root.display());
    let inner = "sleep 6; while :; do unshare -p -m -f chroot /inner /bin/busybox sleep 3112; sleep 1; done";
    let args = [
        "--cap-add",
        "SYS_ADMIN",
        "--security-opt",
        "seccomp=unconfined",
        "--network",
        "none",
        "-v",
        &volume,
        crate::images::BUSYBOX,
        "sh",
        "-c",
        inner,
    ];
    let started = host::unix_now() + 6.0;
    stage.add("tw-live-outer", &args)?;
    let mut scene = Scene::open_with(room, stage, None)?;
    scene.close_all()?;
    let incident = found(&scene, 12, started)?;
    scene.tidewatch.check_alive()?;
    Ok(Outcome { delays: vec![incident.opened - started], ..Outcome::default() })
}

fn beside_a_shell(room: &Room) -> Result<Outcome> {
    let mut attack = Attack::open(room)?;
    let group = Group::make("tw-live-beside")?;
    let script = format!(
        "{} true; unshare -m sleep 3100 & sleep 0.5; exec unshare -p -m -f chroot $ROOT",
        group.joining()
    );
    let delay = attack.found(&script, 13)?;
    Ok(Outcome { delays: vec![delay], ..Outcome::default() })
}

fn in_one_made_by_hand(room: &Room) -> Result<Outcome> {
    let mut attack = Attack::open(room)?;
    let group = Group::make("tw-live-outer")?;
    let second = room.path("second");
    service_tree(&second, "made in it\n")?;
    let inner = format!(
        "unshare -p -m -f chroot {} /bin/busybox sleep 3114 & sleep 0.3; mount --bind $ROOT /mnt; exec chroot /mnt",
        second.display()
    );
    let script = format!("{} exec unshare -p -m -f sh -c '{inner} \"$@\"' sh", group.joining());
    let outer = attack.found(&script, 15)?;
    let started = attack.started;
    let inner = found(&attack.scene, 14, started)?.opened - started;
    Ok(Outcome { delays: vec![outer, inner], ..Outcome::default() })
}

/// The scan meets `unshare` first, which is outside of what it made.
fn by_the_next_run(room: &Room) -> Result<Outcome> {
    let root = room.path("root");
    service_tree(&root, "made by hand\n")?;
    let first = Tidewatch::start(room, Launch::default())?;
    wait::pause(Duration::from_secs(1))?;
    first.ask(&["approve", "image", "tw-live-none", "--note", "so that this is not the first look"])?;
    drop(first);
    let group = Group::make("tw-live-between")?;
    let _ghost = Made::start(&root, &format!("{} exec unshare -p -m -f chroot $ROOT", group.joining()), 16)?;
    wait::pause(Duration::from_millis(500))?;
    let begun = host::unix_now();
    let tidewatch = Tidewatch::start(room, Launch::default())?;
    let entry = tidewatch.inventoried(Duration::from_secs(8), "the container as a ghost", |entry| {
        entry["kind"] == "ghost" && entry.to_string().contains(&marker(16))
    });
    entry.map_err(|error| anyhow!("{error:#}; it sees:\n{}", tidewatch.picture()))?;
    Ok(Outcome { delays: vec![host::unix_now() - begun], ..Outcome::default() })
}

fn short(room: &Room) -> Result<Outcome> {
    let mut attack = Attack::open(room)?;
    let mut made = Vec::new();
    for number in 0..SHORT {
        let group = Group::make(&format!("tw-live-short-{number}"))?;
        let life = 50 + 450 * number / SHORT;
        let line = format!(
            "{} exec unshare -p -m -f chroot $ROOT /bin/busybox sh -c 'sleep 0.{life:03}; : short-{number}.'",
            group.joining()
        );
        made.push((Command::new("sh").args(["-ec", &line]).env("ROOT", &attack.root).spawn()?, group));
        if made.len() >= 8 {
            let (mut child, group) = made.remove(0);
            child.wait()?;
            drop(group);
        }
    }
    for (mut child, _group) in made {
        child.wait()?;
    }
    let missing = || -> Result<Vec<usize>> {
        let all = attack.scene.tidewatch.inventory(true)?;
        let ghosts: Vec<String> =
            all.iter().filter(|entry| entry["kind"] == "ghost").map(ToString::to_string).collect();
        let is_missing = |number: &usize| {
            let marker = format!("short-{number}.");
            !ghosts.iter().any(|ghost| ghost.contains(&marker))
        };
        Ok((0..SHORT).filter(is_missing).collect())
    };
    let few = wait::until(Duration::from_secs(8), "short ghosts in the inventory", || {
        missing().map(|missing| (missing.len() <= SHORT - SHORT_FOUND).then_some(missing))
    });
    let found = match few {
        Ok(missing) => SHORT - missing.len(),
        Err(error) => return Err(anyhow!("{error:#}: missing {:?}", missing()?)),
    };
    let open = attack.scene.open_incidents()?;
    ensure!(open.iter().any(|incident| incident.latest("ghost").is_ok()), "no incident about any of them");
    attack.scene.tidewatch.check_alive()?;
    Ok(Outcome { note: format!("{found} of {SHORT} that live 50 to 500 ms"), ..Outcome::default() })
}

/// Ways to make a container that differ in what the kernel shows of them.
fn variants(room: &Room) -> Result<Outcome> {
    let mut attack = Attack::open(room)?;
    let own = Group::make("tw-live-variants/own")?;
    let unit = Group::make("tw-live-variants/tw-live.service")?;
    let orphan = Group::make("tw-live-variants/orphan")?;
    let users = Group::make("tw-live-variants/users")?;
    let pivot = Group::make("tw-live-variants/pivot")?;
    let twice = Group::make("tw-live-variants/twice")?;
    let theirs = room.path("theirs");
    service_tree(&theirs, "a user's\n")?;
    let user = format!(
        "chown -R 65534 {0}; chmod 755 {1}; {2} exec setpriv --reuid 65534 --clear-groups unshare -U -r -p -m -f chroot {0}",
        theirs.display(),
        theirs.parent().unwrap_or(&theirs).display(),
        users.joining()
    );
    let scripts = [
        ("without any namespace", format!("{} exec chroot $ROOT", own.joining())),
        (
            "in a unit's cgroup",
            format!("{} true; unshare -p -m -f chroot $ROOT \"$@\" & wait", unit.joining()),
        ),
        (
            "whose first process ends at once",
            format!("{} exec unshare -m sh -c 'chroot $ROOT \"$@\" & sleep 0.1' sh", orphan.joining()),
        ),
        ("by a user in a user namespace", user),
        ("unshared twice", format!("{} exec unshare -m unshare -p -m -f chroot $ROOT", twice.joining())),
        (
            "with a root that was pivoted to",
            format!(
                "{} exec unshare -p -m -f sh -ec 'mount --bind $ROOT $ROOT; cd $ROOT; mkdir -p old; pivot_root . old; exec /bin/busybox chroot . \"$@\"' sh",
                pivot.joining()
            ),
        ),
    ];
    let mut delays = Vec::new();
    for (number, (name, script)) in (20..).zip(&scripts) {
        delays.push(attack.found(script, number).with_context(|| (*name).to_owned())?);
        attack.scene.close_all()?;
    }
    attack.scene.tidewatch.check_alive()?;
    Ok(Outcome { delays, ..Outcome::default() })
}

/// What package managers, builders, users and engines do all day, each in a cgroup of its own so that it counts.
fn quiet(room: &Room) -> Result<Outcome> {
    let mut scene = Scene::open(room)?;
    let lines = [
        "unshare -m sh -c 'mount -t tmpfs none /mnt && touch /mnt/x'".to_owned(),
        "unshare -p -f --mount-proc sh -c 'ps > /dev/null; true'".to_owned(),
        "unshare -U -r true".to_owned(),
        "chroot / /usr/bin/true".to_owned(),
        format!("unshare -p -m -f sh -c '{SANDBOX} /usr/bin/sh -c \"ls / > /dev/null; sleep 0.1\"'"),
        format!(
            "setpriv --reuid 65534 --clear-groups unshare -U -r -p -m -f sh -c '{SANDBOX} /usr/bin/true'"
        ),
    ];
    let mut count = 0;
    for round in 0..20 {
        for (number, line) in lines.iter().enumerate() {
            let group = Group::make(&format!("tw-live-quiet-{round}-{number}"))?;
            let joined = format!("{} {line}", group.joining());
            host::succeed(Command::new("sh").args(["-ec", &joined]), Duration::from_secs(10))?;
            count += 1;
        }
    }
    for _ in 0..4 {
        scene.docker().call(&["run", "--rm", "--network", "none", crate::images::WEB, "true"])?;
        count += 1;
    }
    scene.stay_quiet(Duration::from_secs(5))?;
    Ok(Outcome { note: format!("{count} short processes in namespaces"), ..Outcome::default() })
}

fn lasting_sandbox(room: &Room) -> Result<Outcome> {
    let mut scene = Scene::open(room)?;
    let root = room.path("root");
    service_tree(&root, "not used\n")?;
    let line = format!("exec unshare -p -m -f sh -c '{SANDBOX} /usr/bin/sleep 3130' #");
    let _sandbox = Made::start(&root, &line, 30)?;
    let group = Group::make("tw-live-lasting")?;
    let _grouped = Made::start(&root, &format!("{} {line}", group.joining()), 31)?;
    scene.stay_quiet(Duration::from_secs(5))?;
    let data = Room::new(room.bin())?;
    let mut second = Tidewatch::start(&data, Launch::default())?;
    wait::pause(Duration::from_secs(5))?;
    second.check_alive()?;
    let incidents = second.incidents()?;
    ensure!(incidents.is_empty(), "started beside a sandbox:\n{}", told(&incidents));
    Ok(Outcome::default())
}

/// Tidewatch, a directory that can be the root of a container, and what was made last.
struct Attack {
    scene: Scene,
    root: PathBuf,
    started: f64,
    made: Vec<Made>,
}

impl Attack {
    fn open(room: &Room) -> Result<Self> {
        let root = room.path("root");
        service_tree(&root, "made by hand\n")?;
        Ok(Self { scene: Scene::open(room)?, root, started: 0.0, made: Vec::new() })
    }

    /// Makes a container and waits for the incident about it; how late it came, in seconds.
    fn found(&mut self, script: &str, number: usize) -> Result<f64> {
        self.started = host::unix_now();
        self.made.push(Made::start(&self.root, script, number)?);
        let incident = found(&self.scene, number, self.started)?;
        Ok(incident.opened - self.started)
    }
}

/// Processes that a script started. Ended on drop.
struct Made(Child);

impl Made {
    /// Runs a shell script whose arguments are a program of the root `$ROOT` that can be told by its number.
    fn start(root: &PathBuf, script: &str, number: usize) -> Result<Self> {
        let script = if script.contains("\"$@\"") || script.ends_with('#') {
            script.to_owned()
        } else {
            format!("{script} \"$@\"")
        };
        let script = if script.ends_with(" sh") { format!("{script} \"$@\"") } else { script };
        let seconds = format!("{}", 3100 + number);
        let child = Command::new("sh")
            .args(["-ec", &script, "sh", "/bin/busybox", "sleep", &seconds])
            .env("ROOT", root)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("cannot start a shell")?;
        Ok(Self(child))
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        for pid in host::children(self.0.id()) {
            host::signal(pid, rustix::process::Signal::KILL);
        }
        host::end(&mut self.0, Duration::from_millis(500));
    }
}

fn marker(number: usize) -> String {
    format!("sleep {}", 3100 + number)
}

/// The incident in which `ghost` names the program of that number.
fn found(scene: &Scene, number: usize, started: f64) -> Result<Incident> {
    let left = (started + WITHIN + GRACE - host::unix_now()).max(1.0);
    let is_it = |incident: &Incident| {
        incident.latest("ghost").is_ok_and(|finding| finding.word("program").contains(&marker(number)))
    };
    let what = format!("an incident about `{}`", marker(number));
    let incident = wait::until(Duration::from_secs_f64(left), &what, || {
        Ok(scene.open_incidents()?.into_iter().find(is_it))
    })
    .map_err(|error| {
        anyhow!("{error:#}; it sees:\n{}\n{}", scene.tidewatch.picture(), scene.told_so_far())
    })?;
    let delay = incident.opened - started;
    ensure!(delay <= WITHIN, "opened {delay:.2} s after the start: {}", incident.summary);
    Ok(incident)
}
