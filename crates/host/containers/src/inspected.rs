//! From an engine's answer to the facts of `model`: every field may be absent, huge or a lie.
//!
//! Not here: asking (`docker.rs`). Nothing is checked for truth; that is for judges, with other views.

use std::collections::HashMap;
use std::net::IpAddr;

use bollard::models::{
    ContainerInspectResponse, ContainerState, ContainerStateStatusEnum as Status,
    ContainerSummaryStateEnum as ListedStatus, EndpointSettings, HealthConfig, PortMap,
};
use model::runtime::{ADDRESSES_MAX, ContainerFacts, PORTS_MAX, PublishedPort, RunState};
use model::time::Time;
use model::traffic::Protocol;
use model::untrusted::{UNTRUSTED_BYTES_MAX, Untrusted};

use crate::docker::Confinement;
use crate::labels::bounded_labels;
use crate::privileges::{Settings, privileges};

/// What runs a health check that was declared as text, when the image names no shell of its own.
const DEFAULT_SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// The facts in an answer; what is absent stays empty.
pub(crate) fn facts(
    id: &Untrusted,
    inspected: ContainerInspectResponse,
    confinement: Confinement,
) -> ContainerFacts {
    let config = inspected.config.unwrap_or_default();
    let state = inspected.state.unwrap_or_default();
    let (labels, labels_dropped) = bounded_labels(&config.labels.unwrap_or_default());
    let privileges = inspected.host_config.as_ref().map(|host| {
        let mounts = inspected.mounts.as_deref().unwrap_or_default();
        let apparmor = inspected.app_armor_profile.as_deref().unwrap_or_default();
        Box::new(privileges(&Settings { host, mounts, apparmor }, confinement))
    });
    let host = inspected.host_config.unwrap_or_default();
    let network = inspected.network_settings.unwrap_or_default();
    ContainerFacts {
        id: id.clone(),
        name: Untrusted::new(inspected.name.unwrap_or_default().trim_start_matches('/')),
        image: text(config.image),
        digest: text(inspected.image),
        command: line(inspected.path.into_iter().chain(inspected.args.unwrap_or_default())),
        labels,
        labels_dropped,
        pid: state.pid.and_then(|pid| u32::try_from(pid).ok()).filter(|&pid| pid > 0),
        started: state.started_at.as_deref().and_then(instant),
        state: run_state(&state),
        created: inspected.created.as_deref().and_then(instant),
        log_driver: text(host.log_config.and_then(|log| log.typ)),
        log_path: inspected.log_path.filter(|path| !path.is_empty()).map(|path| Untrusted::new(&path)),
        network_mode: text(host.network_mode),
        addresses: addresses(&network.networks.unwrap_or_default()),
        published: published(&network.ports.unwrap_or_default()),
        privileges,
        health_check: health_check(config.healthcheck.unwrap_or_default(), config.shell),
        root: inspected.graph_driver.map(|driver| root(&driver.data)).unwrap_or_default(),
        ..ContainerFacts::default()
    }
}

/// Its addresses on every network, in order.
fn addresses(networks: &HashMap<String, EndpointSettings>) -> Vec<IpAddr> {
    let texts = networks.values().flat_map(|network| [&network.ip_address, &network.global_ipv6_address]);
    let mut addresses: Vec<IpAddr> = texts.flatten().filter_map(|text| text.parse().ok()).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses.truncate(ADDRESSES_MAX);
    addresses
}

/// Its ports that the host forwards to, by `PORT/PROTOCOL`, in order.
fn published(ports: &PortMap) -> Vec<PublishedPort> {
    let mut published: Vec<PublishedPort> = ports
        .iter()
        .filter_map(|(served, bindings)| Some((served.split_once('/')?, bindings.as_ref()?)))
        .flat_map(|((port, protocol), bindings)| {
            let host_ports = bindings.iter().filter_map(|binding| binding.host_port.as_ref()?.parse().ok());
            host_ports.filter_map(move |host_port| {
                let (protocol, port) = (Protocol::parse(protocol)?, port.parse().ok()?);
                Some(PublishedPort { protocol, host_port, port })
            })
        })
        .collect();
    published.sort_unstable();
    published.dedup();
    published.truncate(PORTS_MAX);
    published
}

/// The state a line of the engine's list tells. A line without one is taken as created: it is inspected anyway.
pub(crate) fn listed_state(status: Option<ListedStatus>) -> RunState {
    match status {
        Some(ListedStatus::RUNNING | ListedStatus::STOPPING) => RunState::Running,
        Some(ListedStatus::PAUSED) => RunState::Paused,
        Some(ListedStatus::RESTARTING) => RunState::Restarting,
        Some(ListedStatus::EXITED | ListedStatus::DEAD | ListedStatus::REMOVING) => RunState::Exited,
        Some(ListedStatus::CREATED | ListedStatus::EMPTY) | None => RunState::Created,
    }
}

fn run_state(state: &ContainerState) -> RunState {
    match state.status {
        // A container that is being stopped still runs; the event of its death comes later.
        Some(Status::RUNNING | Status::STOPPING) => RunState::Running,
        Some(Status::PAUSED) => RunState::Paused,
        Some(Status::RESTARTING) => RunState::Restarting,
        Some(Status::EXITED | Status::DEAD | Status::REMOVING) => RunState::Exited,
        Some(Status::CREATED) => RunState::Created,
        Some(Status::EMPTY) | None => state_by_flags(state),
    }
}

fn state_by_flags(state: &ContainerState) -> RunState {
    let is_set = |flag: Option<bool>| flag.unwrap_or(false);
    if is_set(state.paused) {
        RunState::Paused
    } else if is_set(state.restarting) {
        RunState::Restarting
    } else if is_set(state.running) {
        RunState::Running
    } else if state.started_at.as_deref().and_then(instant).is_some() {
        RunState::Exited
    } else {
        RunState::Created
    }
}

fn text(value: Option<String>) -> Untrusted {
    Untrusted::new(&value.unwrap_or_default())
}

/// The instant a field tells. Docker writes the year 1 for "never".
fn instant(text: &str) -> Option<Time> {
    Time::parse(text).ok().filter(|time| time.ns() > 0)
}

/// The parts of a command, space separated; stops once there is more than is kept.
fn line(parts: impl IntoIterator<Item = String>) -> Untrusted {
    let mut parts = parts.into_iter();
    let mut line = parts.next().unwrap_or_default();
    for part in parts {
        if line.len() > UNTRUSTED_BYTES_MAX {
            break;
        }
        line.push(' ');
        line.push_str(&part);
    }
    Untrusted::new(line.trim_end())
}

/// The command as the engine runs it, and as it announces it then: through a shell when it was declared as text.
pub(crate) fn health_check(declared: HealthConfig, shell: Option<Vec<String>>) -> Untrusted {
    let mut test = declared.test.unwrap_or_default().into_iter();
    match test.next().as_deref() {
        Some("CMD") => line(test),
        Some("CMD-SHELL") => {
            let shell = shell.filter(|shell| !shell.is_empty());
            line(shell.unwrap_or_else(|| DEFAULT_SHELL.map(str::to_owned).to_vec()).into_iter().chain(test))
        }
        // `NONE`, or nothing.
        _ => Untrusted::default(),
    }
}

/// Where its layers are joined, else the directory that holds its own layer.
fn root(storage: &HashMap<String, String>) -> Untrusted {
    let merged = storage.get("MergedDir").map(String::as_str);
    let upper = || Some(storage.get("UpperDir")?.rsplit_once('/')?.0);
    Untrusted::new(merged.filter(|path| !path.is_empty()).or_else(upper).unwrap_or_default())
}

#[cfg(test)]
mod tests;
