//! Single values as logs write them: addresses, numbers, spans, protocols, types and codes of the domain name system.
//!
//! Not here: which field is where.

use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use model::time::Time;
use model::traffic::{DNS_ADDRESSES_MAX, Protocol};
use model::untrusted::Untrusted;

use crate::problem::Reason;

/// Longest span that is believed, in seconds: ten years.
const SPAN_SECONDS_MAX: f64 = 3.2e8;

/// Protocols by names that the model does not use (IANA's numbers).
const PROTOCOLS: [(&str, u8); 14] = [
    ("ipv6-icmp", 58),
    ("icmp6", 58),
    ("igmp", 2),
    ("ipip", 4),
    ("ipnip", 4),
    ("ipv6", 41),
    ("rsvp", 46),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("ospf", 89),
    ("pim", 103),
    ("rtp", 17),
    ("rtcp", 17),
];

/// Types of records that logs spell out (IANA, DNS parameters).
const TYPES: [(&str, u16); 25] = [
    ("A", 1),
    ("NS", 2),
    ("CNAME", 5),
    ("SOA", 6),
    ("NULL", 10),
    ("PTR", 12),
    ("HINFO", 13),
    ("MX", 15),
    ("TXT", 16),
    ("SIG", 24),
    ("KEY", 25),
    ("AAAA", 28),
    ("SRV", 33),
    ("NAPTR", 35),
    ("OPT", 41),
    ("DS", 43),
    ("SSHFP", 44),
    ("RRSIG", 46),
    ("NSEC", 47),
    ("DNSKEY", 48),
    ("TLSA", 52),
    ("SVCB", 64),
    ("HTTPS", 65),
    ("ANY", 255),
    ("CAA", 257),
];

/// Response codes in the order of their numbers.
const CODES: [&str; 11] = [
    "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET",
    "NOTAUTH", "NOTZONE",
];

/// An address.
pub(crate) fn address(field: &'static str, text: &str) -> Result<IpAddr, Reason> {
    number(field, text)
}

/// A number, or whatever else reads itself.
pub(crate) fn number<T: FromStr>(field: &'static str, text: &str) -> Result<T, Reason> {
    text.parse().map_err(|_| Reason::value(field, text))
}

/// A moment: RFC 3339 or Unix seconds.
pub(crate) fn time(field: &'static str, text: &str) -> Result<Time, Reason> {
    Time::parse(text).map_err(|_| Reason::value(field, text))
}

/// A span in seconds, to the microsecond: clocks of captures carry no more, and some logs print more than others.
pub(crate) fn span(field: &'static str, text: &str) -> Result<Duration, Reason> {
    let seconds: f64 = number(field, text)?;
    if !(0.0..=SPAN_SECONDS_MAX).contains(&seconds) {
        return Err(Reason::value(field, text));
    }
    Ok(Duration::from_micros((seconds * 1e6).round() as u64))
}

/// A protocol above IP, by any of its names or its number.
pub(crate) fn protocol(text: &str) -> Option<Protocol> {
    let other = PROTOCOLS.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
    Protocol::parse(text).or_else(|| other.map(|&(_, number)| Protocol(number)))
}

/// Whether a protocol has ports that mean a service; what logs give as ports of others are types and codes.
pub(crate) fn has_ports(protocol: Protocol) -> bool {
    [Protocol::TCP, Protocol::UDP, Protocol::SCTP].contains(&protocol)
}

/// The type of a record: its name, `TYPE65` (RFC 3597), or 0 when nobody knows it.
pub(crate) fn record_type(name: &str) -> u16 {
    let known = TYPES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    let numbered = || name.strip_prefix("TYPE").and_then(|number| number.parse().ok());
    known.map(|&(_, number)| number).or_else(numbered).unwrap_or(0)
}

/// A response code by its name or number.
pub(crate) fn code(field: &'static str, text: &str) -> Result<u8, Reason> {
    match (0..).zip(CODES).find(|(_, name)| name.eq_ignore_ascii_case(text)) {
        Some((code, _)) => Ok(code),
        None => number(field, text),
    }
}

/// A name as it was asked for, without the final dot.
pub(crate) fn name(text: &str) -> Untrusted {
    Untrusted::new(text.strip_suffix('.').unwrap_or(text))
}

/// The addresses among the values of an answer, as many as are kept.
pub(crate) fn addresses<T: AsRef<str>>(answers: impl IntoIterator<Item = T>) -> Vec<IpAddr> {
    answers.into_iter().filter_map(|answer| answer.as_ref().parse().ok()).take(DNS_ADDRESSES_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_types_and_codes_are_known_by_name_and_number() {
        let protocols = ["tcp", "UDP", "IPv6-ICMP", "47", "rtp", "carrier pigeon", "300"].map(protocol);
        let numbers = protocols.map(|protocol| protocol.map(|Protocol(number)| number));
        assert_eq!(numbers, [Some(6), Some(17), Some(58), Some(47), Some(17), None, None]);
        assert_eq!(["A", "txt", "TYPE65", "TYPE", "?"].map(record_type), [1, 16, 65, 0, 0]);
        assert_eq!(code("rcode", "NXDOMAIN"), Ok(3));
        assert_eq!(code("rcode", "23"), Ok(23));
        assert!(code("rcode", "256").is_err() && code("rcode", "fine").is_err());
    }

    #[test]
    fn spans_that_cannot_be_are_refused() {
        assert_eq!(span("d", "0.0013577938079833984"), Ok(Duration::from_micros(1358)));
        for text in ["-1", "NaN", "inf", "1e300", "", "a"] {
            assert!(span("d", text).is_err(), "{text}");
        }
    }

    #[test]
    fn zones_are_read_with_and_without_their_colon() {
        let colon = time("t", "2021-06-06T15:57:37.272281+02:00");
        assert!(colon.is_ok());
        assert_eq!(time("t", "2021-06-06T15:57:37.272281+0200"), colon);
    }
}
