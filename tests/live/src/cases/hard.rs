//! Tidewatch itself under attack: its rights, its control socket, its program; and that it is quiet about honest short lives.
//!
//! Not here: its store and its threads; each has a group of its own.

mod corpus;
mod protection;
mod socket;
mod touched;

use crate::cases::Case;

/// What nobody may take from it, and what must not make it speak.
pub(crate) const CASES: [Case; 7] = [
    Case { name: "every_thread_of_the_sensor_has_given_up_what_it_does_not_need", run: protection::run },
    Case { name: "slow_clients_do_not_lock_out_the_next_command", run: socket::slow },
    Case { name: "thirty_two_recordings_do_not_lock_out_the_next_command", run: socket::recordings },
    Case { name: "other_users_cannot_ask_or_change_anything", run: socket::other_user },
    Case { name: "a_tracer_of_the_sensor_is_noticed", run: touched::traced },
    Case {
        name: "a_library_loaded_into_the_sensor_and_a_changed_program_are_noticed",
        run: touched::replaced,
    },
    Case { name: "a_thousand_short_processes_of_honest_tools_are_quiet", run: corpus::run },
];
