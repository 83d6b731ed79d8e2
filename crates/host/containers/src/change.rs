//! A change an engine announces about one container: which one and what kind, no more.
//!
//! Not here: the facts after the change. An event carries claims of the past; the facts are asked for anew.

use bollard::models::{EventActor, EventMessage};
use model::time::Time;
use model::untrusted::Untrusted;

/// The engine's events that can change what is known of a container. Asking for few keeps out two of the three events
/// (`exec_create`, `exec_die`) of each health check, which on a busy host are most of the stream.
pub(crate) const ACTIONS: [&str; 10] =
    ["create", "start", "restart", "die", "destroy", "rename", "pause", "unpause", "oom", "update"];

/// What kind of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// Made, not started.
    Created,
    /// Its first process runs.
    Started,
    /// Its first process ended.
    Died,
    /// The engine has forgotten it.
    Destroyed,
    /// Renamed, paused, resumed, out of memory, or given other limits.
    Altered,
}

/// A change of one container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The engine's id of the container, 64 hexadecimal digits.
    pub id: Untrusted,
    /// What kind of change.
    pub kind: ChangeKind,
    /// When it happened by the engine's clock, when it says.
    pub time: Option<Time>,
}

impl Change {
    /// The change an event tells of: `None` for events we did not ask for, an error text for one of ours that
    /// names no container.
    pub(crate) fn from_event(event: EventMessage) -> Option<Result<Self, String>> {
        let time = time_of(&event);
        let action = event.action?;
        let kind = kind_of(&action)?;
        Some(container_of(event.actor, &action).map(|id| Self { id, kind, time }))
    }
}

/// The id of the container that an event is about, else what is wrong with it.
pub(crate) fn container_of(actor: Option<EventActor>, action: &str) -> Result<Untrusted, String> {
    let id = actor.and_then(|actor| actor.id).unwrap_or_default();
    match is_container_id(&id) {
        true => Ok(Untrusted::new(&id)),
        false => Err(format!("event {action} names no container: {id:.80}")),
    }
}

/// When an event happened by the engine's clock, when it says.
pub(crate) fn time_of(event: &EventMessage) -> Option<Time> {
    event.time_nano.filter(|&ns| ns > 0).map(Time::from_ns)
}

/// Whether the text is a full container id. Anything else could reach another address of the engine's API when
/// put into a request.
pub(crate) fn is_container_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn kind_of(action: &str) -> Option<ChangeKind> {
    match action {
        "create" => Some(ChangeKind::Created),
        "start" | "restart" => Some(ChangeKind::Started),
        "die" => Some(ChangeKind::Died),
        "destroy" => Some(ChangeKind::Destroyed),
        "rename" | "pause" | "unpause" | "oom" | "update" => Some(ChangeKind::Altered),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(json: &str, expected: &Expect) {
        let event: EventMessage = serde_json::from_str(json).unwrap();
        let shown = match Change::from_event(event) {
            None => "not ours".to_owned(),
            Some(Err(problem)) => problem,
            Some(Ok(change)) => {
                format!("{} {:?} {}", &change.id.raw()[..4], change.kind, change.time.map_or(0, Time::ns))
            }
        };
        expected.assert_eq(&shown);
    }

    fn event(action: &str, id: &str) -> String {
        format!(
            r#"{{"status":"{action}","id":"{id}","from":"busybox","Type":"container","Action":"{action}",
            "Actor":{{"ID":"{id}","Attributes":{{"image":"busybox","name":"x"}}}},
            "scope":"local","time":1700000000,"timeNano":1700000000000000005}}"#
        )
    }

    #[test]
    fn every_action_asked_for_is_understood() {
        for action in ACTIONS {
            assert!(kind_of(action).is_some(), "{action}");
        }
    }

    #[test]
    fn an_event_becomes_a_change_of_its_container() {
        let id = "0af7".repeat(16);
        check(&event("start", &id), &expect!["0af7 Started 1700000000000000005"]);
        check(&event("destroy", &id), &expect!["0af7 Destroyed 1700000000000000005"]);
        check(&event("oom", &id), &expect!["0af7 Altered 1700000000000000005"]);
    }

    #[test]
    fn events_not_asked_for_are_passed_over() {
        check(&event("exec_start: sh", &"0af7".repeat(16)), &expect!["not ours"]);
        check(r#"{"Type":"container","Action":null,"Actor":null}"#, &expect!["not ours"]);
    }

    #[test]
    fn an_event_that_names_no_container_is_a_problem() {
        check(&event("start", "../../images"), &expect!["event start names no container: ../../images"]);
        check(
            r#"{"Type":"container","Action":"die","Actor":null}"#,
            &expect!["event die names no container: "],
        );
    }

    #[test]
    fn an_event_without_a_time_is_still_a_change() {
        let json = format!(
            r#"{{"Action":"die","Actor":{{"ID":"{}","Attributes":null}},"timeNano":null}}"#,
            "ab".repeat(32)
        );
        check(&json, &expect!["abab Died 0"]);
    }
}
