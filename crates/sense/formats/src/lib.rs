//! Foreign logs, pure parsers, one file each: flows and names in one neutral form.
//!
//! All of it is hostile input: lines, fields, nesting and what is kept of problems are bounded, nothing panics, and
//! whatever cannot be read is told with its line. Not here: files, following them, and who owns an address.

pub mod record;

pub mod problem;

mod lines;

mod field;

pub mod zeek;

pub mod binetflow;

pub mod suricata;

pub mod hubble;

pub mod inspektor;
