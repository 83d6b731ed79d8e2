//! What changes under way take off: rollouts, scale-outs and work on images; and whom they do not help.

use std::sync::Arc;

use model::expectation::{Expectation, ExplanationKind};
use model::fact::Fact;
use model::identity::{Container, Kind, News};
use model::ids::{ContainerKey, Namespaces};
use model::novelty::Provenance;
use model::runtime::{ContainerFacts, Deploy, EngineWork, ImageWork, RunState, ServiceChange};
use model::traffic::{EdgeKey, Endpoint, Protocol};

use super::*;

/// A container of the Compose service `shop/web`.
#[derive(Clone)]
struct Replica {
    cgroup: u64,
    digest: &'static str,
    config: &'static str,
    image: &'static str,
}

const FIRST: Replica = Replica { cgroup: 1, digest: "sha256:01", config: "aa", image: "web:1" };

impl Replica {
    fn container(&self, started: Time) -> Arc<Container> {
        let label = |key: &str, value: &str| (Untrusted::new(key), Untrusted::new(value));
        let facts = ContainerFacts {
            id: Untrusted::new(&format!("{:064x}", self.cgroup)),
            name: Untrusted::new(&format!("shop-web-{}", self.cgroup)),
            image: self.image.into(),
            digest: self.digest.into(),
            command: "nginx".into(),
            labels: vec![
                label("com.docker.compose.config-hash", self.config),
                label("com.docker.compose.project", "shop"),
                label("com.docker.compose.service", "web"),
            ],
            labels_dropped: 0,
            pid: None,
            state: RunState::Running,
            created: None,
            started: None,
            log_driver: Untrusted::default(),
            log_path: None,
            network_mode: Untrusted::default(),
            addresses: Vec::new(),
            published: Vec::new(),
            ..ContainerFacts::default()
        };
        Arc::new(Container {
            key: ContainerKey { node: NodeId::new("node"), cgroup: CgroupId(self.cgroup), started },
            kind: Kind::Managed,
            cgroup_path: Untrusted::default(),
            namespaces: Namespaces::default(),
            init: None,
            program: Untrusted::default(),
            facts: Fact::Known(Arc::new(facts)),
            root: None,
            has_own_files: None,
            ended: None,
            setup: Fact::Failed { reason: Untrusted::default() },
            tally: Arc::default(),
            others: Vec::new(),
        })
    }
}

fn busy(workload: &str, provenance: Provenance) -> Finding {
    Finding { provenance, ..in_workload(excess(4.0).explainable("own_cpu_cores", 1.0), workload) }
}

impl Desk {
    fn news(&mut self, news: News) {
        let mut seen = seen(self.now, Body::Tick);
        seen.identity.news.push(news);
        self.triage.weigh(&seen, Vec::new());
    }

    fn starts(&mut self, replica: &Replica) {
        let container = replica.container(self.now);
        self.news(News::Settled(container));
    }

    fn ends(&mut self, replica: &Replica) {
        let container = replica.container(self.now);
        self.news(News::Ended(container));
    }

    /// What a finding of four bits about a workload weighs now, and why.
    fn weighs(&mut self, workload: &str, provenance: Provenance) -> String {
        self.weighs_now(busy(workload, provenance))
    }

    fn weighs_now(&mut self, finding: Finding) -> String {
        let finding = Finding { at: self.now, ..finding };
        let subject = finding.subject.clone();
        self.triage.weigh(&seen(self.now, Body::Tick), vec![finding]);
        let kept = &self.triage.subjects[&subject].findings()[0];
        let why = kept.explained.iter().map(|explanation| format!(" {}", explanation.kind.name()));
        format!("{:.1}{}", kept.bits, why.collect::<String>())
    }

    fn web(&mut self) -> String {
        self.weighs("compose:shop/web web", Provenance::Approved)
    }
}

/// A service that has run for a day with one replica.
fn settled() -> Desk {
    let mut desk = Desk::new(Severity::Medium);
    desk.starts(&FIRST);
    desk.pass(Duration::from_secs(86_400));
    desk
}

#[test]
fn a_service_that_is_replaced_by_another_configuration_weighs_half_for_a_quarter_of_an_hour() {
    let mut desk = settled();
    assert_eq!(desk.web(), "4.0");
    desk.ends(&FIRST);
    desk.starts(&Replica { cgroup: 2, config: "bb", ..FIRST });
    assert_eq!(desk.web(), "2.0 rollout");
    desk.pass(Duration::from_secs(899));
    assert_eq!(desk.web(), "2.0 rollout");
    desk.pass(Duration::from_secs(1));
    assert_eq!(desk.web(), "4.0");
}

#[test]
fn another_digest_of_the_same_workload_is_a_rollout() {
    let mut desk = settled();
    desk.starts(&Replica { cgroup: 2, digest: "sha256:02", image: "web:2", ..FIRST });
    assert_eq!(desk.web(), "2.0 rollout");
}

/// A finding of four bits about an edge of the web service's; one that is about a surprise stands that high.
fn on_an_edge(judge: &'static str, provenance: Provenance, surprise: Option<f64>) -> Finding {
    let workload = |name| Endpoint::Workload(WorkloadKey::new(name));
    let (from, to) = (workload("compose:shop/web web"), workload("compose:shop/cache cache"));
    let edge = EdgeKey { from, to, port: 6379, protocol: Protocol::TCP };
    let found = finding(judge, Family::Communication, 4.0).on_edge(&edge);
    let found = match surprise {
        Some(surprise) => found.explainable("surprise_powers_of_ten", surprise),
        None => found,
    };
    Finding { provenance, ..in_workload(found, "compose:shop/web web") }
}

#[test]
fn edges_that_a_rollout_brings_weigh_half_and_it_sets_no_policy_aside() {
    for (judge, provenance, surprise, weighs) in [
        ("new_edge", Provenance::Approved, Some(3.7), "2.0 rollout"),
        ("new_external", Provenance::ImageApproved, Some(3.7), "2.0 rollout"),
        ("new_edge", Provenance::Unapproved, Some(3.7), "4.0"),
        ("edge_outside_policy", Provenance::Approved, None, "4.0"),
    ] {
        let mut desk = settled();
        desk.starts(&Replica { cgroup: 2, digest: "sha256:02", image: "web:2", ..FIRST });
        assert_eq!(desk.weighs_now(on_an_edge(judge, provenance, surprise)), weighs, "{judge}");
    }
}

#[test]
fn more_replicas_are_a_scale_out_and_a_restart_is_neither() {
    let mut desk = settled();
    desk.ends(&FIRST);
    desk.starts(&Replica { cgroup: 2, ..FIRST });
    assert_eq!(desk.web(), "4.0", "a restart");
    desk.pass(Duration::from_secs(3600));
    desk.starts(&Replica { cgroup: 3, ..FIRST });
    assert_eq!(desk.web(), "2.0 scale_out");
}

#[test]
fn only_the_workload_that_changes_and_only_what_somebody_approved_is_explained() {
    let mut desk = settled();
    desk.starts(&Replica { cgroup: 2, config: "bb", ..FIRST });
    assert_eq!(desk.weighs("compose:shop/web web", Provenance::ImageApproved), "2.0 rollout");
    assert_eq!(desk.weighs("compose:shop/web web", Provenance::Unapproved), "4.0", "a forged label");
    assert_eq!(desk.weighs("compose:shop/web miner", Provenance::Approved), "4.0", "another image");
    assert_eq!(desk.weighs("compose:shop/api web", Provenance::Approved), "4.0", "another service");
}

#[test]
fn what_was_found_running_changed_nothing() {
    let mut desk = settled();
    let old = Replica { cgroup: 2, config: "bb", ..FIRST }.container(START);
    desk.news(News::Settled(old));
    assert_eq!(desk.web(), "4.0");
}

#[test]
fn a_swarm_that_announces_a_change_explains_that_service_only() {
    let mut desk = Desk::new(Severity::Medium);
    let announce = |desk: &mut Desk, deploy| {
        desk.body(Body::Service(ServiceChange { service: "web".into(), deploy }), Vec::new());
    };
    announce(&mut desk, Deploy::Rollout);
    assert_eq!(desk.weighs("swarm:web nginx", Provenance::Approved), "2.0 rollout");
    assert_eq!(desk.weighs("swarm:web2 nginx", Provenance::Approved), "4.0");
    assert_eq!(desk.weighs("web [nginx]", Provenance::Approved), "4.0");
    desk.pass(Duration::from_secs(60));
    announce(&mut desk, Deploy::ScaleOut);
    assert_eq!(desk.weighs("swarm:web nginx", Provenance::Approved), "2.0 scale_out");
}

#[test]
fn harm_during_a_rollout_is_harm() {
    let mut desk = settled();
    desk.starts(&Replica { cgroup: 2, config: "bb", ..FIRST });
    let web = busy("compose:shop/web web", Provenance::Approved);
    let harmful = Finding { at: desk.now, ..harming(web) };
    assert_eq!(desk.triage.weigh(&seen(desk.now, Body::Tick), vec![harmful]).expectations, []);
}

#[test]
fn of_several_reasons_the_one_that_lowers_most_counts() {
    let mut desk = settled();
    let window = testkit::expectations::scheduled("workload:compose:shop/*", "* * * * *", 60);
    desk.body(Body::Expected(Box::new(Expectation { expires: None, ..window })), Vec::new());
    desk.starts(&Replica { cgroup: 2, config: "bb", ..FIRST });
    assert_eq!(desk.web(), "0.5 schedule");
}

#[test]
fn services_and_workloads_that_come_without_end_are_bounded() {
    let mut desk = Desk::new(Severity::Medium);
    for number in 0..5_000_u64 {
        let service = Untrusted::new(&format!("s{number}"));
        desk.body(Body::Service(ServiceChange { service, deploy: Deploy::Rollout }), Vec::new());
        let image: &'static str = Box::leak(format!("image-{number}").into_boxed_str());
        desk.starts(&Replica { cgroup: number, image, ..FIRST });
    }
    let written = serde_json::to_value(&desk.triage).unwrap();
    let count = |name: &str| written["deploys"][name].as_object().unwrap().len();
    assert_eq!((count("workloads"), count("announced")), (4_096, 4_096));
}

fn engine_is_busy() -> Finding {
    let node = NodeId::new("node");
    Finding::about_node(&node, "engine_busy", Family::Resource, START, 6.0).explainable("own_cpu_cores", 1.0)
}

/// The engine tells of an import as Docker 20.10 does: the name first, then the import; then time passes.
fn imported(desk: &mut Desk) -> Weighed {
    for (work, image) in [(ImageWork::Build, "busybox"), (ImageWork::Import, "\u{1b}[2Jbusybox")] {
        desk.body(Body::EngineWork(EngineWork::new(work, image.into())), Vec::new());
    }
    desk.triage.weigh(&seen(desk.now, Body::Tick), Vec::new())
}

#[test]
fn a_commit_is_told_as_a_commit_also_when_its_name_comes_after_it() {
    let mut desk = Desk::new(Severity::Medium);
    desk.find(vec![engine_is_busy()]);
    for work in [ImageWork::Commit, ImageWork::Build] {
        desk.body(Body::EngineWork(EngineWork::new(work, "busybox".into())), Vec::new());
    }
    let told = desk.triage.weigh(&seen(desk.now, Body::Tick), Vec::new()).expectations;
    assert!(matches!(&told[..], [ExpectationChange::Explained { id, .. }] if id.as_str() == "image_commit"));
}

#[test]
fn an_import_explains_the_busy_engine_before_and_after_it_was_told() {
    let mut desk = Desk::new(Severity::Medium);
    desk.find(vec![engine_is_busy()]);
    desk.pass(Duration::from_secs(30));
    let told = imported(&mut desk).expectations;
    let [ExpectationChange::Explained { id, sentence, .. }] = &told[..] else { panic!("{told:?}") };
    assert_eq!(
        (id.as_str(), sentence.as_str()),
        ("image_import", "engine_busy of node node, 6.0 to 3.0 bits")
    );
    let dossier = desk.triage.subjects.values().next().unwrap();
    let explanation = &dossier.findings()[0].explained[0];
    assert_eq!(explanation.kind, ExplanationKind::ImageImport);
    expect![[r#"the engine imported \u{1b}[2Jbusybox at 2027-01-15T08:00:30.000Z"#]]
        .assert_eq(&explanation.sentence);

    desk.find(vec![engine_is_busy()]);
    assert_eq!(desk.triage.subjects.values().next().unwrap().findings()[0].bits, 3.0);
    desk.pass(Duration::from_secs(61));
    desk.find(vec![engine_is_busy()]);
    assert_eq!(desk.triage.subjects.values().next().unwrap().findings()[0].bits, 6.0, "long over");
}

#[test]
fn an_import_explains_nothing_of_a_container_and_no_harm() {
    let mut desk = Desk::new(Severity::Medium);
    imported(&mut desk);
    assert_eq!(desk.weighs("web [nginx]", Provenance::Approved), "4.0");
    let harmful = Finding { at: desk.now, ..harming(engine_is_busy()) };
    assert_eq!(desk.triage.weigh(&seen(desk.now, Body::Tick), vec![harmful]).expectations, []);
}
