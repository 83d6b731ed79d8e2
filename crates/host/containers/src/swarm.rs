//! What a swarm says about a container that carries its labels: whether it has placed it here.
//!
//! Not here: asking again until it is settled (`sources`). Labels are claims; only a manager can confirm them.

use bollard::models::{LocalNodeState, SwarmInfo, Task};
use model::runtime::{ContainerFacts, Orchestrated, OrderedBy};
use model::untrusted::Untrusted;
use model::view::Standing;

use crate::docker::{Docker, EngineInfo, status};
use crate::error::{CallError, reason};

const TASK_LABEL: &str = "com.docker.swarm.task.id";
const NODE_LABEL: &str = "com.docker.swarm.node.id";
/// Labels that every container of a service has beside the task's.
const SERVICE_LABELS: [&str; 2] = ["com.docker.swarm.service.name", "com.docker.swarm.service.id"];
/// Length of swarm's ids, which are of digits and small letters.
const TASK_ID_BYTES: usize = 25;

/// How an engine takes part in a swarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Membership {
    /// In none.
    None,
    /// In one, and may not ask about it.
    Worker,
    /// In one, and can be asked.
    Manager,
    /// It does not say, or is about to join.
    Unknown,
}

/// What the labels of a container claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// To be a task's, which can be asked for.
    Task(ClaimedTask),
    /// Something that no container of a swarm would; why.
    Impossible(&'static str),
}

/// The task that a container claims to be of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedTask {
    /// The task's id.
    pub id: Untrusted,
    /// The id of the node it was placed on, which every container of a swarm is labelled with; empty when it has no such
    /// label.
    pub node: Untrusted,
}

/// What the labels claim; `None` when they claim nothing of swarm.
pub fn claim(facts: &ContainerFacts) -> Option<Claim> {
    if let Some(task) = facts.label(TASK_LABEL) {
        return Some(match is_task_id(task.raw()) {
            true => {
                let node = facts.label(NODE_LABEL).cloned().unwrap_or_default();
                Claim::Task(ClaimedTask { id: task.clone(), node })
            }
            false => Claim::Impossible("its label for a task holds no id of a task"),
        });
    }
    let names_service = SERVICE_LABELS.iter().any(|key| facts.label(key).is_some());
    names_service.then_some(Claim::Impossible("it is labelled as of a service and names no task"))
}

/// A word of swarm.
pub fn word(standing: Standing, reason: &str) -> Orchestrated {
    let ordered_by = if standing == Standing::Present { OrderedBy::Orchestrator } else { OrderedBy::Untold };
    Orchestrated { name: Untrusted::new("swarm"), standing, reason: Untrusted::new(reason), ordered_by }
}

impl Docker {
    /// What the swarm says about a container that claims to be a task's: `Pending` while that task has no container,
    /// `Silent` when it cannot be asked.
    pub async fn ask_swarm(&self, container: &Untrusted, task: &ClaimedTask) -> Orchestrated {
        let call = async {
            match self.engine.inspect_task(task.id.raw()).await {
                Err(error) if matches!(status(&error), Some(404 | 503)) => Ok(Err(error)),
                other => other.map(Ok),
            }
        };
        match self.at("task").within(self.config.inspect_timeout_ms, call).await {
            Ok(Ok(answer)) => placed(container, task, answer),
            Ok(Err(refusal)) if status(&refusal) == Some(404) => {
                word(Standing::Denied, &format!("the swarm knows no task {}", task.id))
            }
            Ok(Err(refusal)) => self.refused(task, reason(&refusal).raw()).await,
            Err(problem) => word(Standing::Silent, &problem.to_string()),
        }
    }

    /// Both a node of no swarm and a worker refuse alike.
    async fn refused(&self, task: &ClaimedTask, refusal: &str) -> Orchestrated {
        refused(task, self.info().await, refusal)
    }
}

fn refused(task: &ClaimedTask, info: Result<EngineInfo, CallError>, refusal: &str) -> Orchestrated {
    let info = match info {
        Ok(info) => info,
        Err(problem) => return word(Standing::Silent, &problem.to_string()),
    };
    match info.membership {
        Membership::None => word(Standing::Denied, "this engine is in no swarm"),
        // Which node it is, a worker knows without asking.
        Membership::Worker if !info.node.is_empty() && task.node != info.node => {
            word(Standing::Denied, &of_another_node(task, &info.node))
        }
        Membership::Worker => word(Standing::Silent, "this engine is a worker of its swarm and may not ask"),
        Membership::Manager | Membership::Unknown => word(Standing::Silent, refusal),
    }
}

fn of_another_node(task: &ClaimedTask, node: &Untrusted) -> String {
    match task.node.is_empty() {
        true => format!("it is labelled as of a task and names no node; this is the node {node}"),
        false => format!("it is labelled as placed on the node {}, and its task is on {node}", task.node),
    }
}

fn placed(container: &Untrusted, task: &ClaimedTask, answer: Task) -> Orchestrated {
    // A task is found by its name and by the beginning of its id as well.
    if answer.id.as_deref() != Some(task.id.raw()) {
        return word(Standing::Denied, &format!("the swarm knows no task {}", task.id));
    }
    let node = Untrusted::bounded(answer.node_id.as_deref().unwrap_or_default(), 64);
    let status = answer.status.and_then(|status| status.container_status);
    let placed = status.and_then(|status| status.container_id).unwrap_or_default();
    if placed.is_empty() {
        word(Standing::Pending, "the task has no container yet")
    } else if placed == container.raw() && !node.is_empty() && node != task.node {
        word(Standing::Denied, &of_another_node(task, &node))
    } else if placed == container.raw() {
        word(Standing::Present, &if node.is_empty() { String::new() } else { format!("on the node {node}") })
    } else {
        let placed = Untrusted::bounded(&placed, 64);
        word(Standing::Denied, &format!("the container of the task is another one: {placed}"))
    }
}

/// How an engine takes part in a swarm, by what it says of itself.
pub(crate) fn membership(swarm: &SwarmInfo) -> Membership {
    match (swarm.local_node_state, swarm.control_available) {
        (Some(LocalNodeState::INACTIVE), _) => Membership::None,
        (Some(LocalNodeState::ACTIVE), Some(true)) => Membership::Manager,
        (Some(LocalNodeState::ACTIVE), _) => Membership::Worker,
        _ => Membership::Unknown,
    }
}

fn is_task_id(text: &str) -> bool {
    text.len() == TASK_ID_BYTES && text.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::docker::Confinement;

    const TASK: &str = "0kzzo1i0y4jz6027t0k7aezc7";
    const NODE: &str = "24ifsmvkjbyhk1gmq6jnk4u0d";

    fn labelled(labels: &[(&str, &str)]) -> ContainerFacts {
        let labels = labels.iter().map(|&(key, value)| (key.into(), value.into())).collect();
        ContainerFacts { labels, ..ContainerFacts::default() }
    }

    fn claimed() -> ClaimedTask {
        ClaimedTask { id: TASK.into(), node: NODE.into() }
    }

    fn word_of(container: &str, answer: Value) -> (Standing, String) {
        let word = placed(&container.into(), &claimed(), serde_json::from_value(answer).unwrap());
        (word.standing, word.reason.raw().to_owned())
    }

    fn info(swarm: Value) -> EngineInfo {
        let swarm: SwarmInfo = serde_json::from_value(swarm).unwrap();
        EngineInfo {
            root_dir: "/var/lib/docker".into(),
            log_driver: "json-file".into(),
            version: "20.10".into(),
            confinement: Confinement::UNKNOWN,
            membership: membership(&swarm),
            node: Untrusted::new(&swarm.node_id.unwrap_or_default()),
        }
    }

    #[test]
    fn only_what_could_be_a_task_is_asked_for() {
        let service = ("com.docker.swarm.service.name", "web");
        assert_eq!(claim(&labelled(&[("app", "web")])), None);
        let told = claim(&labelled(&[service, (TASK_LABEL, TASK), (NODE_LABEL, NODE)]));
        assert_eq!(told, Some(Claim::Task(claimed())));
        for forged in ["", "../containers/json", "WEB", "web.1"] {
            let claimed = claim(&labelled(&[(TASK_LABEL, forged)]));
            assert!(matches!(claimed, Some(Claim::Impossible(_))), "{forged}");
        }
        assert!(matches!(claim(&labelled(&[service])), Some(Claim::Impossible(_))));
    }

    #[test]
    fn a_task_stands_for_the_one_container_that_it_names() {
        let task = |status: Value| json!({"ID": TASK, "Status": status});
        let running = task(json!({"State": "running", "ContainerStatus": {"ContainerID": "aa", "PID": 7}}));
        assert_eq!(word_of("aa", running.clone()), (Standing::Present, String::new()));
        let (standing, reason) = word_of("bb", running);
        assert_eq!(
            (standing, reason.as_str()),
            (Standing::Denied, "the container of the task is another one: aa")
        );
        assert_eq!(word_of("aa", task(json!({"State": "preparing"}))).0, Standing::Pending);
        assert_eq!(word_of("aa", task(json!({"ContainerStatus": {}}))).0, Standing::Pending);
    }

    #[test]
    fn a_task_on_another_node_than_the_labels_name_is_another_s() {
        let on = |node: &str| json!({"ID": TASK, "NodeID": node, "Status": {"ContainerStatus": {"ContainerID": "aa"}}});
        assert_eq!(word_of("aa", on(NODE)), (Standing::Present, format!("on the node {NODE}")));
        assert_eq!(word_of("aa", on("other")).0, Standing::Denied);
        let worker = json!({"LocalNodeState": "active", "ControlAvailable": false, "NodeID": "other"});
        let word = refused(&claimed(), Ok(info(worker)), "");
        let expected = format!("it is labelled as placed on the node {NODE}, and its task is on other");
        assert_eq!((word.standing, word.reason.raw()), (Standing::Denied, expected.as_str()));
    }

    #[test]
    fn a_task_found_by_its_name_is_not_the_one_asked_for() {
        let other =
            json!({"ID": "1kzzo1i0y4jz6027t0k7aezc7", "Status": {"ContainerStatus": {"ContainerID": "aa"}}});
        assert_eq!(word_of("aa", other).0, Standing::Denied);
    }

    #[test]
    fn a_refusal_denies_only_where_there_is_no_swarm() {
        let standing = |swarm: Value| refused(&claimed(), Ok(info(swarm)), "no leader").standing;
        assert_eq!(
            standing(json!({"LocalNodeState": "inactive", "ControlAvailable": false})),
            Standing::Denied
        );
        assert_eq!(
            standing(json!({"LocalNodeState": "active", "ControlAvailable": false})),
            Standing::Silent
        );
        assert_eq!(standing(json!({"LocalNodeState": "active", "ControlAvailable": true})), Standing::Silent);
        assert_eq!(standing(json!({"LocalNodeState": "locked"})), Standing::Silent);
        assert_eq!(standing(json!({})), Standing::Silent);
    }
}
