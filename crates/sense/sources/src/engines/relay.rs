//! Passes on what followers of engines say, by the host's names of places, and counts what they lost.
//!
//! Not here: what they say of the engine itself, which the registry completes.

use std::collections::BTreeMap;

use crossbeam_channel::Receiver;
use model::coverage::{Loss, Source};
use model::event::{Body, Event};
use model::untrusted::Untrusted;
use model::view::{EngineSeen, View};

use crate::outlet::Outlet;

/// Events of all followers that may wait: the facts of every container of a full engine at once.
const EVENTS_MAX: usize = 16_384;
/// What followers are sources of.
const SOURCES: [Source; 3] = [Source::Docker, Source::Containerd, Source::Cri];

/// The way from the followers to the engine.
#[derive(Debug)]
pub(crate) struct Relay {
    /// Where followers put their events.
    pub(crate) inlet: Outlet,
    /// What they put there.
    pub(crate) events: Receiver<Event>,
    /// The place by the name the host has for it, by the path it is reached at; where the two differ.
    names: BTreeMap<Untrusted, Untrusted>,
    counts: BTreeMap<Source, Count>,
}

/// Of one source's events.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    passed: u64,
    /// Numbered and not passed, when that was looked at last.
    missing: u64,
    lost: u64,
}

impl Relay {
    pub(crate) fn new(outlet: &Outlet) -> Self {
        let (inlet, events) = outlet.branch(EVENTS_MAX);
        Self { inlet, events, names: BTreeMap::new(), counts: BTreeMap::new() }
    }

    /// From now on, what is said of one path is said of the other.
    pub(crate) fn rename(&mut self, reach: Untrusted, place: Untrusted) {
        if reach != place {
            self.names.insert(reach, place);
        }
    }

    /// No longer.
    pub(crate) fn forget(&mut self, reach: &Untrusted) {
        self.names.remove(reach);
    }

    /// Passes one event on, unless it is about the engine itself: that is given back.
    pub(crate) fn pass(&mut self, mut event: Event, outlet: &Outlet) -> Option<Box<EngineSeen>> {
        self.counts.entry(event.source).or_default().passed += 1;
        if let Some(view) = view_of(&mut event.body)
            && let Some(place) = self.names.get(&view.place)
        {
            view.place = place.clone();
        }
        match event.body {
            Body::Engine(seen) => return Some(seen),
            body => outlet.send(event.source, event.time, body),
        }
        None
    }

    /// Counts what found the queue full. An event is numbered a moment before it is in the queue: what is missing now and
    /// was missing the last time is lost.
    pub(crate) fn count_lost(&mut self, outlet: &Outlet) {
        if !self.events.is_empty() {
            return;
        }
        for source in SOURCES {
            let count = self.counts.entry(source).or_default();
            let missing = self.inlet.numbered(source).saturating_sub(count.passed);
            let newly = missing.min(count.missing).saturating_sub(count.lost);
            count.missing = missing;
            count.lost += newly;
            if newly > 0 {
                let stage = "queue of followers".into();
                let loss = Loss { source, cgroup: None, count: newly, stage };
                outlet.send_now(source, Body::Lost(loss));
            }
        }
    }
}

fn view_of(body: &mut Body) -> Option<&mut View> {
    match body {
        Body::Container(facts) => Some(&mut facts.view),
        Body::Engine(seen) => Some(&mut seen.view),
        Body::ContainerGone { view, .. }
        | Body::ContainerList { view, .. }
        | Body::EngineExec { view, .. } => Some(view),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use model::event::Body;
    use model::ids::NodeId;
    use model::view::EngineKind;

    use super::*;

    #[test]
    fn what_is_said_is_passed_on_by_the_host_s_name_of_the_place_and_gaps_are_counted_once() {
        let (outlet, queue) = Outlet::new(NodeId::new("n"), 8);
        let mut relay = Relay::new(&outlet);
        relay.rename("/host/run/x.sock".into(), "/run/x.sock".into());
        let view = View::new(EngineKind::Containerd, "/host/run/x.sock");
        let gone = |id: &str| Body::ContainerGone { id: id.into(), view: view.of_namespace(&"n".into()) };
        relay.inlet.send_now(Source::Containerd, gone("a"));
        drop(relay.inlet.stamp(Source::Containerd, outlet.now(), gone("lost")));
        relay.inlet.send_now(Source::Containerd, gone("b"));
        let events: Vec<_> = relay.events.try_iter().collect();
        events.into_iter().for_each(|event| assert!(relay.pass(event, &outlet).is_none()));
        relay.count_lost(&outlet);
        relay.count_lost(&outlet);
        relay.count_lost(&outlet);
        let shown: Vec<String> = queue
            .try_iter()
            .map(|event| match event.body {
                Body::ContainerGone { id, view } => format!("{id} {view}"),
                Body::Lost(loss) => format!("lost {} of {}", loss.count, loss.source),
                other => format!("{other:?}"),
            })
            .collect();
        let of = |id| format!("{id} containerd:n at /run/x.sock");
        assert_eq!(shown, [of("a"), of("b"), "lost 1 of containerd".to_owned()]);
    }
}
