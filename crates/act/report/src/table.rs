//! A list of incidents for people: two lines each, who and how urgent, then what happens.

use model::incident::{Incident, State};

use crate::style::{Style, columns, cut, padded, shown};
use crate::text::{when, who};

const HEADS: [&str; 5] = ["ID", "SEVERITY", "STATE", "OPENED (UTC)", "BITS"];

/// The incidents in the order given; says so when there are none. Ends with a newline.
pub fn incidents_table(incidents: &[Incident], style: Style) -> String {
    if incidents.is_empty() {
        return "no incidents\n".to_owned();
    }
    let rows: Vec<[String; 5]> = incidents.iter().map(cells).collect();
    let widths: [usize; 5] = std::array::from_fn(|column| {
        let cells = rows.iter().map(|row| columns(&row[column]));
        cells.max().unwrap_or(0).max(columns(HEADS[column]))
    });
    let used: usize = widths.iter().map(|width| width + 2).sum();
    let who_width = style.columns().saturating_sub(used).max(8);
    let head = line(&HEADS.map(str::to_owned), widths, |_, cell| cell);
    let mut out = format!("{}\n", style.bold(&format!("{head}WHO")));
    for (incident, row) in incidents.iter().zip(&rows) {
        let paint = |column, cell: String| match column {
            1 => style.severity(incident.severity, &cell),
            _ => cell,
        };
        out.push_str(&line(row, widths, paint));
        out.push_str(&cut(&who(incident), who_width));
        out.push_str(&format!("\n  {}\n", cut(&shown(&incident.summary), style.columns() - 2)));
    }
    out
}

fn cells(incident: &Incident) -> [String; 5] {
    let state = match incident.state {
        State::Open => "open",
        State::Closed => "closed",
    };
    [
        incident.id.to_string(),
        incident.severity.name().to_owned(),
        state.to_owned(),
        when(incident.opened),
        format!("{:.1}", incident.bits),
    ]
}

fn line(cells: &[String; 5], widths: [usize; 5], paint: impl Fn(usize, String) -> String) -> String {
    let filled = cells.iter().zip(widths).enumerate();
    filled.map(|(column, (cell, width))| paint(column, padded(cell, width)) + "  ").collect()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use model::incident::Severity;
    use model::time::Time;
    use testkit::incidents::IncidentBuilder;

    use super::*;
    use crate::style::unpainted;

    fn samples() -> [Incident; 4] {
        [
            IncidentBuilder::attack().build(),
            IncidentBuilder::attack().containers(3).severity(Severity::Low).build(),
            IncidentBuilder::attack().about_node().closed(Time::from_secs(1_769_870_000), "ann").build(),
            IncidentBuilder::attack().hostile().severity(Severity::Critical).build(),
        ]
    }

    #[test]
    fn each_incident_says_who_and_what_in_two_lines() {
        expect![[r#"
            ID               SEVERITY  STATE   OPENED (UTC)         BITS  WHO
            TW-27097a804630  high      open    2026-01-31 12:00:02  15.0  eager_tesla
              eager_tesla makes the container engine spend 0.91 cores writing its output, 110 times its own CPU
            TW-27097a804630  low       open    2026-01-31 12:00:02  15.0  busybox [yes] (3 containers)
              eager_tesla makes the container engine spend 0.91 cores writing its output, 110 times its own CPU
            TW-a85a817db023  high      closed  2026-01-31 12:00:02  15.0  node shop-1
              eager_tesla makes the container engine spend 0.91 cores writing its output, 110 times its own CPU
            TW-704754108748  critical  open    2026-01-31 12:00:02  15.0  x\u{1b}[2J\u{1b}]0;owned\u{7}\n\r\t"'…
              x\u{1b}[2J\u{1b}]0;owned\u{7}\n\r\t"'`$(id)<script>alert(1)</script>\u{9b}31m\u{202e}gnp\\ makes …
        "#]].assert_eq(&incidents_table(&samples(), Style::PLAIN));
        assert_eq!(incidents_table(&[], Style::PLAIN), "no incidents\n");
    }

    #[test]
    fn every_line_keeps_to_the_width() {
        for width in [80, 100, 200] {
            let table = incidents_table(&samples(), Style { colour: false, width });
            assert!(table.lines().all(|line| columns(line) <= width), "{width}:\n{table}");
        }
    }

    #[test]
    fn colours_change_nothing_but_colours() {
        let coloured = incidents_table(&samples(), Style { colour: true, ..Style::PLAIN });
        assert!(coloured.contains("\x1b[1;31mcritical\x1b[0m"));
        assert_eq!(unpainted(&coloured), incidents_table(&samples(), Style::PLAIN));
    }
}
