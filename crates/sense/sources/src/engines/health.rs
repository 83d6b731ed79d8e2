//! How the sources of engines are as a whole: each has as many sockets as there are engines of its kind.
//!
//! Not here: the source Docker, which is the one engine that Tidewatch is told to follow.

use std::collections::BTreeMap;

use model::coverage::{Health, Source, SourceReport};
use model::event::Body;
use model::untrusted::Untrusted;
use model::view::{EngineKind, EngineSeen, EngineState, View};

use crate::outlet::Outlet;

/// The sources that are reported on, and whose engines they are.
const SOURCES: [(Source, EngineKind); 2] =
    [(Source::Containerd, EngineKind::Containerd), (Source::Cri, EngineKind::Cri)];

/// What was reported last.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    last: BTreeMap<Source, (Health, Untrusted)>,
}

impl Reports {
    /// Reports what has changed. Nothing is said of a source while one of its engines may still give its first answer.
    pub(crate) fn tell(
        &mut self,
        told: &BTreeMap<View, EngineSeen>,
        is_awaited: impl Fn(&View) -> bool,
        left_out: usize,
        outlet: &Outlet,
    ) {
        for (source, kind) in SOURCES {
            let engines: Vec<&EngineSeen> = told
                .values()
                .filter(|seen| seen.view.engine == kind && seen.state != EngineState::Gone)
                .collect();
            if engines.iter().any(|seen| is_awaited(&seen.view)) {
                continue;
            }
            let now = health(kind, &engines, left_out);
            if self.last.get(&source) != Some(&now) {
                let (health, reason) = now.clone();
                outlet.send_now(source, Body::Report(SourceReport { source, health, reason }));
                self.last.insert(source, now);
            }
        }
    }
}

fn health(kind: EngineKind, engines: &[&EngineSeen], left_out: usize) -> (Health, Untrusted) {
    let problem = |seen: &&&EngineSeen| seen.state != EngineState::Answers;
    let mut problems: Vec<String> =
        engines.iter().filter(problem).map(|seen| format!("{}: {}", seen.view, seen.reason)).collect();
    let are_all_silent = !engines.is_empty() && engines.iter().all(|seen| seen.state == EngineState::Silent);
    if left_out > 0 {
        problems.push(format!("{left_out} engines are not followed: too many"));
    }
    let health = match (engines.is_empty(), problems.is_empty()) {
        (true, true) => return (Health::Absent, Untrusted::new(&format!("no engine of {kind}"))),
        (false, true) => Health::Up,
        (_, false) if are_all_silent => Health::Down,
        (_, false) => Health::Degraded,
    };
    (health, Untrusted::new(&problems.join("; ")))
}
