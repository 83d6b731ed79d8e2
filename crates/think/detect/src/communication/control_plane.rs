//! Flags a container that can reach, or reaches for, what controls others: the socket of a container engine, the kubelet,
//! the API server, the store behind it, the cloud's metadata service.
//!
//! T1611, T1552.005, T1552.007, T1613. Not here: how much work it makes the engine do (`out_of_band_calls.rs`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::event::Body;
use model::finding::Finding;
use model::traffic::{Endpoint, Protocol};
use state::graph::Meeting;
use state::{Account, Authority, Quantity};

use crate::Case;
use crate::communication::{about_meeting, contact};

pub(crate) const ID: &str = "control_plane";

/// The socket is there; somebody used it; both of a container whose image is approved, as managers of containers are.
const MOUNTED_BITS: f64 = 3.0;
const USED_BITS: f64 = 9.0;
const APPROVED_USED_BITS: f64 = 4.0;
/// A first contact with one that is reached over the network.
const REACHED_BITS: f64 = 7.0;
const APPROVED_REACHED_BITS: f64 = 3.0;

/// Where clouds answer about the machine, with the credentials of its role.
const METADATA: [IpAddr; 5] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 23)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// Ports that control planes are served at by default.
const PORTS: [(u16, &str); 7] = [
    (2375, "a container engine"),
    (2376, "a container engine"),
    (2379, "the cluster's store"),
    (2380, "the cluster's store"),
    (6443, "the API server"),
    (10_250, "the kubelet"),
    (10_255, "the kubelet"),
];

/// Judges what is mounted and called each second, and every first contact.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    if case.closed_books().is_some() {
        out.extend(case.running().filter_map(|account| called(case, account)));
    }
    if let (Body::Deep(deep), Some(container)) = (&case.seen.event.body, &case.seen.identity.container)
        && let Some(socket) = deep.engine_sockets.first()
    {
        out.push(
            contact(case, container, ID, MOUNTED_BITS)
                .claiming(format!("the socket of a container engine is mounted into it: {socket}"))
                .with("socket", socket),
        );
    }
    out.extend(case.meetings().filter_map(|meeting| reached(case, meeting)));
}

fn called(case: &Case, account: &Account) -> Option<Finding> {
    let calls = account.latest()?.of(Quantity::EngineCalls);
    let bits = if account.provenance().is_approved() { APPROVED_USED_BITS } else { USED_BITS };
    (calls > 0.0).then(|| {
        contact(case, account.container(), ID, bits)
            .claiming(format!("it calls the API of a container engine, {calls:.0} times in a second"))
            .with("calls", calls)
    })
}

fn reached(case: &Case, meeting: &Meeting) -> Option<Finding> {
    let what = service(meeting).filter(|_| meeting.is_new)?;
    if case.state.authority(meeting) == Authority::Approved {
        return None;
    }
    let is_approved = case.state.provenance(&meeting.container).is_approved();
    let bits = if is_approved { APPROVED_REACHED_BITS } else { REACHED_BITS };
    Some(
        about_meeting(case, meeting, ID, bits)
            .claiming(format!("it reaches for {what}: {}", meeting.edge.to)),
    )
}

fn service(meeting: &Meeting) -> Option<&'static str> {
    if METADATA.contains(&meeting.address) {
        return Some("the cloud's metadata service");
    }
    let is_near = matches!(meeting.edge.to, Endpoint::Host | Endpoint::Inside(_));
    let is_known = meeting.edge.protocol == Protocol::TCP && is_near;
    PORTS.iter().find(|(port, _)| is_known && *port == meeting.edge.port).map(|(_, name)| *name)
}
