//! The tally: what every view says about one container, and which of them contradict each other. One pure function.
//!
//! Not here: waiting until a view's silence means anything (`inventory.rs`), and what a contradiction is worth (`detect`).

use model::fact::Fact;
use model::identity::{Container, Kind};
use model::ids::Namespaces;
use model::runtime::ContainerFacts;
use model::time::Time;
use model::untrusted::Untrusted;
use model::view::{Contradiction, Disagreement, EngineKind, Row, Standing, Tally, View, Witness};

use crate::cgroup_path::{Suggests, read};
use crate::kind::lives_apart;
use crate::views::{RuntimeView, UnitWord, Views};

/// Labels that the kubelet gives to the containers of a pod.
const POD_NAME: &str = "io.kubernetes.pod.name";
const POD_UID: &str = "io.kubernetes.pod.uid";
const KUBERNETES: &str = "kubernetes";
/// Labels of Compose.
const PROJECT: &str = "com.docker.compose.project";

/// containerd's namespaces that belong to somebody, and to which kind of engine.
const OWNED: [(&str, EngineKind); 2] = [("moby", EngineKind::Docker), ("k8s.io", EngineKind::Cri)];

/// Compares the views of one container.
pub(crate) fn tally(container: &Container, views: &Views, host: Option<Namespaces>, now: Time) -> Tally {
    let case = Case { container, views, host, now };
    let mut rows = vec![case.kernel()];
    rows.extend(case.systemd());
    rows.extend(case.engines());
    rows.extend(case.orchestrator());
    let mut contradictions = Vec::new();
    contradictions.extend(case.cgroup_of_engine());
    contradictions.extend(case.cgroup_of_unwatched());
    contradictions.extend(case.cgroup_of_unit());
    contradictions.extend(case.owners_namespace());
    contradictions.extend(case.orchestrator_labels());
    contradictions.extend(case.pod_labels());
    contradictions.extend(case.rights());
    Tally { rows, contradictions }
}

struct Case<'a> {
    container: &'a Container,
    views: &'a Views,
    host: Option<Namespaces>,
    now: Time,
}

impl<'a> Case<'a> {
    fn is_claimed_by(&self, kind: EngineKind) -> bool {
        self.container.claims().any(|facts| facts.view.engine == kind)
    }

    fn may_yet_speak(&self, kind: EngineKind) -> bool {
        self.views.may_yet_speak(kind, self.container.key.started, self.now)
    }

    fn kernel(&self) -> Row {
        let container = self.container;
        let mut says = format!("cgroup {}", container.cgroup_path.raw());
        if let Some(init) = container.init {
            says = format!("pid {}, {says}", init.pid);
        }
        if let Some(setup) = container.setup.known().filter(|setup| setup.has_own_root) {
            says = format!("{says}, root {}", setup.root.raw());
        }
        Row {
            witness: Witness::Kernel,
            standing: Standing::Present,
            since: Some(container.key.started),
            says: Untrusted::new(&says),
        }
    }

    /// systemd has a say about what its cgroup calls a unit of it.
    fn systemd(&self) -> Option<Row> {
        let unit = match read(self.container.cgroup_path.raw()) {
            Suggests::Unit(unit) => unit,
            _ if self.views.is_systemd_manager() => {
                return Some(row(Witness::Systemd, Standing::Foreign, ""));
            }
            _ => return None,
        };
        let standing = match self.views.unit(unit) {
            UnitWord::Runs => Standing::Present,
            UnitWord::Unknown | UnitWord::NoManager => Standing::Denied,
            UnitWord::NotAsked => Standing::Pending,
        };
        Some(row(Witness::Systemd, standing, unit))
    }

    fn engines(&self) -> Vec<Row> {
        let mut rows: Vec<Row> = self.container.claims().map(claimed).collect();
        for (view, state) in self.views.engines() {
            if self.container.claims().any(|facts| facts.view.is_of(&view)) {
                continue;
            }
            let standing = match state {
                RuntimeView::Unknown => Standing::Pending,
                RuntimeView::Lost(_) | RuntimeView::Doubtful(_) => Standing::Silent,
                RuntimeView::Synced(_) | RuntimeView::Absent if self.would_know(&view) => Standing::Denied,
                RuntimeView::Synced(_) | RuntimeView::Absent => Standing::Foreign,
            };
            rows.push(row(Witness::Engine(view), standing, ""));
        }
        rows.sort_by(|a, b| a.witness.cmp(&b.witness));
        rows
    }

    /// Whether what others say makes it this engine's business.
    fn would_know(&self, view: &View) -> bool {
        let named = matches!(
            read(self.container.cgroup_path.raw()),
            Suggests::Container(Some(kind), _) if kind == view.engine
        );
        let in_its_namespace =
            self.container.claims().any(|facts| owner_of(&facts.view) == Some(view.engine));
        let labelled = view.engine == EngineKind::Cri && self.pod().is_some();
        self.container.kind == Kind::Ghost || named || in_its_namespace || labelled
    }

    fn orchestrator(&self) -> Vec<Row> {
        let facts = self.container.facts.known();
        let pod = self.pod();
        let told = self.container.orchestrated();
        // What the kubelet has to say is said of its pod.
        let asked = told.filter(|it| pod.is_none() || it.name.raw() != KUBERNETES).map(|it| Row {
            witness: Witness::Orchestrator { name: it.name.clone() },
            standing: it.standing,
            since: facts.and_then(|facts| facts.created),
            says: it.reason.clone(),
        });
        let compose = facts.and_then(|facts| facts.label(PROJECT)).map(|project| {
            // Compose keeps no list that could be asked: its labels are all there is.
            row(named("compose"), Standing::Silent, &format!("project {}, by its label", project.raw()))
        });
        let kubernetes = pod.map(|pod| {
            let told = told.filter(|it| it.name.raw() == KUBERNETES);
            let standing = match self.cri() {
                Cri::Claims => told.map_or(Standing::Present, |it| it.standing),
                Cri::Denies => Standing::Denied,
                Cri::Silent => Standing::Silent,
            };
            let why = told.map(|it| format!(", {}", it.reason.raw())).unwrap_or_default();
            row(named(KUBERNETES), standing, &format!("pod {}{why}", pod.raw()))
        });
        asked.into_iter().chain(compose).chain(kubernetes).collect()
    }

    /// The pod that its labels name.
    fn pod(&self) -> Option<&'a Untrusted> {
        self.container.claims().find_map(|facts| facts.label(POD_NAME).or_else(|| facts.label(POD_UID)))
    }

    fn cri(&self) -> Cri {
        if self.is_claimed_by(EngineKind::Cri) {
            return Cri::Claims;
        }
        if self.may_yet_speak(EngineKind::Cri) { Cri::Silent } else { Cri::Denies }
    }

    fn cgroup_of_engine(&self) -> Option<Contradiction> {
        let Suggests::Container(Some(kind), id) = read(self.container.cgroup_path.raw()) else { return None };
        // Of a ghost nothing is awaited: a name that only a silent engine could confirm is not confirmed. One that was not
        // looked at may be what it is called.
        let is_ghost = self.container.kind == Kind::Ghost && self.container.setup.known().is_some();
        let is_awaited = !is_ghost && self.may_yet_speak(kind);
        if self.is_claimed_by(kind) || is_awaited {
            return None;
        }
        let (denier, why) = match self.views.of_kind(kind).next() {
            Some((view, state)) if state.is_telling() => (view, "knows no such container"),
            Some((view, _)) => (view, "has not confirmed it"),
            None => (View { engine: kind, ..View::default() }, "does not run here"),
        };
        let sentence = format!("its cgroup names the container {}, and {kind} {why}", shown(id));
        Some(contradiction(Disagreement::CgroupOfEngine, Witness::Kernel, Witness::Engine(denier), sentence))
    }

    /// A runtime that keeps no list is known by what looks after its containers, not by how their cgroups are called.
    fn cgroup_of_unwatched(&self) -> Option<Contradiction> {
        let Suggests::Unwatched(runtime) = read(self.container.cgroup_path.raw()) else { return None };
        if self.container.kind != Kind::Ghost {
            return None;
        }
        let sentence =
            format!("its cgroup is named as {runtime} names them, and nothing of {runtime} runs it");
        Some(contradiction(Disagreement::CgroupOfEngine, Witness::Kernel, Witness::Kernel, sentence))
    }

    fn cgroup_of_unit(&self) -> Option<Contradiction> {
        let Suggests::Unit(unit) = read(self.container.cgroup_path.raw()) else { return None };
        let why = match self.views.unit(unit) {
            UnitWord::Unknown => "knows no such unit",
            UnitWord::NoManager => "does not run here",
            UnitWord::Runs | UnitWord::NotAsked => return None,
        };
        // Whoever only keeps a private `/tmp` there hides nothing.
        if !lives_apart(self.container, self.host) {
            return None;
        }
        let sentence = format!("its cgroup names the unit {}, and systemd {why}", shown(unit));
        Some(contradiction(Disagreement::CgroupOfUnit, Witness::Kernel, Witness::Systemd, sentence))
    }

    fn owners_namespace(&self) -> Option<Contradiction> {
        let (claim, owner) =
            self.container.claims().find_map(|facts| Some((facts, owner_of(&facts.view)?)))?;
        let (denier, state) = self.views.of_kind(owner).next()?;
        if self.is_claimed_by(owner) || self.may_yet_speak(owner) {
            return None;
        }
        let why = if state.is_telling() { "knows no such container" } else { "has not confirmed it" };
        let sentence = format!(
            "it is in the namespace {} of {owner}'s containers, and {owner} {why}",
            claim.view.namespace
        );
        let claims = Witness::Engine(claim.view.clone());
        Some(contradiction(Disagreement::OwnersNamespace, claims, Witness::Engine(denier), sentence))
    }

    fn orchestrator_labels(&self) -> Option<Contradiction> {
        let facts = self.container.facts.known()?;
        let asked = facts.orchestrated.as_ref().filter(|it| it.standing == Standing::Denied)?;
        let sentence =
            format!("its labels name the orchestrator {}, which denies it: {}", asked.name, asked.reason);
        let claims = Witness::Engine(facts.view.clone());
        let denies = Witness::Orchestrator { name: asked.name.clone() };
        Some(contradiction(Disagreement::OrchestratorLabels, claims, denies, sentence))
    }

    fn pod_labels(&self) -> Option<Contradiction> {
        let pod = self.pod()?;
        let claims = self.container.facts.known().map(|facts| Witness::Engine(facts.view.clone()))?;
        if self.cri() != Cri::Denies {
            return None;
        }
        let (denier, why) = match self.views.of_kind(EngineKind::Cri).next() {
            Some((view, _)) => (view, "what serves the kubelet knows no such container"),
            None => (View { engine: EngineKind::Cri, ..View::default() }, "nothing here serves a kubelet"),
        };
        let sentence = format!("its labels name the pod {pod}, and {why}");
        Some(contradiction(Disagreement::PodLabels, claims, Witness::Engine(denier), sentence))
    }

    /// The kernel shows more than the engine says it gave. Only what is told the same way by both is compared.
    fn rights(&self) -> Option<Contradiction> {
        let facts = self.container.facts.known()?;
        let (Fact::Known(setup), Some(given)) = (&self.container.setup, &facts.privileges) else {
            return None;
        };
        if setup.has_own_users || given.is_privileged {
            return None;
        }
        let beyond = setup.privileges.capabilities.without(given.capabilities);
        if beyond.is_empty() {
            return None;
        }
        let sentence =
            format!("the kernel shows capabilities that {} did not give: {beyond}", facts.view.engine);
        let denies = Witness::Engine(facts.view.clone());
        Some(contradiction(Disagreement::Rights, Witness::Kernel, denies, sentence))
    }
}

/// What the kubelet's runtime says of a container with the labels of a pod.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cri {
    Claims,
    Denies,
    Silent,
}

/// To whom one of containerd's namespaces belongs.
pub(crate) fn owner_of(view: &View) -> Option<EngineKind> {
    if view.engine != EngineKind::Containerd {
        return None;
    }
    OWNED.iter().find(|(name, _)| view.namespace.raw() == *name).map(|(_, kind)| *kind)
}

fn claimed(facts: &ContainerFacts) -> Row {
    let mut says = facts.name.raw().to_owned();
    if !facts.image.is_empty() {
        says = format!("{says}, image {}", facts.image.raw());
    }
    Row {
        witness: Witness::Engine(facts.view.clone()),
        standing: Standing::Present,
        since: facts.started.or(facts.created),
        says: Untrusted::new(&says),
    }
}

fn row(witness: Witness, standing: Standing, says: &str) -> Row {
    Row { witness, standing, since: None, says: Untrusted::new(says) }
}

fn named(orchestrator: &str) -> Witness {
    Witness::Orchestrator { name: Untrusted::new(orchestrator) }
}

fn shown(text: &str) -> String {
    Untrusted::new(text).to_string()
}

fn contradiction(about: Disagreement, claims: Witness, denies: Witness, sentence: String) -> Contradiction {
    Contradiction { about, claims, denies, sentence }
}
