//! A store that is full, frozen, read-only, damaged, emptied, of another host: incidents are shown, decisions hold, the run goes
//! on, and what could not be stored is stored later.
//!
//! Not here: `kill -9` of a store that is well (`kill_dash_nine.rs`).

mod disk;
mod failing;
mod starting;

use crate::cases::Case;

/// What a store may do without making anything blind or dumb.
pub(crate) const CASES: [Case; 8] = [
    Case { name: "a_full_disk_hides_no_incident_and_decisions_hold", run: failing::full },
    Case { name: "a_frozen_disk_hides_no_incident_and_decisions_hold", run: failing::frozen },
    Case { name: "a_read_only_disk_hides_no_incident_and_decisions_hold", run: failing::read_only },
    Case { name: "a_disk_without_inodes_stops_no_start", run: starting::without_inodes },
    Case { name: "a_corrupt_database_is_moved_aside_and_reported", run: starting::corrupt },
    Case { name: "an_emptied_data_directory_is_reported", run: starting::emptied },
    Case { name: "the_database_of_another_host_is_moved_aside_and_reported", run: starting::other_host },
    Case {
        name: "a_database_exchanged_while_it_runs_is_written_again_and_reported",
        run: starting::exchanged,
    },
];
