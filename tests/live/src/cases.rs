//! The live tests, one file each.
//!
//! Not here: the other kernel under qemu, see `kernels.rs`.

mod beacons;
mod busy;
mod calls;
mod churn;
mod count;
mod crash_helpers;
mod edges;
mod engine_stopped_and_back;
mod ghost;
mod hard;
mod hidden;
mod hijack;
mod history;
mod honest;
mod hostile_text;
mod kernel;
mod kill_dash_nine;
mod log_drivers;
mod memory;
mod neighbours;
mod objects;
mod packets;
mod processes;
mod programs;
mod provenance;
mod quiet;
mod ramp;
mod recording;
mod restarts;
mod rim;
mod sample_command;
mod searches;
mod service_flood;
mod silence;
mod steps;
mod storage;
mod store;
mod sync;
mod syslog;
mod twins;
mod watch;
mod without_bpf;

use anyhow::Result;

use crate::cases::provenance::{by_hand, engines, images, inside, labels, many, rights};
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

/// Live tests that take a quarter of an hour each; run when they are asked for.
pub(crate) const LONG: [Case; 1] =
    [Case { name: "services_that_do_more_than_ever_are_found_by_their_history", run: history::run }];

/// Every live test, in the order in which they run.
pub(crate) fn all() -> impl Iterator<Item = &'static Case> {
    GROUPS.iter().copied().flatten()
}

/// The live tests by what they are about; a group stands in the file of its own subject.
/// A line for each group, so that groups can be added side by side.
const GROUPS: &[&[Case]] = &[
    &store::CASES,
    &JUDGES,
    &hard::CASES,
    &watch::CASES,
    &silence::CASES,
    &programs::CASES,
    &count::CASES,
    &kernel::CASES,
    &rim::CASES,
];

/// An attack for every judge, and the quiet twins.
const JUDGES: [Case; 79] = [
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
    Case { name: "the_sample_command_is_found_with_three_log_drivers", run: log_drivers::run },
    Case { name: "syncs_without_end_are_booked_to_who_calls_them", run: sync::run },
    Case { name: "crashes_without_end_are_booked_with_their_helpers", run: crash_helpers::run },
    Case { name: "calls_of_the_engine_without_end_are_booked_to_who_makes_them", run: calls::from_inside },
    Case {
        name: "programs_run_in_a_container_without_end_are_found_beside_a_health_check",
        run: calls::from_outside,
    },
    Case { name: "a_flood_of_packets_is_booked_to_who_sends_it", run: packets::run },
    Case { name: "a_flood_of_the_hosts_log_is_booked_to_who_writes_it", run: syslog::run },
    Case { name: "several_busy_containers_are_one_incident_each", run: busy::several },
    Case { name: "a_burn_under_a_small_quota_is_found", run: busy::hidden },
    Case { name: "a_herd_of_small_containers_is_one_incident", run: busy::herd },
    Case { name: "a_fork_storm_is_found_by_its_forks_and_by_its_tasks", run: processes::storm },
    Case { name: "containers_that_fail_and_start_again_are_one_incident", run: processes::crash_loop },
    Case { name: "memory_that_grows_to_its_limit_is_found", run: memory::run },
    Case { name: "objects_that_no_cgroup_counts_are_found_with_their_holder", run: objects::run },
    Case {
        name: "a_known_service_that_burns_after_a_new_program_is_found_beside_a_database",
        run: hijack::run,
    },
    Case { name: "a_busy_neighbour_is_named_and_six_victims_are_listed", run: neighbours::run },
    Case { name: "a_disk_that_fills_is_found_with_who_writes", run: storage::disk },
    Case { name: "a_log_that_would_fill_the_disk_is_found", run: storage::log },
    Case { name: "a_flood_of_connections_names_who_opens_them", run: service_flood::run },
    Case { name: "a_slow_ramp_is_found_within_a_minute", run: ramp::run },
    Case { name: "edges_that_nobody_approved_are_found_while_they_are_locked", run: edges::run },
    Case { name: "a_known_service_that_steps_sideways_and_outside_is_marked_and_found", run: steps::run },
    Case { name: "a_scan_of_ports_and_a_sweep_of_addresses_are_found", run: searches::run },
    Case { name: "beacons_of_any_jitter_up_to_a_half_are_found_within_24_intervals", run: beacons::run },
    Case { name: "data_in_names_is_found", run: hidden::tunnel },
    Case { name: "an_upload_of_100_megabytes_is_found", run: hidden::upload },
    Case { name: "a_reverse_shell_is_found", run: hidden::shell },
    Case { name: "data_in_echoes_is_found", run: hidden::echoes },
    Case { name: "a_container_in_another_ones_network_is_named_as_itself", run: hidden::borrowed },
    Case { name: "the_engines_socket_mounted_and_used_is_found", run: hidden::socket },
    Case { name: "fifty_restarts_with_each_others_addresses_blame_nobody", run: restarts::run },
    Case { name: "a_flood_of_connections_loses_nothing_of_the_others", run: churn::run },
    Case { name: "honest_traffic_is_quiet_while_edges_are_locked", run: honest::run },
    Case { name: "a_container_of_runc_alone_is_found", run: engines::runc },
    Case {
        name: "a_container_in_a_fresh_namespace_of_dockers_containerd_is_found",
        run: engines::fresh_namespace,
    },
    Case { name: "a_second_containerd_is_found_with_its_container", run: engines::second_containerd },
    Case { name: "a_container_of_podman_is_found", run: engines::podman },
    Case { name: "podman_labels_are_asked_where_its_interface_is_served", run: engines::podman_labels },
    Case { name: "a_container_made_by_hand_without_a_cgroup_is_found", run: by_hand::without_a_group },
    Case { name: "a_container_in_a_cgroup_called_like_dockers_is_found", run: by_hand::called_like_docker },
    Case { name: "a_container_in_a_cgroup_called_like_a_scope_is_found", run: by_hand::called_like_a_scope },
    Case { name: "forged_labels_of_a_swarm_service_are_found", run: labels::swarm },
    Case { name: "forged_labels_of_a_pod_are_found", run: labels::kubernetes },
    Case { name: "an_image_called_nearly_as_an_approved_one_is_found", run: labels::image_name },
    Case { name: "a_tag_whose_content_was_swapped_is_found", run: images::swapped_tag },
    Case { name: "a_commit_of_an_approved_container_is_found", run: images::commit },
    Case { name: "a_container_as_good_as_privileged_is_found", run: rights::nearly_privileged },
    Case { name: "a_container_among_the_hosts_processes_is_found", run: rights::host_pid },
    Case { name: "a_container_that_may_administer_the_system_is_found", run: rights::sys_admin },
    Case { name: "a_copied_program_in_an_approved_container_is_found", run: inside::drift },
    Case { name: "scripts_written_in_an_approved_container_are_found", run: inside::scripts },
    Case { name: "a_shell_executed_in_an_approved_container_is_found", run: inside::shell },
    Case { name: "an_entry_into_a_containers_namespaces_is_found", run: inside::entry },
    Case { name: "a_container_that_leaves_its_cgroup_is_found", run: inside::escape },
    Case { name: "a_compose_project_down_and_up_is_quiet", run: provenance::twins::compose },
    Case { name: "restarts_by_policy_and_health_checks_are_quiet", run: provenance::twins::looked_after },
    Case { name: "a_build_under_an_approved_name_is_quiet", run: provenance::twins::build },
    Case { name: "services_in_private_namespaces_are_quiet", run: provenance::twins::units },
    Case { name: "a_browser_in_its_sandbox_is_quiet", run: provenance::twins::browser },
    Case { name: "administration_of_the_host_is_quiet", run: provenance::twins::administered },
    Case { name: "two_hundred_containers_in_twenty_seconds_are_all_in_the_inventory", run: many::fleeting },
    Case {
        name: "a_hundred_containers_are_in_the_inventory_two_seconds_after_the_start",
        run: many::standing,
    },
    Case { name: "a_pod_of_the_kubelets_interface_is_in_the_inventory", run: provenance::pods::run },
    Case { name: "a_static_pod_is_outside_its_cluster", run: provenance::pods::static_pod },
    Case { name: "a_declared_batch_job_at_full_cpu_is_quiet", run: twins::batch },
    Case { name: "a_compiler_on_the_host_is_quiet", run: twins::compile },
    Case { name: "a_rolling_update_of_a_swarm_service_is_quiet", run: twins::rolling_update },
    Case { name: "a_scale_out_is_quiet", run: twins::scale_out },
    Case { name: "an_image_import_is_quiet", run: twins::image_import },
    Case { name: "a_burst_of_log_is_quiet", run: twins::log_burst },
    Case { name: "what_services_do_every_day_is_quiet", run: twins::every_day },
];
