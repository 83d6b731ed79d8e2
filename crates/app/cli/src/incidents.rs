//! `tidewatch incidents`: list, explain, close.

use anyhow::bail;
use engine::control::{Answer, AskError, Request, ask_to_keep, chosen};
use model::incident::{Change, ChangeKind, Closing, Incident, IncidentId, State};
use report::json::{incident_json, json_text};
use report::table::incidents_table;
use report::text::incident_text;
use serde_json::Value;
use sources::clock::wall_clock;
use store::database::Database;
use store::incident_store::{IncidentQuery, IncidentStore};

use crate::args::{DataDir, IncidentsAction, IncidentsArgs};
use crate::output::{complain, owner, say, style, warn_not_stored};
use crate::{Outcome, stored};

pub(crate) fn run(args: &IncidentsArgs) -> anyhow::Result<Outcome> {
    match &args.action {
        IncidentsAction::List { data, since, until, all, json } => {
            let query = IncidentQuery {
                since: *since,
                until: *until,
                include_closed: *all,
                ..IncidentQuery::default()
            };
            list(data, &query, *json)
        }
        IncidentsAction::Show { id, data, json } => show(data, &IncidentId::from_text(id), *json),
        IncidentsAction::Close { ids, all, verdict, note, data } => {
            let ids: Vec<IncidentId> = ids.iter().map(|id| IncidentId::from_text(id)).collect();
            let closing = Closing {
                at: wall_clock(),
                verdict: (*verdict).into(),
                note: note.as_str().into(),
                owner: owner(),
            };
            close(data, &ids, *all, &closing)
        }
    }
}

/// An incident as machines get it, with whether it is stored.
pub(crate) fn marked_json(incident: &Incident, is_stored: bool) -> Value {
    let mut json = incident_json(incident);
    json["stored"] = is_stored.into();
    json
}

/// Reads the store itself, which works whether or not Tidewatch runs, and what a running one has not stored yet.
fn list(data: &DataDir, query: &IncidentQuery, json: bool) -> anyhow::Result<Outcome> {
    let listed = stored::incidents(data, query)?;
    if json {
        let marked =
            listed.rows.iter().map(|incident| marked_json(incident, !listed.unstored.contains(&incident.id)));
        say(&json_text(&marked.collect()));
    } else if listed.rows.is_empty() {
        say("no incidents");
    } else {
        say(incidents_table(&listed.rows, style()).trim_end());
    }
    let unstored: Vec<&str> = listed.unstored.iter().map(IncidentId::as_str).collect();
    if !unstored.is_empty() {
        complain(&format!("not stored: {}: {}", unstored.join(", "), listed.reason));
    }
    Ok(if listed.rows.is_empty() { Outcome::Fine } else { Outcome::BadNews })
}

fn show(data: &DataDir, id: &IncidentId, json: bool) -> anyhow::Result<Outcome> {
    let (incident, not_stored) = stored::incident(data, id)?;
    if json {
        say(&json_text(&marked_json(&incident, not_stored.is_none())));
    } else {
        say(incident_text(&incident, style()).trim_end());
    }
    if let Some(reason) = not_stored {
        complain(&format!("not stored: {id}: {reason}"));
    }
    Ok(if incident.state == State::Open { Outcome::BadNews } else { Outcome::Fine })
}

fn close(data: &DataDir, ids: &[IncidentId], all: bool, closing: &Closing) -> anyhow::Result<Outcome> {
    let request = Request::Close { ids: ids.to_vec(), all, closing: closing.clone() };
    let closed = match ask_to_keep(&data.data_dir, &request) {
        Ok((Answer::Closed(closed), not_stored)) => {
            warn_not_stored(not_stored);
            closed
        }
        Ok(other) => bail!("an unexpected answer: {other:?}"),
        Err(AskError::NotRunning { .. }) => close_in_store(data, ids, all, closing)?,
        Err(error) => return Err(error.into()),
    };
    match closed.len() {
        0 => say("nothing was open"),
        _ => closed.iter().for_each(|id| say(&format!("closed {id}"))),
    }
    Ok(Outcome::Fine)
}

/// No Tidewatch runs: the store is ours to write.
fn close_in_store(
    data: &DataDir,
    ids: &[IncidentId],
    all: bool,
    closing: &Closing,
) -> anyhow::Result<Vec<IncidentId>> {
    // Opening to write would make a new store where there is none.
    drop(Database::open_read_only(&data.data_dir)?);
    let mut store = Database::open(&data.data_dir)?;
    let chosen = chosen(store.open_incidents()?.rows, ids, all).map_err(anyhow::Error::msg)?;
    let changes: Vec<Change> = chosen
        .into_iter()
        .map(|incident| Change { kind: ChangeKind::Closed, incident: incident.closed(closing) })
        .collect();
    store.record(&changes)?;
    Ok(changes.into_iter().map(|change| change.incident.id).collect())
}
