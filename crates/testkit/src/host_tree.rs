//! A made-up host: `/proc` and `/sys/fs/cgroup` in a temporary directory, laid out as the kernel and the runtimes do.
//!
//! Not here: any reader. Cgroup ids are the real inode numbers of the directories; a removed cgroup's files that are
//! kept open stay readable, unlike the kernel's.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use model::ids::{CgroupId, Namespaces};
use tempfile::TempDir;

mod cgroup_text;

mod proc_text;

/// The namespaces of a made-up host: the numbers the kernel gives to the first ones.
pub const HOST_NAMESPACES: Namespaces =
    Namespaces { pid: 4_026_531_836, mnt: 4_026_531_832, net: 4_026_531_833 };

/// The namespaces of a made-up container.
pub const CONTAINER_NAMESPACES: Namespaces =
    Namespaces { pid: 4_026_532_201, mnt: 4_026_532_199, net: 4_026_532_203 };

/// A container's cgroup as Docker makes it with the systemd driver.
pub fn docker_systemd(id: &str) -> String {
    format!("/system.slice/docker-{id}.scope")
}

/// A container's cgroup as Docker makes it with the cgroupfs driver.
pub fn docker_cgroupfs(id: &str) -> String {
    format!("/docker/{id}")
}

/// A container's cgroup as the kubelet and containerd make it with the systemd driver; dashes of `pod` are
/// underscores there.
pub fn kube_systemd(pod: &str, id: &str) -> String {
    let pod = pod.replace('-', "_");
    let slice = "/kubepods.slice/kubepods-burstable.slice";
    format!("{slice}/kubepods-burstable-pod{pod}.slice/cri-containerd-{id}.scope")
}

/// A container's cgroup as the kubelet makes it with the cgroupfs driver.
pub fn kube_cgroupfs(pod: &str, id: &str) -> String {
    format!("/kubepods/burstable/pod{pod}/{id}")
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FakeLayout {
    V1,
    V1Joined,
    V2,
    Hybrid,
}

/// A hierarchy: directory below `/sys/fs/cgroup`, the mount's controllers (empty for v2), its number.
type Hierarchy = (&'static str, &'static str, u32);

impl FakeLayout {
    fn hierarchies(self) -> &'static [Hierarchy] {
        match self {
            Self::V2 => &[("", "", 0)],
            Self::V1 => &V1,
            Self::V1Joined => &[
                ("cpu,cpuacct", "cpu,cpuacct", 5),
                ("memory", "memory", 8),
                ("pids", "pids", 3),
                V1[4],
                V1[5],
            ],
            Self::Hybrid => &[V1[0], V1[1], V1[2], V1[3], V1[4], V1[5], ("unified", "", 0)],
        }
    }
}

const V1: [Hierarchy; 6] = [
    ("cpu", "cpu", 1),
    ("cpuacct", "cpuacct", 2),
    ("memory", "memory", 4),
    ("pids", "pids", 8),
    ("blkio", "blkio", 7),
    ("systemd", "name=systemd", 9),
];

/// A made-up host, removed when dropped.
#[derive(Debug)]
pub struct FakeHost {
    directory: TempDir,
    layout: FakeLayout,
}

impl FakeHost {
    /// Only v1, one mount a controller.
    pub fn v1() -> Result<Self> {
        Self::new(FakeLayout::V1)
    }

    /// Only v1, `cpu` and `cpuacct` mounted as one with links of both names, as systemd does.
    pub fn v1_joined() -> Result<Self> {
        let host = Self::new(FakeLayout::V1Joined)?;
        for name in ["cpu", "cpuacct"] {
            symlink("cpu,cpuacct", host.at(&format!("sys/fs/cgroup/{name}")))?;
        }
        Ok(host)
    }

    /// Only v2.
    pub fn v2() -> Result<Self> {
        Self::new(FakeLayout::V2)
    }

    /// v1 controllers, and v2 without controllers beside them.
    pub fn hybrid() -> Result<Self> {
        Self::new(FakeLayout::Hybrid)
    }

    /// The directory that stands for `/`.
    pub fn root(&self) -> &Path {
        self.directory.path()
    }

    /// Writes a file below the root, with the directories above it.
    pub fn write(&self, path: &str, content: &[u8]) -> Result<()> {
        let path = self.at(path);
        fs::create_dir_all(path.parent().context("a file has a parent")?)?;
        fs::write(&path, content).with_context(|| path.display().to_string())
    }

    /// Makes a link below the root, in place of one that is there, with the directories above it.
    pub fn link(&self, path: &str, target: impl AsRef<Path>) -> Result<()> {
        let path = self.at(path);
        fs::create_dir_all(path.parent().context("a link has a parent")?)?;
        if path.is_symlink() {
            fs::remove_file(&path)?;
        }
        symlink(target, &path).with_context(|| path.display().to_string())
    }

    /// The same, to a path below the root.
    pub fn link_within(&self, path: &str, target: &str) -> Result<()> {
        self.link(path, self.at(target))
    }

    /// Removes a file, or a directory and all below it.
    pub fn remove(&self, path: &str) -> Result<()> {
        let path = self.at(path);
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.with_context(|| path.display().to_string())
    }

    /// Makes a cgroup in every hierarchy, with the files of an idle one without limits.
    pub fn cgroup(&self, path: &str) -> Result<CgroupId> {
        for &(_, controllers, _) in self.layout.hierarchies() {
            for (name, content) in cgroup_text::files(controllers, self.layout == FakeLayout::V2) {
                self.write(&self.cgroup_file(controllers, path, name), content.as_bytes())?;
            }
        }
        self.cgroup_id(path)
    }

    /// The id of a cgroup: the inode number in the hierarchy that gives ids.
    pub fn cgroup_id(&self, path: &str) -> Result<CgroupId> {
        let controllers =
            if matches!(self.layout, FakeLayout::V2 | FakeLayout::Hybrid) { "" } else { "cpuacct" };
        let directory = self.at(&self.cgroup_file(controllers, path, ""));
        Ok(CgroupId(fs::metadata(&directory).with_context(|| directory.display().to_string())?.ino()))
    }

    /// The path below the root of a cgroup's file, in the hierarchy of a v1 controller or, for `""`, in v2.
    pub fn cgroup_file(&self, controller: &str, cgroup: &str, name: &str) -> String {
        let hierarchies = self.layout.hierarchies();
        let fits = |(_, controllers, _): &&Hierarchy| {
            *controllers == controller || controllers.split(',').any(|name| name == controller)
        };
        let mount = hierarchies.iter().find(fits).map_or("", |hierarchy| hierarchy.0);
        format!("sys/fs/cgroup/{mount}{cgroup}/{name}")
    }

    /// Removes a cgroup from every hierarchy.
    pub fn remove_cgroup(&self, path: &str) -> Result<()> {
        for &(_, controllers, _) in self.layout.hierarchies() {
            self.remove(&self.cgroup_file(controllers, path, ""))?;
        }
        Ok(())
    }

    /// Writes the files of a process, replacing what its pid had before.
    pub fn process(&self, process: &FakeProcess) -> Result<()> {
        let directory = format!("proc/{}", process.pid);
        self.write(&format!("{directory}/stat"), &process.stat())?;
        self.write(&format!("{directory}/status"), process.status().as_bytes())?;
        self.write(&format!("{directory}/cmdline"), &process.cmdline())?;
        let cgroup = proc_text::cgroup_lines(self.layout.hierarchies(), &process.cgroup);
        self.write(&format!("{directory}/cgroup"), cgroup.as_bytes())?;
        for (kind, inode) in process.namespace_inodes() {
            self.link(&format!("{directory}/ns/{kind}"), format!("{kind}:[{inode}]"))?;
        }
        if process.exe.is_empty() { Ok(()) } else { self.link(&format!("{directory}/exe"), &process.exe) }
    }

    /// Makes these processes, and no other, the members of a cgroup in every hierarchy.
    pub fn members(&self, cgroup: &str, pids: &[u32]) -> Result<()> {
        let text: String = pids.iter().map(|pid| format!("{pid}\n")).collect();
        let hierarchies = self.layout.hierarchies().iter();
        hierarchies
            .map(|hierarchy| self.cgroup_file(hierarchy.1, cgroup, "cgroup.procs"))
            .try_for_each(|file| self.write(&file, text.as_bytes()))
    }

    /// Gives a process these open files, by the targets of their links.
    pub fn open_files(&self, pid: u32, targets: &[&str]) -> Result<()> {
        (0..)
            .zip(targets)
            .try_for_each(|(fd, target): (u32, _)| self.link(&format!("proc/{pid}/fd/{fd}"), target))
    }

    /// Takes a process away.
    pub fn end_process(&self, pid: u32) -> Result<()> {
        self.remove(&format!("proc/{pid}"))
    }

    fn new(layout: FakeLayout) -> Result<Self> {
        // In memory where there is room: a host is many small files, and some tests make 20,000 directories.
        let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())?;
        let host = Self { directory, layout };
        for (path, content) in proc_text::FILES {
            host.write(path, content.as_bytes())?;
        }
        let hierarchies = layout.hierarchies();
        host.write("proc/self/mountinfo", proc_text::mountinfo(hierarchies).as_bytes())?;
        host.write("proc/cgroups", proc_text::cgroups(hierarchies).as_bytes())?;
        host.cgroup("/")?;
        host.process(&FakeProcess::new(1, "systemd"))?;
        host.process(&FakeProcess { parent_pid: 0, ..FakeProcess::kernel_thread(2, "kthreadd") })?;
        Ok(host)
    }

    fn at(&self, below: &str) -> PathBuf {
        self.root().join(below.trim_start_matches('/'))
    }
}

/// A made-up process.
#[derive(Clone, Debug)]
pub struct FakeProcess {
    /// Process id.
    pub pid: u32,
    /// Parent's id.
    pub parent_pid: u32,
    /// Program name, as the kernel would cut it; any bytes.
    pub name: Vec<u8>,
    /// Letter of `/proc/PID/stat`.
    pub state: char,
    /// Threads that have not ended, the first one counted until it is collected.
    pub threads: u32,
    /// Start in clock ticks (10 ms) since boot.
    pub start_ticks: u64,
    /// CPU time in clock ticks, half of it in user mode.
    pub cpu_ticks: u64,
    /// Real user id.
    pub uid: u32,
    /// Whether the kernel's flag for its own threads is set.
    pub is_kernel_thread: bool,
    /// Whether it runs what its maker ran: it was cloned and has executed nothing since.
    pub is_cloned: bool,
    /// Path of its cgroup, in every hierarchy.
    pub cgroup: String,
    /// Its namespaces.
    pub namespaces: Namespaces,
    /// Target of `/proc/PID/exe`; empty for none.
    pub exe: String,
    /// Arguments, the program's name first; any bytes.
    pub args: Vec<Vec<u8>>,
}

impl FakeProcess {
    /// A process of the host in the root cgroup: child of pid 1, run by root, started 100 ticks and its pid after boot.
    pub fn new(pid: u32, name: &str) -> Self {
        Self {
            pid,
            parent_pid: u32::from(pid != 1),
            name: name.into(),
            state: 'S',
            threads: 1,
            start_ticks: 100 + u64::from(pid),
            cpu_ticks: 0,
            uid: 0,
            is_kernel_thread: false,
            is_cloned: false,
            cgroup: "/".to_owned(),
            namespaces: HOST_NAMESPACES,
            exe: format!("/usr/bin/{name}"),
            args: vec![name.into()],
        }
    }

    /// A thread of the kernel: child of pid 2, without program or arguments.
    pub fn kernel_thread(pid: u32, name: &str) -> Self {
        let new = Self::new(pid, name);
        Self { parent_pid: 2, is_kernel_thread: true, exe: String::new(), args: Vec::new(), ..new }
    }

    /// The same process in a container's cgroup and namespaces.
    pub fn contained(self, cgroup: &str) -> Self {
        Self { cgroup: cgroup.to_owned(), namespaces: CONTAINER_NAMESPACES, ..self }
    }

    /// The same process with these arguments, the program's name first.
    pub fn with_args(self, args: &[&str]) -> Self {
        Self { args: args.iter().map(|arg| arg.as_bytes().to_vec()).collect(), ..self }
    }
}
