//! `tidewatch config`: the settings in force, and whether a file of settings is good.

use crate::args::{ConfigAction, ConfigArgs};
use crate::output::say;
use crate::{Outcome, settings};

pub(crate) fn run(args: &ConfigArgs) -> anyhow::Result<Outcome> {
    match &args.action {
        ConfigAction::Print { config } => {
            let config = settings::load(config.config.as_ref())?;
            say(toml::to_string(&config)?.trim_end());
            Ok(Outcome::Fine)
        }
        ConfigAction::Check { file } => match settings::parse(file)? {
            Ok(_) => {
                say(&format!("{}: no problems", file.display()));
                Ok(Outcome::Fine)
            }
            Err(problems) => {
                problems.iter().for_each(|problem| say(problem));
                Ok(Outcome::BadNews)
            }
        },
    }
}
