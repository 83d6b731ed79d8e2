//! Zeek: `conn.log` and `dns.log`, with columns or as JSON lines, closed connections and open ones.
//!
//! Written after docs.zeek.org, `base/protocols/conn/main.zeek`, `base/protocols/dns/main.zeek` and the ASCII writer.
//! Not here: what services said (`http.log`, `ssl.log`); that they were used is told on request.

mod row;

use std::borrow::Cow;

use model::time::Time;
use model::traffic::Protocol;

use crate::field::{self, has_ports, number};
use crate::lines::{Line, Read, each_line};
use crate::problem::Reason;
use crate::record::{End, FlowRecord, NameRecord, Outcome, Parsed};
use crate::zeek::row::{Heading, Row};

/// From here on a number is in milliseconds, as `JSON::TS_MILLIS` writes it: as seconds it lies beyond the year 5000.
const MILLISECONDS_FROM: f64 = 1e11;

/// Logs of services over UDP; the others without a field for the protocol are of TCP.
const OVER_UDP: [&str; 6] = ["dhcp", "ntp", "radius", "sip", "snmp", "tftp"];

/// Reads logs of connections and of names; lines of other logs are counted as such.
pub fn parse(bytes: &[u8]) -> Parsed {
    read(bytes, false)
}

/// As [`parse`], for whoever has no `conn.log`: each line of a log of any other service that names both ends becomes a flow of
/// which no more is known than that it was.
pub fn parse_any(bytes: &[u8]) -> Parsed {
    read(bytes, true)
}

fn read(bytes: &[u8], any: bool) -> Parsed {
    let mut heading = Heading::default();
    each_line(bytes, |line, parsed| {
        if line.starts_with('#') {
            return heading.take(line).map(|()| Line::Heading);
        }
        let row = if line.starts_with('{') { Row::from_json(line)? } else { heading.row(line)? };
        read_row(&row, any, parsed)
    })
}

/// Which log a row is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Log {
    Connections,
    Names,
    Other,
}

fn read_row(row: &Row<'_>, any: bool, parsed: &mut Parsed) -> Read {
    match log(row) {
        Log::Connections => connection(row, parsed),
        Log::Names => names(row, parsed),
        Log::Other if any && row.text("id.orig_h").is_some() => {
            parsed.flows.push(ends(row)?);
            Ok(Line::Record)
        }
        Log::Other => Ok(Line::Other),
    }
}

/// By the path when the log gives one, else by the fields that the other logs lack.
fn log(row: &Row<'_>) -> Log {
    match row.path().as_deref() {
        Some("conn" | "open_conn" | "conn_long") => Log::Connections,
        Some("dns") => Log::Names,
        Some(_) => Log::Other,
        None if row.text("conn_state").is_some() => Log::Connections,
        None if row.text("trans_id").is_some() && row.text("rejected").is_some() => Log::Names,
        None => Log::Other,
    }
}

fn connection(row: &Row<'_>, parsed: &mut Parsed) -> Read {
    let mut flow = ends(row)?;
    flow.outcome = row.text("conn_state").map_or(Outcome::Unknown, |state| outcome(&state));
    flow.sent_bytes = count(row, "orig_bytes")?;
    flow.received_bytes = count(row, "resp_bytes")?;
    flow.sent_packets = count(row, "orig_pkts")?;
    flow.received_packets = count(row, "resp_pkts")?;
    parsed.flows.push(flow);
    Ok(Line::Record)
}

/// Made: the handshake was seen whole. Of the states in which only one end was seen speaking, those of the opener mean no
/// answer; `RSTRH`, `SHR` and `OTH` mean that the opener, or the beginning, was not seen at all.
fn outcome(state: &str) -> Outcome {
    match state {
        "SF" | "S1" | "S2" | "S3" | "RSTO" | "RSTR" => Outcome::Made,
        "REJ" => Outcome::Refused,
        "S0" | "SH" | "RSTOS0" => Outcome::Unanswered,
        _ => Outcome::Unknown,
    }
}

/// A flow between the ends that a row names.
fn ends(row: &Row<'_>) -> Result<FlowRecord, Reason> {
    let source = end(row, "id.orig_h", "id.orig_p")?;
    let destination = end(row, "id.resp_h", "id.resp_p")?;
    let protocol = protocol(row, destination.address.is_some_and(|address| address.is_ipv6()))?;
    let port = |end: End| if has_ports(protocol) { end } else { End { port: 0, ..end } };
    let mut flow = FlowRecord::new(Some(at(row)?), protocol, port(source), port(destination));
    if let Some(span) = row.text("duration") {
        flow.lasted = field::span("duration", &span)?;
    }
    Ok(flow)
}

fn end(row: &Row<'_>, address: &'static str, port: &'static str) -> Result<End, Reason> {
    let at = field::address(address, &need(row, address)?)?;
    Ok(End::at(at, number(port, &need(row, port)?)?))
}

/// Zeek calls both kinds of control messages `icmp`, and has no name for most protocols: newer versions add the number.
fn protocol(row: &Row<'_>, is_v6: bool) -> Result<Protocol, Reason> {
    let name = row.text("proto").unwrap_or_else(|| {
        let over_udp = row.path().is_some_and(|path| OVER_UDP.contains(&&*path));
        if over_udp { "udp".into() } else { "tcp".into() }
    });
    match &*name {
        "icmp" if is_v6 => Ok(Protocol::ICMPV6),
        "unknown_transport" => Ok(Protocol(number("ip_proto", &need(row, "ip_proto")?)?)),
        name => field::protocol(name).ok_or_else(|| Reason::value("proto", name)),
    }
}

/// One line tells the question and, when there was one, the answer.
fn names(row: &Row<'_>, parsed: &mut Parsed) -> Read {
    let Some(name) = row.text("query") else { return Ok(Line::Other) };
    let question = NameRecord {
        at: Some(at(row)?),
        source: field::address("id.orig_h", &need(row, "id.orig_h")?)?,
        server: field::address("id.resp_h", &need(row, "id.resp_h")?)?,
        name: field::name(&name),
        record_type: row.text("qtype").map_or(Ok(0), |number_of| number("qtype", &number_of))?,
        code: 0,
        is_answer: false,
        addresses: Vec::new(),
    };
    let answer = answer(row, &question)?;
    parsed.names.push(question);
    parsed.names.extend(answer);
    Ok(Line::Record)
}

fn answer(row: &Row<'_>, question: &NameRecord) -> Result<Option<NameRecord>, Reason> {
    let Some(code) = row.text("rcode") else { return Ok(None) };
    let code = number("rcode", &code)?;
    let took = row.text("rtt").map_or(Ok(Default::default()), |span| field::span("rtt", &span))?;
    let addresses = field::addresses(row.list("answers"));
    let at = question.at.map(|at| at.plus(took));
    Ok(Some(NameRecord { at, code, is_answer: true, addresses, ..question.clone() }))
}

fn at(row: &Row<'_>) -> Result<Time, Reason> {
    let text = need(row, "ts")?;
    match text.parse::<f64>() {
        Ok(milliseconds) if milliseconds >= MILLISECONDS_FROM => {
            field::time("ts", &(milliseconds / 1e3).to_string())
        }
        _ => field::time("ts", &text),
    }
}

fn count(row: &Row<'_>, field: &'static str) -> Result<u64, Reason> {
    row.text(field).map_or(Ok(0), |text| number(field, &text))
}

fn need<'a>(row: &'a Row<'_>, field: &'static str) -> Result<Cow<'a, str>, Reason> {
    row.text(field).ok_or(Reason::Missing { field })
}

#[cfg(test)]
mod tests;
