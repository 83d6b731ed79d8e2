//! `tidewatch approve`: what runs now, an image, an engine, rights, commands, a ghost; the list, taking back.
//!
//! Not here: what may be approved (`approve/wanted.rs`), and what it covers, which `state` decides.

mod wanted;

use anyhow::bail;
use engine::control::{Answer, AskError, Request, ask_to_keep};
use model::approval::{Approval, Scope};
use model::inventory::InventoryView;
use model::untrusted::Untrusted;
use report::approval_text::scope_text;
use serde_json::{Value, json};
use sources::clock::wall_clock;
use store::database::Database;
use store::incident_store::IncidentStore;

use crate::args::DataDir;
use crate::args::provenance::{ApproveAction, ApproveArgs};
use crate::inventory;
use crate::inventory::find::{Found, find, listed};
use crate::output::{complain, owner, say, table, warn_not_stored};
use crate::{Outcome, stored};

pub(crate) fn run(args: &ApproveArgs) -> anyhow::Result<Outcome> {
    match &args.action {
        None if args.what.running => approve_running(&args.data, &args.note),
        None => approve(&args.data, &scope_of(args)?, &args.note),
        Some(ApproveAction::Image { what, note, data }) => approve(data, &wanted::image(what)?, note),
        Some(ApproveAction::List { data, json }) => list(data, *json),
        Some(ApproveAction::Revoke { id, data }) => revoke(data, *id),
    }
}

/// The one thing that the arguments approve.
fn scope_of(args: &ApproveArgs) -> anyhow::Result<Scope> {
    let what = &args.what;
    if let Some(engine) = &what.engine {
        return wanted::engine(engine);
    }
    if let Some(registry) = &what.registry {
        return wanted::registry(registry);
    }
    if let Some(name) = &what.unclaimed {
        let view = inventory::asked(&args.data)?;
        return match find(&view, name) {
            Found::One(one) => wanted::unclaimed(one),
            Found::Nobody => bail!("no container here is {}", Untrusted::new(name)),
            Found::Several(all) => bail!("{}", listed(name, &all)),
        };
    }
    match what.exec.is_empty() {
        true => wanted::rights(&what.rights),
        false => wanted::exec(&what.exec),
    }
}

fn approve_running(data: &DataDir, note: &str) -> anyhow::Result<Outcome> {
    let request = Request::ApproveRunning { owner: owner(), note: note.into() };
    let (Answer::Approved { approved, left_out }, not_stored) = ask_to_keep(&data.data_dir, &request)? else {
        bail!("an unexpected answer");
    };
    warn_not_stored(not_stored);
    for approval in &approved {
        say(&format!("approved {}", scope_text(&approval.scope)));
    }
    for reason in &left_out {
        complain(&format!("not approved: {reason}"));
    }
    if approved.is_empty() && left_out.is_empty() {
        say("no container runs");
    }
    Ok(if left_out.is_empty() { Outcome::Fine } else { Outcome::BadNews })
}

fn approve(data: &DataDir, wanted: &Scope, note: &str) -> anyhow::Result<Outcome> {
    let (owner, note) = (owner(), Untrusted::new(note));
    let request = Request::Approve { scope: wanted.clone(), owner: owner.clone(), note: note.clone() };
    let approved = match ask_to_keep(&data.data_dir, &request) {
        Ok((Answer::Approved { approved, .. }, not_stored)) => {
            warn_not_stored(not_stored);
            approved
        }
        Ok(other) => bail!("an unexpected answer: {other:?}"),
        Err(AskError::NotRunning { .. }) => {
            let mut store = Database::open(&data.data_dir)?;
            vec![store.approve(wanted, &owner, &note, wall_clock())?]
        }
        Err(error) => return Err(error.into()),
    };
    for approval in &approved {
        say(&format!("approved {} (number {})", scope_text(&approval.scope), approval.id));
    }
    if let Ok(view) = inventory::asked(data)
        && is_about_nobody(wanted, &view)
    {
        complain(
            "note: no container of that workload is here; `tidewatch inventory show` tells its exact name",
        );
    }
    Ok(Outcome::Fine)
}

/// Whether it names a workload that no container has: it may be one that starts later, or a slip of the pen.
fn is_about_nobody(scope: &Scope, view: &InventoryView) -> bool {
    match scope {
        Scope::Rights { workload, .. } | Scope::Administration { workload, .. } => {
            !view.containers.iter().any(|one| one.workload == *workload)
        }
        _ => false,
    }
}

fn list(data: &DataDir, json: bool) -> anyhow::Result<Outcome> {
    let (rows, unstored) = stored::approvals(data)?;
    if json {
        let marked = |approval| {
            let mut json = approval_json(approval);
            json["stored"] = (!unstored.contains(&approval.id)).into();
            json
        };
        let rows: Value = rows.iter().map(marked).collect();
        say(&report::json::json_text(&rows));
    } else if rows.is_empty() {
        say("nothing is approved; `tidewatch approve --running` accepts what runs now");
    } else {
        say(&approvals_table(&rows));
    }
    if !unstored.is_empty() {
        let numbers: Vec<String> = unstored.iter().map(u64::to_string).collect();
        complain(&format!("not stored yet: {}", numbers.join(", ")));
    }
    Ok(Outcome::Fine)
}

fn revoke(data: &DataDir, id: u64) -> anyhow::Result<Outcome> {
    let revoked = match ask_to_keep(&data.data_dir, &Request::Revoke { id, owner: owner() }) {
        Ok((Answer::Revoked(approval), not_stored)) => {
            warn_not_stored(not_stored);
            *approval
        }
        Ok(other) => bail!("an unexpected answer: {other:?}"),
        Err(AskError::NotRunning { .. }) => {
            drop(Database::open_read_only(&data.data_dir)?);
            let revoked = Database::open(&data.data_dir)?.revoke(id, &owner(), wall_clock())?;
            let Some(approval) = revoked else { bail!("no approval {id} is in force") };
            approval
        }
        Err(error) => return Err(error.into()),
    };
    say(&format!("no longer approved: {}", scope_text(&revoked.scope)));
    Ok(Outcome::Fine)
}

fn approvals_table(approvals: &[Approval]) -> String {
    let mut table = table(["number", "what", "by", "at", "note"]);
    for approval in approvals {
        table.add_row([
            approval.id.to_string(),
            scope_text(&approval.scope),
            approval.owner.to_string(),
            approval.at.rfc3339(),
            approval.note.to_string(),
        ]);
    }
    table.trim_fmt()
}

fn approval_json(approval: &Approval) -> Value {
    json!({
        "id": approval.id,
        "scope": approval.scope,
        "owner": approval.owner,
        "at": approval.at.rfc3339(),
        "note": approval.note,
    })
}

#[cfg(test)]
mod tests {
    use model::ids::WorkloadKey;
    use testkit::inventory::sample;

    use super::*;

    #[test]
    fn a_workload_that_no_container_has_is_noticed() {
        let view = sample();
        let rights =
            |workload: &WorkloadKey| Scope::Rights { workload: workload.clone(), rights: Vec::new() };
        assert!(!is_about_nobody(&rights(&view.containers[0].workload), &view));
        assert!(is_about_nobody(&rights(&WorkloadKey::new("swarm:shop_web")), &view), "the image is missing");
        assert!(!is_about_nobody(&Scope::Pattern { pattern: "shop/*".into() }, &view));
    }
}
