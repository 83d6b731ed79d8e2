//! `tidewatch approve`: what runs now, an image, the list, taking back.

use anyhow::bail;
use engine::control::{Answer, AskError, Request, ask};
use globset::Glob;
use model::approval::{Approval, Scope};
use model::untrusted::Untrusted;
use serde_json::{Value, json};
use sources::outlet::wall_clock;
use store::database::Database;
use store::incident_store::IncidentStore;

use crate::Outcome;
use crate::args::{ApproveAction, ApproveArgs, DataDir};
use crate::output::{complain, owner, say, table};

pub(crate) fn run(args: &ApproveArgs) -> anyhow::Result<Outcome> {
    match &args.action {
        None => approve_running(&args.data, &args.note),
        Some(ApproveAction::Image { what, note, data }) => approve_image(data, what, note),
        Some(ApproveAction::List { data, json }) => list(data, *json),
        Some(ApproveAction::Revoke { id, data }) => revoke(data, *id),
    }
}

fn approve_running(data: &DataDir, note: &str) -> anyhow::Result<Outcome> {
    let request = Request::ApproveRunning { owner: owner(), note: note.into() };
    let Answer::Approved { approved, left_out } = ask(&data.data_dir, &request)? else {
        bail!("an unexpected answer");
    };
    for approval in &approved {
        say(&format!("approved {}", scope(&approval.scope)));
    }
    for reason in &left_out {
        complain(&format!("not approved: {reason}"));
    }
    if approved.is_empty() && left_out.is_empty() {
        say("no container runs");
    }
    Ok(if left_out.is_empty() { Outcome::Fine } else { Outcome::BadNews })
}

fn approve_image(data: &DataDir, what: &str, note: &str) -> anyhow::Result<Outcome> {
    let scope_wanted = image_scope(what)?;
    let (owner, note) = (owner(), Untrusted::new(note));
    let request = Request::Approve { scope: scope_wanted.clone(), owner: owner.clone(), note: note.clone() };
    let approved = match ask(&data.data_dir, &request) {
        Ok(Answer::Approved { approved, .. }) => approved,
        Ok(other) => bail!("an unexpected answer: {other:?}"),
        Err(AskError::NotRunning { .. }) => {
            let mut store = Database::open(&data.data_dir)?;
            vec![store.approve(&scope_wanted, &owner, &note, wall_clock())?]
        }
        Err(error) => return Err(error.into()),
    };
    for approval in &approved {
        say(&format!("approved {} (number {})", scope(&approval.scope), approval.id));
    }
    Ok(Outcome::Fine)
}

fn list(data: &DataDir, json: bool) -> anyhow::Result<Outcome> {
    let loaded = Database::open_read_only(&data.data_dir)?.approvals()?;
    for problem in &loaded.problems {
        complain(&format!("tidewatch: {problem}"));
    }
    if json {
        let rows: Value = loaded.rows.iter().map(approval_json).collect();
        say(&report::json::json_text(&rows));
    } else if loaded.rows.is_empty() {
        say("nothing is approved; `tidewatch approve --running` accepts what runs now");
    } else {
        say(&approvals_table(&loaded.rows));
    }
    Ok(Outcome::Fine)
}

fn revoke(data: &DataDir, id: u64) -> anyhow::Result<Outcome> {
    let revoked = match ask(&data.data_dir, &Request::Revoke { id, owner: owner() }) {
        Ok(Answer::Revoked(approval)) => *approval,
        Ok(other) => bail!("an unexpected answer: {other:?}"),
        Err(AskError::NotRunning { .. }) => {
            drop(Database::open_read_only(&data.data_dir)?);
            let revoked = Database::open(&data.data_dir)?.revoke(id, &owner(), wall_clock())?;
            let Some(approval) = revoked else { bail!("no approval {id} is in force") };
            approval
        }
        Err(error) => return Err(error.into()),
    };
    say(&format!("no longer approved: {}", scope(&revoked.scope)));
    Ok(Outcome::Fine)
}

/// A digest when it looks like one, else a glob that parses.
fn image_scope(what: &str) -> anyhow::Result<Scope> {
    if let Some(hex) = what.strip_prefix("sha256:") {
        if hex.len() != 64 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            bail!("{:?} is not a digest: sha256: and 64 hexadecimal digits", Untrusted::new(what));
        }
        return Ok(Scope::Digest {
            digest: what.to_ascii_lowercase().as_str().into(),
            image: Untrusted::default(),
        });
    }
    if what.is_empty() || what.len() > model::untrusted::UNTRUSTED_BYTES_MAX {
        bail!("a pattern has 1 to {} bytes", model::untrusted::UNTRUSTED_BYTES_MAX);
    }
    match Glob::new(what) {
        Ok(_) => Ok(Scope::Pattern { pattern: what.into() }),
        Err(error) => bail!("{:?} is not a pattern: {error}", Untrusted::new(what)),
    }
}

fn scope(scope: &Scope) -> String {
    match scope {
        Scope::Digest { digest, image } if image.is_empty() => format!("image {digest}"),
        Scope::Digest { digest, image } => format!("image {image} ({digest})"),
        Scope::Pattern { pattern } => format!("images named {pattern}"),
        Scope::Workload { workload, digest } => format!("workload {workload} with image {digest}"),
        Scope::Edge(edge) => format!("edge {edge}"),
        Scope::Engine { view } => format!("the engine {view}"),
        Scope::Rights { workload, rights } => {
            let rights: Vec<String> = rights.iter().map(ToString::to_string).collect();
            format!("{workload} with {}", rights.join(", "))
        }
        Scope::Administration { workload, command } => format!("{command} run in {workload}"),
        Scope::Unclaimed { workload, root } => format!("{workload} in {root}, which no engine claims"),
        Scope::Listener { workload, port: 0, protocol } => {
            format!("workload {workload} serves any port that the kernel picks, {protocol}")
        }
        Scope::Listener { workload, port, protocol } => {
            format!("workload {workload} serves {port}/{protocol}")
        }
    }
}

fn approvals_table(approvals: &[Approval]) -> String {
    let mut table = table(["number", "what", "by", "at", "note"]);
    for approval in approvals {
        table.add_row([
            approval.id.to_string(),
            scope(&approval.scope),
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
    use super::*;

    #[test]
    fn digests_and_patterns_are_told_apart_and_nonsense_is_refused() {
        let digest = format!("sha256:{}", "AB".repeat(32));
        assert!(
            matches!(image_scope(&digest).unwrap(), Scope::Digest { digest, .. } if digest.raw().ends_with("ab"))
        );
        assert!(matches!(image_scope("registry/team/*").unwrap(), Scope::Pattern { .. }));
        for nonsense in ["sha256:12", "", "a[", &"x".repeat(600)] {
            assert!(image_scope(nonsense).is_err(), "{nonsense}");
        }
    }
}
