//! Argus: bidirectional flows as its client `ra` prints them with a delimiter, `.binetflow` of the Stratosphere captures.
//!
//! Written after ra(1). The columns by their heading, between commas or tabs; `ra` quotes nothing, so a cell ends where the
//! delimiter stands. Times have no zone and are taken as UTC. Not here: labels.

use jiff::civil::DateTime;
use jiff::tz::Offset;
use model::time::Time;
use model::traffic::Protocol;

use crate::field::{self, has_ports, number};
use crate::lines::{Line, Read, each_line};
use crate::problem::Reason;
use crate::record::{End, FlowRecord, Outcome, Parsed};

/// First column of a heading.
const FIRST_COLUMN: &str = "StartTime";
/// Most columns of a heading: `ra` can print about 150.
const COLUMNS_MAX: usize = 512;
/// What flies without IP, and Argus' notes about itself.
const NOT_IP: [&str; 11] =
    ["arp", "rarp", "llc", "man", "ipx/spx", "lldp", "stp", "unas", "loop", "ether", "x-ns-idp"];

/// Reads flows; those without IP are counted as others.
pub fn parse(bytes: &[u8]) -> Parsed {
    let mut heading: Option<Heading> = None;
    each_line(bytes, |line, parsed| {
        if line.get(..FIRST_COLUMN.len()).is_some_and(|first| first.eq_ignore_ascii_case(FIRST_COLUMN)) {
            heading = None;
            heading = Some(Heading::new(line)?);
            return Ok(Line::Heading);
        }
        let row = heading.as_ref().ok_or(Reason::NoHeading)?.row(line)?;
        read(&row, parsed)
    })
}

struct Heading {
    delimiter: char,
    names: Vec<String>,
}

impl Heading {
    fn new(line: &str) -> Result<Self, Reason> {
        let delimiter = if line.contains('\t') { '\t' } else { ',' };
        let names: Vec<String> = line.split(delimiter).map(|name| name.trim().to_ascii_lowercase()).collect();
        let count = names.len();
        let fits = count <= COLUMNS_MAX;
        fits.then_some(Self { delimiter, names })
            .ok_or(Reason::TooManyColumns { count, count_max: COLUMNS_MAX })
    }

    fn row<'a>(&'a self, line: &'a str) -> Result<Row<'a>, Reason> {
        let cells: Vec<&str> = line.split(self.delimiter).map(str::trim).collect();
        let (expected, found) = (self.names.len(), cells.len());
        let fits = expected == found;
        fits.then_some(Row { names: &self.names, cells }).ok_or(Reason::Columns { expected, found })
    }
}

struct Row<'a> {
    names: &'a [String],
    cells: Vec<&'a str>,
}

impl Row<'_> {
    /// A cell that is there and not empty; names in lower case.
    fn text(&self, name: &'static str) -> Option<&str> {
        let at = self.names.iter().position(|known| known == name)?;
        self.cells.get(at).copied().filter(|cell| !cell.is_empty())
    }

    fn need(&self, field: &'static str) -> Result<&str, Reason> {
        self.text(field).ok_or(Reason::Missing { field })
    }

    fn count(&self, field: &'static str) -> Result<u64, Reason> {
        self.text(field).map_or(Ok(0), |text| number(field, text))
    }
}

fn read(row: &Row<'_>, parsed: &mut Parsed) -> Read {
    let name = row.need("proto")?;
    if NOT_IP.iter().any(|other| other.eq_ignore_ascii_case(name)) {
        return Ok(Line::Other);
    }
    let protocol = field::protocol(name).ok_or_else(|| Reason::value("proto", name))?;
    let source = end(row, protocol, "srcaddr", "sport")?;
    let destination = end(row, protocol, "dstaddr", "dport")?;
    let mut flow = FlowRecord::new(Some(at(row.need("starttime")?)?), protocol, source, destination);
    if let Some(span) = row.text("dur") {
        flow.lasted = field::span("dur", span)?;
    }
    (flow.sent_bytes, flow.received_bytes) = both_ways(row, "srcbytes", "totbytes")?;
    (flow.sent_packets, flow.received_packets) = both_ways(row, "srcpkts", "totpkts")?;
    let is_turned = row.text("dir").is_some_and(|arrow| arrow.contains('<') && !arrow.contains('>'));
    let mut flow = if is_turned { flow.turned() } else { flow };
    flow.outcome = outcome(&flow, row.text("state").unwrap_or_default(), is_turned);
    parsed.flows.push(flow);
    Ok(Line::Record)
}

fn end(row: &Row<'_>, protocol: Protocol, address: &'static str, port: &'static str) -> Result<End, Reason> {
    let at = field::address(address, row.need(address)?)?;
    let port = match row.text(port) {
        Some(text) if has_ports(protocol) => port_number(port, text)?,
        _ => 0,
    };
    Ok(End::at(at, port))
}

/// Ports are decimal; what `ra` knows no service for may be hexadecimal.
fn port_number(field: &'static str, text: &str) -> Result<u16, Reason> {
    match text.strip_prefix("0x") {
        Some(hex) => u16::from_str_radix(hex, 16).map_err(|_| Reason::value(field, text)),
        None => number(field, text),
    }
}

/// What the source sent, and what came back: the whole less that.
fn both_ways(row: &Row<'_>, of_source: &'static str, whole: &'static str) -> Result<(u64, u64), Reason> {
    let (sent, all) = (row.count(of_source)?, row.count(whole)?);
    let received = all.checked_sub(sent);
    Ok((sent, received.ok_or_else(|| Reason::value(of_source, row.text(of_source).unwrap_or_default()))?))
}

/// `2019/04/04 16:24:47.672448`, or Unix seconds.
fn at(text: &str) -> Result<Time, Reason> {
    let Ok(civil) = DateTime::strptime("%Y/%m/%d %H:%M:%S%.f", text) else {
        return field::time("starttime", text);
    };
    let stamp = Offset::UTC.to_timestamp(civil).map_err(|_| Reason::value("starttime", text))?;
    let ns = i64::try_from(stamp.as_nanosecond()).map_err(|_| Reason::value("starttime", text))?;
    Ok(Time::from_ns(ns))
}

fn outcome(flow: &FlowRecord, state: &str, is_turned: bool) -> Outcome {
    match state.split_once('_') {
        Some((left, right)) if is_turned => of_flags(right, left),
        Some((left, right)) => of_flags(left, right),
        None => of_state(state, flow),
    }
}

/// The TCP flags that each end was seen to send: S, F, R, P, A, U, E, C.
fn of_flags(opener: &str, other: &str) -> Outcome {
    // Who acknowledges has seen an answer, whether we have or not.
    let both_went_on = opener.contains('A') && other.contains('A') && !other.contains('R');
    if other.contains('S') || other.contains('P') || both_went_on {
        return Outcome::Made;
    }
    if opener.contains('S') && other.contains('R') {
        return Outcome::Refused;
    }
    if opener.contains('S') && !opener.contains('A') && other.is_empty() {
        return Outcome::Unanswered;
    }
    Outcome::Unknown
}

/// States of whatever has no flags, and of TCP where flags are not printed.
fn of_state(state: &str, flow: &FlowRecord) -> Outcome {
    match state {
        "CON" | "ACC" | "EST" | "CLO" | "FIN" | "ECR" => Outcome::Made,
        "INT" | "REQ" | "S0" => Outcome::Unanswered,
        "ECO" if flow.received_packets > 0 => Outcome::Made,
        "ECO" => Outcome::Unanswered,
        _ => Outcome::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADING: &str = "StartTime,Dur,Proto,SrcAddr,Sport,Dir,DstAddr,Dport,State,sTos,dTos,TotPkts,TotBytes,SrcBytes,SrcPkts,Label";

    fn read_rows(rows: &[&str]) -> Parsed {
        parse(format!("{HEADING}\n{}\n", rows.join("\n")).as_bytes())
    }

    fn outcome_of(protocol: &str, dir: &str, state: &str, packets: &str) -> Option<Outcome> {
        let row = format!(
            "2024/01/31 10:00:00.5,1.0,{protocol},10.0.0.5,40000,{dir},192.0.2.7,443,{state},0,0,{packets},300,100,1,"
        );
        read_rows(&[&row]).flows.first().map(|flow| flow.outcome)
    }

    #[test]
    fn a_flow_is_read_by_the_names_of_its_columns() {
        let parsed = parse(
            b"StartTime\tDir\tSrcAddr\tSport\tDstAddr\tDport\tProto\tState\tTotBytes\tSrcBytes\tTotPkts\tSrcPkts\tDur\n\
              2024/01/31 10:00:00.500000\t   ->\t10.0.0.5\t40000\tfd00::7\t443\ttcp\tFSPA_FSPA\t300\t100\t5\t2\t1.25\n",
        );
        let [flow] = &parsed.flows[..] else { panic!("{parsed:?}") };
        assert_eq!(flow.at.map(Time::rfc3339).as_deref(), Some("2024-01-31T10:00:00.500Z"));
        assert_eq!(flow.destination.socket(), Some("[fd00::7]:443".parse().unwrap()));
        assert_eq!(
            (flow.sent_bytes, flow.received_bytes, flow.sent_packets, flow.received_packets),
            (100, 200, 2, 3)
        );
        assert_eq!((flow.outcome, flow.lasted.as_millis()), (Outcome::Made, 1250));
    }

    #[test]
    fn flags_and_states_decide_how_it_went() {
        let cases = [
            ("tcp", "FSPA_FSPA", "4", Outcome::Made),
            ("tcp", "S_SA", "4", Outcome::Made),
            ("tcp", "FSA_SRA", "4", Outcome::Made),
            ("tcp", "PA_PA", "4", Outcome::Made),
            ("tcp", "FA_FA", "4", Outcome::Made),
            ("tcp", "S_RA", "2", Outcome::Refused),
            ("tcp", "S_R", "2", Outcome::Refused),
            ("tcp", "SR_RA", "2", Outcome::Refused),
            ("tcp", "S_", "1", Outcome::Unanswered),
            ("tcp", "S0", "1", Outcome::Unanswered),
            ("tcp", "REQ", "1", Outcome::Unanswered),
            ("tcp", "SRPA_", "1", Outcome::Unknown),
            ("tcp", "_FA", "1", Outcome::Unknown),
            ("udp", "CON", "2", Outcome::Made),
            ("udp", "INT", "1", Outcome::Unanswered),
            ("icmp", "ECO", "1", Outcome::Unanswered),
            ("icmp", "ECO", "2", Outcome::Made),
            ("icmp", "URP", "1", Outcome::Unknown),
        ];
        for (protocol, state, packets, outcome) in cases {
            assert_eq!(outcome_of(protocol, "   ->", state, packets), Some(outcome), "{protocol} {state}");
        }
        assert_eq!(outcome_of("tcp", "  <-", "RA_S", "2"), Some(Outcome::Refused), "turned");
    }

    #[test]
    fn an_arrow_to_the_left_turns_the_flow() {
        let row = "2024/01/31 10:00:00.5,1.0,tcp,10.0.0.5,22,<-,192.0.2.7,40000,FSPA_FSPA,0,0,5,300,100,2,";
        let parsed = read_rows(&[row]);
        let [flow] = &parsed.flows[..] else { panic!("{parsed:?}") };
        assert_eq!(flow.destination.socket(), Some("10.0.0.5:22".parse().unwrap()));
        assert_eq!((flow.sent_bytes, flow.received_bytes), (200, 100));
    }

    #[test]
    fn what_has_no_ip_is_not_meant_and_what_cannot_be_is_a_problem() {
        let parsed = read_rows(&[
            "2024/01/31 10:00:00.5,1.0,arp,10.0.0.5,,who,10.0.0.7,,CON,,,2,120,60,1,",
            "2024/01/31 10:00:00.5,0,llc,00:00:00:00:00:00,0,->,00:00:00:00:00:00,0,INT,,,1,60,60,1,",
            "2024/01/31 10:00:00.5,1.0,icmp,10.0.0.5,0x0008,->,10.0.0.7,0x7208,ECO,0,,2,144,144,2,",
            "2024/01/31 10:00:00.5,1.0,tcp,10.0.0.5,1,->,10.0.0.7,70000,S_,0,,1,60,60,1,",
            "2024/01/31 10:00:00.5,1.0,tcp,10.0.0.5,1,->,10.0.0.7,80,S_,0,,1,60,61,1,",
            "2024/13/31 10:00:00.5,1.0,tcp,10.0.0.5,1,->,10.0.0.7,80,S_,0,,1,60,60,1,",
            "2024/01/31 10:00:00.5,1.0,tcp",
        ]);
        assert_eq!((parsed.others, parsed.records, parsed.flows.len()), (2, 1, 1));
        let told: Vec<String> = parsed.problems.kept.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "line 5: dport is \"70000\"",
                "line 6: srcbytes is \"61\"",
                "line 7: starttime is \"2024/13/31 10:00:00.5\"",
                "line 8: 3 columns instead of 16",
            ]
        );
    }

    #[test]
    fn rows_before_their_heading_are_problems() {
        let parsed = parse(b"2024/01/31 10:00:00.5,1.0,tcp,10.0.0.5,1,->,10.0.0.7,80,S_,0,,1,60,60,1,\n");
        assert_eq!(parsed.problems.kept[0].reason, Reason::NoHeading);
    }
}
