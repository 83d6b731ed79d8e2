//! What a host tells in one second, in three lives: as usual, readings alone, a flood.
//!
//! Not here: how long any of it takes to fold.

use model::coverage::Source;
use model::event::{Body, Event, SocketState};

use crate::crowd::Crowd;

/// Containers of the usual host.
pub(crate) const USUAL_CONTAINERS: u64 = 100;
/// Containers of the host that is read and else idle.
pub(crate) const MANY_CONTAINERS: u64 = 1_000;

/// Events of one second of a flood: a little more than one batch of the engine.
const FLOOD_EVENTS: u64 = 1_100;
/// Numbers of containers that live for a second, clear of those that stay.
const SHORT_LIVED_FIRST: u64 = 1_000_000;

/// All events of one second.
pub(crate) type Second = Vec<Event>;

/// A host on which so many containers run, with ten seconds of history behind it.
pub(crate) fn settled(crowd: &mut Crowd, containers: u64) -> Second {
    let mut events = crowd.begin();
    events.extend((0..containers).flat_map(|container| crowd.start(container)));
    for _ in 0..10 {
        readings(crowd, containers, &mut events);
    }
    events
}

/// A second of a usual host. Per container and second 1.5 programs (a health check and its shell), 2 exits and 4
/// changes of sockets; a job that lives one second; the readings.
pub(crate) fn usual(crowd: &mut Crowd, second: u64) -> Second {
    let mut events = Vec::new();
    let job = SHORT_LIVED_FIRST + second;
    events.extend(crowd.start(job));
    for container in 0..USUAL_CONTAINERS {
        let turn = second * 1_000 + container * 4;
        events.push(crowd.exec(container, turn));
        if container % 2 == 0 {
            events.push(crowd.exec(container, turn + 1));
        }
        events.push(crowd.socket(container, turn, SocketState::Accepted));
        events.push(crowd.socket(container, turn + 1, SocketState::Connected));
        events.push(crowd.socket(container, turn + 1, SocketState::Closed));
        events.push(crowd.socket(container, turn, SocketState::Closed));
        events.push(crowd.exit_of(container, turn));
        events.push(crowd.exit_of(container, turn + 1));
        events.push(crowd.counts(container));
    }
    events.extend((0..10).map(|turn| crowd.exec_on_host(second * 10 + turn)));
    events.extend(crowd.end(job));
    readings(crowd, USUAL_CONTAINERS, &mut events);
    events
}

/// A second in which nothing happens but the readings of many containers.
pub(crate) fn many(crowd: &mut Crowd, _second: u64) -> Second {
    let mut events = Vec::new();
    readings(crowd, MANY_CONTAINERS, &mut events);
    events
}

/// Programs executed in one container, nothing else.
pub(crate) fn flood(crowd: &mut Crowd, second: u64) -> Second {
    (0..FLOOD_EVENTS).map(|turn| crowd.exec(0, second * FLOOD_EVENTS + turn)).collect()
}

fn readings(crowd: &mut Crowd, containers: u64, events: &mut Second) {
    crowd.pass_a_second();
    for container in 0..containers {
        events.push(crowd.usage(container));
    }
    for container in 0..containers {
        events.push(crowd.log(container));
    }
    events.push(crowd.host(containers));
    events.extend((0..2).map(|_| crowd.event(Source::Engine, Body::Tick)));
}
