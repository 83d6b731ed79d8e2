//! Reads what is stored and what is in the memory of a running Tidewatch alone, as one list.
//!
//! Not here: showing it. A store that cannot be read, or does not answer, is a complaint beside what memory holds.

pub(crate) mod apart;

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::bail;
use engine::control::{Answer, Request, Unstored, ask};
use model::approval::Approval;
use model::incident::{Incident, IncidentId, State};
use store::incident_store::IncidentQuery;

use crate::args::DataDir;
use crate::output::complain;

/// How long a command waits for the store, which may lie on a disk that does not answer; and how long while a running Tidewatch
/// has what matters in memory.
const STORE_WAIT: Duration = Duration::from_secs(5);
const STORE_WAIT_BESIDE_MEMORY: Duration = Duration::from_secs(1);

/// Incidents from both places.
#[derive(Debug, Default)]
pub(crate) struct Incidents {
    /// The last opened first.
    pub(crate) rows: Vec<Incident>,
    /// Those whose last change is not stored.
    pub(crate) unstored: BTreeSet<IncidentId>,
    /// Why not; empty when all is stored.
    pub(crate) reason: String,
}

/// Incidents that were asked for, stored or not.
pub(crate) fn incidents(data: &DataDir, query: &IncidentQuery) -> anyhow::Result<Incidents> {
    let mut memory = in_memory(data);
    let read = apart::incidents(&data.data_dir, query, patience(&memory));
    let mut listed = Incidents::default();
    if read.is_err() && memory.is_some() {
        // Time passed meanwhile, and more may have opened.
        memory = in_memory(data);
    }
    match (read, &memory) {
        (Ok(loaded), _) => {
            loaded.problems.iter().for_each(|problem| complain(&format!("tidewatch: {problem}")));
            listed.rows = loaded.rows;
        }
        (Err(error), Some(memory)) => {
            complain(&format!(
                "tidewatch: the store cannot be read ({error:#}): only what is in memory is shown"
            ));
            listed.unstored = memory.open.iter().map(|incident| incident.id.clone()).collect();
            listed.rows.clone_from(&memory.open);
        }
        (Err(error), None) => return Err(error),
    }
    if let Some(memory) = memory {
        merge(&mut listed, memory, query);
    }
    Ok(listed)
}

/// One incident, and why it is not stored when it is not.
pub(crate) fn incident(data: &DataDir, id: &IncidentId) -> anyhow::Result<(Incident, Option<String>)> {
    let query = IncidentQuery { include_closed: true, ..IncidentQuery::default() };
    let Incidents { rows, unstored, reason } = incidents(data, &query)?;
    let found = rows.into_iter().find(|incident| incident.id == *id);
    let Some(incident) = found else { bail!("there is no incident {id}") };
    let is_stored = !unstored.contains(id);
    Ok((incident, (!is_stored).then_some(reason)))
}

/// Approvals in force, stored or not; the numbers of those that are not stored.
pub(crate) fn approvals(data: &DataDir) -> anyhow::Result<(Vec<Approval>, BTreeSet<u64>)> {
    let memory = in_memory(data);
    let mut rows = match (apart::approvals(&data.data_dir, patience(&memory)), &memory) {
        (Ok(loaded), _) => {
            loaded.problems.iter().for_each(|problem| complain(&format!("tidewatch: {problem}")));
            loaded.rows
        }
        (Err(error), Some(_)) => {
            complain(&format!(
                "tidewatch: the store cannot be read ({error:#}): only what is not stored is shown"
            ));
            Vec::new()
        }
        (Err(error), None) => return Err(error),
    };
    let Unstored { approvals, revoked, .. } = memory.unwrap_or_default();
    rows.retain(|kept| revoked.iter().chain(&approvals).all(|one| one.id != kept.id));
    let unstored = approvals.iter().map(|approval| approval.id).collect();
    rows.extend(approvals);
    Ok((rows, unstored))
}

fn patience(memory: &Option<Unstored>) -> Duration {
    if memory.is_some() { STORE_WAIT_BESIDE_MEMORY } else { STORE_WAIT }
}

/// What a running Tidewatch has in memory; none when none runs or answers.
fn in_memory(data: &DataDir) -> Option<Unstored> {
    match ask(&data.data_dir, &Request::Unstored) {
        Ok(Answer::Unstored(unstored)) => Some(*unstored),
        _ => None,
    }
}

/// Puts what is in memory over what is stored.
fn merge(listed: &mut Incidents, memory: Unstored, query: &IncidentQuery) {
    let newer: BTreeSet<&IncidentId> = memory.incidents.iter().map(|incident| &incident.id).collect();
    listed.rows.retain(|incident| !newer.contains(&incident.id));
    listed.unstored.extend(newer.into_iter().cloned());
    listed.rows.extend(memory.incidents.into_iter().filter(|incident| is_wanted(incident, query)));
    listed.rows.sort_by(|a, b| (b.opened, &b.id).cmp(&(a.opened, &a.id)));
    listed.rows.truncate(query.limit);
    listed.reason = memory.reason;
    // A change on its way to the disk is not worth a word.
    if listed.reason.is_empty() {
        listed.unstored.clear();
    }
}

fn is_wanted(incident: &Incident, query: &IncidentQuery) -> bool {
    let within =
        |at| query.since.is_none_or(|since| at >= since) && query.until.is_none_or(|until| at <= until);
    (query.include_closed || incident.state == State::Open)
        && (within(incident.opened) || within(incident.updated))
}
