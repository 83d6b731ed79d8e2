//! Builds containers as the inventory shows them: claimed, contradicted, claimed by nobody, of a unit, and hostile.
//!
//! Not here: how an inventory is kept; the rows are made up, so that every form of them is shown somewhere.

use std::sync::Arc;

use model::approval::{Approval, Scope};
use model::fact::Fact;
use model::identity::{Container, Kind};
use model::ids::{CgroupId, ContainerKey, Namespaces, NodeId, ProcessKey, WorkloadKey};
use model::incident::{IncidentId, Severity};
use model::inventory::{ContainerView, InventoryView, NamedIn};
use model::novelty::Provenance;
use model::privilege::{Capabilities, HostMount, NamespaceKind, Privileges};
use model::runtime::{ContainerFacts, ImageFacts, RunState};
use model::setup::{Maker, Setup};
use model::time::Time;
use model::untrusted::Untrusted;
use model::view::{Contradiction, Disagreement, EngineKind, Row, Standing, Tally, View, Witness};

use crate::incidents::HOSTILE;

/// When the sample was taken: 2026-01-31 12:00:00.
const NOW: i64 = 1_769_860_800;

/// A host with five containers, what contradicts first: one with forged labels and a right that nobody gave it, a ghost, two
/// that are fine, one of which has ended, and a service.
pub fn sample() -> InventoryView {
    InventoryView {
        node: NodeId::new("shop-1"),
        at: Time::from_secs(NOW),
        containers: vec![forger(), ghost(), database(), web(), service()],
        dropped: 0,
    }
}

/// One container whose every text is made to do harm.
pub fn hostile() -> InventoryView {
    let mut view = forger();
    let container = Arc::make_mut(&mut view.container);
    container.cgroup_path = HOSTILE.into();
    container.program = HOSTILE.into();
    if let Fact::Known(facts) = &mut container.facts {
        let facts = Arc::make_mut(facts);
        for text in [&mut facts.name, &mut facts.image, &mut facts.id, &mut facts.root, &mut facts.digest] {
            *text = HOSTILE.into();
        }
        facts.labels = vec![(HOSTILE.into(), HOSTILE.into())];
        facts.view.place = HOSTILE.into();
    }
    if let Fact::Known(setup) = &mut container.setup {
        let setup = Arc::make_mut(setup);
        setup.root = HOSTILE.into();
        setup.makers = vec![Maker { pid: 1, name: HOSTILE.into(), args: HOSTILE.into(), executable: None }];
        setup.privileges.devices = vec![HOSTILE.into()];
    }
    view.workload = WorkloadKey::new(HOSTILE);
    view.rows.iter_mut().for_each(|row| row.says = HOSTILE.into());
    view.rows.push(row(Witness::Orchestrator { name: HOSTILE.into() }, Standing::Denied, None, HOSTILE));
    for contradiction in &mut Arc::make_mut(&mut container.tally).contradictions {
        contradiction.sentence = HOSTILE.to_owned();
    }
    for named in &mut view.incidents {
        named.summary = HOSTILE.to_owned();
    }
    InventoryView { containers: vec![view], ..sample() }
}

/// What one witness says.
pub fn row(witness: Witness, standing: Standing, since: Option<i64>, says: &str) -> Row {
    Row { witness, standing, since: since.map(Time::from_secs), says: says.into() }
}

/// A container of that kind with nothing but a cgroup, a pid and a program.
pub fn bare(number: u32, kind: Kind, program: &str, cgroup: &str) -> ContainerView {
    let started = Time::from_secs(NOW - 60 * i64::from(number));
    let container = Container {
        key: ContainerKey {
            node: NodeId::new("shop-1"),
            cgroup: CgroupId(4_700 + u64::from(number)),
            started,
        },
        kind,
        cgroup_path: cgroup.into(),
        namespaces: Namespaces {
            pid: 4_026_531_836 + number,
            mnt: 4_026_531_840 + number,
            net: 4_026_531_992,
        },
        init: Some(ProcessKey { pid: 900 + number, start_ns: 1_000_000_000 }),
        program: program.into(),
        facts: Fact::Failed { reason: "no engine claims it".into() },
        setup: Fact::Failed { reason: "nobody looked".into() },
        tally: Arc::default(),
        others: Vec::new(),
        root: None,
        has_own_files: None,
        ended: None,
    };
    let workload = container.workload();
    let kernel = row(Witness::Kernel, Standing::Present, Some(started.ns() / 1_000_000_000), cgroup);
    ContainerView {
        container: Arc::new(container),
        workload,
        provenance: Provenance::Pending,
        rows: vec![kernel],
        approvals: Vec::new(),
        incidents: Vec::new(),
    }
}

/// A container that an engine claims.
pub fn claimed(number: u32, facts: ContainerFacts) -> ContainerView {
    let cgroup = format!("/docker/{}", facts.id.raw());
    let mut view = bare(number, Kind::Managed, "serve", &cgroup);
    let container = Arc::make_mut(&mut view.container);
    let says = format!("{}, image {}", facts.name.raw(), facts.image.raw());
    let since = facts.started.map(|at| at.ns() / 1_000_000_000);
    view.rows.push(row(Witness::Engine(facts.view.clone()), Standing::Present, since, &says));
    container.facts = Fact::Known(Arc::new(facts));
    view.workload = container.workload();
    view
}

/// What Docker tells of a container of that name and image.
pub fn facts(name: &str, image: &str, digit: char) -> ContainerFacts {
    ContainerFacts {
        id: Untrusted::new(&digit.to_string().repeat(64)),
        name: name.into(),
        image: image.into(),
        digest: Untrusted::new(&format!("sha256:{}", digit.to_string().repeat(64))),
        command: "serve --port 80".into(),
        pid: Some(900),
        state: RunState::Running,
        created: Some(Time::from_secs(NOW - 3_601)),
        started: Some(Time::from_secs(NOW - 3_600)),
        ..ContainerFacts::default()
    }
}

fn containerd() -> View {
    View::new(EngineKind::Containerd, "/run/containerd/containerd.sock")
}

fn setup_of(view: &ContainerView, privileges: Privileges, root: &str) -> Arc<Setup> {
    let container = &view.container;
    let maker =
        |pid, name: &str, args: &str| Maker { pid, name: name.into(), args: args.into(), executable: None };
    let shim = "containerd-shim-runc-v2 -namespace moby -address /run/containerd/containerd.sock";
    Arc::new(Setup {
        program: container.program.clone(),
        process: container.init.unwrap_or(ProcessKey { pid: 1, start_ns: 0 }),
        cgroup: container.key.cgroup,
        cgroup_path: container.cgroup_path.clone(),
        namespaces: container.namespaces,
        root: root.into(),
        has_own_root: !root.is_empty(),
        runs_hosts_file: false,
        has_own_users: false,
        privileges,
        makers: vec![maker(812, "containerd-shim", shim), maker(1, "systemd", "/sbin/init")],
    })
}

fn contradiction(about: Disagreement, claims: Witness, denies: Witness, sentence: &str) -> Contradiction {
    Contradiction { about, claims, denies, sentence: sentence.to_owned() }
}

/// Claimed by Docker and containerd, with labels that Swarm denies and a capability that Docker says it did not give.
fn forger() -> ContainerView {
    let given = Privileges {
        capabilities: Capabilities::usual(),
        host_namespaces: vec![NamespaceKind::User],
        mounts: vec![HostMount { path: "/etc".into(), is_writable: false }],
        ..Privileges::default()
    };
    let shown = Privileges {
        capabilities: given.capabilities.with(Capabilities::parse("SYS_ADMIN").unwrap_or_default()),
        host_namespaces: vec![NamespaceKind::Pid, NamespaceKind::User],
        without_seccomp: true,
        devices: vec!["/dev/kvm".into()],
        ..given.clone()
    };
    let mut facts = facts("shop_web.1.x2", "registry.example/shop/web:1.4", 'a');
    facts.privileges = Some(Box::new(given));
    facts.labels = vec![("com.docker.swarm.service.name".into(), "shop_web".into())];
    facts.image_facts = ImageFacts {
        digests: vec![Untrusted::new(&format!("sha256:{}", "0f".repeat(32)))],
        is_local: true,
        parent: Untrusted::new(&format!("sha256:{}", "1e".repeat(32))),
        signers: vec!["ann@shop.example".into()],
    };
    let mut view = claimed(1, facts);
    let setup = setup_of(&view, shown, "/var/lib/docker/overlay2/a1/merged");
    let (docker, moby) = (Witness::Engine(View::default()), containerd().of_namespace(&"moby".into()));
    let swarm = Witness::Orchestrator { name: "swarm".into() };
    view.rows.push(row(Witness::Engine(moby.clone()), Standing::Present, Some(NOW - 3_599), "aaaa"));
    view.rows.push(row(swarm.clone(), Standing::Denied, None, "the service has no such task"));
    view.rows.push(row(Witness::Policy, Standing::Denied, None, "nobody approved its image"));
    view.provenance = Provenance::Unapproved;
    let container = Arc::make_mut(&mut view.container);
    container.setup = Fact::Known(setup);
    container.others = vec![Arc::new(ContainerFacts {
        view: moby,
        id: Untrusted::new(&"a".repeat(64)),
        started: Some(Time::from_secs(NOW - 3_599)),
        ..ContainerFacts::default()
    })];
    container.tally = Arc::new(Tally {
        rows: view.rows.clone(),
        contradictions: vec![
            contradiction(
                Disagreement::OrchestratorLabels,
                docker.clone(),
                swarm,
                "its labels name the service shop_web, and swarm denies it: the service has no such task",
            ),
            contradiction(
                Disagreement::Rights,
                Witness::Kernel,
                docker,
                "the kernel shows capabilities that docker did not give: SYS_ADMIN",
            ),
        ],
    });
    view.incidents = vec![NamedIn {
        id: IncidentId::from_text("TW-27097a804630"),
        severity: Severity::High,
        summary: "shop_web.1.x2 claims to be of the service shop_web, which denies it".to_owned(),
    }];
    view
}

/// Claimed by nobody.
fn ghost() -> ContainerView {
    let mut view = bare(2, Kind::Ghost, "/srv/miner --pool 203.0.113.9", "/user.slice/user-0.slice/x.scope");
    let setup = setup_of(&view, Privileges::default(), "/srv/rootfs");
    Arc::make_mut(&mut view.container).setup = Fact::Known(setup);
    view.rows.push(row(Witness::Systemd, Standing::Denied, None, "x.scope"));
    view.rows.push(row(Witness::Engine(View::default()), Standing::Denied, None, ""));
    view.rows.push(row(Witness::Engine(containerd()), Standing::Silent, None, ""));
    view.rows.push(row(
        Witness::Policy,
        Standing::Denied,
        None,
        "no engine claims it, and nobody approved that",
    ));
    view.provenance = Provenance::Unclaimed;
    view
}

/// Claimed by containerd only, from another socket, and approved.
fn database() -> ContainerView {
    let mut facts = facts("db", "", 'd');
    facts.view = View::new(EngineKind::Containerd, "/run/other.sock").of_namespace(&"default".into());
    facts.digest = Untrusted::default();
    facts.root = "/run/bundles/db/rootfs".into();
    let mut view = claimed(3, facts.clone());
    view.rows.push(row(Witness::Engine(View::default()), Standing::Foreign, None, ""));
    view.rows.push(row(
        Witness::Policy,
        Standing::Present,
        Some(NOW - 100_000),
        "image and workload approved",
    ));
    view.provenance = Provenance::Approved;
    let scopes = [
        Scope::Engine { view: facts.view },
        Scope::Rights { workload: view.workload.clone(), rights: vec!["host:net".into()] },
    ];
    let approval = |(id, scope)| Approval {
        id,
        scope,
        owner: "ann".into(),
        at: Time::from_secs(NOW - 100_000),
        note: "moved in May".into(),
    };
    view.approvals = (7..).zip(scopes).map(approval).collect();
    view
}

/// Has ended.
fn web() -> ContainerView {
    let mut view = claimed(4, facts("web", "nginx:1.25", 'e'));
    Arc::make_mut(&mut view.container).ended = Some(Time::from_secs(NOW - 20));
    view.rows.push(row(Witness::Policy, Standing::Pending, None, ""));
    view
}

/// A unit of systemd.
fn service() -> ContainerView {
    let mut view = bare(5, Kind::Service, "systemd-resolved", "/system.slice/systemd-resolved.service");
    view.rows.push(row(Witness::Systemd, Standing::Present, None, "systemd-resolved.service"));
    view.rows.push(row(Witness::Engine(View::default()), Standing::Foreign, None, ""));
    view.rows.push(row(Witness::Policy, Standing::Foreign, None, ""));
    view
}
