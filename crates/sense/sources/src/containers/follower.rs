//! Keeps one engine's claims in step: connects, follows, connects again, and tells how the engine is.
//!
//! Not here: one connection's life (`following.rs`), and reports about the source, which has other sockets as well.

use std::path::{Path, PathBuf};
use std::time::Duration;

use containers::error::CallError;
use deadline::pulse::Watched;
use model::authority::Authority;
use model::event::Body;
use model::untrusted::Untrusted;
use model::view::{EngineSeen, EngineState, View};
use tokio::runtime::{Builder, Runtime};

use crate::containers::asked::Asked;
use crate::containers::follow_config::FollowConfig;
use crate::containers::following::Following;
use crate::containers::{SILENT_MAX, asked as stop_asked, pause};
use crate::outlet::{Outlet, Stop};

/// Starts the thread that follows the engine at a socket.
pub(crate) fn spawn<E: Asked>(
    socket: PathBuf,
    settings: FollowConfig,
    outlet: Outlet,
    stop: Stop,
) -> Watched {
    let name = format!("{} {}", E::KIND.name(), socket.display());
    outlet.clone().spawn(&name, SILENT_MAX, move |pulse| {
        let mut teller = Teller::new::<E>(&socket, outlet);
        let Some(runtime) = event_loop::<E>(&mut teller, &settings, &stop) else { return pulse.retire() };
        runtime.block_on(async {
            tokio::select! {
                () = keep_following::<E>(&socket, &settings, &mut teller) => {}
                () = stop_asked(&stop, pulse) => {}
            }
        });
        pulse.retire();
    })
}

/// Tells how the engine is, each change once.
pub(crate) struct Teller {
    pub(crate) outlet: Outlet,
    view: View,
    is_standard: bool,
    last: Option<(EngineState, Untrusted)>,
}

impl Teller {
    pub(crate) fn new<E: Asked>(socket: &Path, outlet: Outlet) -> Self {
        let is_standard = E::STANDARD.iter().any(|standard| socket == Path::new(standard));
        Self { outlet, view: View::new(E::KIND, &socket.to_string_lossy()), is_standard, last: None }
    }

    /// The view of one of the engine's namespaces.
    pub(crate) fn view(&self, namespace: &Untrusted) -> View {
        self.view.of_namespace(namespace)
    }

    pub(crate) fn tell<E: Asked>(&mut self, state: EngineState, reason: &str) {
        let now = (state, Untrusted::new(reason));
        if self.last.as_ref() == Some(&now) {
            return;
        }
        let reason = now.1.clone();
        self.last = Some(now);
        let seen = EngineSeen {
            view: self.view.clone(),
            state,
            reason,
            process: None,
            program: Untrusted::default(),
            cgroup: Untrusted::default(),
            is_standard: self.is_standard,
            part_of: None,
            authority: Authority::default(),
            executable: None,
        };
        self.outlet.send_now(E::SOURCE, Body::Engine(Box::new(seen)));
    }
}

/// Out of file descriptors, most likely, there is no event loop: nothing to do but to say so and try again.
fn event_loop<E: Asked>(teller: &mut Teller, settings: &FollowConfig, stop: &Stop) -> Option<Runtime> {
    while !stop.is_set() {
        match Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => return Some(runtime),
            Err(error) => teller.tell::<E>(EngineState::Silent, &format!("no event loop: {error}")),
        }
        stop.wait(Duration::from_millis(settings.reconnect_max_ms));
    }
    None
}

/// Follows one connection after the other; ends when the engine says that it does not serve what is asked.
async fn keep_following<E: Asked>(socket: &Path, settings: &FollowConfig, teller: &mut Teller) {
    let mut wait_ms = settings.reconnect_min_ms;
    loop {
        let (problem, was_in_step) = connection::<E>(socket, settings, teller).await;
        if was_in_step {
            wait_ms = settings.reconnect_min_ms;
        }
        match problem {
            CallError::Unserved { .. } => return,
            CallError::Absent { .. } => teller.tell::<E>(EngineState::Gone, &problem.to_string()),
            problem => teller.tell::<E>(EngineState::Silent, &problem.to_string()),
        }
        pause(wait_ms).await;
        wait_ms = wait_ms.saturating_mul(2).min(settings.reconnect_max_ms);
    }
}

/// Follows one connection to its end: why it ended, and whether it had come as far as being in step.
async fn connection<E: Asked>(
    socket: &Path,
    settings: &FollowConfig,
    teller: &mut Teller,
) -> (CallError, bool) {
    let engine = match E::connect(socket, settings.call_timeout_ms).await {
        Ok(engine) => engine,
        Err(problem) => return (problem, false),
    };
    let mut following = Following::new(engine, settings, teller);
    let problem = following.follow().await;
    (problem, following.is_in_step())
}
