//! The stored JSON forms: `{"version":1,"incident":{…}}`, `{"version":1,"expectation":{…}}`.
//!
//! Not here: the documented form that others script against, which `report` makes. A version that was ever shipped
//! stays readable; each has a golden file in `test-data/`.

use model::expectation::{Expectation, When};
use model::finding::{Finding, Value};
use model::incident::Incident;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::error::StoreError;

const VERSION: u32 = 1;

#[derive(Serialize)]
struct Written<'a> {
    version: u32,
    incident: &'a Incident,
}

#[derive(Serialize)]
struct WrittenExpectation<'a> {
    version: u32,
    expectation: &'a Expectation,
}

#[derive(Deserialize)]
struct Read<'a> {
    version: u32,
    #[serde(borrow, alias = "incident", alias = "expectation")]
    body: &'a RawValue,
}

/// The text to keep. Refuses numbers that would not come back: JSON writes them as `null`.
pub(crate) fn encode(incident: &Incident) -> Result<String, StoreError> {
    if let Some(field) = not_finite(incident) {
        return Err(StoreError::NotFinite { id: incident.id.as_str().into(), field });
    }
    serde_json::to_string(&Written { version: VERSION, incident })
        .map_err(|error| StoreError::row("incidents", incident.id.as_str(), &error))
}

/// The incident kept under that name.
pub(crate) fn decode(id: &str, body: &str) -> Result<Incident, StoreError> {
    let bad = |problem: &dyn ToString| StoreError::row("incidents", id, &problem.to_string());
    let incident: Incident = serde_json::from_str(unwrapped(body).map_err(|problem| bad(&problem))?)
        .map_err(|error| bad(&error))?;
    if incident.id.as_str() != id {
        return Err(bad(&format!("holds the incident {}", incident.id)));
    }
    Ok(incident)
}

/// The text to keep of an expectation. Refuses numbers that would not come back.
pub(crate) fn encode_expectation(expectation: &Expectation) -> Result<String, StoreError> {
    let bad = |problem: &dyn ToString| {
        StoreError::row("expectations", expectation.id.as_str(), &problem.to_string())
    };
    if let When::Recurrence(recurrence) = &expectation.when
        && !(recurrence.peaks.0.is_finite() && recurrence.peaks.1.is_finite())
    {
        return Err(bad(&"its peaks are not finite numbers, so it was not stored"));
    }
    serde_json::to_string(&WrittenExpectation { version: VERSION, expectation }).map_err(|error| bad(&error))
}

/// The expectation kept under that name.
pub(crate) fn decode_expectation(id: &str, body: &str) -> Result<Expectation, StoreError> {
    let bad = |problem: &dyn ToString| StoreError::row("expectations", id, &problem.to_string());
    let expectation: Expectation = serde_json::from_str(unwrapped(body).map_err(|problem| bad(&problem))?)
        .map_err(|error| bad(&error))?;
    if expectation.id.as_str() != id {
        return Err(bad(&format!("holds the expectation {}", expectation.id)));
    }
    Ok(expectation)
}

/// What is within the version that this program understands.
fn unwrapped(body: &str) -> Result<&str, String> {
    let read: Read<'_> = serde_json::from_str(body).map_err(|error| error.to_string())?;
    if read.version != VERSION {
        return Err(format!("version {} is unknown, {VERSION} is the last known", read.version));
    }
    Ok(read.body.get())
}

fn not_finite(incident: &Incident) -> Option<&'static str> {
    let measured = |finding: &Finding| {
        finding
            .evidence
            .iter()
            .all(|(_, value)| !matches!(value, Value::Measure(number) if !number.is_finite()))
    };
    let checks = [
        ("its weight", incident.bits.is_finite()),
        ("its threshold", incident.threshold_bits.is_finite()),
        ("a finding's weight", incident.findings.iter().all(|finding| finding.bits.is_finite())),
        ("a piece of evidence", incident.findings.iter().all(measured)),
    ];
    checks.into_iter().find(|(_, fine)| !fine).map(|(field, _)| field)
}

#[cfg(test)]
mod tests {
    use expect_test::expect_file;
    use testkit::expectations::{declared, edges, learned};
    use testkit::incidents::IncidentBuilder;

    use super::*;

    fn expectations() -> [Expectation; 2] {
        [declared("image:registry.example/backup/*"), learned("batch [sum]")]
    }

    fn check_refused(spoil: impl FnOnce(&mut Incident), field: &str) {
        let mut incident = IncidentBuilder::attack().build();
        spoil(&mut incident);
        let error = encode(&incident).unwrap_err().to_string();
        assert!(error.contains(field), "{error}");
    }

    #[test]
    fn version_1_is_written_and_read_as_it_was_shipped() {
        let incident = IncidentBuilder::attack().build();
        expect_file!["../test-data/incident-v1.json"].assert_eq(&(encode(&incident).unwrap() + "\n"));
        let golden = include_str!("../test-data/incident-v1.json");
        assert_eq!(decode(incident.id.as_str(), golden).unwrap(), incident);
    }

    #[test]
    fn version_1_of_an_expectation_is_written_and_read_as_it_was_shipped() {
        let golden = include_str!("../test-data/expectation-v1.jsonl");
        let samples = expectations();
        let written = samples.each_ref().map(|sample| encode_expectation(sample).unwrap() + "\n");
        expect_file!["../test-data/expectation-v1.jsonl"].assert_eq(&written.concat());
        for (sample, line) in samples.iter().zip(golden.lines()) {
            assert_eq!(decode_expectation(sample.id.as_str(), line).unwrap(), *sample);
        }
    }

    #[test]
    fn version_1_of_an_edge_is_written_and_read_as_it_was_shipped() {
        let golden = include_str!("../test-data/expectation-edge-v1.jsonl");
        let samples = edges();
        let written = samples.each_ref().map(|sample| encode_expectation(sample).unwrap() + "\n");
        expect_file!["../test-data/expectation-edge-v1.jsonl"].assert_eq(&written.concat());
        for (sample, line) in samples.iter().zip(golden.lines()) {
            assert_eq!(decode_expectation(sample.id.as_str(), line).unwrap(), *sample);
        }
    }

    #[test]
    fn a_level_that_json_cannot_hold_is_refused_when_written() {
        let [_, mut learned] = expectations();
        let When::Recurrence(recurrence) = &mut learned.when else { panic!("a recurrence") };
        recurrence.peaks.1 = f64::INFINITY;
        let error = encode_expectation(&learned).unwrap_err().to_string();
        assert!(error.contains("not finite"), "{error}");
    }

    #[test]
    fn numbers_that_json_cannot_hold_are_refused_when_written() {
        check_refused(|incident| incident.bits = f64::NAN, "its weight");
        check_refused(|incident| incident.threshold_bits = f64::INFINITY, "its threshold");
        check_refused(|incident| incident.findings[0].bits = f64::NAN, "a finding's weight");
        check_refused(|incident| incident.findings[1].evidence[0].1 = Value::Measure(f64::NAN), "evidence");
    }

    #[test]
    fn a_later_version_is_named_and_not_guessed_at() {
        let error = decode("TW-1", r#"{"version":2,"incident":{}}"#).unwrap_err();
        assert_eq!(error.to_string(), "table incidents, row TW-1: version 2 is unknown, 1 is the last known");
    }
}
