//! A client of one containerd daemon, in all its namespaces: list, facts, announcements. Every call ends at its timeout.
//!
//! Not here: which image a container was made of (`containerd/image.rs`), and keeping in step (`sources`).

mod image;

mod messages;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{Stream, StreamExt, TryStreamExt};
use model::runtime::{ContainerFacts, RunState};
use model::untrusted::Untrusted;
use model::view::{EngineKind, View};
use prost::Message;

use crate::containerd::image::Made;
use crate::containerd::messages::{
    Container, ContainerAnswer, Envelope, Filter, ListedAnswer, Named, Namespaces, Task, TaskAnswer,
    TaskExit, Tasks, VersionAnswer,
};
use crate::error::CallError;
use crate::grpc::{Call, Empty, Line};
use crate::labels::bounded_labels;
use crate::notice::{Entries, Entry, Happened, Notice, Place};
use crate::oci;

/// Most namespaces of one daemon that are looked at; real ones have a handful.
pub const NAMESPACES_MAX: usize = 64;

/// Most containers of which the image is remembered; beyond, it is looked up again.
const MADE_OF_MAX: usize = 10_000;

const VERSION: &str = "/containerd.services.version.v1.Version/Version";
const LIST_NAMESPACES: &str = "/containerd.services.namespaces.v1.Namespaces/List";
const GET_CONTAINER: &str = "/containerd.services.containers.v1.Containers/Get";
const LIST_CONTAINERS: &str = "/containerd.services.containers.v1.Containers/ListStream";
const GET_TASK: &str = "/containerd.services.tasks.v1.Tasks/Get";
const LIST_TASKS: &str = "/containerd.services.tasks.v1.Tasks/List";
const SUBSCRIBE: &str = "/containerd.services.events.v1.Events/Subscribe";

/// What is subscribed to; of these, everything in every namespace.
const TOPICS: [&str; 11] = [
    "/containers/create",
    "/containers/update",
    "/containers/delete",
    "/tasks/start",
    "/tasks/exit",
    "/tasks/delete",
    "/tasks/paused",
    "/tasks/resumed",
    "/tasks/exec-started",
    "/namespaces/create",
    "/namespaces/delete",
];

/// A containerd daemon that has answered once. Cheap to clone; calls may run side by side.
#[derive(Clone, Debug)]
pub struct Containerd {
    line: Line,
    view: View,
    /// What containers were made of. The name may be given to another image while they run.
    made_of: Arc<Mutex<BTreeMap<Place, Made>>>,
}

impl Containerd {
    /// Connects and asks for the version.
    ///
    /// # Errors
    /// [`CallError::Absent`] when there is no such socket, otherwise why nobody answered at it.
    pub async fn connect(socket: &Path, call_timeout_ms: u64) -> Result<Self, CallError> {
        let line = Line::connect(socket, call_timeout_ms).await?;
        let view = View::new(EngineKind::Containerd, &socket.to_string_lossy());
        let containerd = Self { line, view, made_of: Arc::default() };
        containerd.ping().await?;
        Ok(containerd)
    }

    /// Asks for a sign of life.
    ///
    /// # Errors
    /// Why it did not answer.
    pub async fn ping(&self) -> Result<(), CallError> {
        self.line.ask::<_, VersionAnswer>(Call::new(VERSION), Empty {}).await.map(drop)
    }

    /// All namespaces, at most [`NAMESPACES_MAX`], and how many there are beyond.
    ///
    /// # Errors
    /// Why it did not answer.
    pub async fn namespaces(&self) -> Result<(Vec<Untrusted>, usize), CallError> {
        let answer: Namespaces = self.line.ask(Call::new(LIST_NAMESPACES), Filter::default()).await?;
        let left = answer.namespaces.len().saturating_sub(NAMESPACES_MAX);
        let taken = answer.namespaces.iter().take(NAMESPACES_MAX);
        Ok((taken.map(|namespace| Untrusted::new(&namespace.name)).collect(), left))
    }

    /// All containers of a namespace, at most `entries_max`.
    ///
    /// # Errors
    /// Why it did not answer.
    pub async fn list(&self, namespace: &Untrusted, entries_max: usize) -> Result<Entries, CallError> {
        let tasks: Tasks = self.line.ask(Call::within(LIST_TASKS, namespace), Filter::default()).await?;
        let states: BTreeMap<_, _> =
            tasks.tasks.iter().map(|task| (task.id.as_str(), state_of(task))).collect();
        let call = Call::within(LIST_CONTAINERS, namespace);
        let listed = self.line.parts::<_, ListedAnswer>(call, Filter::default()).await?;
        let mut entries = Entries::default();
        let collected = listed.try_for_each(|answer| {
            let id = answer.container.unwrap_or_default().name;
            let state = states.get(id.as_str()).copied().unwrap_or_default();
            if entries.taken.len() < entries_max {
                entries.taken.push(Entry { id: Untrusted::new(&id), state });
            } else {
                entries.left += 1;
            }
            std::future::ready(Ok(()))
        });
        self.line.timed(call, collected).await?;
        Ok(entries)
    }

    /// What it claims about one container.
    ///
    /// # Errors
    /// [`CallError::Gone`] when it knows no such container, otherwise why it did not answer.
    pub async fn facts(&self, place: &Place) -> Result<ContainerFacts, CallError> {
        let (container, task) = tokio::join!(self.container(place), self.task(place));
        let container = container?;
        let task = match task {
            Ok(task) => Some(task),
            Err(error) if error.is_gone() => None,
            Err(error) => return Err(error),
        };
        let made = self.made_of(place, &container).await?;
        Ok(self.told(place, container, task.as_ref(), made))
    }

    /// Forgets what is remembered of a container that is no more.
    pub fn forget(&self, place: &Place) {
        self.made_of.lock().unwrap_or_else(PoisonError::into_inner).remove(place);
    }

    /// What it announces once it has taken the subscription, which it does not confirm; ends with an error.
    pub fn watch(&self) -> impl Stream<Item = Result<Notice, CallError>> + use<> {
        let call = Call::new(SUBSCRIBE);
        let filters = TOPICS.map(|topic| format!("topic==\"{topic}\"")).to_vec();
        let line = self.line.clone();
        self.line.subscribe::<_, Envelope>(call, Filter { filters }).filter_map(move |envelope| {
            let notice = envelope.and_then(|envelope| {
                notice(&envelope).map_err(|error| line.nonsense(call, &error.to_string()))
            });
            std::future::ready(notice.transpose())
        })
    }

    async fn container(&self, place: &Place) -> Result<Container, CallError> {
        let call = Call::within(GET_CONTAINER, &place.namespace);
        let answer: ContainerAnswer = self.line.ask(call, named(&place.id)).await?;
        answer.container.ok_or_else(|| self.line.nonsense(call, "no container in the answer"))
    }

    async fn task(&self, place: &Place) -> Result<Task, CallError> {
        let call = Call::within(GET_TASK, &place.namespace);
        let answer: TaskAnswer = self.line.ask(call, named(&place.id)).await?;
        answer.process.ok_or_else(|| self.line.nonsense(call, "no process in the answer"))
    }

    async fn made_of(&self, place: &Place, container: &Container) -> Result<Made, CallError> {
        let lock = || self.made_of.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = lock().get(place) {
            return Ok(made.clone());
        }
        let made = image::made_of(&self.line, &place.namespace, container).await?;
        let mut remembered = lock();
        if !made.digest.is_empty() && remembered.len() < MADE_OF_MAX {
            remembered.insert(place.clone(), made.clone());
        }
        Ok(made)
    }

    fn told(&self, place: &Place, container: Container, task: Option<&Task>, made: Made) -> ContainerFacts {
        // A specification in another form than the OCI's is of a runtime for other systems: nothing is claimed then.
        let spec = container.spec.and_then(|spec| oci::parse(&spec.value).ok());
        let state = task.map(state_of).unwrap_or_default();
        let (labels, labels_dropped) = bounded_labels(&container.labels);
        let spec_is_told = spec.is_some();
        let spec = spec.unwrap_or_default();
        ContainerFacts {
            view: self.view.of_namespace(&place.namespace),
            id: place.id.clone(),
            // containerd knows ids only; nerdctl keeps the name that people gave in a label.
            name: container.labels.get("nerdctl/name").map_or(place.id.clone(), |name| Untrusted::new(name)),
            image: Untrusted::new(&container.image),
            digest: made.digest,
            command: spec.command,
            labels,
            labels_dropped,
            pid: task.map(|task| task.pid).filter(|pid| *pid > 0 && state != RunState::Exited),
            state,
            created: container.created_at.and_then(|at| at.time()),
            image_facts: made.image_facts,
            privileges: spec_is_told.then(|| Box::new(spec.privileges)),
            // A path below the bundle names no place on the host.
            root: if spec.root.raw().starts_with('/') { spec.root } else { Untrusted::default() },
            cgroup: spec.cgroup,
            ..ContainerFacts::default()
        }
    }
}

fn named(id: &Untrusted) -> Named {
    Named { name: id.raw().to_owned() }
}

/// The state of a task by the number that containerd gives it.
fn state_of(task: &Task) -> RunState {
    match task.status {
        2 => RunState::Running,
        3 => RunState::Exited,
        4 | 5 => RunState::Paused,
        _ => RunState::Created,
    }
}

/// What an announcement says; `None` for those that say nothing about a container.
fn notice(envelope: &Envelope) -> Result<Option<Notice>, prost::DecodeError> {
    let event = envelope.event.as_ref().map_or(&[] as &[u8], |event| &event.value);
    let namespace = Untrusted::new(&envelope.namespace);
    let first = Untrusted::new(&Named::decode(event)?.name);
    let place = Place { namespace, id: first.clone() };
    let happened = match envelope.topic.as_str() {
        "/containers/create" | "/tasks/start" => Happened::Appeared(place),
        "/tasks/exit" => {
            let exit = TaskExit::decode(event)?;
            if !exit.id.is_empty() && exit.id != exit.container_id {
                return Ok(None);
            }
            Happened::Altered(place)
        }
        "/containers/update" | "/tasks/delete" | "/tasks/paused" | "/tasks/resumed" => {
            Happened::Altered(place)
        }
        "/containers/delete" => Happened::Destroyed(place),
        "/tasks/exec-started" => Happened::Exec(place),
        "/namespaces/create" => Happened::NamespaceMade(first),
        "/namespaces/delete" => Happened::NamespaceGone(first),
        _ => return Ok(None),
    };
    Ok(Some(Notice { time: envelope.timestamp.and_then(|at| at.time()), happened }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grpc::{Any, Timestamp};

    fn announced(topic: &str, container: &str, id: &str) -> Option<Happened> {
        let exit = TaskExit { container_id: container.into(), id: id.into() };
        let event = Any { type_url: String::new(), value: exit.encode_to_vec() };
        let envelope = Envelope {
            timestamp: Some(Timestamp { seconds: 5, nanos: 0 }),
            namespace: "ns".into(),
            topic: topic.into(),
            event: Some(event),
        };
        notice(&envelope).unwrap().map(|notice| notice.happened)
    }

    #[test]
    fn the_end_of_what_was_run_in_a_container_is_not_its_end() {
        let place = Place { namespace: "ns".into(), id: "c1".into() };
        assert_eq!(announced("/tasks/exit", "c1", "c1"), Some(Happened::Altered(place.clone())));
        assert_eq!(announced("/tasks/exit", "c1", "exec-7"), None);
        assert_eq!(announced("/tasks/exec-started", "c1", "exec-7"), Some(Happened::Exec(place)));
    }

    #[test]
    fn a_namespace_is_named_by_what_is_told_and_not_by_where() {
        assert_eq!(announced("/namespaces/create", "new", ""), Some(Happened::NamespaceMade("new".into())));
        assert_eq!(announced("/snapshot/prepare", "x", ""), None);
    }

    #[test]
    fn an_announcement_that_cannot_be_read_is_told() {
        let event = Some(Any { type_url: String::new(), value: vec![0xff; 3] });
        let envelope = Envelope { topic: "/tasks/start".into(), event, ..Envelope::default() };
        assert!(notice(&envelope).is_err());
    }
}
