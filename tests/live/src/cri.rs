//! The kubelet's part towards a container runtime, as far as a test plays it: a pod's sandbox, and a container in it.
//!
//! Messages are declared with the fields that are filled, numbered as in version 1 of the interface (`api.proto` of
//! Kubernetes' `cri-api`). Not here: networks of pods; they are on the host's.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use http::uri::PathAndQuery;
use hyper_util::rt::TokioIo;
use prost::Message;
use tokio::net::UnixStream;
use tokio::runtime::Runtime;
use tonic::Request;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

/// Longest wait for an answer; a runtime starts its first sandbox in a second.
const ANSWER: Duration = Duration::from_secs(20);

/// `NODE` among the modes of a namespace.
const OF_THE_NODE: i32 = 2;

/// What a pod is called.
pub(crate) struct PodName<'a> {
    /// Its name.
    pub(crate) name: &'a str,
    /// Its namespace.
    pub(crate) namespace: &'a str,
    /// What tells it from others of its name.
    pub(crate) uid: &'a str,
    /// Where the kubelet has it from: `api`, `file`.
    pub(crate) source: &'a str,
}

/// A pod with one container, removed on drop.
pub(crate) struct Pod {
    line: Line,
    sandbox: String,
    /// The container's id.
    pub(crate) container: String,
}

impl Pod {
    /// Runs a pod's sandbox and a container of that image in it, through the socket.
    pub(crate) fn run(socket: &Path, pod: &PodName<'_>, image: &str, argv: &[&str]) -> Result<Self> {
        let line = Line::to(socket)?;
        let config = sandbox(pod);
        let asked = RunPodSandbox { config: Some(config.clone()) };
        let sandbox: Named = line.call("RunPodSandbox", asked)?;
        // From here on there is something to remove.
        let mut running = Self { line, sandbox: sandbox.id, container: String::new() };
        let asked = CreateContainer {
            sandbox: running.sandbox.clone(),
            config: Some(container(pod, image, argv)),
            sandbox_config: Some(config),
        };
        let container: Named = running.line.call("CreateContainer", asked)?;
        running.container = container.id;
        let _: Nothing = running.line.call("StartContainer", Named { id: running.container.clone() })?;
        Ok(running)
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        // The containers in it go with it.
        for method in ["StopPodSandbox", "RemovePodSandbox"] {
            if let Err(error) = self.line.call::<Named, Nothing>(method, Named { id: self.sandbox.clone() }) {
                eprintln!("warning: {error:#}");
            }
        }
    }
}

/// A connection to a runtime.
struct Line {
    runtime: Runtime,
    channel: Channel,
}

impl Line {
    fn to(socket: &Path) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let place: PathBuf = socket.to_owned();
        let dial = tower::service_fn(move |_| {
            let place = place.clone();
            async move { UnixStream::connect(place).await.map(TokioIo::new) }
        });
        // The address is not looked at: the socket is given.
        let endpoint = Endpoint::from_static("http://localhost").timeout(ANSWER);
        let channel = runtime.block_on(endpoint.connect_with_connector(dial));
        let channel = channel.with_context(|| format!("nobody answers at {}", socket.display()))?;
        Ok(Self { runtime, channel })
    }

    /// Calls a method of the runtime's service.
    fn call<Q, A>(&self, method: &str, question: Q) -> Result<A>
    where
        Q: Message + Default + 'static,
        A: Message + Default + 'static,
    {
        let path = PathAndQuery::try_from(format!("/runtime.v1.RuntimeService/{method}"))?;
        self.runtime
            .block_on(async {
                let mut client = Grpc::new(self.channel.clone());
                client.ready().await?;
                let answer = client.unary(Request::new(question), path, ProstCodec::default()).await;
                anyhow::Ok(answer?.into_inner())
            })
            .with_context(|| method.to_owned())
    }
}

fn sandbox(pod: &PodName<'_>) -> SandboxConfig {
    SandboxConfig {
        metadata: Some(SandboxMetadata {
            name: pod.name.to_owned(),
            uid: pod.uid.to_owned(),
            namespace: pod.namespace.to_owned(),
        }),
        labels: labels(pod),
        annotations: [("kubernetes.io/config.source".to_owned(), pod.source.to_owned())].into(),
        linux: Some(SandboxLinux {
            security: Some(SandboxSecurity { namespaces: Some(on_the_hosts_network()) }),
        }),
    }
}

fn container(pod: &PodName<'_>, image: &str, argv: &[&str]) -> ContainerConfig {
    let name = "main".to_owned();
    let mut labels = labels(pod);
    labels.insert("io.kubernetes.container.name".to_owned(), name.clone());
    let security = ContainerSecurity { namespaces: Some(on_the_hosts_network()) };
    ContainerConfig {
        metadata: Some(ContainerMetadata { name }),
        image: Some(ImageSpec { image: image.to_owned() }),
        command: argv.iter().map(|&word| word.to_owned()).collect(),
        labels,
        linux: Some(ContainerLinux { security: Some(security) }),
    }
}

/// The labels that a kubelet gives.
fn labels(pod: &PodName<'_>) -> HashMap<String, String> {
    [("name", pod.name), ("namespace", pod.namespace), ("uid", pod.uid)]
        .map(|(key, value)| (format!("io.kubernetes.pod.{key}"), value.to_owned()))
        .into()
}

fn on_the_hosts_network() -> Namespaces {
    Namespaces { network: OF_THE_NODE }
}

#[derive(Clone, PartialEq, Message)]
struct Nothing {}

/// Whatever is nothing but an id: a sandbox or a container, asked for or answered.
#[derive(Clone, PartialEq, Message)]
struct Named {
    #[prost(string, tag = "1")]
    id: String,
}

#[derive(Clone, PartialEq, Message)]
struct RunPodSandbox {
    #[prost(message, tag = "1")]
    config: Option<SandboxConfig>,
}

#[derive(Clone, PartialEq, Message)]
struct CreateContainer {
    #[prost(string, tag = "1")]
    sandbox: String,
    #[prost(message, tag = "2")]
    config: Option<ContainerConfig>,
    #[prost(message, tag = "3")]
    sandbox_config: Option<SandboxConfig>,
}

#[derive(Clone, PartialEq, Message)]
struct SandboxConfig {
    #[prost(message, tag = "1")]
    metadata: Option<SandboxMetadata>,
    #[prost(map = "string, string", tag = "6")]
    labels: HashMap<String, String>,
    #[prost(map = "string, string", tag = "7")]
    annotations: HashMap<String, String>,
    #[prost(message, tag = "8")]
    linux: Option<SandboxLinux>,
}

#[derive(Clone, PartialEq, Message)]
struct SandboxMetadata {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    uid: String,
    #[prost(string, tag = "3")]
    namespace: String,
}

#[derive(Clone, PartialEq, Message)]
struct SandboxLinux {
    #[prost(message, tag = "2")]
    security: Option<SandboxSecurity>,
}

#[derive(Clone, PartialEq, Message)]
struct SandboxSecurity {
    #[prost(message, tag = "1")]
    namespaces: Option<Namespaces>,
}

#[derive(Clone, PartialEq, Message)]
struct Namespaces {
    #[prost(int32, tag = "1")]
    network: i32,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerConfig {
    #[prost(message, tag = "1")]
    metadata: Option<ContainerMetadata>,
    #[prost(message, tag = "2")]
    image: Option<ImageSpec>,
    #[prost(string, repeated, tag = "3")]
    command: Vec<String>,
    #[prost(map = "string, string", tag = "9")]
    labels: HashMap<String, String>,
    #[prost(message, tag = "15")]
    linux: Option<ContainerLinux>,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerMetadata {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct ImageSpec {
    #[prost(string, tag = "1")]
    image: String,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerLinux {
    #[prost(message, tag = "2")]
    security: Option<ContainerSecurity>,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerSecurity {
    #[prost(message, tag = "3")]
    namespaces: Option<Namespaces>,
}
