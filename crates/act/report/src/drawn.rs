//! What pictures of the graph have in common: what its ends are called, how edges that stand alike look, which are drawn.
//!
//! Not here: any form of picture.

use std::collections::{BTreeMap, BTreeSet};

use model::graph::{EdgeView, GraphView, Standing};
use model::traffic::{EdgeKey, Endpoint, Protocol};
use model::untrusted::Untrusted;

/// Services named on one line between two ends.
const SERVICES_SHOWN: usize = 4;

/// How a line looks.
pub(crate) struct Look {
    /// As `#rrggbb`: told apart by those who see no red too, by brightness and dashes.
    pub(crate) colour: &'static str,
    pub(crate) is_dashed: bool,
    /// In pixels.
    pub(crate) width: u32,
}

/// All standings with their looks, as the legend shows them.
pub(crate) const STANDINGS: [Standing; 5] =
    [Standing::Approved, Standing::Expected, Standing::Learned, Standing::New, Standing::Unexpected];

pub(crate) fn look(standing: Standing) -> Look {
    match standing {
        Standing::Approved | Standing::Expected => Look { colour: "#1b6e3c", is_dashed: false, width: 1 },
        Standing::Learned => Look { colour: "#555555", is_dashed: false, width: 1 },
        Standing::New => Look { colour: "#c77700", is_dashed: true, width: 2 },
        Standing::Unexpected => Look { colour: "#c1121f", is_dashed: true, width: 3 },
    }
}

/// One line: all edges from one end to another.
pub(crate) struct Line<'a> {
    pub(crate) from: &'a Endpoint,
    pub(crate) to: &'a Endpoint,
    /// The worst of them.
    pub(crate) standing: Standing,
    /// Their services in words.
    pub(crate) label: String,
}

/// All edges as lines, ordered by their ends.
pub(crate) fn lines(view: &GraphView) -> Vec<Line<'_>> {
    let mut between: BTreeMap<(&Endpoint, &Endpoint), Vec<&EdgeView>> = BTreeMap::new();
    for edge in &view.edges {
        between.entry((&edge.key.from, &edge.key.to)).or_default().push(edge);
    }
    let line = |((from, to), edges): ((_, _), Vec<&EdgeView>)| {
        let standing = edges.iter().map(|edge| edge.standing).max().unwrap_or(Standing::Learned);
        let shown: Vec<String> = edges.iter().take(SERVICES_SHOWN).map(|edge| service(&edge.key)).collect();
        let more = edges.len().saturating_sub(SERVICES_SHOWN);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        Line { from, to, standing, label: shown.join(", ") + &more }
    };
    between.into_iter().map(line).collect()
}

/// The service of an edge: `5432/tcp`, `icmp`.
pub(crate) fn service(key: &EdgeKey) -> String {
    served(key.port, key.protocol)
}

/// A port and its protocol: `5432/tcp`, `icmp`.
pub(crate) fn served(port: u16, protocol: Protocol) -> String {
    if port == 0 { protocol.to_string() } else { format!("{port}/{protocol}") }
}

/// What every end of the graph is called, escaped: workloads by their short name; if two would be called alike, with the
/// name of their only container (`busybox (batch-1)`), else by all that is known.
pub(crate) fn called(view: &GraphView) -> BTreeMap<&Endpoint, String> {
    let ends = view.edges.iter().flat_map(|edge| [&edge.key.from, &edge.key.to]);
    let all: BTreeSet<&Endpoint> =
        ends.chain(view.listeners.iter().map(|listener| &listener.workload)).collect();
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for end in &all {
        *times.entry(short(end)).or_default() += 1;
    }
    let name = |end: &Endpoint| {
        let is_short = times.get(short(end)) == Some(&1);
        match end {
            Endpoint::Workload(workload) if is_short => Untrusted::new(workload.short()).to_string(),
            Endpoint::Workload(workload) => match view.names.get(workload) {
                Some(name) => format!("{} ({name})", Untrusted::new(workload.short())),
                None => end.to_string(),
            },
            _ => end.to_string(),
        }
    };
    all.into_iter().map(|end| (end, name(end))).collect()
}

/// The short name of a workload; nothing for all others, whose name is short already.
fn short(end: &Endpoint) -> &str {
    match end {
        Endpoint::Workload(workload) => workload.short(),
        _ => "",
    }
}

#[cfg(test)]
pub(crate) mod samples {
    //! A graph with every standing and every kind of end, and one that was made to do harm.

    use model::graph::{ListenerView, Mode};
    use model::ids::{NodeId, WorkloadKey};
    use model::time::Time;

    use super::*;

    /// When the samples were made: 2026-01-31 12:00:00.
    const NOW: i64 = 1_769_860_800;

    pub(crate) const NASTY: &str = "x\u{1b}[2J\n\"];\\N</text><script>alert(1)</script>&'\u{202e}";

    fn workload(name: &str) -> Endpoint {
        Endpoint::Workload(WorkloadKey::new(name))
    }

    fn edge(from: Endpoint, to: Endpoint, port: u16, standing: Standing) -> EdgeView {
        EdgeView {
            key: EdgeKey { from, to, port, protocol: if port == 0 { Protocol::ICMP } else { Protocol::TCP } },
            standing,
            first: Time::from_secs(NOW - 200_000),
            last: Time::from_secs(NOW - 5),
            opened: 1200,
            failed: 3,
            sent_bytes: 98_304_000,
            received_bytes: 512,
            containers: 2,
            period_seconds: None,
            judges: Vec::new(),
        }
    }

    fn view(edges: Vec<EdgeView>) -> GraphView {
        let listeners = Vec::new();
        GraphView {
            node: NodeId::new("shop-1"),
            at: Time::from_secs(NOW),
            mode: Mode::Open,
            edges,
            listeners,
            forgotten: 0,
            names: BTreeMap::new(),
        }
    }

    pub(crate) fn shop() -> GraphView {
        let (web, db) =
            (|| workload("compose:shop/web registry/nginx"), || workload("compose:shop/db postgres"));
        let batch = |command: &str| workload(&format!("busybox [{command}]"));
        let beacon = EdgeView {
            period_seconds: Some(60.0),
            failed: 0,
            judges: vec!["beacon".into()],
            ..edge(batch("wget"), Endpoint::Outside("203.0.113.0/24".into()), 443, Standing::Unexpected)
        };
        let mut view = view(vec![
            edge(batch("sh"), db(), 5432, Standing::New),
            edge(batch("sh"), db(), 22, Standing::Learned),
            beacon,
            edge(web(), db(), 5432, Standing::Approved),
            edge(web(), Endpoint::Outside("example.com".into()), 443, Standing::Expected),
            edge(web(), web(), 0, Standing::Learned),
            edge(Endpoint::Host, web(), 80, Standing::Learned),
            edge(Endpoint::Anybody, web(), 80, Standing::Learned),
            edge(db(), web(), 9000, Standing::Learned),
        ]);
        let (workload, protocol, standing) = (db(), Protocol::TCP, Standing::New);
        view.listeners.push(ListenerView {
            workload,
            port: 5432,
            protocol,
            standing,
            first: Time::from_secs(NOW - 90),
        });
        view.forgotten = 2;
        view.names.insert(WorkloadKey::new("busybox [sh]"), "batch-1".into());
        view
    }

    pub(crate) fn hostile() -> GraphView {
        view(vec![edge(workload(NASTY), Endpoint::Outside(NASTY.into()), 443, Standing::Unexpected)])
    }

    pub(crate) fn empty() -> GraphView {
        view(Vec::new())
    }

    /// Many workloads that talk to a few.
    pub(crate) fn crowd(count: usize) -> GraphView {
        let edge = |number: usize| {
            let (from, to) = (workload(&format!("w{number}")), workload(&format!("hub{}", number % 7)));
            edge(from, to, 80, if number.is_multiple_of(50) { Standing::New } else { Standing::Learned })
        };
        let back = |number: usize| edge(number * 3 % count.max(1));
        view((0..count).map(edge).chain((0..count / 3).map(back)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_called_by_their_short_name_unless_two_would_be_called_alike() {
        let view = samples::shop();
        let names: Vec<String> = called(&view).into_values().collect();
        let workloads = ["busybox (batch-1)", "busybox [wget]", "compose:shop/db", "compose:shop/web"];
        assert_eq!(names[..4], workloads);
        assert_eq!(names[4..], ["host", "203.0.113.0/24", "example.com", "anybody outside"]);
    }

    #[test]
    fn a_line_looks_like_the_worst_of_its_edges_and_names_few_services() {
        let mut view = samples::shop();
        let twice = lines(&view).into_iter().find(|line| line.label.contains("22/tcp")).unwrap();
        assert_eq!((twice.label.as_str(), twice.standing), ("5432/tcp, 22/tcp", Standing::New));
        let many = (1..=6).map(|port| EdgeView {
            key: EdgeKey { port, ..view.edges[0].key.clone() },
            ..view.edges[0].clone()
        });
        view.edges = many.collect();
        assert_eq!(lines(&view)[0].label, "1/tcp, 2/tcp, 3/tcp, 4/tcp and 2 more");
    }
}
