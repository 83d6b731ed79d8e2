//! Tunnels through names, as known tools make them: how they spell data, how long their names are, what types they ask for.
//!
//! Not here: their answers. What comes back is the other half of a tunnel, and is not counted.

use crate::communication::names::Asked;

/// Domain of the other end.
const DOMAIN: &str = "t.example-tunnel.com";

/// Hexadecimal; base 32 in lower case; base 64 for names.
const HEX: &[u8] = b"0123456789abcdef";
const BASE32: &[u8] = b"abcdefghijklmnopqrstuvwxyz012345";
const BASE64: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

const HOUR: f64 = 3_600.0;

/// A tool.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    alphabet: &'static [u8],
    /// Longest label.
    label: usize,
    /// Lengths of names without their dots, at rates below ten bytes a second and above.
    slow: (usize, usize),
    fast: (usize, usize),
    types: &'static [u16],
}

/// dnscat2 asks for TXT, CNAME or MX at random, in hexadecimal; iodine for NULL, in base 32 with labels of 57; what steals
/// records of payment cards asks for addresses only.
pub(crate) const TOOLS: [Tool; 4] = [
    Tool {
        name: "like dnscat2",
        alphabet: HEX,
        label: 60,
        slow: (18, 50),
        fast: (18, 180),
        types: &[16, 5, 15],
    },
    Tool { name: "like iodine", alphabet: BASE32, label: 57, slow: (10, 50), fast: (40, 200), types: &[10] },
    Tool {
        name: "for addresses, long labels",
        alphabet: HEX,
        label: 63,
        slow: (40, 50),
        fast: (40, 63),
        types: &[1],
    },
    Tool {
        name: "for addresses, short labels",
        alphabet: BASE64,
        label: 20,
        slow: (12, 40),
        fast: (12, 40),
        types: &[1],
    },
];

impl Tool {
    /// The same with other lengths.
    pub(crate) fn of_lengths(self, low: usize, high: usize) -> Self {
        Self { slow: (low, high), fast: (low, high), ..self }
    }

    /// An hour of so many bytes a second; each run keeps to its length of names, with a fifth to either side, and to a pace
    /// that is off by up to 30 %. One question in a hundred is repeated, because its answer was lost.
    pub(crate) fn run(&self, asked: &mut Asked, rate: f64) {
        let (low, high) = if rate < 10.0 { self.slow } else { self.fast };
        let usual = asked.noise.whole(low, high + 1) as f64;
        let mut at = asked.noise.even(0.0, 60.0);
        while at < HOUR {
            let length = (usual * asked.noise.even(0.8, 1.2)).round() as usize;
            let name = self.name(asked, length);
            let record_type = self.types[asked.noise.whole(0, self.types.len())];
            let name = asked.name(name);
            asked.ask(at, name, record_type);
            if asked.noise.is(0.01) {
                asked.ask(at + 1.0, name, record_type);
            }
            at += length as f64 / rate * asked.noise.even(0.7, 1.3);
        }
    }

    fn name(&self, asked: &mut Asked, length: usize) -> String {
        let mut name = String::new();
        let mut left = length;
        while left > 0 {
            let label = left.min(self.label);
            name.push_str(&asked.word(self.alphabet, label));
            name.push('.');
            left -= label;
        }
        name + DOMAIN
    }
}
