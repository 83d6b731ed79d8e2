//! The inventory of containers for machines: the documented form, with every field and times in RFC 3339.
//!
//! Not here: which containers are wanted.

use model::approval::Approval;
use model::fact::Fact;
use model::inventory::{ContainerView, InventoryView, NamedIn};
use model::privilege::Privileges;
use model::runtime::ContainerFacts;
use model::setup::Setup;
use model::time::Time;
use model::untrusted::Untrusted;
use model::view::{Contradiction, Row, View, Witness};
use serde_json::{Value, json};

/// Version of the form; a field more is no new version.
const VERSION: u32 = 1;

/// The inventory as a document.
pub fn inventory_json(view: &InventoryView) -> Value {
    json!({
        "version": VERSION,
        "node": view.node,
        "at": time(view.at),
        "containers": view.containers.iter().map(container_json).collect::<Value>(),
        "dropped": view.dropped,
    })
}

/// One container of the inventory as a document.
pub fn shown_json(view: &InventoryView, container: &ContainerView) -> Value {
    json!({
        "version": VERSION,
        "node": view.node,
        "at": time(view.at),
        "container": container_json(container),
    })
}

fn container_json(view: &ContainerView) -> Value {
    let container = &view.container;
    let contradictions = container.tally.contradictions.iter().map(contradiction_json);
    json!({
        "kind": container.kind,
        "name": container.name(),
        "id": view.facts().map_or("", |facts| facts.id.raw()),
        "image": view.image().map_or("", Untrusted::raw),
        "digest": view.facts().map_or("", |facts| facts.digest.raw()),
        "root": view.root().map_or("", Untrusted::raw),
        "pid": view.pid(),
        "cgroup": container.cgroup_path,
        "cgroup_id": container.key.cgroup,
        "started": time(container.key.started),
        "ended": container.ended.map(time),
        "program": container.program,
        "workload": view.workload,
        "provenance": view.provenance,
        "namespaces": container.namespaces,
        "facts": fact_json(&container.facts, |facts| facts_json(facts)),
        "others": container.others.iter().map(|facts| facts_json(facts)).collect::<Value>(),
        "setup": fact_json(&container.setup, |setup| setup_json(setup)),
        "tally": {
            "rows": view.rows.iter().map(row_json).collect::<Value>(),
            "contradictions": contradictions.collect::<Value>(),
        },
        "approvals": view.approvals.iter().map(approval_json).collect::<Value>(),
        "incidents": view.incidents.iter().map(incident_json).collect::<Value>(),
    })
}

/// What is known, or why it is not.
fn fact_json<T>(fact: &Fact<T>, known: impl FnOnce(&T) -> Value) -> Value {
    match fact {
        Fact::Known(value) => json!({ "known": known(value) }),
        Fact::Pending { since } => json!({ "pending_since": time(*since) }),
        Fact::Failed { reason } => json!({ "failed": reason }),
    }
}

fn facts_json(facts: &ContainerFacts) -> Value {
    let labels = facts.labels.iter().map(|(key, value)| (key.raw().to_owned(), json!(value)));
    json!({
        "view": view_json(&facts.view),
        "id": facts.id,
        "name": facts.name,
        "image": facts.image,
        "digest": facts.digest,
        "digests": facts.image_facts.digests,
        "image_is_local": facts.image_facts.is_local,
        "image_parent": facts.image_facts.parent,
        "image_signers": facts.image_facts.signers,
        "command": facts.command,
        "health_check": facts.health_check,
        "labels": labels.collect::<serde_json::Map<_, _>>(),
        "labels_dropped": facts.labels_dropped,
        "pid": facts.pid,
        "state": facts.state,
        "created": facts.created.map(time),
        "started": facts.started.map(time),
        "log_driver": facts.log_driver,
        "log_path": facts.log_path,
        "network_mode": facts.network_mode,
        "addresses": facts.addresses,
        "published": facts.published,
        "root": facts.root,
        "cgroup": facts.cgroup,
        "privileges": facts.privileges.as_deref().map(privileges_json),
        "orchestrated": facts.orchestrated,
    })
}

fn setup_json(setup: &Setup) -> Value {
    json!({
        "pid": setup.process.pid,
        "program": setup.program,
        "cgroup": setup.cgroup_path,
        "cgroup_id": setup.cgroup,
        "namespaces": setup.namespaces,
        "root": setup.root,
        "has_own_root": setup.has_own_root,
        "has_own_users": setup.has_own_users,
        "privileges": privileges_json(&setup.privileges),
        "makers": setup.makers,
    })
}

fn privileges_json(privileges: &Privileges) -> Value {
    json!({
        "rights": privileges.rights(),
        "is_privileged": privileges.is_privileged,
        "capabilities": privileges.capabilities.names().collect::<Vec<_>>(),
        "host_namespaces": privileges.host_namespaces,
        "without_seccomp": privileges.without_seccomp,
        "is_unconfined": privileges.is_unconfined,
        "mounts": privileges.mounts,
        "devices": privileges.devices,
    })
}

fn row_json(row: &Row) -> Value {
    json!({
        "witness": witness_json(&row.witness),
        "standing": row.standing,
        "since": row.since.map(time),
        "says": row.says,
    })
}

fn contradiction_json(contradiction: &Contradiction) -> Value {
    json!({
        "about": contradiction.about,
        "claims": witness_json(&contradiction.claims),
        "denies": witness_json(&contradiction.denies),
        "sentence": contradiction.sentence,
    })
}

/// Every kind of witness has a kind and a name; engines have a place and a namespace as well.
fn witness_json(witness: &Witness) -> Value {
    match witness {
        Witness::Kernel => json!({ "kind": "kernel", "name": "kernel" }),
        Witness::Systemd => json!({ "kind": "systemd", "name": "systemd" }),
        Witness::Engine(view) => json!({
            "kind": "engine",
            "name": view.engine,
            "place": view.place,
            "namespace": view.namespace,
        }),
        Witness::Orchestrator { name } => json!({ "kind": "orchestrator", "name": name }),
        Witness::Policy => json!({ "kind": "policy", "name": "policy" }),
    }
}

fn view_json(view: &View) -> Value {
    json!({ "engine": view.engine, "place": view.place, "namespace": view.namespace })
}

fn approval_json(approval: &Approval) -> Value {
    json!({
        "id": approval.id,
        "scope": approval.scope,
        "owner": approval.owner,
        "at": time(approval.at),
        "note": approval.note,
    })
}

fn incident_json(incident: &NamedIn) -> Value {
    json!({ "id": incident.id, "severity": incident.severity, "summary": incident.summary })
}

fn time(at: Time) -> String {
    at.rfc3339()
}

#[cfg(test)]
mod tests {
    use expect_test::expect_file;
    use testkit::incidents::HOSTILE;
    use testkit::inventory::{hostile, sample};

    use super::*;
    use crate::json::json_text;

    #[test]
    fn the_form_is_the_documented_one() {
        let mut view = sample();
        view.containers.truncate(2);
        expect_file!["../test-data/inventory.json"].assert_eq(&(json_text(&inventory_json(&view)) + "\n"));
    }

    #[test]
    fn one_container_has_the_same_form_as_among_others() {
        let view = sample();
        let (all, one) = (inventory_json(&view), shown_json(&view, &view.containers[2]));
        assert_eq!(one["container"], all["containers"][2]);
        assert_eq!(one["version"], 1);
        assert_eq!(one["container"]["approvals"][0]["at"], "2026-01-30T08:13:20.000Z");
    }

    #[test]
    fn hostile_texts_are_raw_to_a_parser_and_ascii_to_a_terminal() {
        let json = inventory_json(&hostile());
        assert_eq!(json["containers"][0]["cgroup"], HOSTILE);
        let text = json_text(&json);
        assert!(text.chars().all(|c| c == '\n' || c == ' ' || c.is_ascii_graphic()), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), json);
    }
}
