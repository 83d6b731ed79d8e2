//! Mirrors one list of containers of an engine: decides what is to be told of it and asked about it next.
//!
//! What is decided waits in a queue for whoever follows the engine (`session.rs`, `following.rs`). Not here: anything
//! that takes time, and what an engine tells beyond its containers.

use std::collections::{BTreeMap, HashSet};
use std::time::Instant;

use containers::error::CallError;
use containers::notice::{Entries, Entry};
use model::coverage::{Loss, Source};
use model::event::Body;
use model::runtime::{ContainerFacts, RunState};
use model::time::Time;
use model::untrusted::Untrusted;
use model::view::View;

use crate::containers::overdue::{Awaited, Overdue};
use crate::containers::roster::{Applied, Failed, Room, Roster};
use crate::crowded;

/// What is known of the list of one view of an engine.
pub(crate) struct Mirror {
    source: Source,
    view: View,
    pub(crate) roster: Roster,
    step: Step,
    listing: bool,
    list_problem: Option<CallError>,
    awaited: Awaited,
    /// The containers whose facts the engine fails to give.
    failing: BTreeMap<Untrusted, CallError>,
    due: Vec<Due>,
}

/// How far the first resynchronisation has come.
enum Step {
    Listing,
    /// The listed containers whose facts are still awaited.
    Inspecting(HashSet<Untrusted>),
    Done,
}

/// What is to be done next.
pub(crate) enum Due {
    /// To tell what happened, at a time by the engine's clock if it said one.
    Tell(Option<Time>, Body),
    /// To ask for the facts of a container.
    Ask(Untrusted, Cause),
    /// To forget whatever else is known of a container.
    Forget(Untrusted),
}

/// Why a container is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// It was announced as new.
    Announced,
    /// It is in a later list, and was not known.
    Found,
    /// It is in the first list, or has changed.
    Known,
}

impl Mirror {
    /// A list of which nothing is known, of at most so many containers.
    pub(crate) fn new(source: Source, view: View, containers_max: usize) -> Self {
        Self {
            source,
            view,
            roster: Roster::new(containers_max),
            step: Step::Listing,
            listing: false,
            list_problem: None,
            awaited: Awaited::default(),
            failing: BTreeMap::new(),
            due: Vec::new(),
        }
    }

    /// Whether the whole list has been told.
    pub(crate) fn is_in_step(&self) -> bool {
        matches!(self.step, Step::Done)
    }

    /// Why the engine did not give its list when it was last asked for it.
    pub(crate) fn list_problem(&self) -> Option<&CallError> {
        self.list_problem.as_ref()
    }

    /// What it has not answered for too long.
    pub(crate) fn overdue(&self, now: Instant) -> Option<Overdue> {
        self.awaited.overdue(now)
    }

    /// What is to be done now, in this order.
    pub(crate) fn take_due(&mut self) -> Vec<Due> {
        std::mem::take(&mut self.due)
    }

    /// The list is about to be asked for; false when it is already.
    pub(crate) fn start_listing(&mut self) -> bool {
        self.awaited.ask_list();
        !std::mem::replace(&mut self.listing, true)
    }

    /// Takes in the list, or why there is none.
    pub(crate) fn take_list(&mut self, list: Result<Entries, CallError>) {
        self.listing = false;
        self.awaited.take_list();
        let taken = list.map(|list| match self.step {
            Step::Listing => self.begin(list),
            Step::Inspecting(_) | Step::Done => self.compare(&list.taken),
        });
        self.list_problem = taken.err();
    }

    /// A container was announced as new.
    pub(crate) fn appear(&mut self, id: &Untrusted) {
        let room = self.roster.admit_new(id);
        if let Room::Instead(stopped) = &room {
            self.forget(stopped);
            self.inspected(stopped);
        }
        self.lose(usize::from(room != Room::Yes));
        if room != Room::No {
            self.ask(id, Cause::Announced);
        }
    }

    /// Asks for the facts of a container anew, if it is still there.
    pub(crate) fn alter(&mut self, id: &Untrusted) {
        if self.roster.contains(id) {
            self.ask(id, Cause::Known);
        }
    }

    /// A container is no more.
    pub(crate) fn gone(&mut self, id: &Untrusted, time: Option<Time>) {
        if self.roster.remove(id) {
            self.forget(id);
            self.due.push(Due::Tell(time, Body::ContainerGone { id: id.clone(), view: self.view.clone() }));
            self.inspected(id);
        }
    }

    /// The view is no more; so is whatever was in it.
    pub(crate) fn leave(&mut self) {
        self.roster.ids().iter().for_each(|id| self.forget(id));
        self.tell(Body::ContainerList { ids: Vec::new(), view: self.view.clone() });
    }

    /// Takes in what a question about a container brought.
    pub(crate) fn take_facts(
        &mut self,
        id: &Untrusted,
        number: u64,
        facts: Result<ContainerFacts, CallError>,
    ) {
        match facts {
            Ok(facts) => self.take_known(number, facts),
            Err(problem) if problem.is_gone() => self.gone(id, None),
            Err(problem) => match self.roster.fail(number, id) {
                // As one that is known: a container the engine hangs on must not take two turns from the new ones.
                Failed::Retry => self.ask(id, Cause::Known),
                Failed::Unknown => {
                    self.awaited.take(id);
                    self.failing.insert(id.clone(), problem);
                    self.inspected(id);
                }
                Failed::Stale => {}
            },
        }
    }

    /// Asks once more for all facts that the engine fails to give.
    pub(crate) fn ask_failing(&mut self) {
        self.due.extend(self.failing.keys().map(|id| Due::Ask(id.clone(), Cause::Known)));
    }

    /// The first list: all of it is asked about, what may run first, so that it is the stopped that find no room.
    fn begin(&mut self, list: Entries) {
        let Entries { mut taken, left } = list;
        taken.sort_by_key(|listed| matches!(listed.state, RunState::Created | RunState::Exited));
        let all = left + taken.len();
        let admitted: Vec<_> =
            taken.into_iter().map(|listed| listed.id).filter(|id| self.roster.admit(id)).collect();
        self.lose(all - admitted.len());
        admitted.iter().for_each(|id| self.ask(id, Cause::Known));
        self.step = Step::Inspecting(admitted.into_iter().collect());
        self.end_if_inspected();
    }

    /// A later list: what differs from what was told is asked about. The list may be older than a change, so it
    /// settles nothing by itself.
    fn compare(&mut self, list: &[Entry]) {
        for Entry { id, state } in list {
            if *state == RunState::Running {
                // Its start may have been among the announcements that were dropped.
                self.roster.set_started(id, true);
            }
            let cause = if self.roster.contains(id) { Cause::Known } else { Cause::Found };
            if self.roster.state(id) != Some(*state) && self.roster.admit(id) {
                self.ask(id, cause);
            }
        }
        let listed: HashSet<_> = list.iter().map(|listed| &listed.id).collect();
        let ids = self.roster.ids();
        ids.iter().filter(|id| !listed.contains(id)).for_each(|id| self.ask(id, Cause::Known));
    }

    fn take_known(&mut self, number: u64, mut facts: ContainerFacts) {
        facts.view = self.view.clone();
        let id = facts.id.clone();
        match self.roster.apply(number, &facts) {
            Applied::New => {
                let crowded = crowded::labels(&facts);
                self.tell(Body::Container(Box::new(facts)));
                crowded.into_iter().for_each(|body| self.tell(body));
            }
            Applied::Unchanged => {}
            Applied::Stale => return,
        }
        self.failing.remove(&id);
        self.awaited.take(&id);
        self.inspected(&id);
    }

    fn ask(&mut self, id: &Untrusted, cause: Cause) {
        self.awaited.ask(id);
        self.due.push(Due::Ask(id.clone(), cause));
    }

    fn tell(&mut self, body: Body) {
        self.due.push(Due::Tell(None, body));
    }

    fn forget(&mut self, id: &Untrusted) {
        self.failing.remove(id);
        self.awaited.take(id);
        self.due.push(Due::Forget(id.clone()));
    }

    /// One awaited answer less; with the last, the whole list is told.
    fn inspected(&mut self, id: &Untrusted) {
        if let Step::Inspecting(awaited) = &mut self.step {
            awaited.remove(id);
            self.end_if_inspected();
        }
    }

    fn end_if_inspected(&mut self) {
        if matches!(&self.step, Step::Inspecting(awaited) if awaited.is_empty()) {
            self.step = Step::Done;
            // Not the list as it came: containers have come and gone since.
            self.tell(Body::ContainerList { ids: self.roster.ids(), view: self.view.clone() });
        }
    }

    fn lose(&mut self, containers: usize) {
        self.due.extend(lost(self.source, containers).map(|body| Due::Tell(None, body)));
    }
}

/// Tells that so many found no room, if any.
pub(crate) fn lost(source: Source, containers: usize) -> Option<Body> {
    let count = u64::try_from(containers).unwrap_or(u64::MAX);
    let loss = Loss { source, cgroup: None, count, stage: "containers_max".into() };
    (count > 0).then_some(Body::Lost(loss))
}

/// Names a container whose facts the engine fails to give, and how many more there are in these lists.
pub(crate) fn failing_reason<'a>(mirrors: impl IntoIterator<Item = &'a Mirror>) -> Option<String> {
    let mut failing = mirrors.into_iter().flat_map(|mirror| &mirror.failing);
    let (id, problem) = failing.next()?;
    let more = match failing.count() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!("container {id}{more}: {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take_list(mirror: &mut Mirror, entries: &[(&str, RunState)]) -> String {
        let taken = entries.iter().map(|&(id, state)| Entry { id: id.into(), state }).collect();
        mirror.take_list(Ok(Entries { taken, left: 0 }));
        due(mirror)
    }

    fn answer(mirror: &mut Mirror, id: &str) -> String {
        let facts = ContainerFacts { id: id.into(), state: RunState::Running, ..ContainerFacts::default() };
        let number = mirror.roster.ask(&facts.id);
        mirror.take_facts(&id.into(), number, Ok(facts));
        due(mirror)
    }

    fn due(mirror: &mut Mirror) -> String {
        let line = |due| match due {
            Due::Tell(_, Body::Container(facts)) => format!("tell {}", facts.id),
            Due::Tell(_, Body::ContainerGone { id, .. }) => format!("gone {id}"),
            Due::Tell(_, Body::ContainerList { ids, .. }) => format!("list of {}", ids.len()),
            Due::Tell(_, Body::Lost(loss)) => format!("lost {}", loss.count),
            Due::Tell(_, other) => format!("{other:?}"),
            Due::Ask(id, cause) => format!("ask {id} {cause:?}"),
            Due::Forget(id) => format!("forget {id}"),
        };
        mirror.take_due().into_iter().map(line).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn the_first_list_is_told_when_nothing_of_it_is_awaited() {
        let mut mirror = Mirror::new(Source::Docker, View::default(), 2);
        let first = [("old", RunState::Exited), ("a", RunState::Running), ("b", RunState::Running)];
        assert_eq!(take_list(&mut mirror, &first), "lost 1, ask a Known, ask b Known");
        assert_eq!(answer(&mut mirror, "a"), "tell a");
        mirror.gone(&"b".into(), None);
        assert_eq!(due(&mut mirror), "forget b, gone b, list of 1");
        assert!(mirror.is_in_step());
    }

    #[test]
    fn a_later_list_settles_nothing_by_itself_and_tells_the_new_from_the_known() {
        let mut mirror = Mirror::new(Source::Docker, View::default(), 2);
        assert_eq!(take_list(&mut mirror, &[("a", RunState::Running)]), "ask a Known");
        assert_eq!(answer(&mut mirror, "a"), "tell a, list of 1");
        assert_eq!(take_list(&mut mirror, &[("a", RunState::Running)]), "");
        let later = [("a", RunState::Exited), ("b", RunState::Running), ("c", RunState::Running)];
        assert_eq!(take_list(&mut mirror, &later), "ask a Known, ask b Found");
        assert_eq!(take_list(&mut mirror, &[("b", RunState::Running)]), "ask b Known, ask a Known");
    }
}
