//! An incident as machines get it from `tidewatch incidents list --json`, read strictly: a promised field that is
//! missing or of another form fails the test that met it.
//!
//! Not here: what an incident should say; each test knows that.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value};

/// One incident.
#[derive(Clone, Debug)]
pub(crate) struct Incident {
    /// Its name.
    pub(crate) id: String,
    /// `open` or `closed`.
    pub(crate) state: String,
    /// When it opened, in Unix seconds.
    pub(crate) opened: f64,
    /// One sentence.
    pub(crate) summary: String,
    /// What it is about.
    pub(crate) subject: Subject,
    /// The families that agree.
    pub(crate) families: Vec<String>,
    /// What was found, oldest first.
    pub(crate) findings: Vec<Finding>,
}

/// What an incident is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subject {
    /// `container`, `workload` or `node`.
    pub(crate) kind: String,
    /// The host.
    pub(crate) node: String,
    /// The workload; empty for a node.
    pub(crate) workload: String,
    /// The container's name; empty when there is none.
    pub(crate) container: String,
    /// The container's id in its runtime; empty when no runtime claims it.
    pub(crate) container_id: String,
    /// Its image as asked for; empty when no runtime tells one.
    pub(crate) image: String,
    /// The container's control group.
    pub(crate) cgroup: String,
}

/// One judge's claim.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    /// When what it claims happened, in Unix seconds.
    pub(crate) at: f64,
    /// Which judge.
    pub(crate) judge: String,
    /// What did not tally.
    pub(crate) family: String,
    /// Weight.
    pub(crate) bits: f64,
    /// What it says, for people.
    pub(crate) claim: String,
    /// The figures.
    pub(crate) evidence: Map<String, Value>,
}

impl Incident {
    /// Reads one from its documented form.
    pub(crate) fn from_json(value: &Value) -> Result<Self> {
        let id = text(value, "id")?;
        Self::fields(id.clone(), value).with_context(|| format!("incident {id}"))
    }

    fn fields(id: String, value: &Value) -> Result<Self> {
        time(value, "updated")?;
        text(value, "severity")?;
        number(value, "bits")?;
        ensure!(value["coverage"].is_object(), "coverage is no object");
        let families =
            array(value, "families")?.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        Ok(Self {
            id,
            state: text(value, "state")?,
            opened: time(value, "opened")?,
            summary: text(value, "summary")?,
            subject: Subject::from_json(&value["subject"])?,
            families,
            findings: array(value, "findings")?.iter().map(Finding::from_json).collect::<Result<_>>()?,
        })
    }

    /// The latest finding of a judge.
    pub(crate) fn latest(&self, judge: &str) -> Result<&Finding> {
        let found = self.findings.iter().filter(|finding| finding.judge == judge);
        let latest = found.max_by(|left, right| left.at.total_cmp(&right.at));
        latest.with_context(|| format!("{}: judge {judge} is not among {:?}", self.id, self.weights()))
    }

    /// The weight in tenths of bits of each judge's latest finding.
    pub(crate) fn weights(&self) -> BTreeMap<&str, i64> {
        let mut findings: Vec<&Finding> = self.findings.iter().collect();
        findings.sort_by(|left, right| left.at.total_cmp(&right.at));
        findings
            .iter()
            .map(|finding| (finding.judge.as_str(), (finding.bits * 10.0).round() as i64))
            .collect()
    }
}

impl Subject {
    fn from_json(value: &Value) -> Result<Self> {
        let kind = text(value, "kind").context("subject")?;
        ensure!(matches!(kind.as_str(), "container" | "workload" | "node"), "subject.kind is {kind:?}");
        let workload = if kind == "node" { String::new() } else { text(value, "workload")? };
        let container = &value["container"];
        let inner = |name| if container.is_null() { Ok(String::new()) } else { text(container, name) };
        // Promised, though no test compares it.
        inner("digest").context("subject.container")?;
        Ok(Self {
            kind,
            node: text(value, "node")?,
            workload,
            container: inner("name")?,
            container_id: inner("id")?,
            image: inner("image")?,
            cgroup: inner("cgroup")?,
        })
    }
}

impl Finding {
    fn from_json(value: &Value) -> Result<Self> {
        let judge = text(value, "judge")?;
        let evidence =
            value["evidence"].as_object().with_context(|| format!("{judge}: evidence is no object"))?;
        ensure!(value["strategy"].is_string(), "{judge}: strategy is no text");
        Ok(Self {
            claim: text(value, "claim")?,
            at: time(value, "at")?,
            family: text(value, "family")?,
            bits: number(value, "bits")?,
            evidence: evidence.clone(),
            judge,
        })
    }

    /// A word of the evidence, figures written out; empty when there is none of that name.
    pub(crate) fn word(&self, name: &str) -> String {
        let value = self.evidence.get(name).cloned().unwrap_or_default();
        value
            .as_str()
            .map_or_else(|| if value.is_null() { String::new() } else { value.to_string() }, str::to_owned)
    }

    /// A figure of the evidence.
    pub(crate) fn figure(&self, name: &str) -> Result<f64> {
        let value = self.evidence.get(name).and_then(Value::as_f64);
        value.with_context(|| format!("{}: no figure {name} in {:?}", self.judge, self.evidence))
    }
}

/// A text field.
pub(crate) fn text(value: &Value, name: &str) -> Result<String> {
    value[name].as_str().map(str::to_owned).with_context(|| format!("{name} is no text: {}", short(value)))
}

/// A list field.
pub(crate) fn array<'a>(value: &'a Value, name: &str) -> Result<&'a Vec<Value>> {
    value[name].as_array().with_context(|| format!("{name} is no list: {}", short(value)))
}

/// A time field in Unix seconds; the form is RFC 3339 in UTC with milliseconds.
pub(crate) fn time(value: &Value, name: &str) -> Result<f64> {
    let text = text(value, name)?;
    if text.len() != "2026-01-31T12:00:00.000Z".len() || !text.ends_with('Z') {
        bail!("{name} is not RFC 3339 with milliseconds: {text:?}");
    }
    let stamp: jiff::Timestamp = text.parse().with_context(|| format!("{name}: {text:?}"))?;
    Ok(stamp.as_millisecond() as f64 / 1e3)
}

fn number(value: &Value, name: &str) -> Result<f64> {
    value[name].as_f64().with_context(|| format!("{name} is no number: {}", short(value)))
}

fn short(value: &Value) -> String {
    value.to_string().chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sample() -> Value {
        json!({
            "id": "TW-0", "state": "open", "opened": "2026-01-31T12:00:00.250Z", "updated": "2026-01-31T12:00:01.000Z",
            "severity": "high", "bits": 12.0, "summary": "s", "families": ["resource"], "coverage": {},
            "subject": {"kind": "container", "node": "n", "workload": "w",
                        "container": {"name": "c", "id": "1", "image": "i", "digest": "d", "cgroup": "/c"}},
            "findings": [
                {"at": "2026-01-31T12:00:02.000Z", "judge": "a", "family": "resource", "strategy": "s", "claim": "it does", "bits": 7.04,
                 "evidence": {"own_cpu_cores": 0.5}},
                {"at": "2026-01-31T12:00:01.000Z", "judge": "a", "family": "resource", "strategy": "s", "claim": "it does", "bits": 1.0,
                 "evidence": {}},
            ],
        })
    }

    #[test]
    fn the_latest_finding_of_a_judge_counts() {
        let incident = Incident::from_json(&sample()).unwrap();
        assert_eq!(incident.latest("a").unwrap().figure("own_cpu_cores").unwrap(), 0.5);
        assert_eq!(incident.weights(), BTreeMap::from([("a", 70)]));
        assert!((incident.opened - 1_769_860_800.25).abs() < 1e-6);
    }

    #[test]
    fn a_promised_field_that_is_missing_is_named() {
        for field in
            ["state", "opened", "severity", "bits", "summary", "subject", "families", "findings", "coverage"]
        {
            let mut value = sample();
            value.as_object_mut().unwrap().remove(field);
            let error = Incident::from_json(&value).unwrap_err();
            assert!(format!("{error:#}").contains(field.trim_end_matches("subject")), "{field}: {error:#}");
        }
    }

    #[test]
    fn times_without_milliseconds_are_refused() {
        let mut value = sample();
        value["opened"] = json!("2026-01-31T12:00:00Z");
        assert!(Incident::from_json(&value).is_err());
    }
}
