//! Public logs of flows and names through the whole fold: what it says about those who scanned, tunnelled, or did nothing.
//!
//! Each private address that opens something becomes a container; what a log cannot tell (programs, images, history) is made up
//! alike for all. Read in place. Not here: the simulations.

mod pairs;

mod script;

mod stage;

use std::path::Path;

use anyhow::{Context, Result, ensure};
use formats::record::Parsed;
use formats::{binetflow, hubble, inspektor, suricata, zeek};

use crate::communication::public::script::Script;
use crate::communication::public::stage::{Heard, Stage};
use crate::excess::files::{ending, text};
use crate::figure::{Figure, Goal};

type Parser = fn(&[u8]) -> Parsed;

/// One log, and what has to be said of it.
struct Case {
    /// Below the folder of the data.
    file: &'static str,
    parse: Parser,
    /// Judges that have to speak about a container, called by its address.
    has: &'static [(&'static str, &'static str)],
    /// Judges that must not speak about any.
    has_not: &'static [&'static str],
}

impl Case {
    const fn new(file: &'static str, parse: Parser) -> Self {
        Self { file, parse, has: &[], has_not: &[] }
    }

    const fn with(self, has: &'static [(&'static str, &'static str)]) -> Self {
        Self { has, ..self }
    }

    const fn benign(file: &'static str, parse: Parser) -> Self {
        Self { file, parse, has: &[], has_not: &["scan", "beacon", "dns_tunnel"] }
    }
}

const CASES: [Case; 23] = [
    Case::new("flow-slips/port-scans/horizontal/conn.log", zeek::parse).with(&[("scan", "10.0.2.112")]),
    Case::new("flow-slips/port-scans/vertical/conn.log", zeek::parse).with(&[("scan", "192.168.1.9")]),
    Case::new("flow-slips/test11-portscan.binetflow", binetflow::parse).with(&[("scan", "10.8.0.69")]),
    Case::new("flow-slips/test3-mixed.binetflow", binetflow::parse),
    Case::new("flow-slips/test5-mixed.binetflow", binetflow::parse),
    Case::new("zeek-rita/json_with_all_fields/conn.log", zeek::parse),
    Case::new("zeek-rita/json_with_all_fields/open_conn.log", zeek::parse),
    Case::new("zeek-rita/json_with_all_fields/dns.log", zeek::parse).with(&[("dns_tunnel", "192.168.88.2")]),
    Case::new("zeek-rita/open_conns/closed/conn.log", zeek::parse),
    Case::new("zeek-rita/open_conns/open/conn.log", zeek::parse),
    Case::new("zeek-rita/open_conns/open/open_conn.log", zeek::parse),
    Case::new("zeek-rita/open_sni/open_conn.17_32_32-18_00_00.log.gz", zeek::parse),
    Case::new("zeek-rita/open_sni/open_conn.18_00_00-19_00_00.log.gz", zeek::parse),
    Case::new("zeek-rita/text_file/conn.log", zeek::parse),
    Case::new("zeek-rita/truncated/conn.log", zeek::parse),
    Case::new("zeek-rita/truncated/conn_json.log", zeek::parse),
    Case::new("zeek-rita/truncated/conn_top.log", zeek::parse),
    Case::benign("hubble/basic-sample-10-flows.json", hubble::parse),
    Case::benign("hubble/basic-sample-400-icmpv4-flows.json", hubble::parse),
    Case::benign("hubble/basic-sample-400-tcp-flows.json", hubble::parse),
    Case::benign("hubble/basic-sample-5-dns-flows.json", hubble::parse),
    Case::benign("hubble/basic-sample-5-http-flows.json", hubble::parse),
    Case::new("suricata-slips/test6-malicious.first500.suricata.json", suricata::parse),
];

/// The figures of every log that is there; a folder of the data that is missing is left out.
pub(crate) fn measure(data: &Path) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for case in CASES.iter().filter(|case| is_there(data, case.file)) {
        figures.extend(case.measure(data).with_context(|| case.file)?);
    }
    if is_there(data, "flow-inspektor/") {
        figures.extend(read_only(&data.join("flow-inspektor"))?);
    }
    figures.extend(pairs::measure(data)?);
    Ok(figures)
}

/// Whether the folder that a file is of is there.
fn is_there(data: &Path, file: &str) -> bool {
    file.split('/').next().is_some_and(|folder| data.join(folder).is_dir())
}

impl Case {
    fn measure(&self, data: &Path) -> Result<Vec<Figure>> {
        let parsed = (self.parse)(text(&data.join(self.file))?.as_bytes());
        let script = Script::of(&parsed);
        let mut figures = vec![self.figure("flows", parsed.flows.len() as u64)];
        figures.extend(self.figure_of_some("names", parsed.names.len() as u64));
        figures.extend(self.figure_of_some("lines of other kinds", parsed.others));
        figures.extend(self.figure_of_some("lines that cannot be read", parsed.problems.count));
        figures.push(self.figure("containers", script.cast().len() as u64));
        let heard = if script.is_empty() { Heard::default() } else { Stage::new(&script)?.play(&script)? };
        figures.push(self.figure("incidents", heard.incidents));
        figures.extend(self.judges(&heard));
        figures.extend(script.first().zip(heard.first).map(|(first, at)| {
            Figure::once(self.name("first finding after"), "s", at.since(first).as_secs_f64())
        }));
        Ok(figures)
    }

    /// Findings of each judge that spoke, and of those that have to or must not.
    fn judges(&self, heard: &Heard) -> Vec<Figure> {
        let about = |(judge, container): &(&'static str, &'static str)| {
            let count = heard.about(judge, container);
            self.figure(&format!("{judge} about {container}"), count).with_goal(Goal::AtLeast(1.0))
        };
        let silent = |judge: &&'static str| self.figure(judge, heard.by(judge)).with_goal(Goal::AtMost(0.0));
        let others = heard.judges().into_iter().filter(|judge| !self.has_not.contains(judge));
        let free = others.map(|judge| self.figure(judge, heard.by(judge)));
        let expected = self.has.iter().map(about).chain(self.has_not.iter().map(silent));
        expected.chain(free).collect()
    }

    /// Left out when there are none.
    fn figure_of_some(&self, what: &str, count: u64) -> Option<Figure> {
        (count > 0).then(|| self.figure(what, count))
    }

    fn figure(&self, what: &str, count: u64) -> Figure {
        Figure::once(self.name(what), "", count as f64)
    }

    fn name(&self, what: &str) -> String {
        format!("{}: {what}", self.file)
    }
}

/// Logs that tell no time and few addresses: they are read, and that is all.
fn read_only(folder: &Path) -> Result<Vec<Figure>> {
    let (mut files, mut flows, mut problems) = (0, 0, 0);
    for path in ending(folder, ".input")? {
        let parsed = inspektor::parse(text(&path)?.as_bytes());
        ensure!(parsed.names.is_empty(), "{}: names", path.display());
        files += 1;
        flows += parsed.flows.len();
        problems += parsed.problems.count;
    }
    let figure =
        |what: &str, count: f64| Figure::once(format!("flow-inspektor, {files} files: {what}"), "", count);
    let unread = figure("lines that cannot be read", problems as f64).with_goal(Goal::AtMost(0.0));
    Ok(vec![figure("flows", flows as f64), unread])
}
