//! What an engine announces of its own accord: changes of containers, work on images, changes of services.
//!
//! Not here: any belief in it. Names of images and services are chosen by whoever asked the engine to work.

use std::collections::HashMap;

use bollard::models::{EventActor, EventMessage, EventMessageTypeEnum as Kind};
use model::runtime::{Administered, Deploy, EngineWork, ImageWork, ServiceChange};
use model::time::Time;
use model::untrusted::Untrusted;

use crate::change::{self, Change};
use crate::image::is_digest;

/// What kinds of things are asked for; `service` is announced by a manager of a swarm only.
pub(crate) const KINDS: [&str; 4] = ["container", "image", "builder", "service"];

/// Actions of images and services beside those of containers. An engine filters by kind and by action, each for itself.
const OTHER_ACTIONS: [&str; 6] = ["import", "pull", "load", "tag", "commit", "build"];

/// Actions that change what an engine tells of an image and make none: `push` gives it a digest.
const ALTERING_ACTIONS: [&str; 3] = ["push", "untag", "delete"];

/// One announcement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Announced {
    /// A container changed.
    Container(Change),
    /// The engine does something in a container, for somebody who asked it to.
    Administered {
        /// The engine's id of the container.
        id: Untrusted,
        /// What it does.
        what: Administered,
        /// The program and its arguments, space separated; empty when it is none or the engine does not tell.
        command: Untrusted,
        /// When by the engine's clock, when it says.
        time: Option<Time>,
    },
    /// Images are named otherwise, or some are gone.
    ImagesAltered,
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

/// Connecting to a container's first process, and copying files out of it or into it. `docker cp` is `archive-path` or
/// `extract-to-dir`; `copy` is what it was before Docker 1.8; `export` is all files at once.
const OTHER_ADMINISTRATION: [(&str, Administered); 5] = [
    ("attach", Administered::Attach),
    ("archive-path", Administered::Copy),
    ("extract-to-dir", Administered::Copy),
    ("copy", Administered::Copy),
    ("export", Administered::Copy),
];

/// The actions that are asked for.
pub(crate) fn actions() -> Vec<String> {
    change::ACTIONS
        .iter()
        .chain(&OTHER_ACTIONS)
        .chain(&ALTERING_ACTIONS)
        .chain(&[EXEC_ACTION])
        .chain(OTHER_ADMINISTRATION.iter().map(|(action, _)| action))
        .map(|action| (*action).to_owned())
        .collect()
}

impl Announced {
    /// What an event tells of: `None` for events we did not ask for, an error text for one of ours that cannot be
    /// understood.
    pub(crate) fn from_event(event: EventMessage) -> Option<Result<Self, String>> {
        let time = change::time_of(&event);
        match (event.typ, event.action.as_deref()) {
            (Some(Kind::IMAGE), Some(action)) if ALTERING_ACTIONS.contains(&action) => {
                Some(Ok(Self::ImagesAltered))
            }
            (Some(Kind::IMAGE | Kind::BUILDER), Some(action)) => {
                let work = worked(image_work(action)?, event.actor.unwrap_or_default());
                Some(Ok(Self::Work { work, time }))
            }
            (Some(Kind::CONTAINER), Some("commit")) => {
                Some(Ok(Self::Work { work: committed(event.actor.unwrap_or_default()), time }))
            }
            (Some(Kind::CONTAINER), Some(action)) if administered(action).is_some() => {
                let (what, command) = administered(action)?;
                let name = action.split(':').next().unwrap_or_default();
                let id = change::container_of(event.actor, name);
                Some(id.map(|id| Self::Administered { id, what, command, time }))
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

/// What is done in a container, and with which program: `exec_start: sh -c true `.
fn administered(action: &str) -> Option<(Administered, Untrusted)> {
    if let Some(rest) = action.strip_prefix(EXEC_ACTION) {
        let command = if rest.is_empty() { "" } else { rest.strip_prefix(':')?.trim() };
        return Some((Administered::Exec, Untrusted::new(command)));
    }
    let known = OTHER_ADMINISTRATION.iter().find(|(name, _)| *name == action);
    known.map(|&(_, what)| (what, Untrusted::default()))
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

/// Work on the image that an event is about: by name, else by digest.
fn worked(work: ImageWork, actor: EventActor) -> EngineWork {
    let id = actor.id.unwrap_or_default();
    let name = actor.attributes.and_then(|mut attributes| attributes.remove("name"));
    let image = Untrusted::new(name.as_deref().filter(|name| !name.is_empty()).unwrap_or(&id));
    // A pull is about a name; everything else about a digest.
    let digest = if is_digest(&id) { Untrusted::new(&id) } else { Untrusted::default() };
    EngineWork { digest, ..EngineWork::new(work, image) }
}

/// A commit is about the container; its image is in the attributes (moby's `CreateImageFromContainer`), and `image` among
/// them is the one that the container was made of.
fn committed(actor: EventActor) -> EngineWork {
    let mut attributes = actor.attributes.unwrap_or_default();
    let mut text = |key: &str| attributes.remove(key).filter(|value| !value.is_empty());
    let digest = text("imageID").filter(|digest| is_digest(digest)).unwrap_or_default();
    let image = text("imageRef").unwrap_or_else(|| digest.clone());
    EngineWork {
        container: Untrusted::new(&actor.id.unwrap_or_default()),
        digest: Untrusted::new(&digest),
        ..EngineWork::new(ImageWork::Commit, Untrusted::new(&image))
    }
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
            Some(Ok(Announced::ImagesAltered)) => "images altered".to_owned(),
            Some(Ok(Announced::Administered { id, what, command, time })) => {
                format!("{what:?} in {} at {}: {command}", &id.raw()[..4], time.map_or(0, Time::ns))
            }
            Some(Ok(Announced::Work { work, time })) => {
                let short = |text: &Untrusted| text.raw().get(..11).unwrap_or("none").to_owned();
                let (digest, container) = (short(&work.digest), short(&work.container));
                assert_eq!(time.map(Time::ns), Some(1_700_000_000_000_000_005));
                let image = work.image.to_string();
                format!("{:?} of {image:.20}, {digest} of {container}", work.work)
            }
            Some(Ok(Announced::Service { change, .. })) => {
                format!("{:?} of {}", change.deploy, change.service)
            }
        };
        expected.assert_eq(&shown);
    }

    #[test]
    fn work_on_images_is_told_with_the_image_and_its_digest() {
        let digest = format!("sha256:{}", "0af7".repeat(16));
        let check = |action: &str, id: &str, attributes: &str, expected: &Expect| {
            check("image", action, id, attributes, expected);
        };
        check("import", "sha256:0af7", "{}", &expect!["Import of sha256:0af7, none of none"]);
        check(
            "tag",
            &digest,
            r#"{"name":"shop/web:2"}"#,
            &expect!["Build of shop/web:2, sha256:0af7 of none"],
        );
        check(
            "load",
            &digest,
            r#"{"name":"shop/web:2"}"#,
            &expect!["Load of shop/web:2, sha256:0af7 of none"],
        );
        check("pull", "busybox:latest", r#"{"name":"busybox"}"#, &expect!["Pull of busybox, none of none"]);
        check("pull", "", r#"{"name":"\u001b[2J"}"#, &expect![[r#"Pull of \u{1b}[2J, none of none"#]]);
        check("pull", "", "null", &expect!["Pull of , none of none"]);
    }

    #[test]
    fn a_commit_names_what_was_made_and_the_container_it_was_made_of() {
        let (id, digest) = ("0af7".repeat(16), format!("sha256:{}", "b1".repeat(32)));
        let commit = |attributes: &str, expected: &Expect| {
            check("container", "commit", &id, &attributes.replace("DIGEST", &digest), expected);
        };
        commit(
            r#"{"comment":"","image":"busybox","imageID":"DIGEST","imageRef":"shop/web:2","name":"x"}"#,
            &expect!["Commit of shop/web:2, sha256:b1b1 of 0af70af70af"],
        );
        commit(
            r#"{"image":"busybox","imageID":"DIGEST","imageRef":"","name":"x"}"#,
            &expect!["Commit of sha256:b1b1b1b1b1b1b, sha256:b1b1 of 0af70af70af"],
        );
        commit(
            r#"{"image":"busybox","imageID":"../x","name":"x"}"#,
            &expect!["Commit of , none of 0af70af70af"],
        );
    }

    #[test]
    fn an_image_that_is_named_otherwise_or_gone_is_told_without_its_name() {
        for action in ALTERING_ACTIONS {
            check("image", action, "sha256:0af7", "{}", &expect!["images altered"]);
        }
        check("image", "save", "sha256:0af7", "{}", &expect!["not ours"]);
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
    fn what_is_done_in_a_container_is_told_with_the_program() {
        let id = "0af7".repeat(16);
        let check = |action: &str, expected: &Expect| check("container", action, &id, "{}", expected);
        check(
            "exec_start: sh -c echo a: b ",
            &expect!["Exec in 0af7 at 1700000000000000005: sh -c echo a: b"],
        );
        check("exec_start: ls\\u001b[2J", &expect![[r#"Exec in 0af7 at 1700000000000000005: ls\u{1b}[2J"#]]);
        check("exec_start", &expect!["Exec in 0af7 at 1700000000000000005: "]);
        check("exec_die", &expect!["not ours"]);
        check("exec_started: x", &expect!["not ours"]);
        check("attach", &expect!["Attach in 0af7 at 1700000000000000005: "]);
        check("archive-path", &expect!["Copy in 0af7 at 1700000000000000005: "]);
        check("extract-to-dir", &expect!["Copy in 0af7 at 1700000000000000005: "]);
        check("detach", &expect!["not ours"]);
    }

    #[test]
    fn what_is_done_in_no_container_is_a_problem() {
        let check = |action: &str, expected: &Expect| check("container", action, "../x", "{}", expected);
        check("exec_start: x", &expect!["event exec_start names no container: ../x"]);
        check("attach", &expect!["event attach names no container: ../x"]);
    }

    #[test]
    fn every_action_is_asked_for_once() {
        let mut asked = actions();
        asked.sort_unstable();
        let count = asked.len();
        asked.dedup();
        assert_eq!(asked.len(), count);
        assert!(
            ["attach", "commit", "push", "start"].iter().all(|it| asked.iter().any(|action| action == it))
        );
    }

    #[test]
    fn a_container_is_told_as_before_and_what_was_not_asked_for_is_passed_over() {
        check("container", "start", &"0af7".repeat(16), "{}", &expect!["container Started"]);
        check("network", "connect", "n1", "{}", &expect!["not ours"]);
        check("daemon", "reload", "d1", "{}", &expect!["not ours"]);
    }
}
