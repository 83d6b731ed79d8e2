//! Figures for people: bytes, rates, cores, shares, durations; the unit of evidence is the end of its name.
//!
//! Not here: JSON, which keeps the bare number. Prefixes are decimal, as on the disks and networks they measure.

use std::time::Duration;

use model::finding::Value;

use crate::style::shown;

/// The end of an evidence name, and how its figure is shown.
type Unit = (&'static str, fn(f64) -> String);

/// Longer ends first: a rate of bytes ends like any rate.
const UNITS: [Unit; 7] = [
    ("_bytes_per_second", bytes_per_second),
    ("_per_second", per_second),
    ("_bytes", bytes),
    ("_cores", cores),
    ("_percent", percent),
    ("_share", share),
    ("_seconds", seconds),
];

/// A piece of evidence as a label and a figure with its unit: `own_cpu_cores`, 0.008 → `own cpu`, `0.008 cores`.
pub fn evidence(name: &str, value: &Value) -> (String, String) {
    let unit = UNITS.into_iter().find_map(|(suffix, format)| Some((name.strip_suffix(suffix)?, format)));
    let (figure, (stem, format)) = match (value, unit) {
        (Value::Text(text), _) => return (label(name), text.to_string()),
        (Value::Count(count), None) => return (label(name), count.to_string()),
        (Value::Count(count), Some(unit)) => (*count as f64, unit),
        (Value::Measure(measure), unit) => (*measure, unit.unwrap_or((name, number))),
    };
    (label(if stem.is_empty() { name } else { stem }), format(figure))
}

/// A bare number with about three digits: `0.008`, `12.3`, `98304`.
pub fn number(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        return "not a number".to_owned();
    }
    if size >= 1e15 {
        return format!("{value:.2e}");
    }
    let decimals = match size {
        100.0.. => 0,
        10.0.. => 1,
        1.0.. => 2,
        _ => 3,
    };
    let text = format!("{value:.decimals$}");
    let text = if decimals == 0 { &text } else { text.trim_end_matches('0').trim_end_matches('.') };
    // What rounds to nothing has no sign.
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// Bytes: `512 B`, `98.3 MB`.
pub fn bytes(value: f64) -> String {
    const PREFIXES: [&str; 7] = ["", "k", "M", "G", "T", "P", "E"];
    let (mut scaled, mut step) = (value, 0);
    // From 999.5 on, three digits round up to the next prefix.
    while scaled.abs() >= 999.5 && step + 1 < PREFIXES.len() {
        scaled /= 1000.0;
        step += 1;
    }
    format!("{} {}B", number(scaled), PREFIXES[step])
}

/// Bytes a second: `98.3 MB/s`.
pub fn bytes_per_second(value: f64) -> String {
    format!("{}/s", bytes(value))
}

/// CPU in cores: `0.91 cores`.
pub fn cores(value: f64) -> String {
    format!("{} cores", number(value))
}

/// A part of a hundred: `98 %`.
pub fn percent(value: f64) -> String {
    format!("{} %", number(value))
}

/// A part of one, as a part of a hundred: 0.98 → `98 %`.
pub fn share(value: f64) -> String {
    percent(value * 100.0)
}

/// Seconds; from a minute on in two units: `2.5 s`, `3 min 20 s`.
pub fn seconds(value: f64) -> String {
    match Duration::try_from_secs_f64(value) {
        Ok(span) => duration(span),
        Err(_) => format!("{} s", number(value)),
    }
}

/// A span of time in its two largest units: `250 ms`, `2.5 s`, `3 min 20 s`, `4 d 2 h`.
pub fn duration(span: Duration) -> String {
    let secs = span.as_secs();
    match secs {
        0 if !span.is_zero() => format!("{} ms", number(span.as_secs_f64() * 1000.0)),
        0..60 => format!("{} s", number(span.as_secs_f64())),
        60..3600 => two_units((secs / 60, "min"), (secs % 60, "s")),
        3600..86_400 => two_units((secs / 3600, "h"), (secs % 3600 / 60, "min")),
        _ => two_units((secs / 86_400, "d"), (secs % 86_400 / 3600, "h")),
    }
}

fn two_units((large, large_unit): (u64, &str), (small, small_unit): (u64, &str)) -> String {
    match small {
        0 => format!("{large} {large_unit}"),
        _ => format!("{large} {large_unit} {small} {small_unit}"),
    }
}

fn per_second(value: f64) -> String {
    format!("{}/s", number(value))
}

// Names come from our judges, but those of a replayed incident come from a file.
fn label(name: &str) -> String {
    shown(&name.replace('_', " "))
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(evidence_of: &[(&str, f64)], wanted: &Expect) {
        let lines = evidence_of.iter().map(|(name, value)| evidence(name, &Value::Measure(*value)));
        wanted.assert_eq(&lines.map(|(label, text)| format!("{label}: {text}\n")).collect::<String>());
    }

    #[test]
    fn the_unit_at_the_end_of_a_name_becomes_the_unit_of_the_figure() {
        let figures = [
            ("own_cpu_cores", 0.008),
            ("log_bytes_per_second", 98_304_000.0),
            ("log_bytes", 999_499.0),
            ("disk_bytes", 999_500.0),
            ("small_bytes", 0.0),
            ("steal_percent", 12.345),
            ("attribution_share", 0.98),
            ("window_seconds", 2.5),
            ("age_seconds", 200.0),
            ("forks_per_second", 1234.5),
            ("ratio", 116.25),
            ("_bytes", 1.0),
        ];
        check(
            &figures,
            &expect![[r#"
            own cpu: 0.008 cores
            log: 98.3 MB/s
            log: 999 kB
            disk: 1 MB
            small: 0 B
            steal: 12.3 %
            attribution: 98 %
            window: 2.5 s
            age: 3 min 20 s
            forks: 1234/s
            ratio: 116
             bytes: 1 B
        "#]],
        );
    }

    #[test]
    fn numbers_no_machine_should_send_are_shown_all_the_same() {
        let figures = [
            ("a_bytes", f64::NAN),
            ("b_seconds", f64::INFINITY),
            ("c_seconds", -3.0),
            ("d_bytes", 1e300),
            ("e_share", -0.000_01),
            ("f\x1b[2J\n_cores", 1e16),
        ];
        check(
            &figures,
            &expect![[r#"
            a: not a number B
            b: not a number s
            c: -3 s
            d: 1.00e282 EB
            e: -0.001 %
            f\u{1b}[2J\n: 1.00e16 cores
        "#]],
        );
    }

    #[test]
    fn counts_without_a_unit_keep_every_digit_and_texts_are_escaped() {
        assert_eq!(evidence("approved_images", &Value::Count(u64::MAX)).1, "18446744073709551615");
        assert_eq!(evidence("log_bytes", &Value::Count(2048)), ("log".to_owned(), "2.05 kB".to_owned()));
        assert_eq!(evidence("image", &Value::from("a\x1bb")), ("image".to_owned(), r"a\u{1b}b".to_owned()));
    }

    #[test]
    fn a_span_is_told_in_its_two_largest_units() {
        let spans = [0, 250, 2500, 59_999, 60_000, 200_000, 7_200_000, 7_380_000, 360_000_000];
        let told: Vec<String> = spans.into_iter().map(|ms| duration(Duration::from_millis(ms))).collect();
        expect!["0 s, 250 ms, 2.5 s, 60 s, 1 min, 3 min 20 s, 2 h, 2 h 3 min, 4 d 4 h"]
            .assert_eq(&told.join(", "));
    }
}
