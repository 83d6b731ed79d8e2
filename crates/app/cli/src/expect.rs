//! `tidewatch expect`: what is to be expected, the list of it with what it explained, taking back.

mod list;

pub(crate) mod edge;

use std::time::Duration;

use anyhow::{Context, bail};
use engine::control::{Answer, AskError, Request, ask_to_keep};
use model::expectation::{Expectation, ExpectationId, Expected, Schedule, When};
use model::time::Time;
use model::untrusted::{UNTRUSTED_BYTES_MAX, Untrusted};
use sources::clock::wall_clock;
use store::database::Database;
use store::expectation_store::ExpectationStore;
use triage::expectations::check;

use crate::Outcome;
use crate::args::{DataDir, ExpectAction, ExpectAddArgs, ExpectArgs, FamilyArg};
use crate::output::{complain, owner, say, warn_not_stored};

pub(crate) fn run(args: &ExpectArgs) -> anyhow::Result<Outcome> {
    match &args.action {
        ExpectAction::Add(args) => add(args),
        ExpectAction::List { data, json } => list(data, *json),
        ExpectAction::Remove { id, data } => remove(data, id),
    }
}

fn add(args: &ExpectAddArgs) -> anyhow::Result<Outcome> {
    let wanted = declared(args, wall_clock())?;
    let kept = declare(&args.data, &wanted)?;
    for (kept, wanted) in kept.iter().zip(&wanted) {
        say(&told(kept, wanted));
    }
    Ok(Outcome::Fine)
}

/// Keeps expectations, all or none: through the running Tidewatch, or in the store when none runs.
pub(crate) fn declare(data: &DataDir, wanted: &[Expectation]) -> anyhow::Result<Vec<Expectation>> {
    match ask_to_keep(&data.data_dir, &Request::Expect { expectations: wanted.to_vec() }) {
        Ok((Answer::Expected(expectations), not_stored)) => {
            warn_not_stored(not_stored);
            Ok(expectations)
        }
        Ok(other) => bail!("an unexpected answer: {other:?}"),
        Err(AskError::NotRunning { .. }) => Ok(Database::open(&data.data_dir)?.declare(wanted)?),
        Err(error) => Err(error.into()),
    }
}

/// What is kept now in place of what was wanted, in words.
pub(crate) fn told(kept: &Expectation, wanted: &Expectation) -> String {
    let already = if kept.id == wanted.id { "" } else { " already" };
    format!("{}: {}{already} expected {}", kept.id, kept.subject, list::when(kept))
}

/// The expectations that the arguments declare, or what is wrong with them.
fn declared(args: &ExpectAddArgs, now: Time) -> anyhow::Result<Vec<Expectation>> {
    let (subjects, when) = match (&args.subject, &args.when, args.lasting) {
        (Some(subject), Some(cron), Some(lasting)) => {
            let schedule = Schedule { cron: bounded("when", cron)?, lasting_seconds: lasting.as_secs() };
            (vec![subject.clone()], When::Schedule(schedule))
        }
        _ => (args.edge.iter().map(|edge| Expected::Edge(Box::new(edge.clone()))).collect(), When::Always),
    };
    let implied = if when == When::Always { FamilyArg::Communication } else { FamilyArg::Resource };
    if args.family.is_some_and(|family| family != implied) {
        bail!("--family: an edge is of the family communication, being busy at times of the family resource");
    }
    let (reason, owner) = (bounded("reason", &args.reason)?, bounded("owner", &args.owner)?);
    let why = || (reason.clone(), owner.clone());
    subjects.into_iter().map(|subject| expectation(subject, &when, why(), (now, args.expires))).collect()
}

/// One expectation from `now` on, when it can be declared.
pub(crate) fn expectation(
    subject: Expected,
    when: &When,
    why: (Untrusted, Untrusted),
    (now, expires): (Time, Duration),
) -> anyhow::Result<Expectation> {
    check(&subject, when, now).context("this cannot be expected")?;
    if expires.is_zero() {
        bail!("--expires 0s: it would end before it begins");
    }
    let mut expectation = Expectation::new(subject, when.clone(), why, now);
    expectation.expires = Some(now.plus(expires));
    Ok(expectation)
}

/// Text of an argument, whole.
pub(crate) fn bounded(name: &str, text: &str) -> anyhow::Result<Untrusted> {
    match text.len() {
        length if length <= UNTRUSTED_BYTES_MAX => Ok(Untrusted::new(text)),
        _ => bail!("--{name} has at most {UNTRUSTED_BYTES_MAX} bytes"),
    }
}

fn list(data: &DataDir, json: bool) -> anyhow::Result<Outcome> {
    let database = Database::open_read_only(&data.data_dir)?;
    let loaded = database.expectations()?;
    for problem in &loaded.problems {
        complain(&format!("tidewatch: {problem}"));
    }
    let rows = list::rows(loaded.rows, &database.tallies()?);
    if json {
        say(&report::json::json_text(&list::json(&rows, wall_clock())));
    } else if rows.is_empty() {
        say(
            "nothing is expected, and nothing was explained; `tidewatch expect add` declares a schedule or an edge",
        );
    } else {
        say(&list::text(&rows, wall_clock()));
    }
    Ok(Outcome::Fine)
}

fn remove(data: &DataDir, id: &str) -> anyhow::Result<Outcome> {
    let id = ExpectationId::from_text(id);
    let request = Request::Unexpect { id: id.clone(), owner: owner() };
    let removed = match ask_to_keep(&data.data_dir, &request) {
        Ok((Answer::Unexpected(expectation), not_stored)) => {
            warn_not_stored(not_stored);
            *expectation
        }
        Ok(other) => bail!("an unexpected answer: {other:?}"),
        Err(AskError::NotRunning { .. }) => {
            drop(Database::open_read_only(&data.data_dir)?);
            let removed = Database::open(&data.data_dir)?.undeclare(&id, &owner(), wall_clock())?;
            let Some(expectation) = removed else { bail!("no expectation {id} is kept") };
            expectation
        }
        Err(error) => return Err(error.into()),
    };
    say(&format!("no longer expected: {} {}", removed.subject, list::when(&removed)));
    Ok(Outcome::Fine)
}
