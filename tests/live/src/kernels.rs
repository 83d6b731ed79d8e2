//! Most users' hosts do not look like a development machine: Debian 12's cloud kernel, cgroup v2 only, no Docker,
//! booted under qemu in software, with a container made by hand in it.
//!
//! Not here: speed. Software emulation is some ten times slower than the real thing; delays are not promised there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::cases::{Case, Outcome};
use crate::host;
use crate::images;
use crate::incident::{Incident, array, text};
use crate::initramfs;
use crate::tidewatch::{self, Room};
use crate::wait;

/// The test.
pub(crate) const CASE: Case =
    Case { name: "another_kernel_with_cgroup_v2_only_finds_a_container_made_by_hand", run };

const LIMIT: Duration = Duration::from_secs(180);
const INIT: &str = include_str!("kernels/init.sh");
/// The control group that the guest's init script makes.
const GROUP: &str = "/made-by-hand";
/// The package that depends on the current kernel.
const KERNEL_PACKAGE: &str = "linux-image-cloud-amd64";

fn run(room: &Room) -> Result<Outcome> {
    host::require("qemu-system-x86_64", "qemu-system-x86")?;
    let kernel = kernel()?;
    let initramfs = room.path("initramfs.gz");
    build(room, &initramfs)?;
    let console = room.path("console.log");
    let start = Instant::now();
    boot(&kernel, &initramfs, &console)?;
    let took = start.elapsed();
    let text = fs::read(&console)?;
    let said = Said { console: String::from_utf8_lossy(&text).replace('\r', "") };
    let note = check(&said)?;
    Ok(Outcome {
        note: format!("{note}; boot to power-off {:.0} s", took.as_secs_f64()),
        ..Outcome::default()
    })
}

/// The kernel, fetched once from Debian into `target/kernels/`.
fn kernel() -> Result<PathBuf> {
    let dir = Path::new("target/kernels");
    if let Some(kernel) = newest_kernel(dir) {
        return Ok(kernel);
    }
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let minute = Duration::from_secs(60);
    let depends = host::succeed(Command::new("apt-cache").args(["depends", KERNEL_PACKAGE]), minute)?;
    let package = depends.lines().find_map(|line| line.trim().strip_prefix("Depends: linux-image-"));
    let package = package.with_context(|| format!("{KERNEL_PACKAGE} depends on no kernel:\n{depends}"))?;
    let package = format!("linux-image-{package}");
    let mut download = Command::new("apt-get");
    host::succeed(download.args(["download", &package]).current_dir(dir), 5 * minute)?;
    let files = fs::read_dir(dir)?.filter_map(Result::ok).map(|entry| entry.path());
    let mut archives: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|end| end == "deb")).collect();
    archives.sort();
    let archive = archives.pop().with_context(|| format!("apt-get download {package} left nothing"))?;
    host::succeed(Command::new("dpkg-deb").arg("-x").arg(&archive).arg(dir), minute)?;
    newest_kernel(dir).with_context(|| format!("no kernel in {}", archive.display()))
}

fn newest_kernel(dir: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(dir.join("boot")).ok()?.filter_map(Result::ok).map(|entry| entry.path());
    entries
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz-")))
        .max()
}

/// The guest's file system: busybox, Tidewatch with its libraries, and the init script.
fn build(room: &Room, to: &Path) -> Result<()> {
    let root = room.path("guest");
    images::busybox_tree(&root)?;
    for dir in ["proc", "sys", "dev", "tmp", "run", "data", "etc"] {
        fs::create_dir_all(root.join(dir))?;
    }
    fs::write(root.join("init"), INIT)?;
    host::succeed(Command::new("chmod").arg("755").arg(root.join("init")), Duration::from_secs(5))?;
    copy_stripped(room.bin(), &root.join("bin/tidewatch"))?;
    for library in libraries(room.bin())? {
        let place = root.join(library.strip_prefix("/").context("a library without a path")?);
        fs::create_dir_all(place.parent().context("a library without a directory")?)?;
        fs::copy(&library, &place).with_context(|| format!("cannot copy {}", library.display()))?;
    }
    initramfs::pack(&root, to)
}

/// Debugging information would only make the boot slower.
fn copy_stripped(from: &Path, to: &Path) -> Result<()> {
    let stripped = host::run(Command::new("strip").arg("-o").arg(to).arg(from), Duration::from_secs(60));
    if !stripped.is_ok_and(|output| output.status.success()) {
        fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    }
    Ok(())
}

/// Shared libraries and the loader, as `ldd` names them; none for a static program.
fn libraries(bin: &Path) -> Result<Vec<PathBuf>> {
    let output = host::run(Command::new("ldd").arg(bin), Duration::from_secs(10))?;
    Ok(paths_in(&output.text()))
}

fn paths_in(ldd: &str) -> Vec<PathBuf> {
    ldd.lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')))
        .map(PathBuf::from)
        .collect()
}

fn boot(kernel: &Path, initramfs: &Path, console: &Path) -> Result<()> {
    let serial = format!("file:{}", console.display());
    let child = Command::new("qemu-system-x86_64")
        .args([
            "-accel",
            "tcg",
            "-smp",
            "2",
            "-m",
            "1024",
            "-display",
            "none",
            "-monitor",
            "none",
            "-no-reboot",
        ])
        .args(["-nodefaults", "-serial", &serial])
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(initramfs)
        .args(["-append", "console=ttyS0 quiet loglevel=3 panic=-1"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .context("cannot run qemu-system-x86_64")?;
    let mut machine = Machine(child);
    let deadline = Instant::now() + LIMIT;
    while Instant::now() < deadline {
        if let Some(status) = machine.0.try_wait()? {
            ensure!(status.success(), "qemu: {status}");
            return Ok(());
        }
        wait::pause(Duration::from_millis(200))?;
    }
    bail!("the machine did not power off within {} s", LIMIT.as_secs())
}

struct Machine(Child);

impl Drop for Machine {
    fn drop(&mut self) {
        host::end(&mut self.0, Duration::from_secs(2));
    }
}

/// What the guest printed on its console.
struct Said {
    console: String,
}

impl Said {
    /// What stands between the markers of that name.
    fn part(&self, name: &str) -> Result<&str> {
        let begin = format!("=== begin {name} ===\n");
        let end = format!("=== end {name} ===");
        let rest = self.console.split_once(&begin).map(|(_, rest)| rest);
        let part = rest.and_then(|rest| rest.split_once(&end)).map(|(part, _)| part.trim());
        part.with_context(|| format!("the guest never printed {name}"))
    }

    fn json(&self, name: &str) -> Result<Value> {
        tidewatch::parse(self.part(name)?.as_bytes()).with_context(|| name.to_owned())
    }
}

fn check(said: &Said) -> Result<String> {
    println!("  guest: {}", said.part("kernel")?);
    let attached = check_programs(&said.json("doctor")?)?;
    let status = said.json("status")?;
    let sources = array(&status, "sources")?;
    let cgroups =
        sources.iter().find(|entry| entry["source"] == "cgroups").context("status has no source cgroups")?;
    ensure!(cgroups["health"] == "up", "source cgroups is not up: {cgroups}");
    let containers = array(&status, "containers")?;
    let by_hand =
        containers.iter().find(|entry| entry["cgroup"].as_str().is_some_and(|path| path.ends_with(GROUP)));
    let by_hand = by_hand.with_context(|| format!("{GROUP} is not in the inventory: {containers:?}"))?;
    let incidents = tidewatch::incidents_of(&said.json("incidents")?)?;
    let incident = incidents.iter().find(|incident| incident.subject.cgroup.ends_with(GROUP));
    let incident = incident.with_context(|| format!("no incident names {GROUP}: {incidents:?}"))?;
    let cores = own_cores(incident)?;
    check_requests(said)?;
    println!("  incident: {}", incident.summary);
    Ok(format!("{attached}; {} in the inventory, incident with {cores:.2} cores", text(by_hand, "kind")?))
}

/// Each module asked for is booked on the one who asked, each helper the kernel started for it where that ran. The
/// kernel of a development machine may have no modules at all, so this is proven here.
fn check_requests(said: &Said) -> Result<()> {
    let (asker, root) = (said.json("asker")?, said.json("root")?);
    // A count of 0 is left out.
    let count = |event: &Value, name: &str| event["body"]["data"][name].as_u64().unwrap_or(0);
    let (requests, helpers) = (count(&asker, "module_requests"), count(&root, "helpers"));
    ensure!(requests == 3, "{requests} modules are booked on the cgroup that asked for 3");
    ensure!(count(&root, "module_requests") == 0, "the root cgroup asked for none: {root}");
    ensure!(helpers >= 1, "no helper is booked where the kernel starts them: {root}");
    println!("  modules: {requests} asked for, {helpers} helpers in the root cgroup");
    Ok(())
}

/// The burn is a whole core: an incident that says so had its figure from cgroup v2, there being nothing else.
fn own_cores(incident: &Incident) -> Result<f64> {
    let figures = incident.findings.iter().flat_map(|finding| &finding.evidence);
    let cores =
        figures.filter(|(name, _)| name.ends_with("cpu_cores")).filter_map(|(_, value)| value.as_f64());
    let most = cores.fold(0.0, f64::max);
    ensure!(most >= 0.3, "the burn is not among the figures: {:?}", incident.findings);
    Ok(most)
}

/// Every program is attached, or the reason is given.
fn check_programs(doctor: &Value) -> Result<String> {
    let (mut all, mut attached) = (0, 0);
    for check in array(doctor, "checks")? {
        let (name, verdict) = (text(check, "name")?, text(check, "verdict")?);
        let Some(program) = name.strip_prefix("probe ") else { continue };
        let found = text(check, "found")?;
        println!("  {program:32} {verdict:6} {found}");
        ensure!(verdict == "fine" || !found.is_empty(), "{program} is not attached, and no reason is given");
        all += 1;
        attached += usize::from(verdict == "fine");
    }
    ensure!(attached > 0, "no BPF program is attached: {doctor}");
    Ok(format!("{attached} of {all} BPF programs attached"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ldd_names_libraries_and_the_loader() {
        let text = "\tlinux-vdso.so.1 (0x00)\n\tlibelf.so.1 => /lib/libelf.so.1 (0x00)\n\t/lib64/ld-linux.so.2 (0x00)\n";
        assert_eq!(
            paths_in(text),
            [PathBuf::from("/lib/libelf.so.1"), PathBuf::from("/lib64/ld-linux.so.2")]
        );
        assert!(paths_in("\tnot a dynamic executable").is_empty());
    }

    #[test]
    fn parts_of_the_console_are_told_apart() {
        let said = Said { console: "noise\n=== begin a ===\n[1]\n=== end a ===\n".to_owned() };
        assert_eq!(said.json("a").unwrap(), serde_json::json!([1]));
        assert!(said.part("b").is_err());
    }
}
