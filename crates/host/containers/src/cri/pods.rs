//! Makes pods and containers through the kubelet's interface, and removes them: what the tests of a real engine need.
//!
//! Not here: pulling images, and any use by the detector, which changes nothing on an engine.

use std::collections::HashMap;

use model::untrusted::Untrusted;

use crate::cri::Cri;
use crate::cri::messages::{
    ContainerConfig, ContainerLinux, ContainerMetadata, ContainerSecurity, CreateContainer, Id, ImageName,
    NamespaceModes, OF_NODE, PodConfig, PodLinux, PodMetadata, PodSecurity, RunPod,
};
use crate::error::CallError;
use crate::grpc::{Call, Empty};

const RUN_POD: &str = "/runtime.v1.RuntimeService/RunPodSandbox";
const STOP_POD: &str = "/runtime.v1.RuntimeService/StopPodSandbox";
const REMOVE_POD: &str = "/runtime.v1.RuntimeService/RemovePodSandbox";
const CREATE_CONTAINER: &str = "/runtime.v1.RuntimeService/CreateContainer";
const START_CONTAINER: &str = "/runtime.v1.RuntimeService/StartContainer";

/// A pod to be made. It shares the host's network, so that no plug-in for networks is needed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Its name.
    pub name: String,
    /// Its namespace in Kubernetes.
    pub namespace: String,
    /// Its unique id in Kubernetes.
    pub uid: String,
    /// Its labels.
    pub labels: HashMap<String, String>,
    /// The cgroup above its own; empty leaves it to the engine.
    pub cgroup_parent: String,
}

impl Wanted {
    fn config(&self) -> PodConfig {
        let metadata = PodMetadata {
            name: self.name.clone(),
            uid: self.uid.clone(),
            namespace: self.namespace.clone(),
            attempt: 0,
        };
        let security = PodSecurity { namespaces: Some(NamespaceModes { network: OF_NODE }) };
        let linux = PodLinux { cgroup_parent: self.cgroup_parent.clone(), security: Some(security) };
        PodConfig {
            metadata: Some(metadata),
            log_directory: String::new(),
            labels: self.labels.clone(),
            linux: Some(linux),
        }
    }
}

impl Cri {
    /// Makes a pod's sandbox and starts it: its id.
    ///
    /// # Errors
    /// Why the engine would not.
    pub async fn run_pod(&self, wanted: &Wanted) -> Result<Untrusted, CallError> {
        let order = RunPod { config: Some(wanted.config()) };
        let made: Id = self.line.ask(Call::new(RUN_POD), order).await?;
        Ok(Untrusted::new(&made.id))
    }

    /// Makes a container of an image that is there in a pod's sandbox: its id.
    ///
    /// # Errors
    /// Why the engine would not.
    pub async fn create_container(
        &self,
        pod: (&Untrusted, &Wanted),
        name: &str,
        image: &str,
        command: &[&str],
    ) -> Result<Untrusted, CallError> {
        let (id, wanted) = pod;
        let security = ContainerSecurity { namespaces: Some(NamespaceModes { network: OF_NODE }) };
        let config = ContainerConfig {
            metadata: Some(ContainerMetadata { name: name.to_owned() }),
            image: Some(ImageName { image: image.to_owned() }),
            command: command.iter().map(|&part| part.to_owned()).collect(),
            labels: wanted.labels.clone(),
            linux: Some(ContainerLinux { security: Some(security) }),
        };
        let order =
            CreateContainer { pod_id: id.raw().to_owned(), config: Some(config), pod: Some(wanted.config()) };
        let made: Id = self.line.ask(Call::new(CREATE_CONTAINER), order).await?;
        Ok(Untrusted::new(&made.id))
    }

    /// Starts a container.
    ///
    /// # Errors
    /// Why the engine would not.
    pub async fn start_container(&self, id: &Untrusted) -> Result<(), CallError> {
        self.order(START_CONTAINER, id).await
    }

    /// Stops a pod: its sandbox and all its containers.
    ///
    /// # Errors
    /// Why the engine would not.
    pub async fn stop_pod(&self, id: &Untrusted) -> Result<(), CallError> {
        self.order(STOP_POD, id).await
    }

    /// Removes a pod that is stopped.
    ///
    /// # Errors
    /// Why the engine would not.
    pub async fn remove_pod(&self, id: &Untrusted) -> Result<(), CallError> {
        self.order(REMOVE_POD, id).await
    }

    async fn order(&self, path: &'static str, id: &Untrusted) -> Result<(), CallError> {
        self.line.ask::<_, Empty>(Call::new(path), Id { id: id.raw().to_owned() }).await.map(drop)
    }
}
