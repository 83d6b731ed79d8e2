//! systemd's units on made-up hosts.

use crossbeam_channel::Receiver;
use hostfs::root::HostRoot;
use model::coverage::SourceReport;
use model::event::{Body, Event};
use model::ids::NodeId;
use model::view::UNITS_MAX;
use sources::outlet::Outlet;
use sources::units::UnitsFollower;
use testkit::host_tree::FakeHost;

struct Case {
    host: FakeHost,
    follower: UnitsFollower,
    outlet: Outlet,
    queue: Receiver<Event>,
}

impl Case {
    fn new() -> Self {
        let host = FakeHost::v2().unwrap();
        let follower = UnitsFollower::new(HostRoot::new(host.root()));
        let (outlet, queue) = Outlet::new(NodeId::new("node"), 1024);
        Self { host, follower, outlet, queue }
    }

    fn managed() -> Self {
        let case = Self::new();
        case.host.write("run/systemd/system/x", b"").unwrap();
        case.host.write("run/systemd/units/x", b"").unwrap();
        case
    }

    fn start(&self, unit: &str) {
        self.host.write(&format!("run/systemd/units/invocation:{unit}"), b"").unwrap();
    }

    fn look(&mut self) -> Vec<String> {
        self.follower.look(&self.outlet);
        self.queue.try_iter().map(|event| show(event.body)).collect()
    }
}

fn show(body: Body) -> String {
    let names = |names: &[model::untrusted::Untrusted]| {
        names.iter().map(|name| format!(" {name}")).collect::<String>()
    };
    match body {
        Body::Units(change) if change.started.len() + change.ended.len() > 9 => {
            format!("{} {} started", change.is_manager, change.started.len())
        }
        Body::Units(change) => {
            format!("{} +{} -{}", change.is_manager, names(&change.started), names(&change.ended))
        }
        Body::Report(SourceReport { health, reason, .. }) => format!("{health:?} {reason}"),
        other => format!("{other:?}"),
    }
}

#[test]
fn all_units_are_told_at_first_and_then_what_changes() {
    let mut case = Case::managed();
    case.start("a.service");
    assert_eq!(case.look(), ["true + a.service init.scope -", "Up "]);
    assert!(case.look().is_empty());
    case.start("b.scope");
    case.host.remove("run/systemd/units/invocation:a.service").unwrap();
    assert_eq!(case.look(), ["true + b.scope - a.service"]);
}

#[test]
fn a_host_without_systemd_is_told_so_once() {
    let mut case = Case::new();
    assert_eq!(case.look(), ["false + -", "Absent systemd does not manage this host"]);
    assert!(case.look().is_empty());
}

#[test]
fn a_systemd_without_a_list_denies_no_unit() {
    let mut case = Case::managed();
    case.host.remove("run/systemd/units").unwrap();
    let told = case.look();
    assert!(told.len() == 1 && told[0].starts_with("Down systemd's list of units: "), "{told:?}");
}

#[test]
fn many_units_come_in_parts() {
    let mut case = Case::managed();
    (0..=UNITS_MAX).for_each(|number| case.start(&format!("{number}.scope")));
    assert_eq!(case.look(), ["true 512 started", "true + 99.scope init.scope -", "Up "]);
}
