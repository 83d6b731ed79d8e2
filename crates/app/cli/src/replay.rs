//! `tidewatch replay`: a recording folded again, its incidents in the same form as live ones.

use engine::replay::replay;
use report::json::{incidents_json, json_text};
use report::table::incidents_table;
use store::recording::RecordingReader;

use crate::args::ReplayArgs;
use crate::output::{complain, say, style};
use crate::{Outcome, bundles, settings};

pub(crate) fn run(args: &ReplayArgs) -> anyhow::Result<Outcome> {
    let config = settings::load(args.config.config.as_ref())?;
    let recording = RecordingReader::open(&args.file)?;
    let replayed = replay(recording, &bundles::embedded()?, &config.fold())?;
    for problem in &replayed.problems {
        complain(&format!("tidewatch: {problem}"));
    }
    if args.json {
        say(&json_text(&incidents_json(&replayed.incidents)));
    } else {
        say(&format!("{} events, {} incidents", replayed.events, replayed.incidents.len()));
        if !replayed.incidents.is_empty() {
            say(incidents_table(&replayed.incidents, style()).trim_end());
        }
    }
    Ok(if replayed.incidents.is_empty() { Outcome::Fine } else { Outcome::BadNews })
}
