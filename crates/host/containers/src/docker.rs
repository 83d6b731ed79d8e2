//! A client of one Docker engine: list, inspect, follow changes. Every call ends at its timeout.
//!
//! An answer is decoded whole before it is cut to the limits of `model`. What bounds it: only root (or the
//! `docker` group, which is the same) can make an engine hold large labels, the engine holds each of them in
//! memory as well, a transfer ends at the call's timeout, and so much is read at most (`bounded.rs`). What is kept is bounded.
//! Not here: reconnecting and resynchronising (`sources`).

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bollard::query_parameters::{EventsOptions, InspectContainerOptions, ListContainersOptions};
use futures_util::{Stream, StreamExt};
use model::runtime::ContainerFacts;
use model::time::Time;
use model::untrusted::Untrusted;
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

use crate::announced::{Announced, KINDS, actions};
use crate::bounded::transport;
use crate::change::is_container_id;
use crate::error::{CallError, reason};
use crate::inspected::{facts, listed_state};
use crate::notice::{Entries, Entry};
use crate::swarm::{Membership, membership};

/// Longest wait for how the engine confines containers, before the first of them is told; in milliseconds.
const CONFINEMENT_WAIT_MS: u64 = 1000;

/// Where the engine listens and how long we wait for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DockerConfig {
    /// The engine's Unix socket.
    pub socket: PathBuf,
    /// Longest wait for connecting, pinging and listing, in milliseconds.
    pub call_timeout_ms: u64,
    /// Longest wait for the facts of one container, in milliseconds.
    pub inspect_timeout_ms: u64,
}

impl Default for DockerConfig {
    fn default() -> Self {
        Self { socket: "/var/run/docker.sock".into(), call_timeout_ms: 2000, inspect_timeout_ms: 2000 }
    }
}

/// A Docker engine that has answered once. Cheap to clone; calls may run side by side.
#[derive(Clone, Debug)]
pub struct Docker {
    pub(crate) engine: bollard::Docker,
    pub(crate) config: DockerConfig,
    socket: Untrusted,
    /// Asked once a connection: an engine confines as it was started to.
    confinement: Arc<OnceCell<Confinement>>,
}

/// What an engine says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineInfo {
    /// Directory below which it keeps images, containers and logs; empty when it does not say.
    pub root_dir: PathBuf,
    /// Log driver of containers that ask for none.
    pub log_driver: Untrusted,
    /// Its version.
    pub version: Untrusted,
    /// How it confines containers that ask for nothing else.
    pub confinement: Confinement,
    /// How it takes part in a swarm.
    pub membership: Membership,
    /// The id of its node in that swarm; empty when it is in none.
    pub node: Untrusted,
}

/// How an engine confines containers that ask for nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confinement {
    /// By a filter of system calls.
    pub by_seccomp: bool,
    /// By AppArmor.
    pub by_apparmor: bool,
    /// By SELinux.
    pub by_selinux: bool,
}

impl Confinement {
    /// Of an engine that does not say: whatever a container is let off, it is taken to be without.
    pub const UNKNOWN: Self = Self { by_seccomp: true, by_apparmor: true, by_selinux: true };

    /// From options like `name=seccomp,profile=default`.
    fn parse(options: &[String]) -> Self {
        let has = |name: &str| {
            let mut named = options.iter().filter(|option| {
                option.split(',').any(|part| part.strip_prefix("name=").unwrap_or(part) == name)
            });
            named.any(|option| !option.contains("profile=unconfined"))
        };
        Self { by_seccomp: has("seccomp"), by_apparmor: has("apparmor"), by_selinux: has("selinux") }
    }
}

impl Docker {
    /// Connects and settles on the API version both sides speak.
    ///
    /// # Errors
    /// [`CallError::Absent`] when there is no socket file, otherwise why the engine did not answer.
    pub async fn connect(config: DockerConfig) -> Result<Self, CallError> {
        let socket = Untrusted::new(&config.socket.to_string_lossy());
        let place = Place { socket: &socket, call: "connect" };
        let path = config.socket.to_str().ok_or_else(|| place.failed("the path is not UTF-8"))?;
        if !Path::new(path).exists() {
            return Err(CallError::Absent { socket });
        }
        // The library's own limit covers the head of an answer only and counts in seconds. It is left to bound
        // subscribing; everywhere else ours is shorter.
        let header_secs = config.call_timeout_ms.max(config.inspect_timeout_ms) / 1000 + 1;
        let transport = transport(config.socket.clone());
        let engine = bollard::Docker::connect_with_custom_transport(
            transport,
            Some("http://docker"),
            header_secs,
            bollard::API_DEFAULT_VERSION,
        );
        let engine = engine.map_err(|error| place.error(&error))?;
        let engine = place.within(config.call_timeout_ms, engine.negotiate_version()).await?;
        Ok(Self { engine, config, socket, confinement: Arc::default() })
    }

    /// Asks for a sign of life.
    ///
    /// # Errors
    /// Why the engine did not answer.
    pub async fn ping(&self) -> Result<(), CallError> {
        self.at("ping").within(self.config.call_timeout_ms, self.engine.ping()).await.map(drop)
    }

    /// The engine's root directory, default log driver and version, and how it confines and is joined to others.
    ///
    /// # Errors
    /// Why the engine did not answer.
    pub async fn info(&self) -> Result<EngineInfo, CallError> {
        let info = self.at("info").within(self.config.call_timeout_ms, self.engine.info()).await?;
        let options = info.security_options.as_deref();
        let swarm = info.swarm.unwrap_or_default();
        Ok(EngineInfo {
            confinement: options.map_or(Confinement::UNKNOWN, Confinement::parse),
            membership: membership(&swarm),
            node: Untrusted::new(&swarm.node_id.unwrap_or_default()),
            root_dir: info.docker_root_dir.unwrap_or_default().into(),
            log_driver: Untrusted::new(&info.logging_driver.unwrap_or_default()),
            version: Untrusted::new(&info.server_version.unwrap_or_default()),
        })
    }

    /// All containers, running or not.
    ///
    /// # Errors
    /// Why the engine did not answer, or that it lists something that has no container id.
    pub async fn list(&self) -> Result<Entries, CallError> {
        let place = self.at("list");
        let options = ListContainersOptions { all: true, ..Default::default() };
        let call = self.engine.list_containers(Some(options));
        let summaries = place.within(self.config.call_timeout_ms, call).await?;
        let listed = summaries.into_iter().map(|summary| {
            let id = summary.id.unwrap_or_default();
            if !is_container_id(&id) {
                return Err(place.failed(&format!("an entry has no container id: {id:.80}")));
            }
            Ok(Entry { id: Untrusted::new(&id), state: listed_state(summary.state) })
        });
        Ok(Entries { taken: listed.collect::<Result<_, _>>()?, left: 0 })
    }

    /// What the engine claims about one container.
    ///
    /// # Errors
    /// [`CallError::Gone`] when the engine does not know it, [`CallError::BadId`] for anything but a full id.
    pub async fn inspect(&self, id: &Untrusted) -> Result<ContainerFacts, CallError> {
        if !is_container_id(id.raw()) {
            return Err(CallError::BadId { socket: self.socket.clone(), id: id.clone() });
        }
        let call = async {
            match self.engine.inspect_container(id.raw(), None::<InspectContainerOptions>).await {
                Err(error) if status(&error) == Some(404) => Ok(None),
                other => other.map(Some),
            }
        };
        let call = self.at("inspect").within(self.config.inspect_timeout_ms, call);
        let (inspected, confinement) = futures_util::future::join(call, self.confinement()).await;
        let inspected = inspected?.ok_or_else(|| CallError::Gone {
            socket: self.socket.clone(),
            call: "inspect",
            reason: Untrusted::new(&format!("no container {id}")),
        })?;
        Ok(facts(id, inspected, confinement))
    }

    async fn confinement(&self) -> Confinement {
        let ask = async {
            let info = tokio::time::timeout(Duration::from_millis(CONFINEMENT_WAIT_MS), self.info()).await;
            info.ok().and_then(Result::ok).map_or(Confinement::UNKNOWN, |info| info.confinement)
        };
        *self.confinement.get_or_init(|| ask).await
    }

    /// What the engine announces from `since` (the engine's clock) on. Asks when first polled; ends with an error
    /// when the engine stops, refuses, or sends what cannot be understood.
    pub fn watch(&self, since: Time) -> impl Stream<Item = Result<Announced, CallError>> + use<> {
        let filters = [("type", KINDS.map(str::to_owned).to_vec()), ("event", actions())];
        let options = EventsOptions {
            since: Some(format!("{}.{:09}", since.ns() / 1_000_000_000, since.ns() % 1_000_000_000)),
            until: None,
            filters: Some(filters.into_iter().map(|(key, values)| (key.to_owned(), values)).collect()),
        };
        let socket = self.socket.clone();
        let end = CallError::Ended { socket: socket.clone() };
        let announcements = self.engine.events(Some(options)).filter_map(move |event| {
            let place = Place { socket: &socket, call: "events" };
            let announced = match event {
                Ok(event) => {
                    Announced::from_event(event).map(|made| made.map_err(|problem| place.failed(&problem)))
                }
                Err(error) => Some(Err(place.error(&error))),
            };
            std::future::ready(announced)
        });
        announcements.chain(futures_util::stream::once(std::future::ready(Err(end))))
    }

    pub(crate) fn at(&self, call: &'static str) -> Place<'_> {
        Place { socket: &self.socket, call }
    }
}

/// Where an error happened.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    socket: &'a Untrusted,
    call: &'static str,
}

impl Place<'_> {
    /// Runs a call of the library, header and body, within the time given.
    pub(crate) async fn within<T>(
        self,
        after_ms: u64,
        call: impl Future<Output = Result<T, bollard::errors::Error>>,
    ) -> Result<T, CallError> {
        match tokio::time::timeout(Duration::from_millis(after_ms), call).await {
            Ok(answer) => answer.map_err(|error| self.error(&error)),
            Err(_) => Err(CallError::Timeout { socket: self.socket.clone(), call: self.call, after_ms }),
        }
    }

    fn error(self, error: &bollard::errors::Error) -> CallError {
        match error {
            bollard::errors::Error::SocketNotFoundError(_) => {
                CallError::Absent { socket: self.socket.clone() }
            }
            other => self.failed(reason(other).raw()),
        }
    }

    fn failed(self, problem: &str) -> CallError {
        CallError::Failed { socket: self.socket.clone(), call: self.call, reason: Untrusted::new(problem) }
    }
}

/// The status of an answer that is a refusal.
pub(crate) fn status(error: &bollard::errors::Error) -> Option<u16> {
    match error {
        bollard::errors::Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    fn connect(config: DockerConfig) -> Result<Docker, CallError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(Docker::connect(config))
    }

    fn at(socket: PathBuf) -> DockerConfig {
        DockerConfig { socket, call_timeout_ms: 50, inspect_timeout_ms: 50 }
    }

    #[test]
    fn no_socket_is_no_engine() {
        let dir = tempfile::tempdir().unwrap();
        let error = connect(at(dir.path().join("none.sock"))).unwrap_err();
        assert!(matches!(error, CallError::Absent { .. }), "{error}");
    }

    #[test]
    fn a_socket_nobody_serves_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("dead.sock");
        drop(UnixListener::bind(&socket).unwrap());
        let error = connect(at(socket)).unwrap_err().to_string();
        assert!(error.ends_with("dead.sock: connect: Connection refused (os error 111)"), "{error}");
    }

    #[test]
    fn an_engine_that_never_answers_costs_no_more_than_the_timeout() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("silent.sock");
        let _listener = UnixListener::bind(&socket).unwrap();
        let error = connect(at(socket)).unwrap_err().to_string();
        assert!(error.ends_with("silent.sock: connect: no answer within 50 ms"), "{error}");
    }

    #[test]
    fn what_is_no_container_id_is_not_put_into_a_request() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("x.sock");
        let _listener = UnixListener::bind(&socket).unwrap();
        let path = socket.to_str().unwrap();
        let engine = bollard::Docker::connect_with_unix(path, 1, bollard::API_DEFAULT_VERSION).unwrap();
        let (config, confinement) = (at(socket.clone()), Arc::default());
        let docker = Docker { engine, config, socket: Untrusted::new(path), confinement };
        for id in ["", "web", "../../images/x", &"g".repeat(64)] {
            let error = runtime.block_on(docker.inspect(&Untrusted::new(id))).unwrap_err();
            assert!(matches!(error, CallError::BadId { .. }), "{error}");
        }
    }
    #[test]
    fn how_an_engine_confines_is_read_in_every_spelling() {
        let parse = |options: &[&str]| {
            let options: Vec<_> = options.iter().map(|&option| option.to_owned()).collect();
            let it = Confinement::parse(&options);
            [it.by_seccomp, it.by_apparmor, it.by_selinux]
        };
        assert_eq!(parse(&["name=apparmor", "name=seccomp,profile=default"]), [true, true, false]);
        assert_eq!(parse(&["seccomp", "selinux"]), [true, false, true]);
        assert_eq!(parse(&["name=seccomp,profile=unconfined", "name=cgroupns"]), [false; 3]);
    }
}
