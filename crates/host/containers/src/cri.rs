//! A client of what serves the kubelet (the `runtime.v1` interface): pods and their containers. Every call ends at its
//! timeout.
//!
//! Not here: its stream of events. The engines that have one give each event to one listener only, so that whoever
//! listens takes it from the kubelet. What has changed is seen in the lists.

mod kubelet;

mod messages;

pub mod pods;

mod told;

use std::path::Path;

use model::runtime::{ContainerFacts, RunState};
use model::untrusted::Untrusted;
use model::view::{EngineKind, View};

use crate::cri::messages::{
    ContainerAnswer, ContainerList, Id, Image, ImageAnswer, ImageName, ImageQuestion, ListQuestion,
    ListedContainer, ListedPod, PodAnswer, PodList, StatusQuestion, VersionAnswer,
};
use crate::error::CallError;
use crate::grpc::{Call, Empty, Line};
use crate::notice::{Entries, Entry};

const VERSION: &str = "/runtime.v1.RuntimeService/Version";
const LIST_PODS: &str = "/runtime.v1.RuntimeService/ListPodSandbox";
const LIST_CONTAINERS: &str = "/runtime.v1.RuntimeService/ListContainers";
const POD_STATUS: &str = "/runtime.v1.RuntimeService/PodSandboxStatus";
const CONTAINER_STATUS: &str = "/runtime.v1.RuntimeService/ContainerStatus";
const IMAGE_STATUS: &str = "/runtime.v1.ImageService/ImageStatus";

/// What serves the kubelet, and has answered once. Cheap to clone; calls may run side by side.
#[derive(Clone, Debug)]
pub struct Cri {
    line: Line,
    view: View,
}

impl Cri {
    /// Connects and asks for the version.
    ///
    /// # Errors
    /// [`CallError::Absent`] when there is no such socket, [`CallError::Unserved`] when the engine does not serve the
    /// kubelet, otherwise why nobody answered.
    pub async fn connect(socket: &Path, call_timeout_ms: u64) -> Result<Self, CallError> {
        let line = Line::connect(socket, call_timeout_ms).await?;
        let cri = Self { line, view: View::new(EngineKind::Cri, &socket.to_string_lossy()) };
        cri.ping().await?;
        Ok(cri)
    }

    /// Asks for a sign of life.
    ///
    /// # Errors
    /// Why it did not answer.
    pub async fn ping(&self) -> Result<(), CallError> {
        self.line.ask::<_, VersionAnswer>(Call::new(VERSION), Empty {}).await.map(drop)
    }

    /// All pods' sandboxes and all containers, at most `entries_max`.
    ///
    /// # Errors
    /// Why it did not answer.
    pub async fn list(&self, entries_max: usize) -> Result<Entries, CallError> {
        let (pods, containers) = tokio::join!(self.pods(None), self.containers(None));
        let pods = pods?.items.into_iter().map(|pod| (pod.id, pod_state(pod.state)));
        let containers = containers?.containers.into_iter().map(|it| (it.id, container_state(it.state)));
        let mut entries = Entries::default();
        for (id, state) in pods.chain(containers) {
            if entries.taken.len() < entries_max {
                entries.taken.push(Entry { id: Untrusted::new(&id), state });
            } else {
                entries.left += 1;
            }
        }
        Ok(entries)
    }

    /// What it claims about one container, or one pod's sandbox.
    ///
    /// # Errors
    /// [`CallError::Gone`] when it knows neither of that id, otherwise why it did not answer.
    pub async fn facts(&self, id: &Untrusted) -> Result<ContainerFacts, CallError> {
        match self.container_facts(id).await {
            Err(error) if error.is_gone() => self.pod_facts(id).await,
            other => other,
        }
    }

    async fn container_facts(&self, id: &Untrusted) -> Result<ContainerFacts, CallError> {
        let call = Call::new(CONTAINER_STATUS);
        let status = self.line.ask::<_, ContainerAnswer>(call, question(id.raw()));
        let (status, listed) = tokio::join!(status, self.containers(Some(id.raw())));
        let mut answer = status?;
        let status =
            answer.status.take().ok_or_else(|| self.line.nonsense(call, "no status in the answer"))?;
        let listed = listed?.containers.into_iter().next().unwrap_or_default();
        let pod = self.pod_of(&listed).await?;
        let info = told::info(&answer.info);
        Ok(told::container(told::Base { view: &self.view, id }, status, &listed, pod.as_ref(), info))
    }

    async fn pod_of(&self, container: &ListedContainer) -> Result<Option<ListedPod>, CallError> {
        if container.pod_id.is_empty() {
            return Ok(None);
        }
        Ok(self.pods(Some(&container.pod_id)).await?.items.into_iter().next())
    }

    async fn pod_facts(&self, id: &Untrusted) -> Result<ContainerFacts, CallError> {
        let call = Call::new(POD_STATUS);
        let mut answer: PodAnswer = self.line.ask(call, question(id.raw())).await?;
        let status =
            answer.status.take().ok_or_else(|| self.line.nonsense(call, "no status in the answer"))?;
        let info = told::info(&answer.info);
        let image = self.image(&info.image).await?;
        Ok(told::pod(told::Base { view: &self.view, id }, status, info, &image.unwrap_or_default()))
    }

    async fn image(&self, name: &str) -> Result<Option<Image>, CallError> {
        if name.is_empty() {
            return Ok(None);
        }
        let question = ImageQuestion { image: Some(ImageName { image: name.to_owned() }) };
        match self.line.ask::<_, ImageAnswer>(Call::new(IMAGE_STATUS), question).await {
            Ok(answer) => Ok(answer.image),
            Err(CallError::Gone { .. } | CallError::Unserved { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn pods(&self, id: Option<&str>) -> Result<PodList, CallError> {
        self.line.ask(Call::new(LIST_PODS), list_question(id)).await
    }

    async fn containers(&self, id: Option<&str>) -> Result<ContainerList, CallError> {
        self.line.ask(Call::new(LIST_CONTAINERS), list_question(id)).await
    }
}

fn list_question(id: Option<&str>) -> ListQuestion {
    ListQuestion { filter: id.map(|id| Id { id: id.to_owned() }) }
}

fn question(id: &str) -> StatusQuestion {
    StatusQuestion { id: id.to_owned(), verbose: true }
}

/// The state of a container by its number.
fn container_state(number: i32) -> RunState {
    match number {
        1 => RunState::Running,
        2 => RunState::Exited,
        _ => RunState::Created,
    }
}

/// The state of a sandbox by its number: ready or not.
fn pod_state(number: i32) -> RunState {
    if number == 0 { RunState::Running } else { RunState::Exited }
}
