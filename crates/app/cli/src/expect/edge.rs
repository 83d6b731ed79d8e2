//! An edge as it is written on the command line: `FROM -> TO[:PORT[-PORT]][/PROTOCOL]`.
//!
//! What could be read in two ways is refused, with the place: an edge that covers nothing would be believed in.

use std::net::IpAddr;

use ipnet::IpNet;
use model::expectation::{EdgePattern, EndpointPattern};
use model::traffic::Protocol;
use model::untrusted::{UNTRUSTED_BYTES_MAX, Untrusted};

/// The names of protocols that may follow a slash; a number may too where no name could end in one.
const PROTOCOLS: [&str; 5] = ["tcp", "udp", "sctp", "icmp", "icmpv6"];

/// A part of the text, and where it begins, in bytes.
#[derive(Clone, Copy)]
struct Part<'a> {
    text: &'a str,
    at: usize,
}

/// What is wrong, and where, in bytes.
struct Wrong {
    at: usize,
    problem: String,
}

type Read<T> = Result<T, Wrong>;

/// The edge, or what is wrong with it: `at character 8: …`.
pub(crate) fn parse(text: &str) -> Result<EdgePattern, String> {
    edge(text).map_err(|Wrong { at, problem }| {
        let character = text.get(..at).map_or(0, |before| before.chars().count()) + 1;
        format!("at character {character}: {problem}")
    })
}

fn edge(text: &str) -> Read<EdgePattern> {
    let (from, to) = ends(text)?;
    let (to, protocol) = protocol(to)?;
    let (to, ports) = ports(to)?;
    if let (Some(Protocol::ICMP | Protocol::ICMPV6), Some(_)) = (protocol, ports) {
        return Part { at: to.end().at + 1, ..to }.wrong("ICMP has no ports");
    }
    if from.network().is_none() && !from.text.starts_with("workload:") && ports_of(from)?.1.is_some() {
        return from.wrong("the port belongs to TO, the end that is opened; FROM has none");
    }
    Ok(EdgePattern { from: endpoint(from)?, to: endpoint(to)?, ports, protocol, side: None })
}

fn ends(text: &str) -> Read<(Part<'_>, Part<'_>)> {
    let whole = Part { text, at: 0 };
    let Some((from, to)) = whole.split("->") else {
        return whole.end().wrong("-> is missing: write FROM -> TO");
    };
    if let Some((_, second)) = to.split("->") {
        return second.wrong("a second ->; in a name, write ? in place of its >");
    }
    Ok((from.trimmed(), to.trimmed()))
}

/// Cuts the protocol off. A slash and a number after an address is the length of a prefix.
fn protocol(to: Part<'_>) -> Read<(Part<'_>, Option<Protocol>)> {
    let is_prefix = to.network().is_some() || to.port_like().is_some_and(|(end, _)| end.network().is_some());
    let Some((rest, word)) = to.rsplit('/').filter(|_| !is_prefix) else { return Ok((to, None)) };
    let number: Option<u8> = word.text.parse().ok();
    if PROTOCOLS.contains(&word.text.to_ascii_lowercase().as_str()) {
        return Ok((rest, Protocol::parse(word.text)));
    }
    if number.is_some() && rest.network().is_some() && !rest.text.contains('/') {
        return word.wrong(format!("{} is no length of a prefix", word.shown()));
    }
    if rest.is_no_workload() {
        return match number {
            Some(number) => Ok((rest, Some(Protocol(number)))),
            None => word
                .wrong(format!("{} is no protocol: tcp, udp, sctp, icmp, icmpv6 or a number", word.shown())),
        };
    }
    // The registry of an image has a port as well: registry:5000/team/app.
    if rest.port_like().is_some() && !to.text.starts_with("workload:") {
        let problem =
            format!("{} is no protocol; if all of it is a name, write workload: before it", word.shown());
        return word.wrong(problem);
    }
    Ok((to, None))
}

fn ports(to: Part<'_>) -> Read<(Part<'_>, Option<(u16, u16)>)> {
    let read = ports_of(to)?;
    if let (end, Some(_)) = read
        && !end.text.starts_with('[')
        && matches!(end.network(), Some(IpNet::V6(_)))
    {
        return end
            .wrong(format!("an address of IPv6 that a port follows stands in brackets: [{}]", end.text));
    }
    Ok(read)
}

/// Cuts a port or a range off the end; what does not look like one belongs to the name.
fn ports_of(end: Part<'_>) -> Read<(Part<'_>, Option<(u16, u16)>)> {
    let Some((rest, tail)) = end.port_like().filter(|_| end.network().is_none()) else {
        return Ok((end, None));
    };
    let (low, high) = tail.split("-").unwrap_or((tail, tail));
    let (first, last) = (port(low)?, port(high)?);
    if last < first {
        return high.wrong(format!("{last} lies below {first}"));
    }
    Ok((rest, Some((first, last))))
}

fn port(part: Part<'_>) -> Read<u16> {
    match part.text.parse() {
        Ok(port) if port > 0 => Ok(port),
        _ => part.wrong(format!("{} is no port: 1 to 65535", part.shown())),
    }
}

fn endpoint(part: Part<'_>) -> Read<EndpointPattern> {
    let (kind, name) = match part.split(":") {
        Some((kind, name)) if matches!(kind.text, "domain" | "workload") => (kind.text, name),
        _ => ("", part),
    };
    if name.text.is_empty() {
        return name.wrong("a name is missing: a workload, host, any, an address, a prefix or domain:NAME");
    }
    if name.text.len() > UNTRUSTED_BYTES_MAX {
        return name.wrong(format!("a name has at most {UNTRUSTED_BYTES_MAX} bytes"));
    }
    match (kind, name.text) {
        ("domain", text) => Ok(EndpointPattern::Domain { pattern: text.into() }),
        ("workload", text) => Ok(EndpointPattern::Workload { pattern: text.into() }),
        (_, "host") => Ok(EndpointPattern::Host),
        (_, "any") => Ok(EndpointPattern::Any),
        _ => network_or_workload(name),
    }
}

fn network_or_workload(part: Part<'_>) -> Read<EndpointPattern> {
    let Some(network) = part.network() else {
        if looks_like_address(part.text) {
            return part.wrong(format!("{} is no address and no prefix such as 10.0.0.0/8", part.shown()));
        }
        return Ok(EndpointPattern::Workload { pattern: part.text.into() });
    };
    if network.trunc() != network {
        return part.wrong(format!("{network} has more bits than its prefix: write {}", network.trunc()));
    }
    Ok(EndpointPattern::Network { prefix: Untrusted::new(&network.to_string()), except: Vec::new() })
}

/// Digits and dots, or hexadecimal digits and two colons at least: nobody calls a workload so.
fn looks_like_address(text: &str) -> bool {
    let text = text.trim_start_matches('[');
    let (host, _) = text.split_once('/').unwrap_or((text, ""));
    let host = host.trim_end_matches(']');
    let is_v4 = host.contains('.') && host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let is_v6 = |c: char| c.is_ascii_hexdigit() || c == ':' || c == '.';
    let is_v6 = host.matches(':').count() > 1 && (host.contains("::") || host.chars().all(is_v6));
    !text.contains(char::is_whitespace) && (is_v4 || is_v6)
}

impl<'a> Part<'a> {
    /// What stands before and after the first of this mark.
    fn split(self, mark: &str) -> Option<(Self, Self)> {
        let (before, after) = self.text.split_once(mark)?;
        Some((Self { text: before, ..self }, Self { text: after, at: self.at + before.len() + mark.len() }))
    }

    /// What stands before and after the last of this mark.
    fn rsplit(self, mark: char) -> Option<(Self, Self)> {
        let (before, after) = self.text.rsplit_once(mark)?;
        Some((
            Self { text: before, ..self },
            Self { text: after, at: self.at + before.len() + mark.len_utf8() },
        ))
    }

    fn trimmed(self) -> Self {
        let text = self.text.trim_start();
        Self { text: text.trim_end(), at: self.at + self.text.len() - text.len() }
    }

    fn end(self) -> Self {
        Self { text: "", at: self.at + self.text.len() }
    }

    /// An end, and after a colon what is meant to be ports: nothing, or digits with what people put between them.
    fn port_like(self) -> Option<(Self, Self)> {
        let (end, tail) =
            self.rsplit(':').filter(|(end, _)| !end.text.starts_with('[') || end.text.contains(']'))?;
        let is_meant = tail.text.bytes().all(|byte| byte.is_ascii_digit() || b"-,*".contains(&byte));
        let is_name = matches!(end.text, "domain" | "workload");
        (is_meant && !is_name).then_some((end, tail))
    }

    /// An address or a prefix; one of IPv6 may stand in brackets, with the length inside or after them.
    fn network(self) -> Option<IpNet> {
        let plain = match self.text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((inner, after)) if inner.contains(':') && (after.is_empty() || after.starts_with('/')) => {
                format!("{inner}{after}")
            }
            _ => self.text.to_owned(),
        };
        let network: Option<IpNet> = plain.parse().ok();
        network.or_else(|| Some(IpNet::from(plain.parse::<IpAddr>().ok()?)))
    }

    /// Whether it cannot be the name of a workload, with a port behind it or without.
    fn is_no_workload(self) -> bool {
        let (end, _) = self.port_like().unwrap_or((self, self));
        let is_word = |end: Self| matches!(end.text, "host" | "any") || end.text.starts_with("domain:");
        [self, end].into_iter().any(|end| is_word(end) || end.network().is_some())
    }

    fn shown(self) -> String {
        format!("{:?}", Untrusted::new(self.text))
    }

    fn wrong<T>(self, problem: impl Into<String>) -> Read<T> {
        Err(Wrong { at: self.at, problem: problem.into() })
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(texts: &[&str], wanted: &Expect) {
        let told = texts.iter().map(|text| match parse(text) {
            Ok(EdgePattern { from, to, ports, protocol, .. }) => {
                let [from, to] = [from, to].map(|end| format!("{} {end}", kind(&end)));
                format!(
                    "{from} | {to} | {ports:?} {}\n",
                    protocol.map_or("-".to_owned(), |it| it.to_string())
                )
            }
            Err(problem) => format!("{text}: {problem}\n"),
        });
        wanted.assert_eq(&told.collect::<String>());
    }

    fn kind(end: &EndpointPattern) -> &'static str {
        match end {
            EndpointPattern::Workload { .. } => "workload",
            EndpointPattern::Network { .. } => "network",
            EndpointPattern::Domain { .. } => "domain",
            _ => "word",
        }
    }

    #[test]
    fn ends_are_names_globs_words_addresses_and_domains() {
        check(
            &[
                "web -> db",
                "compose:shop/web -> compose:shop/db:5432/tcp",
                "compose:shop/* -> swarm:cache:6379-6380",
                "registry:5000/team/app [run it] -> any:53/udp",
                "web->host:80",
                "any -> host",
                "web -> 10.0.0.0/8",
                "web -> 10.0.0.0/8:443",
                "web -> 203.0.113.7:443/TCP",
                "web -> 203.0.113.7/icmp",
                "web -> 10.0.0.0/8/47",
                "web -> host/47",
                "web -> 2001:db8::/32",
                "web -> 2001:db8::1:443",
                "web -> [2001:db8::1]:443",
                "web -> [2001:db8::]/32:443/udp",
                "web -> [2001:db8::/32]:443",
                "2001:db8::1 -> web:80",
                "web -> domain:example.com",
                "web -> domain:*.example.com:443/tcp",
                "workload:host -> workload:any",
                "web -> workload:registry:5000/app",
                "busybox [yes] -> [ab]-db",
            ],
            &expect![[r#"
                workload web | workload db | None -
                workload compose:shop/web | workload compose:shop/db | Some((5432, 5432)) tcp
                workload compose:shop/* | workload swarm:cache | Some((6379, 6380)) -
                workload registry:5000/team/app [run it] | word any | Some((53, 53)) udp
                workload web | word host | Some((80, 80)) -
                word any | word host | None -
                workload web | network 10.0.0.0/8 | None -
                workload web | network 10.0.0.0/8 | Some((443, 443)) -
                workload web | network 203.0.113.7/32 | Some((443, 443)) tcp
                workload web | network 203.0.113.7/32 | None icmp
                workload web | network 10.0.0.0/8 | None 47
                workload web | word host | None 47
                workload web | network 2001:db8::/32 | None -
                workload web | network 2001:db8::1:443/128 | None -
                workload web | network 2001:db8::1/128 | Some((443, 443)) -
                workload web | network 2001:db8::/32 | Some((443, 443)) udp
                workload web | network 2001:db8::/32 | Some((443, 443)) -
                network 2001:db8::1/128 | workload web | Some((80, 80)) -
                workload web | domain domain:example.com | None -
                workload web | domain domain:*.example.com | Some((443, 443)) tcp
                workload host | workload any | None -
                workload web | workload registry:5000/app | None -
                workload busybox [yes] | workload [ab]-db | None -
            "#]],
        );
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        check(
            &[
                "",
                "web",
                "web -> ",
                "-> db",
                "a -> b -> c",
                "web -> db:",
                "web -> db:0",
                "web -> db:70000",
                "web -> db:90-80",
                "web -> db:80-",
                "web -> db:80,443",
                "web -> db:5432/tpc",
                "wéb -> host/tpc",
                "web -> db:1/icmp",
                "web:80 -> db",
                "web -> 10.0.0.0/33",
                "web -> 10.0.0.0/33:443",
                "web -> 10.0.0.300",
                "web -> 10.0.0.5/8",
                "web -> 2001:db8::/32:443",
                "web -> 2001:db8::x::1",
                "web -> [2001:db8::1",
                "web -> domain:",
                "web -> domain:/tcp",
            ],
            &expect![[r#"
                : at character 1: -> is missing: write FROM -> TO
                web: at character 4: -> is missing: write FROM -> TO
                web -> : at character 8: a name is missing: a workload, host, any, an address, a prefix or domain:NAME
                -> db: at character 1: a name is missing: a workload, host, any, an address, a prefix or domain:NAME
                a -> b -> c: at character 10: a second ->; in a name, write ? in place of its >
                web -> db:: at character 11: "" is no port: 1 to 65535
                web -> db:0: at character 11: "0" is no port: 1 to 65535
                web -> db:70000: at character 11: "70000" is no port: 1 to 65535
                web -> db:90-80: at character 14: 80 lies below 90
                web -> db:80-: at character 14: "" is no port: 1 to 65535
                web -> db:80,443: at character 11: "80,443" is no port: 1 to 65535
                web -> db:5432/tpc: at character 16: "tpc" is no protocol; if all of it is a name, write workload: before it
                wéb -> host/tpc: at character 13: "tpc" is no protocol: tcp, udp, sctp, icmp, icmpv6 or a number
                web -> db:1/icmp: at character 11: ICMP has no ports
                web:80 -> db: at character 1: the port belongs to TO, the end that is opened; FROM has none
                web -> 10.0.0.0/33: at character 17: "33" is no length of a prefix
                web -> 10.0.0.0/33:443: at character 17: "33:443" is no protocol: tcp, udp, sctp, icmp, icmpv6 or a number
                web -> 10.0.0.300: at character 8: "10.0.0.300" is no address and no prefix such as 10.0.0.0/8
                web -> 10.0.0.5/8: at character 8: 10.0.0.5/8 has more bits than its prefix: write 10.0.0.0/8
                web -> 2001:db8::/32:443: at character 8: an address of IPv6 that a port follows stands in brackets: [2001:db8::/32]
                web -> 2001:db8::x::1: at character 8: "2001:db8::x:" is no address and no prefix such as 10.0.0.0/8
                web -> [2001:db8::1: at character 8: "[2001:db8::1" is no address and no prefix such as 10.0.0.0/8
                web -> domain:: at character 15: a name is missing: a workload, host, any, an address, a prefix or domain:NAME
                web -> domain:/tcp: at character 15: a name is missing: a workload, host, any, an address, a prefix or domain:NAME
            "#]],
        );
        assert!(
            parse(&format!("web -> {}", "x".repeat(600)))
                .unwrap_err()
                .starts_with("at character 8: a name has")
        );
    }

    #[test]
    fn what_is_written_reads_back() {
        for text in [
            "web -> db:5432/tcp",
            "compose:shop/* -> domain:example.com:1-2",
            "any -> 10.0.0.0/8/icmp",
            "web -> [2001:db8::/32]:443/tcp",
            "web -> 2001:db8::/32",
            "host -> web",
        ] {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn hostile_text_is_shown_escaped() {
        let problem = parse("web -> host/\u{1b}[2J\u{202e}").unwrap_err();
        assert!(!problem.contains(['\u{1b}', '\u{202e}']), "{problem}");
    }
}
