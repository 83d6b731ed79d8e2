//! A message of the domain name system out of a packet: who is asked for what, and the addresses in the answer.
//!
//! Not here: names over TCP or encrypted, and whether a name is odd. A message that is cut, as long ones are, still
//! tells its question; one that cannot be read at all has an empty name.

use std::net::IpAddr;

use model::ids::CgroupId;
use model::traffic::{DNS_ADDRESSES_MAX, DnsMessage};
use model::untrusted::Untrusted;
use simple_dns::rdata::RData;
use simple_dns::{Name, Packet, PacketFlag, SimpleDnsError};

/// Where the header counts what follows the questions.
const HEADER_BYTES: usize = 12;
const COUNTS_BEHIND_QUESTIONS: std::ops::Range<usize> = 6..12;

/// What a message says; `full_bytes` is its size before it was cut.
pub(crate) fn message(cgroup: CgroupId, server: IpAddr, message: &[u8], full_bytes: u32) -> DnsMessage {
    let mut told = DnsMessage {
        cgroup,
        server,
        is_answer: false,
        name: Untrusted::default(),
        record_type: 0,
        code: 0,
        addresses: Vec::new(),
        bytes: full_bytes,
    };
    match Packet::parse(message) {
        Ok(packet) => fill(&mut told, &packet),
        // Types of private use, which the library does not know, are what tunnels like to ask for.
        Err(SimpleDnsError::InvalidQType(number)) => {
            let mut question = question_of(message);
            ask_for_address(&mut question);
            fill_from(&mut told, &question);
            told.record_type = number;
        }
        Err(_) => fill_from(&mut told, &question_of(message)),
    }
    told
}

fn fill_from(told: &mut DnsMessage, message: &[u8]) {
    if let Ok(packet) = Packet::parse(message) {
        fill(told, &packet);
    }
}

/// The same message with nothing behind its question.
fn question_of(message: &[u8]) -> Vec<u8> {
    let mut question = message.to_vec();
    if let Some(counts) = question.get_mut(COUNTS_BEHIND_QUESTIONS) {
        counts.fill(0);
    }
    question
}

/// Changes the type that is asked for, behind the labels of the name.
fn ask_for_address(question: &mut [u8]) {
    let mut at = HEADER_BYTES;
    while let Some(&length @ 1..=63) = question.get(at) {
        at += 1 + usize::from(length);
    }
    if let Some(record_type) = question.get_mut(at + 1..at + 3) {
        record_type.copy_from_slice(&1_u16.to_be_bytes());
    }
}

fn fill(told: &mut DnsMessage, packet: &Packet<'_>) {
    told.is_answer = packet.has_flags(PacketFlag::RESPONSE);
    told.code = packet.rcode() as u8;
    if let Some(question) = packet.questions.first() {
        told.name = text(&question.qname);
        told.record_type = question.qtype.into();
    }
    told.addresses =
        packet.answers.iter().filter_map(|answer| address(&answer.rdata)).take(DNS_ADDRESSES_MAX).collect();
}

fn text(name: &Name<'_>) -> Untrusted {
    let labels: Vec<_> = name.as_bytes().map(String::from_utf8_lossy).collect();
    Untrusted::new(&labels.join("."))
}

fn address(data: &RData<'_>) -> Option<IpAddr> {
    match data {
        RData::A(a) => Some(IpAddr::from(a.address.to_be_bytes())),
        RData::AAAA(aaaa) => Some(IpAddr::from(aaaa.address.to_be_bytes())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An answer as name servers write it: a question for the address of `example.com`, compressed names, one address.
    const ANSWER: &[u8] = b"\x12\x34\x81\x80\0\x01\0\x01\0\0\0\0\x07example\x03com\0\0\x01\0\x01\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xcb\0\x71\x07";

    fn read(bytes: &[u8]) -> DnsMessage {
        message(CgroupId(7), IpAddr::from([127, 0, 0, 11]), bytes, 600)
    }

    #[test]
    fn an_answer_tells_its_question_and_its_addresses() {
        let told = read(ANSWER);
        assert_eq!(
            (told.name.raw(), told.record_type, told.is_answer, told.code),
            ("example.com", 1, true, 0)
        );
        assert_eq!((told.addresses, told.bytes), (vec![IpAddr::from([203, 0, 113, 7])], 600));
    }

    #[test]
    fn a_cut_answer_still_tells_its_question() {
        let told = read(&ANSWER[..ANSWER.len() - 6]);
        assert_eq!((told.name.raw(), told.is_answer, told.record_type), ("example.com", true, 1));
        let mut texts = ANSWER[..ANSWER.len() - 6].to_vec();
        texts[HEADER_BYTES + 14] = 16;
        assert_eq!(read(&texts).record_type, 16);
        assert!(told.addresses.is_empty());
    }

    #[test]
    fn what_is_no_message_has_no_name() {
        for bytes in [&b""[..], b"\0", &[0xff; 512], &[0xc0; 40]] {
            assert!(read(bytes).name.is_empty(), "{bytes:?}");
        }
    }

    #[test]
    fn types_keep_their_numbers() {
        for number in [1_u16, 10, 16, 28, 65, 255, 65_400] {
            let mut question = b"\0\x01\x01\0\0\x01\0\0\0\0\0\0\x01a\x02de\0".to_vec();
            question.extend(number.to_be_bytes());
            question.extend([0, 1]);
            assert_eq!(read(&question).record_type, number);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_fail(bytes in prop::collection::vec(any::<u8>(), 0..520)) {
            let told = read(&bytes);
            prop_assert!(told.addresses.len() <= DNS_ADDRESSES_MAX);
        }

        #[test]
        fn no_change_of_an_answer_makes_it_fail(at in 0..ANSWER.len(), byte in any::<u8>()) {
            let mut bytes = ANSWER.to_vec();
            bytes[at] = byte;
            read(&bytes);
        }
    }
}
