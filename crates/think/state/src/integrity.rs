//! What the state knows of Tidewatch itself: what it could not see, when it did not run, what was lost and through whom.
//!
//! Not here: how each of it is remembered (`sources.rs`, `interruptions.rs`, `losses.rs`), and any claim (`detect`).

use std::time::Duration;

use model::coverage::{Coverage, Health, LOST_SHOWN_MAX, Loss, LostEvents, Source};
use model::event::{Body, Event};
use model::identity::{Container, Observation};
use model::ids::CgroupId;
use model::integrity::Integrity;
use model::time::Time;
use model::untrusted::Untrusted;

use crate::State;
use crate::interruptions::{Down, Stop, Unclean};
use crate::losses::{Flood, Lost};
use crate::sources::Outage;

/// How long a loss is told with findings.
const LOST_TOLD: Duration = Duration::from_secs(3600);

/// Events a second that are lost and worth a word, for each core of the host. Measured: a shell that does nothing but
/// start programs makes 2,000 to 3,500 events a second of a core; the budget of a cgroup is 2,000, so what is lost beyond is
/// a flood of more than one core, and of a large host more than a large build makes.
const NOTICEABLE_PER_CORE: f64 = 25.0;

impl State {
    /// Sources whose outage came to be worth a finding with the event at hand.
    pub fn outages(&self) -> &[Outage] {
        self.sources.fresh()
    }

    /// Floods that came to be worth a finding with the event at hand.
    pub fn floods(&self) -> &[Flood] {
        self.losses.fresh()
    }

    /// What the event at hand says was left out because of a limit of ours.
    pub fn cut(&self) -> Option<&Loss> {
        self.losses.cut()
    }

    /// Who sends more than half of all events of the last seconds.
    pub fn loudest(&self) -> Option<CgroupId> {
        self.losses.loudest()
    }

    /// Cgroups that lose events now, those that lose most first.
    pub fn losing(&self) -> Vec<CgroupId> {
        self.losses.losing(self.now)
    }

    /// Stops of ours of which it is known, as of the event at hand, what the host did meanwhile.
    pub fn stops(&self) -> &[Stop] {
        self.interruptions.fresh()
    }

    /// How late we were in all within the last half minute, each time by less than counts as a stop.
    pub fn lateness(&self) -> Option<Duration> {
        self.interruptions.fresh_late()
    }

    /// The time before this run in which Tidewatch did not run.
    pub fn down(&self) -> Option<&Down> {
        self.interruptions.down()
    }

    /// That the run before this one did not end in order.
    pub fn unclean(&self) -> Option<&Unclean> {
        self.interruptions.unclean()
    }

    /// When the host was booted, where that is known.
    pub fn booted(&self) -> Option<Time> {
        self.engines.boot()
    }

    /// Whether a container started while Tidewatch did not run.
    pub fn is_from_the_gap(&self, container: &Container) -> bool {
        self.interruptions.is_from_the_gap(container)
    }

    /// Whether somebody has approved anything on this host.
    pub fn has_approvals(&self) -> bool {
        !self.approvals.is_empty()
    }

    /// Containers that started within a span, as far as they are known.
    pub fn started_within(&self, is_within: impl Fn(Time) -> bool) -> impl Iterator<Item = &Untrusted> {
        let containers = self.accounts().map(|account| account.container());
        containers.filter(move |container| is_within(container.key.started)).map(|container| container.name())
    }

    /// What people call a cgroup: its container's name, or its number.
    pub fn name_of(&self, cgroup: CgroupId) -> Untrusted {
        match self.account(cgroup) {
            Some(account) => account.container().name().clone(),
            None => Untrusted::new(&format!("cgroup {}", cgroup.0)),
        }
    }

    /// What can be seen now, and what could not in the last hour.
    pub fn coverage(&self) -> Coverage {
        let heaviest = self.losses.heaviest(self.now.minus(LOST_TOLD)).into_iter().take(LOST_SHOWN_MAX);
        let lost = heaviest.map(|(cgroup, lost)| self.lost_events(cgroup, lost)).collect();
        self.sources.coverage(self.now, self.losses.total(), lost)
    }

    /// Every source that told how it is.
    pub fn sources(&self) -> impl Iterator<Item = (Source, Health, &Untrusted)> {
        self.sources.iter()
    }

    /// Takes in what the event tells of ourselves, also by coming at all.
    pub(crate) fn watch_ourselves(&mut self, seen: &Observation) {
        let event = &seen.event;
        self.sources.pass();
        self.losses.pass();
        self.interruptions.pass();
        self.sources.heard(event.source, event.time);
        if event.source == Source::Kernel {
            self.heard_from_kernel(seen);
        }
        match &event.body {
            Body::Report(report) => self.sources.report(report, event.time),
            Body::Lost(loss) => self.losses.lost(loss, self.noticeable(), event.time),
            Body::FirstLook { at } => self.interruptions.first_look(*at),
            Body::Resumed { last } => {
                self.interruptions.resumed(*last, event.time);
                self.sources.gap(*last, event.time, "Tidewatch was not running");
            }
            Body::Host(host) => self.interruptions.read(host.cpu, host.cores, event.time),
            Body::Tick => {
                self.sources.tick(event.time);
                self.losses.tick();
                self.interruptions.tick(event.time);
            }
            Body::Integrity(fact) => self.take_fact(fact, event),
            _ => {}
        }
    }

    fn heard_from_kernel(&mut self, seen: &Observation) {
        self.losses.sent(seen.identity.container.as_ref().map(|container| container.key.cgroup));
        let is_deed = matches!(
            seen.event.body,
            Body::Exec(_)
                | Body::Exit(_)
                | Body::CgroupCreated(_)
                | Body::CgroupRemoved(_)
                | Body::CgroupAttached(_)
        );
        if is_deed {
            self.interruptions.happened(seen.event.time);
        }
    }

    fn take_fact(&mut self, fact: &Integrity, event: &Event) {
        let at = event.time;
        match fact {
            Integrity::Late { from, until, suspended_ms, starved_ms } => {
                let (suspended_ms, starved_ms) = (*suspended_ms, *starved_ms);
                let (host_ran, events) = (None, 0);
                let until = (*until).max(*from);
                self.interruptions.late(Stop {
                    from: *from,
                    until,
                    suspended_ms,
                    starved_ms,
                    host_ran,
                    events,
                });
                self.sources.gap(
                    *from,
                    until,
                    "Tidewatch did not run: stopped, suspended, or starved of CPU",
                );
            }
            Integrity::Overdue { thread, silent_ms } => {
                let since = at.minus(Duration::from_millis(*silent_ms));
                self.sources.thread_lost(
                    thread,
                    Health::Degraded,
                    since,
                    &format!("{} is overdue", thread.raw()),
                );
            }
            Integrity::Died { thread, reason } => {
                let reason = format!("the thread {} ended: {}", thread.raw(), reason.raw());
                self.sources.thread_lost(thread, Health::Down, at, &reason);
            }
            Integrity::Recovered { thread, .. } => self.sources.thread_back(thread, at),
            Integrity::Killed { last, rebooted, times } => {
                self.interruptions.killed(*last, Unclean { rebooted: *rebooted, times: *times }, at);
            }
            Integrity::StoreMovedAside { what, .. } | Integrity::StoreChanged { what, .. }
                if what.raw() == "database" =>
            {
                self.interruptions.store_is_new();
            }
            _ => {}
        }
    }

    fn noticeable(&self) -> f64 {
        let cores = self.host_reading().map_or(1, |host| host.cores.max(1));
        NOTICEABLE_PER_CORE * f64::from(cores)
    }

    fn lost_events(&self, cgroup: Option<CgroupId>, lost: &Lost) -> LostEvents {
        LostEvents {
            source: lost.source,
            about: cgroup.map(|cgroup| self.name_of(cgroup)).unwrap_or_default(),
            stage: lost.stage.clone(),
            count: lost.count,
            since: lost.since,
            until: lost.until,
        }
    }
}
