//! `tidewatch expect`: what is to be expected, the list of it with what it explained, taking back.

mod list;

use anyhow::{Context, bail};
use engine::control::{Answer, AskError, Request, ask};
use model::expectation::{Expectation, ExpectationId, Schedule, When};
use model::time::Time;
use model::untrusted::{UNTRUSTED_BYTES_MAX, Untrusted};
use sources::outlet::wall_clock;
use store::database::Database;
use store::expectation_store::ExpectationStore;
use triage::expectations::check;

use crate::Outcome;
use crate::args::{DataDir, ExpectAction, ExpectAddArgs, ExpectArgs, FamilyArg};
use crate::output::{complain, owner, say};

pub(crate) fn run(args: &ExpectArgs) -> anyhow::Result<Outcome> {
    match &args.action {
        ExpectAction::Add(args) => add(args),
        ExpectAction::List { data, json } => list(data, *json),
        ExpectAction::Remove { id, data } => remove(data, id),
    }
}

fn add(args: &ExpectAddArgs) -> anyhow::Result<Outcome> {
    let wanted = declared(args, wall_clock())?;
    let kept = match ask(&args.data.data_dir, &Request::Expect { expectation: Box::new(wanted.clone()) }) {
        Ok(Answer::Expected(expectation)) => *expectation,
        Ok(other) => bail!("an unexpected answer: {other:?}"),
        Err(AskError::NotRunning { .. }) => Database::open(&args.data.data_dir)?.declare(&wanted)?,
        Err(error) => return Err(error.into()),
    };
    let already = if kept.id == wanted.id { "" } else { " already" };
    say(&format!("{}: {}{already} expected {}", kept.id, kept.subject, list::when(&kept)));
    Ok(Outcome::Fine)
}

/// The expectation that the arguments declare, or what is wrong with it.
fn declared(args: &ExpectAddArgs, now: Time) -> anyhow::Result<Expectation> {
    let FamilyArg::Resource = args.family;
    let text = |name: &str, text: &str| match text.len() {
        length if length <= UNTRUSTED_BYTES_MAX => Ok(Untrusted::new(text)),
        _ => Err(anyhow::anyhow!("--{name} has at most {UNTRUSTED_BYTES_MAX} bytes")),
    };
    let schedule = Schedule { cron: text("when", &args.when)?, lasting_seconds: args.lasting.as_secs() };
    let when = When::Schedule(schedule);
    check(&args.subject, &when, now).context("this cannot be expected")?;
    if args.expires.is_zero() {
        bail!("--expires 0s: it would end before it begins");
    }
    let why = (text("reason", &args.reason)?, text("owner", &args.owner)?);
    let mut expectation = Expectation::new(args.subject.clone(), when, why, now);
    expectation.expires = Some(now.plus(args.expires));
    Ok(expectation)
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
        say("nothing is expected, and nothing was explained; `tidewatch expect add` declares a schedule");
    } else {
        say(&list::text(&rows, wall_clock()));
    }
    Ok(Outcome::Fine)
}

fn remove(data: &DataDir, id: &str) -> anyhow::Result<Outcome> {
    let id = ExpectationId::from_text(id);
    let removed = match ask(&data.data_dir, &Request::Unexpect { id: id.clone(), owner: owner() }) {
        Ok(Answer::Unexpected(expectation)) => *expectation,
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
