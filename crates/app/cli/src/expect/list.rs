//! Expectations and the built-in reasons as rows: a table for people, the documented JSON for scripts.

use std::collections::BTreeMap;
use std::time::Duration;

use comfy_table::ColumnConstraint;
use model::expectation::{
    Expectation, ExpectationId, ExplanationKind, RECURRENCE_SEEN_MIN, Recurrence, Tally, When,
};
use model::time::Time;
use model::untrusted::Untrusted;
use report::units;
use serde_json::{Value, json};

use crate::output::table;

/// Owner of the reasons that nobody declares and nothing learns.
const BUILT_IN: &str = "tidewatch";

/// One reason, and how often it explained something.
pub(super) struct Row {
    reason: Reason,
    tally: Tally,
}

enum Reason {
    Kept(Box<Expectation>),
    BuiltIn(ExplanationKind),
}

/// Every expectation, and those built-in reasons that have explained something.
pub(super) fn rows(kept: Vec<Expectation>, tallies: &BTreeMap<ExpectationId, Tally>) -> Vec<Row> {
    let tally = |id: &ExpectationId| tallies.get(id).cloned();
    let kept = kept.into_iter().map(|expectation| {
        let tally = tally(&expectation.id).unwrap_or_default();
        Row { tally, reason: Reason::Kept(Box::new(expectation)) }
    });
    let built_in = ExplanationKind::BUILT_IN.into_iter().filter_map(|kind| {
        let tally = tally(&ExpectationId::from_text(kind.name()))?;
        Some(Row { tally, reason: Reason::BuiltIn(kind) })
    });
    kept.chain(built_in).collect()
}

/// The rows as a table.
pub(super) fn text(rows: &[Row], now: Time) -> String {
    let mut table = table(["id", "what and when (UTC)", "by whom and why", "ends (UTC)", "explained"]);
    for row in rows {
        let [id, what, why, ends] = cells(&row.reason, now);
        table.add_row([id, what, why, ends, explained(&row.tally)]);
    }
    // A name is there to be copied.
    if let Some(ids) = table.column_mut(0) {
        ids.set_constraint(ColumnConstraint::ContentWidth);
    }
    table.trim_fmt()
}

fn cells(reason: &Reason, now: Time) -> [String; 4] {
    match reason {
        Reason::Kept(expectation) => [
            expectation.id.to_string(),
            format!("{}, {}", expectation.subject, when(expectation)),
            format!("{}: {}", expectation.owner, expectation.reason),
            ends(expectation, now),
        ],
        Reason::BuiltIn(kind) => {
            [kind.name().to_owned(), "-".to_owned(), BUILT_IN.to_owned(), "-".to_owned()]
        }
    }
}

fn explained(tally: &Tally) -> String {
    match tally.last {
        // Foreign text in it was escaped when it was made; the file it comes from is foreign as well.
        Some(last) => {
            format!("{} times, last {}: {}", tally.count, minute(last), Untrusted::new(&tally.sentence))
        }
        None => "never".to_owned(),
    }
}

fn ends(expectation: &Expectation, now: Time) -> String {
    let expires = expectation.expires.map(minute);
    match (state(expectation, now), expires) {
        ("expired", Some(expires)) => format!("expired {expires}"),
        (_, Some(expires)) => expires,
        ("learning", None) => "not in force yet".to_owned(),
        _ if expectation.when == When::Always => "never".to_owned(),
        _ => "after two misses".to_owned(),
    }
}

/// An instant for people, in UTC: `2026-01-31 12:00`.
fn minute(at: Time) -> String {
    at.rfc3339().replacen('T', " ", 1).chars().take(16).collect()
}

/// When an expectation holds, in words.
pub(super) fn when(expectation: &Expectation) -> String {
    match &expectation.when {
        When::Schedule(schedule) => {
            let lasting = units::duration(Duration::from_secs(schedule.lasting_seconds));
            format!("{} for {lasting}", schedule.cron)
        }
        When::Always => "always".to_owned(),
        When::Recurrence(recurrence) => {
            let every = units::duration(Duration::from_secs(recurrence.period_seconds));
            format!("every {every} since {}", minute(recurrence.first))
        }
    }
}

/// The rows as an array.
pub(super) fn json(rows: &[Row], now: Time) -> Value {
    rows.iter().map(|row| row_json(row, now)).collect()
}

fn row_json(row: &Row, now: Time) -> Value {
    let mut value = match &row.reason {
        Reason::Kept(expectation) => kept_json(expectation, now),
        Reason::BuiltIn(kind) => json!({
            "id": kind.name(), "kind": kind, "state": "in_force", "subject": null, "family": "resource",
            "when": null, "reason": "", "owner": BUILT_IN, "created": null, "expires": null,
        }),
    };
    value["explained"] = json!(row.tally.count);
    value["last_explained"] = json!(row.tally.last.map(Time::rfc3339));
    value["last_explanation"] = json!(row.tally.sentence);
    value
}

fn kept_json(expectation: &Expectation, now: Time) -> Value {
    let (kind, when) = match &expectation.when {
        When::Schedule(schedule) => (ExplanationKind::Schedule, json!(schedule)),
        When::Always => (ExplanationKind::Edge, Value::Null),
        When::Recurrence(recurrence) => (ExplanationKind::Recurrence, recurrence_json(recurrence)),
    };
    json!({
        "id": expectation.id,
        "kind": kind,
        "state": state(expectation, now),
        "subject": expectation.subject,
        "family": expectation.family,
        "when": when,
        "reason": expectation.reason,
        "owner": expectation.owner,
        "created": expectation.created.rfc3339(),
        "expires": expectation.expires.map(Time::rfc3339),
    })
}

fn recurrence_json(recurrence: &Recurrence) -> Value {
    json!({
        "judge": recurrence.judge,
        "metric": recurrence.metric,
        "digest": recurrence.digest,
        "period_seconds": recurrence.period_seconds,
        "first": recurrence.first.rfc3339(),
        "last": recurrence.last.rfc3339(),
        "due": recurrence.due.rfc3339(),
        "seen": recurrence.seen,
        "missed": recurrence.missed,
        "peak": recurrence.peaks.1,
        "lasting_seconds": recurrence.lasting_seconds,
    })
}

/// Whether it acts: `in_force`, `expired`, or `learning` while a recurrence has not come back often enough.
fn state(expectation: &Expectation, now: Time) -> &'static str {
    match &expectation.when {
        _ if expectation.is_expired(now) => "expired",
        When::Recurrence(recurrence) if recurrence.seen < RECURRENCE_SEEN_MIN => "learning",
        _ => "in_force",
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use testkit::expectations::{declared, edges, learned};

    use super::*;

    fn at(days: i64) -> Time {
        Time::from_secs(1_769_860_800 + days * 86_400)
    }

    #[test]
    fn every_kind_has_a_row_with_what_it_explained() {
        let nightly = declared("image:backup/*");
        let tally =
            Tally { count: 3, last: Some(at(1)), sentence: "excess of batch, 8.0 to 0.5 bits".into() };
        let tallies = BTreeMap::from([
            (nightly.id.clone(), tally.clone()),
            (ExpectationId::from_text("image_import"), tally),
        ]);
        let rows = rows(vec![nightly, learned("batch [sum]")], &tallies);
        let shown: Vec<String> = json(&rows, at(2))
            .as_array()
            .unwrap()
            .iter()
            .map(|row| format!("{} {} {} {}", row["kind"], row["state"], row["owner"], row["explained"]))
            .collect();
        let schedule = r#""schedule" "in_force" "ann" 3"#;
        let recurrence = r#""recurrence" "in_force" "learned" 0"#;
        assert_eq!(shown, [schedule, recurrence, r#""image_import" "in_force" "tidewatch" 3"#]);
        // The table begins each line with a space, which the snapshot would cut.
        let text: String = text(&rows, at(2)).lines().map(|line| format!("|{line}\n")).collect();
        expect![[r#"
            | id               what and when (UTC)   by whom and why       ends (UTC)        explained
            | EX-df61df7060de  image:backup/*, 0 2   ann: the nightly      2026-05-01 12:00  3 times, last
            |                  * * * for 1 h         backup                                  2026-02-01 12:00:
            |                                                                                excess of batch,
            |                                                                                8.0 to 0.5 bits
            | EX-3a690e0fafb0  workload:batch        learned: seen 4       after two misses  never
            |                  [sum], every 1 d      times at 02:00 UTC
            |                  since 2026-01-31
            |                  02:00
            | image_import     -                     tidewatch             -                 3 times, last
            |                                                                                2026-02-01 12:00:
            |                                                                                excess of batch,
            |                                                                                8.0 to 0.5 bits
        "#]]
        .assert_eq(&text);
    }

    #[test]
    fn edges_hold_always_and_are_shown_as_they_are_written() {
        let rows = rows(edges().to_vec(), &BTreeMap::new());
        let text: String = text(&rows, at(2)).lines().map(|line| format!("|{line}\n")).collect();
        expect![[r#"
            | id               what and when (UTC)                        by whom and why  ends (UTC)  explained
            | EX-e7e1f9e38514  compose:shop/* -> domain:*.example.com,    ann: the shop    never       never
            |                  always
            | EX-7b966fd692e9  labels(namespace shop, app!=web|till) ->   ann: the shop    never       never
            |                  203.0.113.0/24 (without
            |                  203.0.113.128/25):8000-8099/tcp (egress),
            |                  always
            | EX-13a6d06e7335  any -> host/udp, always                    ann: the shop    never       never
            | EX-0c86621ce49e  nothing else -> db, always                 ann: the shop    never       never
        "#]].assert_eq(&text);
        assert_eq!(json(&rows, at(2))[0]["kind"], "edge");
        assert_eq!(json(&rows, at(2))[0]["when"], Value::Null);
    }

    #[test]
    fn what_has_expired_is_shown_as_expired() {
        let nightly = declared("image:backup/*");
        assert_eq!(state(&nightly, at(89)), "in_force");
        assert_eq!(state(&nightly, at(90)), "expired");
        assert!(ends(&nightly, at(90)).starts_with("expired 2026-"));
    }

    #[test]
    fn hostile_text_stays_text() {
        let rows = rows(vec![declared("image:\u{1b}[2J\u{202e}*")], &BTreeMap::new());
        assert!(!text(&rows, at(0)).contains(['\u{1b}', '\u{202e}']));
    }
}
