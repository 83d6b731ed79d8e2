//! The registered domain of a name: what somebody registered and alone answers for, after the Public Suffix List.
//!
//! The list is compiled in (crate `psl`). Not here: whether the domain is known or liked.

/// Longest name there can be, in bytes (RFC 1035, §2.3.4).
const NAME_BYTES_MAX: usize = 255;

/// Labels at the end of a name that nobody can register: reserved ones (IANA's special-use names, `internal` by ICANN in 2024),
/// what RFC 6762 (appendix G) found in private use, and the defaults of service discovery. Questions for them never reach a
/// server outside. `arpa` holds addresses: who answers there was given them, and each name carries at most 16 bytes.
const PRIVATE: [&[u8]; 19] = [
    b"alt",
    b"arpa",
    b"consul",
    b"corp",
    b"docker",
    b"example",
    b"home",
    b"internal",
    b"intranet",
    b"invalid",
    b"lan",
    b"local",
    b"localdomain",
    b"localhost",
    b"onion",
    b"private",
    b"svc",
    b"swarm",
    b"test",
];

/// The registered domain at the end of a name, in the spelling it has there: `example.co.uk` of `www.example.co.uk`. `None` of
/// what is no such name: a suffix alone, private or reverse names, an empty label in it, or too long.
pub fn registered_domain(name: &str) -> Option<&str> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let mut lower = [0; NAME_BYTES_MAX];
    let lower = lower.get_mut(..name.len())?;
    lower.copy_from_slice(name.as_bytes());
    lower.make_ascii_lowercase();
    let suffix = lower.rsplit(|byte| *byte == b'.').next()?;
    // An address is no name, whoever asks for it.
    if PRIVATE.contains(&suffix) || suffix.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let domain = psl::domain(lower)?.as_bytes();
    let is_whole = domain.split(|byte| *byte == b'.').all(|label| !label.is_empty());
    is_whole.then(|| name.get(name.len() - domain.len()..)).flatten()
}

/// A name as its part below the registered domain, empty when there is none, and that domain.
pub fn parts(name: &str) -> Option<(&str, &str)> {
    let domain = registered_domain(name)?;
    let name = name.strip_suffix('.').unwrap_or(name);
    let below = name.get(..name.len() - domain.len())?;
    Some((below.strip_suffix('.').unwrap_or(below), domain))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_registered_domain_is_one_label_more_than_the_public_suffix() {
        let cases = [
            ("www.example.com", Some("example.com")),
            ("a.b.example.co.uk", Some("example.co.uk")),
            ("d111111abcdef8.cloudfront.net", Some("d111111abcdef8.cloudfront.net")),
            ("Www.ExAmple.COM.", Some("ExAmple.COM")),
            ("xn--bcher-kva.example.com", Some("example.com")),
            ("täst.bücher.de", Some("bücher.de")),
            ("_dmarc.example.com", Some("example.com")),
            ("a..b.example.com", Some("example.com")),
            ("name.of-a-suffix-not-listed", Some("name.of-a-suffix-not-listed")),
        ];
        for (name, domain) in cases {
            assert_eq!(registered_domain(name), domain, "{name}");
        }
    }

    #[test]
    fn what_nobody_registered_has_none() {
        let long = "a.".repeat(130) + "com";
        for name in [
            "",
            ".",
            "..",
            "com",
            "co.uk",
            ".com",
            "..com",
            "localhost",
            "web-7f9c.default.svc.cluster.local",
            "api.example.com.default.svc.cluster.local",
            "4.3.2.1.in-addr.arpa",
            "db.prod.internal",
            "10.0.0.1.LAN",
            "10.0.0.1",
            &long,
        ] {
            assert_eq!(registered_domain(name), None, "{name}");
        }
    }

    #[test]
    fn a_name_falls_apart_into_what_is_below_and_the_domain() {
        assert_eq!(parts("a.b.example.com"), Some(("a.b", "example.com")));
        assert_eq!(parts("example.com."), Some(("", "example.com")));
        assert_eq!(parts(".example.com"), Some(("", "example.com")));
        assert_eq!(parts("com"), None);
    }

    proptest! {
        #[test]
        fn no_name_breaks_it(name in "([a-c.äKſ.]{0,20}|.{0,300})(\\.com|\\.co\\.uk|\\.bücher\\.de|\\.local|\\.)?") {
            if let Some((below, domain)) = parts(&name) {
                prop_assert!(name.starts_with(below) && name.contains(domain));
                prop_assert!(!domain.starts_with('.') && domain.contains('.'));
            }
        }
    }
}
