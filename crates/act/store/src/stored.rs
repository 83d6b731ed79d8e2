//! The stored JSON form of an incident: `{"version":1,"incident":{…}}`.
//!
//! Not here: the documented form that others script against, which `report` makes. A version that was ever shipped
//! stays readable; each has a golden file in `test-data/`.

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

#[derive(Deserialize)]
struct Read<'a> {
    version: u32,
    #[serde(borrow)]
    incident: &'a RawValue,
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
    let read: Read<'_> = serde_json::from_str(body).map_err(|error| bad(&error))?;
    if read.version != VERSION {
        return Err(bad(&format!("version {} is unknown, {VERSION} is the last known", read.version)));
    }
    let incident: Incident = serde_json::from_str(read.incident.get()).map_err(|error| bad(&error))?;
    if incident.id.as_str() != id {
        return Err(bad(&format!("holds the incident {}", incident.id)));
    }
    Ok(incident)
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
    use testkit::incidents::IncidentBuilder;

    use super::*;

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
