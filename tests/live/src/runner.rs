//! Runs the tests, once or many times, and counts.
//!
//! Not here: skipping. A test that cannot run here fails by name and says why.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Instant;

use anyhow::{Result, anyhow, ensure};

use crate::cases::{Case, Outcome};
use crate::host;
use crate::tidewatch::Room;
use crate::wait;

/// How much of a failure's reason is repeated at the end.
const REASON_CHARS_MAX: usize = 400;

/// What became of one test over all its runs.
struct Tally {
    name: &'static str,
    runs: u32,
    passed: u32,
    delays: Vec<f64>,
    /// The last thing worth telling: why it failed, else what the last run noted.
    note: String,
}

/// Runs every case whose name holds one of `only` (all, when empty), `repeat` times each. Tells whether all passed.
pub(crate) fn run<'c>(
    bin: &Path,
    cases: impl Iterator<Item = &'c Case>,
    repeat: u32,
    only: &[String],
) -> Result<bool> {
    let is_wanted =
        |case: &&Case| only.is_empty() || only.iter().any(|part| case.name.contains(part.as_str()));
    let wanted: Vec<&Case> = cases.filter(is_wanted).collect();
    ensure!(!wanted.is_empty(), "no test has a name that holds one of {only:?}; see `live list`");
    let tallies: Vec<Tally> = wanted.into_iter().map(|case| run_case(bin, case, repeat)).collect();
    print_table(&tallies);
    let passed = tallies.iter().filter(|tally| tally.passed == tally.runs).count();
    // Repeated at the end, where a reader of a truncated log finds them.
    for tally in tallies.iter().filter(|tally| tally.passed < tally.runs) {
        let reason: String = tally.note.chars().take(REASON_CHARS_MAX).collect();
        println!("FAIL  {} ({} of {} passed): {reason}", tally.name, tally.passed, tally.runs);
    }
    println!("{passed} passed, {} failed", tallies.len() - passed);
    Ok(passed == tallies.len())
}

fn run_case(bin: &Path, case: &Case, repeat: u32) -> Tally {
    let mut tally = Tally { name: case.name, runs: 0, passed: 0, delays: Vec::new(), note: String::new() };
    while tally.runs < repeat {
        tally.runs += 1;
        let start = Instant::now();
        let result = if wait::interrupted() { Err(anyhow!("interrupted")) } else { run_once(bin, case) };
        let took = start.elapsed().as_secs_f64();
        let place = format!("{} ({} of {repeat}, {took:.1} s)", case.name, tally.runs);
        match result {
            Ok(outcome) => {
                println!("ok    {place}: {}", outcome.note);
                tally.passed += 1;
                tally.delays.extend(outcome.delays);
                if tally.passed == tally.runs {
                    tally.note = outcome.note;
                }
            }
            Err(error) => {
                // An error may quote hostile text, and a great deal of it.
                let lines: Vec<String> = format!("{error:#}").lines().take(60).map(host::escaped).collect();
                println!("FAIL  {place}: {}", lines.join("\n      "));
                tally.note = lines.join(" ");
            }
        }
    }
    tally
}

/// One run in a room of its own. A panic is a failure of this test, not of the rest.
fn run_once(bin: &Path, case: &Case) -> Result<Outcome> {
    let room = Room::new(bin)?;
    let result = catch_unwind(AssertUnwindSafe(|| (case.run)(&room)));
    let result = result.unwrap_or_else(|_| Err(anyhow!("the test panicked")));
    if result.is_err() {
        print!("{}", room.logs());
    }
    result
}

fn print_table(tallies: &[Tally]) {
    let width = tallies.iter().map(|tally| tally.name.len()).max().unwrap_or(4);
    println!("\n{:width$}  {:>9}  {:>20}  note", "test", "passed", "delay s min/med/max");
    for tally in tallies {
        let passed = format!("{} of {}", tally.passed, tally.runs);
        let note: String = tally.note.chars().take(120).collect();
        println!("{:width$}  {passed:>9}  {:>20}  {note}", tally.name, spread(&tally.delays));
    }
}

/// Least, middle and greatest.
fn spread(delays: &[f64]) -> String {
    let mut sorted = delays.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.first(), sorted.get(sorted.len() / 2), sorted.last()) {
        (Some(min), Some(median), Some(max)) => format!("{min:.2}/{median:.2}/{max:.2}"),
        _ => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    #[test]
    fn a_test_that_panics_fails_and_the_next_one_runs() {
        let cases = [
            Case { name: "panics", run: |_| panic!("on purpose") },
            Case { name: "fails", run: |_| bail!("on purpose") },
            Case { name: "passes", run: |_| Ok(Outcome::default()) },
        ];
        let bin = Path::new("/bin/true");
        assert!(!run(bin, cases.iter(), 1, &[]).unwrap());
        assert!(run(bin, cases.iter(), 2, &["passes".to_owned()]).unwrap());
        assert!(run(bin, cases.iter(), 1, &["no such".to_owned()]).is_err());
    }

    #[test]
    fn the_middle_of_the_delays_is_shown() {
        assert_eq!(spread(&[3.0, 1.0, 2.0]), "1.00/2.00/3.00");
        assert_eq!(spread(&[]), "-");
    }
}
