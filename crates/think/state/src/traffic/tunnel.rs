//! A tunnel through the domain name system: how many bytes of names that were never asked for before go to one domain's servers.
//!
//! The idea is ibHH's (Ozery, Nadler and Shabtai, arXiv 2307.02614): the information that leaves in names is at most the unique
//! ones, which can be counted in constant memory. Not here: whether many workloads ask the same domain, and who may.

use std::hash::Hasher;
use std::time::Duration;

use model::time::Time;
use serde::{Deserialize, Serialize};

use crate::traffic::distinct::Salt;

/// Over how long bytes are counted; a window opens with the first question after the one before.
const WINDOW: Duration = Duration::from_secs(600);

/// How long a window may go on while its rate holds: names of 200 bytes are few.
const WINDOW_MAX: Duration = Duration::from_secs(3_600);

/// Bits of the map of names: small counts matter most, and there a map is several times as exact as HyperLogLog. A word of it
/// is forgotten every ten minutes, so a name is remembered for 40 minutes on average, and for 80 at most.
const WORDS: usize = 8;
const BITS: u32 = 64 * WORDS as u32;

/// Bits from which the map is full, and nothing more is counted in this window.
const FULL: u32 = BITS * 7 / 8;

/// Bytes of a name that are hashed at once.
const CHUNK: usize = 64;

/// Record types that carry what people say, not addresses: CNAME, NULL, MX, TXT, KEY, and the PRIVATE of iodine.
const CARRYING: [u16; 6] = [5, 10, 15, 16, 25, 65_399];

/// The response code that says that there is no such name.
const NO_SUCH_NAME: u8 = 3;

/// Fewest questions that make a tunnel.
pub const QUESTIONS_MIN: u32 = 6;

/// Bytes of unique names in a second over ten minutes from which it is one; the lowest that ibHH finds is 0.7.
pub const RATE_MIN: f64 = 0.5;

/// Share of the questions that are for names not asked for lately. Honest software asks again: for the other family
/// of addresses, and when the time to live is over.
pub const UNIQUE_MIN: f64 = 0.9;

/// What honest software asks for the first time looks alike, until it asks again: for so long a tunnel must last.
pub const SETTLED: Duration = Duration::from_secs(300);

/// Nobody waits when names are made of such long labels (a UUID has 36), or when this share asks for what carries text.
pub const LABEL_MIN: f64 = 40.0;

/// Share of the questions of a type that carries text from which nobody waits.
pub const CARRYING_MIN: f64 = 0.5;

/// Who asks everything twice stays below [`UNIQUE_MIN`]: from this rate on the smaller share does.
pub const FLOOD_RATE_MIN: f64 = 20.0;

/// The share for [`FLOOD_RATE_MIN`].
pub const FLOOD_UNIQUE_MIN: f64 = 0.4;

/// What one workload asks of one registered domain: 96 bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tunnel {
    /// The first question of the window.
    opened: Time,
    /// Linear counting (Whang, Vander-Zanden and Taylor, 1990): a bit for each name, by its hash.
    names: [u64; WORDS],
    /// The word that is forgotten next.
    oldest: u8,
    /// Bits that are set, and those that were when the window opened.
    set: u16,
    known: u16,
    questions: u32,
    carrying: u16,
    answers: u16,
    missing: u16,
    /// Of names that set a bit in this window, without the dots.
    name_bytes: u32,
    label_bytes: u32,
}

/// A question or an answer.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The name below the registered domain.
    pub subdomain: &'a str,
    /// The type asked for.
    pub record_type: u16,
    /// Whether it is an answer.
    pub is_answer: bool,
    /// Response code of an answer.
    pub code: u8,
}

/// What a window shows so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reading {
    /// Questions, until the window was full.
    pub questions: u32,
    /// Since the first of them.
    pub lasted: Duration,
    /// Bytes of unique names, in all.
    pub unique_bytes: f64,
    /// The same in a second over ten minutes, or over the whole window when that is longer.
    pub bytes_per_second: f64,
    /// Share of the questions that were for a name never asked for before, 0 to 1.
    pub unique_ratio: f64,
    /// Share of the questions of a type that carries text, 0 to 1.
    pub carrying_share: f64,
    /// Mean length of the longest label of unique names, in bytes.
    pub label_bytes: f64,
    /// Share of the answers that there is no such name, 0 to 1.
    pub missing_share: f64,
}

impl Tunnel {
    /// Takes a message about a name below the domain.
    pub fn take(&mut self, at: Time, message: Message<'_>, salt: Salt) {
        if message.is_answer {
            self.answer(message.code);
            return;
        }
        if self.questions == 0 || self.is_over(at) || self.is_set_back(at) {
            self.open(at);
        }
        if !self.is_full() {
            self.ask(message, salt);
        }
    }

    /// What the window shows by now; nothing when it is over.
    pub fn reading(&self, now: Time) -> Reading {
        if self.questions == 0 || self.is_over(now) {
            return Reading::default();
        }
        let questions = f64::from(self.questions);
        let bits = f64::from(self.set.saturating_sub(self.known).max(1));
        // How many names set so many of the bits that were free.
        let free = f64::from(BITS) - f64::from(self.known);
        let names = (f64::from(BITS) * (free / (free - bits)).ln()).min(questions);
        let unique_bytes = f64::from(self.name_bytes) * names / bits;
        let lasted = now.since(self.opened);
        Reading {
            questions: self.questions,
            lasted,
            unique_bytes,
            bytes_per_second: unique_bytes / lasted.max(WINDOW).as_secs_f64(),
            unique_ratio: names / questions,
            carrying_share: f64::from(self.carrying) / questions,
            label_bytes: f64::from(self.label_bytes) / bits,
            missing_share: f64::from(self.missing) / f64::from(self.answers.max(1)),
        }
    }

    fn is_over(&self, now: Time) -> bool {
        let age = now.since(self.opened);
        let holds = || !self.is_full() && f64::from(self.name_bytes) >= RATE_MIN * age.as_secs_f64();
        age > WINDOW_MAX || (age > WINDOW && !holds())
    }

    /// Late by more than a window, the clock was set.
    fn is_set_back(&self, at: Time) -> bool {
        self.opened.since(at) > WINDOW
    }

    fn is_full(&self) -> bool {
        u32::from(self.set) >= FULL
    }

    /// Opens a window; the names of windows long past are forgotten.
    fn open(&mut self, at: Time) {
        let windows = at.since(self.opened).as_secs() / WINDOW.as_secs();
        let forgotten = if self.is_set_back(at) { WORDS as u64 } else { windows.clamp(1, WORDS as u64) };
        let (mut names, mut oldest) = (self.names, usize::from(self.oldest));
        for _ in 0..forgotten {
            names[oldest % WORDS] = 0;
            oldest = (oldest + 1) % WORDS;
        }
        let known = names.iter().map(|word| word.count_ones() as u16).sum();
        *self = Self { opened: at, names, oldest: oldest as u8, set: known, known, ..Self::default() };
    }

    fn answer(&mut self, code: u8) {
        if self.answers < u16::MAX {
            self.answers += 1;
            self.missing += u16::from(code == NO_SUCH_NAME);
        }
    }

    fn ask(&mut self, message: Message<'_>, salt: Salt) {
        self.questions = self.questions.saturating_add(1);
        let carries = CARRYING.contains(&message.record_type);
        self.carrying = self.carrying.saturating_add(u16::from(carries));
        let bit = name_hash(message.subdomain, salt) % u64::from(BITS);
        let (word, mask) = (&mut self.names[bit as usize / 64], 1 << (bit % 64));
        if *word & mask == 0 {
            *word |= mask;
            self.set += 1;
            let labels = message.subdomain.split('.');
            let carried: usize = labels.clone().map(carried_bytes).sum();
            let longest = labels.map(str::len).max().unwrap_or(0);
            self.name_bytes = self.name_bytes.saturating_add(carried as u32);
            self.label_bytes = self.label_bytes.saturating_add(longest as u32);
        }
    }
}

impl Reading {
    /// Whether this is a tunnel, as far as the names tell.
    pub fn is_tunnel(&self) -> bool {
        let is_flood = self.bytes_per_second >= FLOOD_RATE_MIN;
        let is_unlike_hosts = self.label_bytes >= LABEL_MIN || self.carrying_share >= CARRYING_MIN;
        let unique_min = if is_flood { FLOOD_UNIQUE_MIN } else { UNIQUE_MIN };
        let is_enough = self.questions >= QUESTIONS_MIN && self.bytes_per_second >= RATE_MIN;
        is_enough && self.unique_ratio >= unique_min && (is_unlike_hosts || self.lasted >= SETTLED)
    }
}

/// Names mean the same in upper and lower case, and some resolvers mix them at random.
fn name_hash(name: &str, salt: Salt) -> u64 {
    let mut hasher = salt.hasher();
    for chunk in name.as_bytes().chunks(CHUNK) {
        let mut lower = [0; CHUNK];
        let lower = &mut lower[..chunk.len()];
        lower.copy_from_slice(chunk);
        lower.make_ascii_lowercase();
        hasher.write(lower);
    }
    hasher.finish()
}

/// What a label can carry, in bytes: a number of up to 255 is one byte, however it is spelled. An address that is looked up in a
/// list is four of them.
fn carried_bytes(label: &str) -> usize {
    if label.len() <= 3 && label.parse::<u8>().is_ok() { 1 } else { label.len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: u16 = 1;
    const TXT: u16 = 16;

    fn at(seconds: f64) -> Time {
        Time::from_secs(1_700_000_000).plus(Duration::from_secs_f64(seconds))
    }

    fn asked(tunnel: &mut Tunnel, seconds: f64, subdomain: &str, record_type: u16) -> Reading {
        let message = Message { subdomain, record_type, is_answer: false, code: 0 };
        tunnel.take(at(seconds), message, Salt::new(1));
        tunnel.reading(at(seconds))
    }

    /// When it is found, in seconds after the first question, of names that come every so many seconds.
    fn found(names: impl Iterator<Item = String>, every_seconds: f64, record_type: u16) -> Option<f64> {
        let mut tunnel = Tunnel::default();
        let times = (0..).map(|turn| f64::from(turn) * every_seconds);
        let mut asked =
            names.zip(times).map(|(name, time)| (time, asked(&mut tunnel, time, &name, record_type)));
        asked.find(|(_, reading)| reading.is_tunnel()).map(|(time, _)| time)
    }

    /// So many different names, in hexadecimal of that length.
    fn hex(count: u64, length: usize) -> impl Iterator<Item = String> {
        (0..count).map(move |turn| {
            let word = format!("{:016x}", Salt::new(9).hash(&turn.to_le_bytes()));
            word.repeat(length.div_ceil(16))[..length].to_owned()
        })
    }

    #[test]
    fn a_domain_takes_96_bytes() {
        assert_eq!(size_of::<Tunnel>(), 96);
    }

    #[test]
    fn a_fast_tunnel_is_found_within_seconds() {
        assert!(found(hex(100, 60), 0.1, A).unwrap() < 1.0);
        assert!(found(hex(100, 20), 0.1, TXT).unwrap() < 2.0);
    }

    #[test]
    fn short_names_for_addresses_must_last() {
        let time = found(hex(2_000, 20), 0.5, A).unwrap();
        assert!((300.0..301.0).contains(&time), "{time}");
    }

    #[test]
    fn a_slow_tunnel_is_found_within_ten_minutes_and_a_slower_one_is_not() {
        let time = found(hex(100, 42), 60.0, A).unwrap();
        assert!((420.0..=600.0).contains(&time), "{time}");
        assert_eq!(found(hex(100, 42), 100.0, A), None);
    }

    #[test]
    fn few_long_names_are_found_within_the_hour() {
        let time = found(hex(20, 200), 285.0, A).unwrap();
        assert_eq!(time, 5.0 * 285.0);
    }

    #[test]
    fn asking_twice_for_everything_is_no_tunnel_until_it_is_a_flood() {
        let twice = |length| hex(500, length).flat_map(|name| [name.clone(), name]);
        assert_eq!(found(twice(30), 1.0, A), None);
        assert!(found(twice(60), 1.0, A).is_some());
    }

    #[test]
    fn the_same_names_again_are_no_tunnel() {
        let pods = (0..10_000).map(|turn| format!("web-7f9c8d6b5-{:05}", turn % 50));
        assert_eq!(found(pods, 0.6, A), None);
        let mixed = ["Www.A", "wWw.a"].into_iter().cycle().take(1_000).map(str::to_owned);
        assert_eq!(found(mixed, 0.1, TXT), None);
    }

    #[test]
    fn an_address_in_a_name_carries_four_bytes() {
        let mut tunnel = Tunnel::default();
        let mut reading = Reading::default();
        for turn in 0..70_u32 {
            reading = asked(&mut tunnel, f64::from(turn), &format!("{}.{}.168.192", turn % 250, turn / 7), A);
        }
        assert!((reading.unique_bytes - 280.0).abs() < 30.0 && !reading.is_tunnel(), "{reading:?}");
        assert_eq!(["255", "256", "a", "", "0001"].map(carried_bytes), [1, 3, 1, 0, 4]);
    }

    #[test]
    fn names_that_come_again_in_another_window_are_known() {
        let mut tunnel = Tunnel::default();
        let rounds =
            (0..6).flat_map(|round| hex(15, 20).zip(0..).map(move |(name, turn)| (round, turn, name)));
        let mut ratios = [0.0; 6];
        for (round, turn, name) in rounds {
            let seconds = f64::from(round) * 900.0 + f64::from(turn);
            ratios[round as usize] = asked(&mut tunnel, seconds, &name, A).unique_ratio;
        }
        assert!(ratios[0] > 0.9 && ratios[1..].iter().all(|ratio| *ratio < 0.4), "{ratios:?}");
    }

    #[test]
    fn a_reading_says_what_was_asked_and_answered() {
        let mut tunnel = Tunnel::default();
        for (turn, name) in hex(100, 30).enumerate() {
            asked(&mut tunnel, turn as f64, &format!("{name}.ab"), if turn % 4 == 0 { TXT } else { A });
            let code = if turn % 2 == 0 { NO_SUCH_NAME } else { 0 };
            let answer = Message { subdomain: &name, record_type: A, is_answer: true, code };
            tunnel.take(at(turn as f64), answer, Salt::new(1));
        }
        let reading = tunnel.reading(at(99.0));
        assert_eq!((reading.questions, reading.lasted), (100, Duration::from_secs(99)));
        assert_eq!((reading.carrying_share, reading.missing_share, reading.label_bytes), (0.25, 0.5, 30.0));
        assert!((reading.unique_bytes - 3_200.0).abs() < 320.0, "{reading:?}");
        assert!((reading.unique_ratio - 1.0).abs() < 0.1, "{reading:?}");
        assert_eq!(tunnel.reading(at(10_000.0)), Reading::default());
    }

    #[test]
    fn a_flood_of_names_fills_the_window_and_stays_a_tunnel() {
        let mut tunnel = Tunnel::default();
        let mut last = Reading::default();
        for (turn, name) in hex(100_000, 60).enumerate() {
            last = asked(&mut tunnel, turn as f64 / 1_000.0, &name, A);
        }
        assert!(last.is_tunnel() && last.questions < 2_000, "{last:?}");
    }

    #[test]
    fn hostile_names_and_times_break_nothing() {
        let mut tunnel = Tunnel::default();
        let long = "ä.".repeat(5_000);
        for seconds in [0.0, 1e9, 0.0, 5.0] {
            for name in ["", ".", "....", "\u{0}", &long] {
                asked(&mut tunnel, seconds, name, u16::MAX);
            }
        }
        tunnel.take(
            Time::from_ns(i64::MIN),
            Message { subdomain: "x", record_type: 0, is_answer: false, code: 0 },
            Salt::new(1),
        );
        assert!(tunnel.reading(Time::from_ns(i64::MAX)) == Reading::default());
    }

    #[test]
    fn it_reads_back_from_a_checkpoint() {
        let mut tunnel = Tunnel::default();
        let readings = hex(50, 20).map(|name| asked(&mut tunnel, 1.0, &name, A));
        assert_eq!(readings.last().unwrap().questions, 50);
        let text = serde_json::to_string(&tunnel).unwrap();
        assert_eq!(serde_json::from_str::<Tunnel>(&text).unwrap(), tunnel);
    }
}
