//! What an engine announces of its own accord: changes of containers, work on images, changes of services.
//!
//! Not here: any belief in it. Names of images and services are chosen by whoever asked the engine to work.

use std::collections::HashMap;

use bollard::models::{EventMessage, EventMessageTypeEnum as Kind};
use model::runtime::{Deploy, EngineWork, ImageWork, ServiceChange};
use model::time::Time;
use model::untrusted::Untrusted;

use crate::change::{self, Change};

/// What kinds of things are asked for; `service` is announced by a manager of a swarm only.
pub(crate) const KINDS: [&str; 4] = ["container", "image", "builder", "service"];

/// Actions of images and services beside those of containers. An engine filters by kind and by action, each for itself.
const OTHER_ACTIONS: [&str; 6] = ["import", "pull", "load", "tag", "commit", "build"];

/// One announcement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Announced {
    /// A container changed.
    Container(Change),
    /// The engine runs a program in a container, for somebody who asked it to.
    Exec {
        /// The engine's id of the container.
        id: Untrusted,
        /// When by the engine's clock, when it says.
        time: Option<Time>,
    },
    /// The engine has worked on an image.
    Work {
        /// What it did.
        work: EngineWork,
        /// When by the engine's clock, when it says.
        time: Option<Time>,
    },
    /// A service is changed.
    Service {
        /// How.
        change: ServiceChange,
        /// When by the engine's clock, when it says.
        time: Option<Time>,
    },
}

/// A program run in a container. The command follows after a colon, and an engine asked for this one word compares
/// every action by its beginning.
const EXEC_ACTION: &str = "exec_start";

/// The actions that are asked for.
pub(crate) fn actions() -> Vec<String> {
    change::ACTIONS
        .iter()
        .chain(&OTHER_ACTIONS)
        .chain(&[EXEC_ACTION])
        .map(|action| (*action).to_owned())
        .collect()
}

impl Announced {
    /// What an event tells of: `None` for events we did not ask for, an error text for one of ours that cannot be
    /// understood.
    pub(crate) fn from_event(event: EventMessage) -> Option<Result<Self, String>> {
        let time = change::time_of(&event);
        match (event.typ, event.action.as_deref()) {
            (Some(Kind::IMAGE | Kind::BUILDER), Some(action)) => {
                let work = image_work(action)?;
                let image = actor_name(event.actor.unwrap_or_default());
                Some(Ok(Self::Work { work: EngineWork::new(work, image), time }))
            }
            (Some(Kind::CONTAINER), Some("commit")) => {
                let mut attributes = event.actor.unwrap_or_default().attributes.unwrap_or_default();
                let image = Untrusted::new(&attributes.remove("image").unwrap_or_default());
                Some(Ok(Self::Work { work: EngineWork::new(ImageWork::Commit, image), time }))
            }
            (Some(Kind::CONTAINER), Some(action)) if is_exec(action) => {
                let id = change::container_of(event.actor, EXEC_ACTION);
                Some(id.map(|id| Self::Exec { id, time }))
            }
            (Some(Kind::SERVICE), Some(action)) => {
                let attributes = event.actor.unwrap_or_default().attributes.unwrap_or_default();
                let service = Untrusted::new(attributes.get("name").map_or("", String::as_str));
                let deploy = deploy(action, &attributes)?;
                if service.is_empty() {
                    return Some(Err(format!("event {action} names no service")));
                }
                Some(Ok(Self::Service { change: ServiceChange { service, deploy }, time }))
            }
            _ => Change::from_event(event).map(|change| change.map(Self::Container)),
        }
    }
}

fn is_exec(action: &str) -> bool {
    action.strip_prefix(EXEC_ACTION).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
}

fn image_work(action: &str) -> Option<ImageWork> {
    match action {
        "import" => Some(ImageWork::Import),
        "pull" => Some(ImageWork::Pull),
        "load" => Some(ImageWork::Load),
        "commit" => Some(ImageWork::Commit),
        // A build is announced by the name that it gives to what it built.
        "tag" | "build" => Some(ImageWork::Build),
        _ => None,
    }
}

/// The name of an image that an event is about, else its digest.
fn actor_name(actor: bollard::models::EventActor) -> Untrusted {
    let name = actor.attributes.and_then(|mut attributes| attributes.remove("name"));
    Untrusted::new(&name.filter(|name| !name.is_empty()).or(actor.id).unwrap_or_default())
}

/// What is done to a service: moby's `logServiceEvent` tells replicas and images, old and new, and the state of an update.
fn deploy(action: &str, attributes: &HashMap<String, String>) -> Option<Deploy> {
    let replicas = |key: &str| attributes.get(key).and_then(|count| count.parse::<u64>().ok());
    match (action, replicas("replicas.old"), replicas("replicas.new")) {
        ("create", ..) => Some(Deploy::Rollout),
        ("update", Some(old), Some(new)) if new > old => Some(Deploy::ScaleOut),
        ("update", Some(_), Some(_)) if !attributes.contains_key("image.new") => None,
        ("update", ..) => Some(Deploy::Rollout),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(kind: &str, action: &str, id: &str, attributes: &str, expected: &Expect) {
        let json = format!(
            r#"{{"Type":"{kind}","Action":"{action}","Actor":{{"ID":"{id}","Attributes":{attributes}}},
            "scope":"local","time":1700000000,"timeNano":1700000000000000005}}"#
        );
        let shown = match Announced::from_event(serde_json::from_str(&json).unwrap()) {
            None => "not ours".to_owned(),
            Some(Err(problem)) => problem,
            Some(Ok(Announced::Container(change))) => format!("container {:?}", change.kind),
            Some(Ok(Announced::Exec { id, time })) => {
                format!("exec in {} at {}", &id.raw()[..4], time.map_or(0, Time::ns))
            }
            Some(Ok(Announced::Work { work, time })) => {
                format!("{:?} of {} at {}", work.work, work.image, time.map_or(0, Time::ns))
            }
            Some(Ok(Announced::Service { change, .. })) => {
                format!("{:?} of {}", change.deploy, change.service)
            }
        };
        expected.assert_eq(&shown);
    }

    #[test]
    fn work_on_images_is_told_with_the_image() {
        let digest = "sha256:0af7";
        check("image", "import", digest, "{}", &expect!["Import of sha256:0af7 at 1700000000000000005"]);
        check(
            "image",
            "pull",
            "busybox:latest",
            r#"{"name":"busybox"}"#,
            &expect!["Pull of busybox at 1700000000000000005"],
        );
        check(
            "image",
            "load",
            digest,
            r#"{"name":"sha256:0af7"}"#,
            &expect!["Load of sha256:0af7 at 1700000000000000005"],
        );
        check(
            "image",
            "tag",
            digest,
            r#"{"name":"shop/web:2"}"#,
            &expect!["Build of shop/web:2 at 1700000000000000005"],
        );
        check(
            "container",
            "commit",
            &"0af7".repeat(16),
            r#"{"image":"busybox","name":"x"}"#,
            &expect!["Commit of busybox at 1700000000000000005"],
        );
        check("image", "delete", digest, "{}", &expect!["not ours"]);
        check(
            "image",
            "pull",
            "",
            r#"{"name":"\u001b[2J"}"#,
            &expect![[r#"Pull of \u{1b}[2J at 1700000000000000005"#]],
        );
        check("image", "pull", "", "null", &expect!["Pull of  at 1700000000000000005"]);
    }

    #[test]
    fn changes_of_services_are_rollouts_or_scale_outs() {
        let update =
            |attributes: &str, expected: &Expect| check("service", "update", "s1", attributes, expected);
        check("service", "create", "s1", r#"{"name":"web"}"#, &expect!["Rollout of web"]);
        update(r#"{"name":"web","replicas.old":"2","replicas.new":"5"}"#, &expect!["ScaleOut of web"]);
        update(r#"{"name":"web","replicas.old":"5","replicas.new":"2"}"#, &expect!["not ours"]);
        update(r#"{"name":"web","replicas.old":"x","replicas.new":"-1"}"#, &expect!["Rollout of web"]);
        update(r#"{"name":"web","image.old":"a:1","image.new":"a:2"}"#, &expect!["Rollout of web"]);
        update(r#"{"name":"web","updatestate.new":"updating"}"#, &expect!["Rollout of web"]);
        update(r#"{}"#, &expect!["event update names no service"]);
        check("service", "remove", "s1", r#"{"name":"web"}"#, &expect!["not ours"]);
    }

    #[test]
    fn a_program_run_in_a_container_is_told_without_its_command() {
        let id = "0af7".repeat(16);
        let told = expect!["exec in 0af7 at 1700000000000000005"];
        check("container", "exec_start: sh -c true", &id, "{}", &told);
        check("container", "exec_start", &id, "{}", &told);
        check("container", "exec_die", &id, "{}", &expect!["not ours"]);
        check("container", "exec_started: x", &id, "{}", &expect!["not ours"]);
        check(
            "container",
            "exec_start: x",
            "../x",
            "{}",
            &expect!["event exec_start names no container: ../x"],
        );
    }

    #[test]
    fn a_container_is_told_as_before_and_what_was_not_asked_for_is_passed_over() {
        check("container", "start", &"0af7".repeat(16), "{}", &expect!["container Started"]);
        check("network", "connect", "n1", "{}", &expect!["not ours"]);
        check("daemon", "reload", "d1", "{}", &expect!["not ours"]);
    }
}
