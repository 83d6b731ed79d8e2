//! What views of provenance tell on the made-up host: engines, units, how a process is set up.
//!
//! Not here: what Docker claims, which `scene.rs` tells.

use model::authority::{Authority, Executable};
use model::coverage::Source;
use model::event::{Body, Exec, FileOrigin, Lineage};
use model::ids::{CgroupId, Namespaces};
use model::privilege::{Capabilities, Privileges};
use model::program::{FileFacts, FileId};
use model::runtime::ContainerFacts;
use model::setup::{Maker, Setup};
use model::time::Time;
use model::untrusted::Untrusted;
use model::view::{EngineKind, EngineSeen, EngineState, UnitChange, View};

use crate::scene::{Actor, HOST, Scene};

/// The containerd that Docker runs, in Docker's namespace.
pub fn moby() -> View {
    View::new(EngineKind::Containerd, "/run/docker/containerd/containerd.sock").of_namespace(&"moby".into())
}

impl Scene {
    /// An engine is found, or has changed.
    pub fn engine(&mut self, view: &View, state: EngineState, change: impl FnOnce(&mut EngineSeen)) {
        let mut seen = EngineSeen {
            view: view.of_namespace(&Untrusted::default()),
            state,
            reason: Untrusted::default(),
            process: None,
            program: Untrusted::default(),
            cgroup: Untrusted::default(),
            is_standard: true,
            part_of: None,
            authority: Authority::Host,
            executable: None,
        };
        change(&mut seen);
        self.emit(source(view), Body::Engine(Box::new(seen)));
    }

    /// An engine other than the default one claims a container.
    pub fn claimed_by(&mut self, view: &View, actor: Actor, change: impl FnOnce(&mut ContainerFacts)) {
        let mut facts = self.facts(actor);
        facts.view = view.clone();
        change(&mut facts);
        self.emit(source(view), Body::Container(Box::new(facts)));
    }

    /// The kernel shows how a container's first process is set up: as Docker does it, with its shim above it.
    pub fn set_up(&mut self, actor: Actor, change: impl FnOnce(&mut Setup)) {
        let mut setup = setup(actor);
        change(&mut setup);
        self.emit(Source::Kernel, Body::Setup(Box::new(setup)));
    }

    /// systemd tells which units run.
    pub fn units(&mut self, is_manager: bool, units: &[&str]) {
        let started = units.iter().map(|unit| Untrusted::new(unit)).collect();
        self.emit(Source::Systemd, Body::Units(UnitChange { is_manager, started, ended: Vec::new() }));
    }

    /// A program runs that was started from the host, in the namespaces and the cgroup of a container.
    pub fn run_from_outside(&mut self, actor: Actor, command: &str, change: impl FnOnce(&mut Exec)) {
        let mut exec = actor.exec(command);
        exec.process.pid += 2_000_000;
        exec.lineage = Some(Lineage {
            parent_cgroup: CgroupId(1),
            parent_namespaces: HOST,
            login_uid: None,
            has_terminal: false,
            user_ns: 0,
        });
        change(&mut exec);
        self.emit(Source::Kernel, Body::Exec(Box::new(exec)));
    }

    /// A container has an interpreter of its image run a script of this origin.
    pub fn run_script(&mut self, actor: Actor, script: &str, origin: FileOrigin) {
        let mut exec = own_exec(actor, &format!("/bin/sh {script}"));
        exec.origin = origin;
        exec.script = Untrusted::new(script);
        self.emit(Source::Kernel, Body::Exec(Box::new(exec)));
    }

    /// A process of a container starts a program, in whatever way `change` says.
    pub fn run_in(&mut self, actor: Actor, command: &str, change: impl FnOnce(&mut Exec)) {
        let mut exec = own_exec(actor, command);
        change(&mut exec);
        self.emit(Source::Kernel, Body::Exec(Box::new(exec)));
    }

    /// A container runs a program from a file of this origin, started by a process of its own.
    pub fn run_file(&mut self, actor: Actor, command: &str, origin: FileOrigin) {
        let mut exec = own_exec(actor, command);
        exec.origin = origin;
        self.emit(Source::Kernel, Body::Exec(Box::new(exec)));
    }
}

/// A file that changed last at that time, with a number and a name.
pub fn run_file(inode: u64, name: &str, changed: Time) -> FileFacts {
    let id = FileId { device: 1, inode };
    FileFacts { id, changed, is_mounted_alone: false, name: Untrusted::new(name) }
}

/// A program that a process of the container starts.
fn own_exec(actor: Actor, command: &str) -> Exec {
    let mut exec = actor.exec(command);
    exec.process.pid += 3_000_000;
    exec.path = Untrusted::new(command.split(' ').next().unwrap_or_default());
    exec.lineage = Some(Lineage {
        parent_cgroup: actor.cgroup(),
        parent_namespaces: exec.namespaces,
        login_uid: None,
        has_terminal: false,
        user_ns: 0,
    });
    exec
}

/// A setup as Docker makes it.
pub fn setup(actor: Actor) -> Setup {
    let exec = actor.exec("program");
    Setup {
        process: actor.process(),
        cgroup: actor.cgroup(),
        cgroup_path: Untrusted::default(),
        program: exec.args,
        namespaces: exec.namespaces,
        root: Untrusted::new("/var/lib/docker/overlay2/x/merged"),
        has_own_root: true,
        runs_hosts_file: false,
        has_own_users: false,
        privileges: Privileges { capabilities: Capabilities::usual(), ..Privileges::default() },
        makers: vec![shim(&moby(), &actor.id())],
    }
}

/// The shim of a container of containerd: root runs it, from the host's own executable.
pub fn shim(view: &View, id: &Untrusted) -> Maker {
    let (namespace, place) = (view.namespace.raw(), view.place.raw());
    let args = format!("containerd-shim-runc-v2 -namespace {namespace} -id {} -address {place}", id.raw());
    Maker { args: Untrusted::new(&args), ..helper(50, "/usr/bin/containerd-shim-runc-v2", 0) }
}

/// An ancestor that a user runs from an executable of the host's.
pub fn helper(pid: u32, path: &str, uid: u32) -> Maker {
    let path = Untrusted::new(path);
    let file = Executable { path, device: (8, 1), inode: 40, uid, is_hosts: true };
    let name = file.name().to_owned();
    Maker { executable: Some(Box::new(file)), ..maker(pid, &name) }
}

/// An ancestor of that name, of whose executable nothing is known.
pub fn maker(pid: u32, name: &str) -> Maker {
    Maker { pid, name: Untrusted::new(name), args: Untrusted::new(name), executable: None }
}

/// Namespaces of a process of the host with a pid namespace, mounts and root of its own.
pub fn apart(number: u32) -> Namespaces {
    Namespaces { pid: number, mnt: number + 1, net: HOST.net }
}

fn source(view: &View) -> Source {
    match view.engine {
        EngineKind::Docker => Source::Docker,
        EngineKind::Containerd => Source::Containerd,
        EngineKind::Cri => Source::Cri,
        EngineKind::Podman => Source::Podman,
    }
}
