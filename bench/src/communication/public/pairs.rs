//! The same records in both of Zeek's forms: columns and JSON have to be read alike.
//!
//! Not here: what is judged of them.

use std::path::Path;

use anyhow::{Result, ensure};
use formats::record::Parsed;
use formats::zeek;

use crate::excess::files::{ending, text};
use crate::figure::{Figure, Goal};

/// Logs of closed and open connections and of names that lie in both forms in RITA's data.
const OF_RITA: [(&str, &str); 3] = [
    ("zeek-rita/open_conns/open/conn.log", "zeek-rita/json_with_all_fields/conn.log"),
    ("zeek-rita/open_conns/open/open_conn.log", "zeek-rita/json_with_all_fields/open_conn.log"),
    ("zeek-rita/open_conns/open/dns.log", "zeek-rita/json_with_all_fields/dns.log"),
];

/// In one record of RITA's names the data itself differ: its response code is 5 in columns and 1 as JSON.
const UNLIKE_IN_RITA: usize = 1;

/// How many records both forms have, and how many of them are equal.
#[derive(Default)]
struct Count {
    files: usize,
    flows: usize,
    names: usize,
    equal: usize,
    unread: u64,
}

/// The figures of the pairs that are there.
pub(super) fn measure(data: &Path) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let zed = data.join("zeek-zed");
    if zed.is_dir() {
        figures.extend(of_zed(&zed)?.figures("zeek-zed", 0));
    }
    if data.join("zeek-rita").is_dir() {
        let mut count = Count::default();
        for (columns, json) in OF_RITA {
            count.add(&data.join(columns), &data.join(json), zeek::parse)?;
        }
        figures.extend(count.figures("zeek-rita", UNLIKE_IN_RITA));
    }
    Ok(figures)
}

/// It has no logs of connections and names: those of services tell who used them.
fn of_zed(folder: &Path) -> Result<Count> {
    let mut count = Count::default();
    for columns in ending(&folder.join("zeek-default"), ".log.gz")? {
        let name = columns.file_name().unwrap_or_default().to_string_lossy().replace(".log.gz", ".json.gz");
        count.add(&columns, &folder.join("zeek-json").join(name), zeek::parse_any)?;
    }
    Ok(count)
}

impl Count {
    fn add(&mut self, columns: &Path, json: &Path, parse: fn(&[u8]) -> Parsed) -> Result<()> {
        let [one, other] = [columns, json].map(|path| text(path).map(|text| parse(text.as_bytes())));
        let (one, other) = (one?, other?);
        let lines = |parsed: &Parsed| parsed.records + parsed.others + parsed.problems.count;
        ensure!(lines(&one) == lines(&other), "{}: another number of lines as JSON", columns.display());
        self.files += 1;
        self.flows += one.flows.len();
        self.names += one.names.len();
        self.equal += one.flows.iter().zip(&other.flows).filter(|(one, other)| one == other).count();
        self.equal += one.names.iter().zip(&other.names).filter(|(one, other)| one == other).count();
        self.unread += one.problems.count + other.problems.count;
        Ok(())
    }

    fn figures(&self, data: &str, unlike: usize) -> [Figure; 4] {
        let figure =
            |what: &str, count: f64| Figure::once(format!("{data}, {} pairs: {what}", self.files), "", count);
        let alike = (self.flows + self.names - unlike) as f64;
        [
            figure("flows", self.flows as f64),
            figure("names", self.names as f64),
            figure("equal as columns and as JSON", self.equal as f64).with_goal(Goal::AtLeast(alike)),
            figure("lines that cannot be read", self.unread as f64).with_goal(Goal::AtMost(0.0)),
        ]
    }
}
