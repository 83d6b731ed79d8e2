//! An incident and the inventory of containers as text for people and as JSON for machines, the graph of who talks to whom
//! as text, JSON and pictures: pure functions.
//!
//! Not here: writing to a terminal, asking whether it has colours or how wide it is.

pub mod units;

pub mod style;

pub mod text;

pub mod table;

pub mod json;

mod drawn;

pub mod graph_text;

pub mod graph_json;

pub mod graph_dot;

pub mod graph_svg;

pub mod approval_text;

pub mod inventory_text;

pub mod container_text;

pub mod inventory_json;
