//! The live tests, one file each.
//!
//! Not here: the other kernel under qemu, see `kernels.rs`.

mod engine_stopped_and_back;
mod ghost;
mod hostile_text;
mod kill_dash_nine;
mod quiet;
mod recording;
mod sample_command;
mod without_bpf;

use anyhow::Result;

use crate::tidewatch::Room;

/// What a test that passed has to tell.
#[derive(Default)]
pub(crate) struct Outcome {
    /// Seconds from a container's first process to its incident.
    pub(crate) delays: Vec<f64>,
    /// Figures worth a line in the table.
    pub(crate) note: String,
}

/// A live test.
pub(crate) struct Case {
    /// What it promises, as a sentence.
    pub(crate) name: &'static str,
    /// Runs it once.
    pub(crate) run: fn(&Room) -> Result<Outcome>,
}

/// Every live test, in the order in which they run.
pub(crate) const ALL: [Case; 8] = [
    Case { name: "sample_command_is_one_incident_within_three_seconds", run: sample_command::run },
    Case { name: "sixty_quiet_seconds_have_no_incident", run: quiet::run },
    Case { name: "a_recording_replays_to_the_same_incidents", run: recording::run },
    Case { name: "kill_dash_nine_loses_nothing_shown", run: kill_dash_nine::run },
    Case { name: "engine_stopped_and_back", run: engine_stopped_and_back::run },
    Case { name: "hostile_text_is_shown_escaped", run: hostile_text::run },
    Case {
        name: "a_container_made_by_hand_is_in_the_inventory_and_its_burn_opens_an_incident",
        run: ghost::run,
    },
    Case { name: "without_bpf_rights_polling_still_finds_the_attack", run: without_bpf::run },
];
