//! What the swarm says about the containers that carry its labels, asked while their facts are told already.
//!
//! Not here: what the labels must look like, and one question (`containers` crate).

use std::collections::HashMap;
use std::time::{Duration, Instant};

use containers::docker::Docker;
use containers::swarm::{Claim, ClaimedTask, claim, word};
use model::runtime::{ContainerFacts, Orchestrated, RunState};
use model::untrusted::Untrusted;
use model::view::Standing;

use crate::containers::lane::Lane;

/// Questions at a time.
const QUESTIONS_MAX: usize = 16;

/// How long a task may be without a container that runs already. A swarm's nodes tell of it before they start it; what
/// takes time is the way to the manager.
const PATIENCE: Duration = Duration::from_secs(2);

/// Time between two questions about a task that has no container yet.
const PAUSE: Duration = Duration::from_millis(200);

/// What was asked and answered, by container; bounded by the containers that are followed.
pub(crate) struct Swarm {
    asked: HashMap<Untrusted, Asked>,
    lane: Lane,
}

struct Asked {
    task: ClaimedTask,
    word: Option<Orchestrated>,
}

impl Swarm {
    pub(crate) fn new() -> Self {
        Self { asked: HashMap::new(), lane: Lane::new(QUESTIONS_MAX) }
    }

    /// What is to be told of a container now; asks anew unless the swarm has confirmed it, which it cannot take back.
    pub(crate) fn word_on(&mut self, facts: &ContainerFacts) -> Option<Orchestrated> {
        let task = match claim(facts)? {
            Claim::Impossible(why) => return Some(word(Standing::Denied, why)),
            Claim::Task(task) => task,
        };
        // An update makes containers that wait for the old ones to end; their tasks do not name them until then.
        if facts.state == RunState::Created {
            return Some(word(Standing::Pending, "it is asked for when it runs"));
        }
        let asked = self.asked.entry(facts.id.clone()).or_insert(Asked { task, word: None });
        let is_settled = asked.word.as_ref().is_some_and(|word| word.standing == Standing::Present);
        let told = asked.word.clone();
        if !is_settled {
            self.lane.ask(&facts.id);
        }
        Some(told.unwrap_or_else(|| word(Standing::Pending, "the swarm has not answered yet")))
    }

    /// The next container and task to ask about, when there is one and a place is free; the place is taken.
    pub(crate) fn start(&mut self) -> Option<(Untrusted, ClaimedTask)> {
        let id = self.lane.start()?;
        if let Some(asked) = self.asked.get(&id) {
            return Some((id, asked.task.clone()));
        }
        self.lane.end();
        None
    }

    /// Takes in an answer and frees the place; whether there is something new to tell.
    pub(crate) fn take(&mut self, id: &Untrusted, word: Orchestrated) -> bool {
        self.lane.end();
        let Some(asked) = self.asked.get_mut(id) else { return false };
        let is_new = asked.word.as_ref() != Some(&word);
        asked.word = Some(word);
        is_new
    }

    /// Asks again whatever is not confirmed: a node may be promoted, a slow manager may have caught up.
    pub(crate) fn ask_again(&mut self) {
        for (id, asked) in &self.asked {
            if asked.word.as_ref().is_some_and(|word| word.standing != Standing::Present) {
                self.lane.ask(id);
            }
        }
    }

    /// A container is gone.
    pub(crate) fn forget(&mut self, id: &Untrusted) {
        self.asked.remove(id);
        self.lane.forget(id);
    }
}

/// Asks until there is an answer, for as long as a task may be without a container.
pub(crate) async fn answer(docker: &Docker, container: &Untrusted, task: &ClaimedTask) -> Orchestrated {
    let begun = Instant::now();
    loop {
        let told = docker.ask_swarm(container, task).await;
        if told.standing != Standing::Pending {
            return told;
        }
        if begun.elapsed() >= PATIENCE {
            return word(Standing::Denied, "the task it claims to be has no container");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TASK: &str = "0kzzo1i0y4jz6027t0k7aezc7";

    fn container(state: RunState) -> ContainerFacts {
        let labels = vec![("com.docker.swarm.task.id".into(), TASK.into())];
        ContainerFacts { id: "a".into(), state, labels, ..ContainerFacts::default() }
    }

    fn told(swarm: &mut Swarm, state: RunState) -> Standing {
        swarm.word_on(&container(state)).unwrap().standing
    }

    #[test]
    fn a_container_is_pending_until_it_is_answered_for_and_then_not_asked_about_again() {
        let mut swarm = Swarm::new();
        assert_eq!(told(&mut swarm, RunState::Running), Standing::Pending);
        let task = ClaimedTask { id: TASK.into(), node: Untrusted::default() };
        assert_eq!(swarm.start(), Some(("a".into(), task)));
        assert!(swarm.take(&"a".into(), word(Standing::Present, "")));
        assert_eq!(told(&mut swarm, RunState::Running), Standing::Present);
        swarm.ask_again();
        assert_eq!(swarm.start(), None);
    }

    #[test]
    fn what_is_not_confirmed_is_asked_again_and_told_when_it_differs() {
        let mut swarm = Swarm::new();
        told(&mut swarm, RunState::Running);
        swarm.start();
        assert!(swarm.take(&"a".into(), word(Standing::Silent, "")));
        assert_eq!(told(&mut swarm, RunState::Running), Standing::Silent);
        swarm.start();
        assert!(!swarm.take(&"a".into(), word(Standing::Silent, "")));
        swarm.ask_again();
        assert!(swarm.start().is_some());
        assert!(swarm.take(&"a".into(), word(Standing::Present, "")));
    }

    #[test]
    fn a_container_that_waits_to_be_started_is_not_asked_about() {
        let mut swarm = Swarm::new();
        assert_eq!(told(&mut swarm, RunState::Created), Standing::Pending);
        assert_eq!(swarm.start(), None);
    }

    #[test]
    fn an_answer_about_what_is_gone_is_nothing_new() {
        let mut swarm = Swarm::new();
        told(&mut swarm, RunState::Running);
        swarm.start();
        swarm.forget(&"a".into());
        assert!(!swarm.take(&"a".into(), word(Standing::Present, "")));
        assert!(swarm.asked.is_empty());
    }

    #[test]
    fn a_service_without_a_task_is_denied_without_asking() {
        let mut swarm = Swarm::new();
        let labels = vec![("com.docker.swarm.service.name".into(), "web".into())];
        let forged = ContainerFacts { labels, ..container(RunState::Running) };
        assert_eq!(swarm.word_on(&forged).unwrap().standing, Standing::Denied);
        assert_eq!(swarm.start(), None);
    }
}
