//! Days of honest software that asks for many names: what it asks for, how often again, and of which types.
//!
//! Resolvers of the C library, of Go and of Node ask for both families of addresses each time; Java, proxies and what was told so
//! ask for one. Not here: what a cache outside the container keeps from the name server: we see what the container asks.

use crate::communication::names::{Asked, DAY, RECORD_A};
use crate::excess::noise::Choice;

const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz";
const LETTERS_AND_DIGITS: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
const POD: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
const RECORD_PTR: u16 = 12;
const RECORD_MX: u16 = 15;
const RECORD_TXT: u16 = 16;
const RECORD_SRV: u16 = 33;

/// A kind of software.
pub(crate) struct Software {
    pub(crate) name: &'static str,
    pub(crate) day: fn(&mut Asked),
}

/// What must be quiet.
pub(crate) const HONEST: [Software; 9] = [
    Software { name: "service", day: service },
    Software { name: "crawler", day: crawler },
    Software { name: "player of videos", day: player },
    Software { name: "service discovery", day: discovery },
    Software { name: "crawler in a cluster with search domains", day: searching },
    Software { name: "mail filter", day: mail_filter },
    Software { name: "reader of logs", day: log_reader },
    Software { name: "builds", day: builds },
    Software { name: "probes of customers' names", day: probes },
];

/// Honest, and alike: one domain is asked for a new name each time.
pub(crate) const LOOK_ALIKES: [Software; 2] = [
    Software { name: "mail server with a block list", day: block_list },
    Software { name: "crawler of one large host of blogs", day: blogs },
];

/// Times of the day at a rate in events a second.
fn times(asked: &mut Asked, rate: f64) -> Vec<f64> {
    let mut times = Vec::new();
    let mut at = asked.noise.exponential(1.0 / rate);
    while at < DAY {
        times.push(at);
        at += asked.noise.exponential(1.0 / rate);
    }
    times
}

/// A service with some dependencies in a few domains, each asked for again and again.
fn service(asked: &mut Asked) {
    let both = asked.noise.is(0.7);
    let domains: Vec<String> = (0..asked.noise.whole(2, 8)).map(|_| domain(asked)).collect();
    for _ in 0..asked.noise.whole(5, 40) {
        let place = asked.noise.whole(0, domains.len());
        let name = format!("{}.{}", host(asked), domains[place]);
        let name = asked.name(name);
        let every = asked.noise.even(5.0, 300.0);
        for at in times(asked, 1.0 / every) {
            asked.resolve(at, name, both);
        }
    }
}

/// Pages of many sites; one in twenty lies on a large host, where each blog has a name of its own. Half of the crawlers
/// remember a name for five minutes.
fn crawler(asked: &mut Asked) {
    pages(asked, "");
}

/// The same with a list of domains that are tried first: every name is asked for below the cluster's, too.
fn searching(asked: &mut Asked) {
    pages(asked, "default.svc.cluster.local svc.cluster.local cluster.local");
}

fn pages(asked: &mut Asked, search: &str) {
    let (both, remembers) = (asked.noise.is(0.6), asked.noise.is(0.5));
    let (sites, blogs, hosts) = (Choice::zipf(50_000, 1.0), Choice::zipf(5_000, 0.8), 5);
    let rate = asked.noise.even(-2.5, 0.0).exp();
    let mut known = std::collections::HashMap::new();
    for at in times(asked, rate) {
        let name = if asked.noise.is(0.05) {
            let host = asked.noise.whole(0, hosts);
            format!("blog-{}.host{host}-example.com", blogs.of(&mut asked.noise))
        } else {
            let site = sites.of(&mut asked.noise);
            let parts = ["www.", "", "api.", "static.", "img.", "cdn."];
            format!("{}site{site}-example.com", parts[asked.noise.whole(0, parts.len())])
        };
        if remembers && known.insert(name.clone(), at).is_some_and(|last| at - last < 300.0) {
            continue;
        }
        for suffix in search.split_whitespace() {
            let name = asked.name(format!("{name}.{suffix}"));
            asked.resolve(at, name, both);
        }
        let name = asked.name(name);
        asked.resolve(at + 0.001, name, both);
    }
}

/// Videos come from servers with names at random under one domain, some much more often than others.
fn player(asked: &mut Asked) {
    let both = asked.noise.is(0.5);
    let shards: Vec<usize> = (0..asked.noise.whole(200, 3_000))
        .map(|_| {
            let word = asked.word(LETTERS_AND_DIGITS, 8);
            let rack = asked.noise.whole(1, 9);
            asked.name(format!("r{rack}---sn-{word}.video-example.com"))
        })
        .collect();
    let choice = Choice::zipf(shards.len(), 1.0);
    let rate = asked.noise.even(-4.0, -1.0).exp();
    for at in times(asked, rate) {
        // A film is a dozen requests of two servers.
        for _ in 0..asked.noise.whole(1, 3) {
            let name = shards[choice.of(&mut asked.noise)];
            for turn in 0..asked.noise.whole(2, 12) {
                asked.resolve(at + turn as f64 * 5.0, name, both);
            }
        }
    }
}

/// Pods by name in a zone of the company's own, each asked for every few seconds; deploys replace them all.
fn discovery(asked: &mut Asked) {
    let both = asked.noise.is(0.5);
    let (pods, every) = (asked.noise.whole(20, 200), asked.noise.even(15.0, 90.0));
    let service = asked.name("_http._tcp.web.svc.eu1.corp-example.com".to_owned());
    let mut deploys: Vec<f64> = (0..asked.noise.whole(1, 7)).map(|_| asked.noise.even(0.0, DAY)).collect();
    deploys.sort_by(f64::total_cmp);
    let ends = deploys.iter().copied().chain([DAY]).collect::<Vec<f64>>();
    for (begin, end) in [0.0].into_iter().chain(deploys).zip(ends) {
        for _ in 0..pods {
            let name = format!("web-{}-{}.svc.eu1.corp-example.com", asked.word(POD, 9), asked.word(POD, 5));
            let name = asked.name(name);
            let mut at = begin + asked.noise.even(0.0, 300.0);
            while at < end {
                asked.resolve(at, name, both);
                if asked.noise.is(0.1) {
                    asked.ask(at, service, RECORD_SRV);
                }
                at += every * asked.noise.even(0.9, 1.1);
            }
        }
    }
}

/// Who may send mail for a domain, and its keys; mass mailers have a name for each customer.
fn mail_filter(asked: &mut Asked) {
    let senders = Choice::zipf(20_000, 1.0);
    let mails_a_day = asked.noise.even(1_000.0, 15_000.0);
    for at in times(asked, mails_a_day / DAY) {
        let domain = format!("sender{}-example.com", senders.of(&mut asked.noise));
        for part in ["", "_dmarc.", "s1._domainkey."] {
            asked.ask_once(at, format!("{part}{domain}"), RECORD_TXT);
        }
        asked.ask_once(at, domain, RECORD_MX);
        if asked.noise.is(0.05) {
            let customer = asked.noise.whole(1_000_000, 1_040_000);
            let mailer = asked.noise.whole(0, 4);
            let name = format!("u{customer}.wl{}.mailer{mailer}-example.net", customer % 300);
            asked.ask_once(at, name, RECORD_TXT);
        }
    }
}

/// Names of the addresses in logs.
fn log_reader(asked: &mut Asked) {
    let rate = asked.noise.even(-3.0, 2.0).exp();
    for at in times(asked, rate) {
        let [a, b, c, d] = [(); 4].map(|()| asked.noise.whole(1, 255));
        asked.ask_once(at, format!("{d}.{c}.{b}.{a}.in-addr.arpa"), RECORD_PTR);
    }
}

/// Bursts of names of mirrors and of where packages are kept.
fn builds(asked: &mut Asked) {
    let both = asked.noise.is(0.8);
    let mut named = |name: fn(&mut Asked) -> String| {
        let name = name(asked);
        asked.name(name)
    };
    let mirrors: Vec<usize> = (0..60).map(|_| named(mirror)).collect();
    let buckets: Vec<usize> = (0..40).map(|_| named(bucket)).collect();
    for at in times(asked, 1.0 / 900.0) {
        for _ in 0..asked.noise.whole(20, 200) {
            let names = if asked.noise.is(0.8) { &mirrors } else { &buckets };
            let name = names[asked.noise.whole(0, names.len())];
            let later = asked.noise.even(0.0, 120.0);
            asked.resolve(at + later, name, both);
        }
    }
}

/// Each customer's name, round after round.
fn probes(asked: &mut Asked) {
    let both = asked.noise.is(0.7);
    let every = [15.0, 60.0, 120.0][asked.noise.whole(0, 3)];
    let length = asked.noise.whole(6, 15);
    for _ in 0..asked.noise.whole(10, 150) {
        let name = format!("{}.customers-example.com", asked.word(LETTERS, length));
        let name = asked.name(name);
        let mut at = asked.noise.even(0.0, every);
        while at < DAY {
            asked.resolve(at, name, both);
            at += every;
        }
    }
}

/// Each mail's address is looked up in a list: four numbers.
fn block_list(asked: &mut Asked) {
    let senders = Choice::zipf(50_000, 0.9);
    let mails_a_day = asked.noise.even(1_000.0, 15_000.0);
    for at in times(asked, mails_a_day / DAY) {
        let place = senders.of(&mut asked.noise);
        let [a, b, c, d] = [place % 223 + 1, place / 7 % 256, place / 3 % 256, place % 251];
        asked.ask_once(at, format!("{d}.{c}.{b}.{a}.list-example.org"), RECORD_A);
    }
}

/// Every page lies on another blog of the same host, and each is asked for once.
fn blogs(asked: &mut Asked) {
    let mut blog = 0;
    for at in times(asked, 0.2) {
        blog += 1;
        let name = format!("blog-of-{}-{blog}.blogs-example.com", host(asked));
        asked.ask_once(at, name, RECORD_A);
    }
}

fn host(asked: &mut Asked) -> String {
    let length = asked.noise.whole(3, 14);
    asked.word(LETTERS, length)
}

fn mirror(asked: &mut Asked) -> String {
    format!("{}.{}", host(asked), domain(asked))
}

fn bucket(asked: &mut Asked) -> String {
    format!("{}.s3.eu-west-1.amazonaws.com", asked.word(LETTERS_AND_DIGITS, 20))
}

fn domain(asked: &mut Asked) -> String {
    format!("{}-example.com", host(asked))
}
