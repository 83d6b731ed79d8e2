//! Flags what goes around TCP and UDP: sockets below IP, protocols that containers do not speak, echoes that carry data.
//!
//! T1095, T1572. Not here: what is inside the packets.

use model::event::Body;
use model::finding::Finding;
use model::traffic::{Protocol, TalkKind};

use crate::Case;
use crate::communication::{about_meeting, channel};

pub(crate) const ID: &str = "unusual_protocol";

/// A protocol that nobody speaks from a container; a socket below IP.
const PROTOCOL_BITS: f64 = 6.0;
const PACKET_SOCKET_BITS: f64 = 5.0;
/// Control messages that are large and many: to the outside an incident if nobody approved the image (4 bits); within, where
/// networks are tested so, not.
const ECHO_BITS: f64 = 9.0;
const INNER_ECHO_BITS: f64 = 6.0;

/// Group membership (IGMP), which the kernel speaks by itself.
const IGMP: Protocol = Protocol(2);
const USUAL: [Protocol; 5] = [Protocol::TCP, Protocol::UDP, Protocol::ICMP, Protocol::ICMPV6, IGMP];

/// Control messages in one second, and their mean size with headers in bytes, from which they carry something: `ping` sends
/// one of 84.
const ECHOES_MIN: u64 = 5;
const ECHO_BYTES_MIN: u64 = 200;

/// Judges first contacts, what was counted, and what was found by a close look.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    for meeting in case.meetings().filter(|it| it.is_new && !USUAL.contains(&it.edge.protocol)) {
        let claim = format!("it speaks protocol {} with {}", meeting.edge.protocol, meeting.edge.to);
        out.push(about_meeting(case, meeting, ID, PROTOCOL_BITS).claiming(claim));
    }
    packet_sockets(case, out);
    echoes(case, out);
}

fn packet_sockets(case: &Case, out: &mut Vec<Finding>) {
    let (Body::Deep(deep), Some(container)) = (&case.seen.event.body, &case.seen.identity.container) else {
        return;
    };
    if let Some(count @ 1..) = deep.packet_sockets {
        out.push(
            channel(case, container, ID, PACKET_SOCKET_BITS)
                .claiming(format!("{count} sockets in its network namespace send and receive below IP"))
                .with("packet_sockets", count),
        );
    }
}

fn echoes(case: &Case, out: &mut Vec<Finding>) {
    for talk in &case.seen.identity.talks {
        let TalkKind::Counted(counts) = &talk.what else { continue };
        let is_control = [Protocol::ICMP, Protocol::ICMPV6].contains(&talk.key.protocol);
        let packets = counts.sent_packets;
        if !is_control || packets < ECHOES_MIN || counts.sent_bytes < ECHO_BYTES_MIN * packets {
            continue;
        }
        let claim = format!(
            "it sends {packets} control messages of {} bytes on average to {}",
            counts.sent_bytes / packets,
            talk.address
        );
        let bits = if case.state.graph().is_outside(&talk.peer) { ECHO_BITS } else { INNER_ECHO_BITS };
        out.push(
            channel(case, &talk.container, ID, bits)
                .claiming(claim)
                .with("address", talk.address.to_string().as_str())
                .with("packets", packets)
                .with("bytes", counts.sent_bytes),
        );
    }
}
