//! Cases of the live view, drawn into memory.

use engine::status::activity::{Limits, Waiting};
use engine::status::host::HostDetail;
use expect_test::{Expect, expect};
use model::coverage::{Coverage, Source};
use model::identity::Kind;
use model::ids::NodeId;
use model::incident::ChangeKind;
use model::novelty::Provenance;
use model::untrusted::Untrusted;
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::*;

fn container(name: &str, own: f64, out_of_band: f64) -> ContainerStatus {
    ContainerStatus {
        name: Untrusted::new(name),
        id: Untrusted::default(),
        image: Untrusted::new("busybox"),
        kind: Kind::Managed,
        workload: "busybox [yes]".to_owned(),
        provenance: Provenance::Unapproved,
        cgroup: Untrusted::new("/docker/1"),
        cgroup_id: 1,
        pid: Some(7),
        started: "2026-01-31T12:00:00.000Z".to_owned(),
        own_cpu_cores: Some(own),
        out_of_band_cpu_cores: Some(out_of_band),
        costs: Vec::new(),
        own_cpu_cores_by_second: Vec::new(),
        out_of_band_cpu_cores_by_second: Vec::new(),
        own_usual_cpu_cores: None,
        activity: None,
        limits: Limits::default(),
        waiting: Waiting::default(),
        held: None,
        incidents: Vec::new(),
        memory_bytes: Some(1 << 20),
        log_bytes_per_second: Some(36e6),
    }
}

fn status(containers: Vec<ContainerStatus>) -> Status {
    let source =
        |source, health, reason: &str| SourceStatus { source, health, reason: Untrusted::new(reason) };
    Status {
        version: "0.0.0".to_owned(),
        node: NodeId::new("node"),
        since: "2026-01-31T12:00:00.000Z".to_owned(),
        now: "2026-01-31T12:00:09.000Z".to_owned(),
        containers,
        sources: vec![
            source(Source::Kernel, Health::Up, ""),
            source(Source::Docker, Health::Down, "the engine does not answer"),
        ],
        coverage: Coverage::default(),
        blind_strategies: Vec::new(),
        host: None,
        host_detail: HostDetail::default(),
        incidents_open: 1,
        expectations: 0,
        approvals: 1,
        threshold_bits: 12.5,
        events: 99,
        inventory_dropped: 0,
        judges_failed: Vec::new(),
        hardening: Default::default(),
        integrity: Vec::new(),
        threads: Vec::new(),
        calls: Vec::new(),
        store: engine::status::StoreStatus::default(),
    }
}

fn drawn(view: &View) -> String {
    let mut terminal = Terminal::new(TestBackend::new(100, 16)).unwrap();
    terminal.draw(|frame| view.draw(frame)).unwrap();
    let text = terminal.backend().to_string();
    text.lines().map(|line| line.trim_matches('"').trim_end()).collect::<Vec<_>>().join("\n")
}

fn check(view: &View, expected: &Expect) {
    expected.assert_eq(&drawn(view));
}

#[test]
fn the_costliest_container_comes_first_and_a_lost_source_says_why() {
    let containers = vec![container("web", 0.02, 0.0), container("atk", 0.01, 0.91)];
    let mut view = View::default();
    view.take(Notice::Status(Box::new(status(containers))));
    check(
        &view,
        &expect![[r#"
            Tidewatch 0.0.0 on node, since 2026-01-31T12:00:00.000Z
            sources: kernel up docker down
            docker: the engine does not answer
             found: 0 open ─────────────────────────────────────────────────────────────────────────────────────
            nothing, as far as can be seen




             watched: 2 containers ─────────────────────────────────────────────────────────────────────────────
            container       image          kind      provenance     own cpu    out of band memory     log
            atk             busybox        managed   unapproved     0.01 cores 0.91 cores  1.05 MB    36 MB/s
            web             busybox        managed   unapproved     0.02 cores 0 cores     1.05 MB    36 MB/s


            q ends Tidewatch"#]],
    );
}

#[test]
fn an_open_incident_is_shown_until_it_is_closed() {
    let incident = testkit::incidents::IncidentBuilder::attack().build();
    let mut view = View::default();
    view.take(Notice::Status(Box::new(status(Vec::new()))));
    view.take(Notice::StillOpen(vec![incident.clone()]));
    assert!(drawn(&view).contains(incident.id.as_str()));
    let closed = Incident { state: State::Closed, ..incident.clone() };
    view.take(Notice::Changed(vec![Change { kind: ChangeKind::Closed, incident: closed }]));
    assert!(!drawn(&view).contains(incident.id.as_str()));
}

#[test]
fn a_hostile_name_cannot_steer_the_terminal() {
    let mut view = View::default();
    view.take(Notice::Status(Box::new(status(vec![container("a\x1b[2Jb\nc", 0.1, 0.0)]))));
    let text = drawn(&view);
    assert!(text.contains(r"a\u{1b}[2Jb\nc"), "{text}");
}
