//! What an attacker counts on to be told apart, or not to be: an upload in pieces, a line that stands still, a table that is
//! full, labels that come first.
//!
//! Not here: floods of events, see `processes.rs` and `searches.rs`.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::by_hand::{ByHand, CONTAINER};
use crate::cases::{Case, Outcome};
use crate::cgroups::{self, Group};
use crate::docker::Container;
use crate::host;
use crate::images::{BUSYBOX, SERVE, WEB, service_tree};
use crate::outside::{HOSTS, Outside, PORT};
use crate::scene::{Expected, Scene, start_of};
use crate::tidewatch::Room;
use crate::wait;

pub(crate) const CASES: [Case; 5] = [
    Case { name: "an_upload_in_pieces_of_many_workloads_is_one_incident", run: in_pieces },
    Case {
        name: "a_connection_that_stood_still_and_is_busy_then_is_counted_while_it_is_open",
        run: stood_still,
    },
    Case { name: "datagrams_to_many_addresses_do_not_hide_an_upload", run: behind_datagrams },
    Case { name: "ghosts_are_found_among_many_cgroups_of_others", run: among_cgroups },
    Case { name: "labels_that_sort_first_do_not_hide_those_of_a_pod", run: behind_labels },
];

/// Megabytes of one piece: less than is worth a word alone.
const PIECE: &str = "30";
const PIECES: usize = 6;
/// From the beginning of an upload to the finding about it, in seconds.
const UPLOAD_FOUND_WITHIN: f64 = 10.0;

/// Containers of one image, one after the other, each of which sends a piece. A variable and a comment make each command
/// another one.
fn in_pieces(room: &Room) -> Result<Outcome> {
    let outside = Outside::open()?;
    let mut scene = Scene::open(room)?;
    let words = ["ada", "bea", "cleo", "dora", "eve", "fay"];
    let mut pieces: Vec<Container> = Vec::new();
    let first = |number: usize| format!("tw-live-piece-{number}");
    for (number, word) in words.iter().enumerate().take(PIECES) {
        let to = format!("{}:{PORT}", HOSTS[number % HOSTS.len()]);
        let script = format!("WHO={word} load upload {to} {PIECE} # {number}");
        pieces.push(scene.docker().start(&first(number), &[BUSYBOX, "sh", "-c", &script])?);
    }
    // There is something to tell once the second has begun.
    let started = start_of(&pieces[1])?;
    // Which of them is named depends on whose sums are complete first.
    let names: Vec<String> = (0..PIECES).map(first).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let expected = Expected { container: names[0], judge: "volume", within: UPLOAD_FOUND_WITHIN };
    let found = scene.one_incident_of(&names, &expected, started)?;
    let note = found.finding.claim;
    drop((pieces, outside));
    Ok(Outcome { delays: vec![found.delay], note })
}

/// Whose many lines are deleted after ten seconds, so that the test need not wait a minute.
fn stood_still(room: &Room) -> Result<Outcome> {
    let to = format!("{}:{PORT}", HOSTS[0]);
    let script = format!("load spread 900 {} & exec load upload {to} 100 14", HOSTS[1]);
    uploads(room, "tw-live-sleeper", &script, 14.0)
}

/// Datagrams use up what lines a container may begin at once, before it sends.
fn behind_datagrams(room: &Room) -> Result<Outcome> {
    let to = format!("{}:{PORT}", HOSTS[0]);
    let script = format!("load spread 4000 {}; exec load upload {to} 100 0", HOSTS[1]);
    uploads(room, "tw-live-spreader", &script, 0.0)
}

/// A container of an image that is not approved sends after a pause; the delay is from the end of that to the finding. What it
/// did before may have opened the incident already.
fn uploads(room: &Room, name: &str, script: &str, pause: f64) -> Result<Outcome> {
    let outside = Outside::open()?;
    let scene = Scene::open(room)?;
    let container = scene.docker().start(name, &[BUSYBOX, "sh", "-c", script])?;
    let started = start_of(&container)? + pause;
    let left = Duration::from_secs_f64((started + UPLOAD_FOUND_WITHIN - host::unix_now()).max(1.0));
    let finding =
        wait::until(left, "volume speaks about the upload", || Ok(scene.latest(name, "volume").ok()))?;
    let delay = host::unix_now() - started;
    ensure!(finding.figure("sent_bytes")? >= 32e6, "{}", finding.claim);
    drop((container, outside));
    Ok(Outcome { delays: vec![delay], note: finding.claim })
}

/// Cgroups in one directory, each of which something happened in: more than the kernel's table held before it was shared out.
struct Crowd {
    group: Group,
}

impl Crowd {
    const CGROUPS: usize = 16_700;

    fn make() -> Result<Self> {
        let crowd = Self { group: Group::make("tw-live-crowd")? };
        let directory = cgroups::unified()?.join(crowd.group.path.trim_start_matches('/'));
        let script = format!(
            "cd {}; n=0; while [ $n -lt {} ]; do mkdir c$n; echo $$ >c$n/cgroup.procs; (:); n=$((n+1)); done; \
             echo $$ >../cgroup.procs",
            directory.display(),
            Self::CGROUPS
        );
        host::succeed(Command::new("bash").args(["-c", &script]), Duration::from_secs(120))?;
        Ok(crowd)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        let Ok(root) = cgroups::unified() else { return };
        let directory = root.join(self.group.path.trim_start_matches('/'));
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let _busy = std::fs::remove_dir(entry.path());
        }
    }
}

/// Eight ghosts beside a crowd of cgroups that stand.
fn among_cgroups(room: &Room) -> Result<Outcome> {
    let mut scene = Scene::open(room)?;
    let root = room.path("root");
    service_tree(&root, "a ghost\n")?;
    let crowd = Crowd::make()?;
    let mut delays = Vec::new();
    for number in 0..8 {
        let group = Group::make(&format!("tw-live-ghost-{number}"))?;
        let directory = root.display().to_string();
        let ghost = ByHand::unshared(
            Some(group),
            CONTAINER,
            &["chroot", &directory, "/bin/busybox", "sleep", "300"],
        )?;
        let is_found = || {
            let all = scene.tidewatch.incidents()?;
            let mine = all.iter().find(|incident| incident.subject.cgroup.ends_with(ghost.path()));
            Ok(mine.filter(|incident| incident.latest("ghost").is_ok()).map(|incident| incident.opened))
        };
        let opened = wait::until(Duration::from_secs(10), &format!("ghost {number} is found"), is_found)
            .with_context(|| scene.tidewatch.picture())?;
        delays.push(opened - ghost.started);
    }
    scene.tidewatch.check_alive()?;
    drop(crowd);
    Ok(Outcome { delays, note: format!("8 of 8 among {} cgroups", Crowd::CGROUPS) })
}

/// A container of an approved image with labels of a pod behind a hundred that sort before them.
fn behind_labels(room: &Room) -> Result<Outcome> {
    let mut scene = Scene::open(room)?;
    let mut args: Vec<String> = vec!["--network".into(), "none".into()];
    args.extend((0..100).map(|number| format!("--label=00-{number:03}=x")));
    let forged = [
        ("pod.name", "coredns-1"),
        ("pod.namespace", "kube-system"),
        ("pod.uid", "0a4f9f52"),
        ("container.name", "coredns"),
    ];
    args.extend(forged.iter().map(|(key, value)| format!("--label=io.kubernetes.{key}={value}")));
    args.extend([WEB, "sh", "-c", SERVE].map(str::to_owned));
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let name = "tw-live-labels";
    let container = scene.docker().start(name, &args)?;
    let expected = Expected { container: name, judge: "masquerade", within: 4.0 };
    let found = scene.one_incident(&expected, start_of(&container)?)?;
    Ok(Outcome { delays: vec![found.delay], note: found.finding.claim })
}
