//! Builds incidents: the strategy's own attack (`docker run --rm busybox yes`), and variations of it.
//!
//! Not here: weighing. The figures are those measured in the design, so that snapshots read like the real thing.

use std::sync::Arc;

use model::coverage::{Coverage, Source};
use model::finding::{ContainerRef, Family, Finding, Subject, Value};
use model::ids::{CgroupId, NodeId, WorkloadKey};
use model::incident::{Closing, Incident, IncidentId, Severity, State, Verdict};
use model::time::Time;
use model::untrusted::Untrusted;

/// Text with everything that could steer a terminal, break a line, a quote or a page, or reorder what is read.
pub const HOSTILE: &str =
    "x\x1b[2J\x1b]0;owned\x07\n\r\t\"'`$(id)<script>alert(1)</script>\u{9b}31m\u{202e}gnp\\";

/// An incident under construction; starts as the strategy's sample attack.
pub struct IncidentBuilder {
    node: NodeId,
    workload: Option<WorkloadKey>,
    container: ContainerRef,
    containers: u32,
    opened: Time,
    updated: Time,
    closing: Option<Closing>,
    severity: Severity,
    coverage: Coverage,
}

impl IncidentBuilder {
    /// The sample attack on the node `shop-1`, opened 2026-01-31 12:00:02, three seconds after it began.
    pub fn attack() -> Self {
        let started = Time::from_secs(1_769_860_800);
        let id = "4f1c0a6de9f2b8351c7740aa91d2e6f8b5c3d4e7f60918273645546372819aab";
        Self {
            node: NodeId::new("shop-1"),
            workload: Some(WorkloadKey::new("busybox [yes]")),
            container: ContainerRef {
                name: Untrusted::new("eager_tesla"),
                id: Untrusted::new(id),
                image: Untrusted::new("busybox"),
                digest: Untrusted::new(
                    "sha256:9211bbaa0dbd68fed073065eb9f0a6ed00a75090a9235eca2554c62d1e75c58f",
                ),
                cgroup: Untrusted::new(&format!("/docker/{id}")),
                cgroup_id: CgroupId(4711),
                started,
            },
            containers: 1,
            opened: Time::from_ns(started.ns() + 2_000_000_000),
            updated: Time::from_ns(started.ns() + 5_250_000_000),
            closing: None,
            severity: Severity::High,
            coverage: Coverage {
                seen: vec![Source::Kernel, Source::Cgroups, Source::Host],
                ..Coverage::default()
            },
        }
    }

    /// On another node.
    #[must_use]
    pub fn node(mut self, name: &str) -> Self {
        self.node = NodeId::new(name);
        self
    }

    /// Of another workload.
    #[must_use]
    pub fn workload(mut self, text: &str) -> Self {
        self.workload = Some(WorkloadKey::new(text));
        self
    }

    /// About the node itself: no workload, and findings that name no container.
    #[must_use]
    pub fn about_node(mut self) -> Self {
        self.workload = None;
        self.containers = 0;
        self
    }

    /// With another container; change what is needed.
    #[must_use]
    pub fn container(mut self, change: impl FnOnce(&mut ContainerRef)) -> Self {
        change(&mut self.container);
        self
    }

    /// With so many containers that took part.
    #[must_use]
    pub fn containers(mut self, count: u32) -> Self {
        self.containers = count;
        self
    }

    /// Opened then, and not changed since.
    #[must_use]
    pub fn opened(mut self, at: Time) -> Self {
        self.opened = at;
        self.updated = at;
        self
    }

    /// Last changed then.
    #[must_use]
    pub fn updated(mut self, at: Time) -> Self {
        self.updated = at;
        self
    }

    /// Closed by `owner` at that time, as an exercise.
    #[must_use]
    pub fn closed(mut self, at: Time, owner: &str) -> Self {
        self.updated = at;
        let (note, owner) = (Untrusted::new("exercise"), Untrusted::new(owner));
        self.closing = Some(Closing { at, verdict: Verdict::Test, note, owner });
        self
    }

    /// That urgent.
    #[must_use]
    pub fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// With that coverage, on the incident and on each finding.
    #[must_use]
    pub fn coverage(mut self, coverage: Coverage) -> Self {
        self.coverage = coverage;
        self
    }

    /// Every text that an attacker chooses is [`HOSTILE`].
    #[must_use]
    pub fn hostile(self) -> Self {
        let bad = || Untrusted::new(HOSTILE);
        self.workload(HOSTILE).container(|container| {
            *container = ContainerRef {
                name: bad(),
                id: bad(),
                image: bad(),
                digest: bad(),
                cgroup: bad(),
                cgroup_id: container.cgroup_id,
                started: container.started,
            };
        })
    }

    /// The incident.
    pub fn build(self) -> Incident {
        let findings = self.findings();
        let subject = self.subject();
        Incident {
            id: IncidentId::derive(&subject, self.opened),
            state: if self.closing.is_some() { State::Closed } else { State::Open },
            opened: self.opened,
            updated: self.updated,
            severity: self.severity,
            bits: 15.0,
            threshold_bits: 9.5,
            summary: format!(
                "{} makes the container engine spend 0.91 cores writing its output, 110 times its own CPU",
                self.container.name
            ),
            subject,
            container: self.workload.is_some().then_some(self.container),
            containers: self.containers,
            families: vec![Family::Resource, Family::Provenance],
            findings,
            findings_dropped: 0,
            reasons: vec![
                "two independent families agree: resource and provenance".to_owned(),
                "raised from medium to high: it harms the host".to_owned(),
            ],
            coverage: self.coverage,
            closing: self.closing,
        }
    }

    fn subject(&self) -> Subject {
        let node = self.node.clone();
        match self.workload.clone() {
            Some(workload) => Subject::Workload { node, workload },
            None => Subject::Node { node },
        }
    }

    fn findings(&self) -> Vec<Finding> {
        let out_of_band = self
            .finding("out_of_band_log", Family::Resource, 9.0)
            .claiming(format!(
                "{} is idle by its own books, and the engine works for it",
                self.container.name
            ))
            .with("own_cpu_cores", 0.008)
            .with("engine_cpu_cores", 0.93)
            .with("attributed_cpu_cores", 0.91)
            .with("attribution_share", 0.98)
            .with("log_bytes_per_second", 98_304_000_u64)
            .with("window_seconds", 2.0);
        let image = Value::from(&self.container.image);
        let unapproved = self
            .finding("unapproved_image", Family::Provenance, 6.0)
            .claiming(format!("nobody approved the image {}", self.container.image))
            .with("image", image)
            .with("approved_images", 3_u64);
        vec![unapproved, Finding { harm: true, ..out_of_band }]
    }

    fn finding(&self, judge: &'static str, family: Family, bits: f64) -> Finding {
        let mut finding = Finding::about_node(&self.node, judge, family, self.opened, bits);
        finding.subject = self.subject();
        finding.container = self.workload.is_some().then(|| self.container.clone());
        finding.strategy = Arc::from("container-monitoring-bypass");
        finding.coverage = self.coverage.clone();
        finding
    }
}
