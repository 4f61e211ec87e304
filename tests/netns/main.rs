//! What needs root: real iptables, real users, real sudo, each test on a stage of its own
//! ([`stage`]).
//!
//! Nothing of the machine is touched. Where stages cannot be built, every test counts as ignored
//! and the reason is told once; where they must not be skipped ([`skip`]), all of them fail with
//! it.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod application;
mod child;
mod client;
mod connect;
mod ends;
mod faults;
mod handover;
mod life;
mod privilege;
#[path = "../it/kit/pty.rs"]
#[allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "shared with the tests of `it`"
)]
mod pty;
mod role;
mod rules;
mod run;
mod running;
mod scopes;
#[path = "../skip.rs"]
mod skip;
mod soak;
mod stage;
mod whole;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

macro_rules! tests {
    ($($module:ident: [$($test:ident),+ $(,)?]),+ $(,)?) => {
        const TESTS: &[(&str, fn())] =
            &[$($((concat!(stringify!($module), "::", stringify!($test)), $module::$test)),+),+];
    };
}

tests![
    application: [
        a_service_follows_its_language_server_from_inside,
        its_language_server_is_followed_from_inside,
    ],
    child: [
        through_sudo_the_agent_inherits_nothing,
        from_root_the_agent_inherits_nothing,
        sudo_sees_a_fixed_command_line_and_no_secret,
        a_sudo_that_refuses_is_asked_once,
        what_cannot_be_executed_is_told_once,
        an_agent_cannot_speak_for_the_launcher,
        a_sudo_that_records_input_is_told_apart_from_one_that_refuses,
        our_own_uid_is_refused_when_the_redirect_goes_by_uid,
        the_entry_points_refuse_people,
    ],
    client: [
        a_go_client_with_only_the_bundle_is_counted_to_the_token,
        a_stream_that_runs_at_sigterm_ends_whole,
        whoever_dials_the_redirect_door_itself_is_refused,
    ],
    connect: [
        an_own_address_is_inside_for_as_long_as_it_is_one,
        beside_a_redirect_nobody_listens,
        other_users_are_refused_and_counted,
        other_users_are_refused_at_the_base_url_door,
    ],
    ends: [
        a_killed_gravimeter_fails_closed_and_comes_back,
        the_demo_leaves_nothing_behind,
        an_interrupted_demo_leaves_nothing_behind,
        what_serve_installs_as_root_goes_with_it,
    ],
    faults: [
        a_full_disk_does_not_keep_gravimeter_from_starting_again,
        a_killed_agent_stops_what_it_had_asked_for,
        a_provider_that_vanishes_is_given_up,
        without_a_free_port_newcomers_are_refused_and_the_others_live,
    ],
    handover: [
        a_service_of_another_user_takes_the_sessions_of_its_group_alone,
    ],
    life: [
        a_shutdown_asks_the_agent_first,
        an_agent_of_our_own_user_needs_no_root,
        an_agent_that_does_not_listen_is_killed_with_its_children,
        what_an_agent_has_detached_ends_with_gravimeter,
        what_an_agent_has_detached_ends_with_the_agent,
        what_an_agent_has_detached_is_reaped,
        a_killed_agent_is_started_again,
        a_killed_sudo_leaves_no_second_agent,
        the_orphan_of_a_killed_supervisor_is_found,
        a_loop_of_crashes_ends,
        ports_are_announced_and_a_chatty_agent_is_not_held_up,
    ],
    privilege: [
        without_privileges_nothing_counts_as_passed,
    ],
    rules: [
        only_the_agents_port_443_is_redirected,
        a_dead_gravimeter_refuses_at_once,
        the_agent_cannot_reach_gravimeter_directly,
        http_3_is_refused_at_once,
        rules_come_all_or_none,
        rules_go_without_a_trace,
        rules_of_a_half_broken_installation_are_removed_too,
        a_user_who_is_not_made_by_us_stays,
        older_connections_are_warned_of,
        misuse_is_told_with_a_remedy,
        the_sudoers_file_permits_three_fixed_commands,
        drift_is_stated,
        nft_does_where_iptables_is_missing,
        the_operator_sees_the_status_without_root,
    ],
    run: [
        a_program_that_ignores_proxies_is_counted_to_the_token,
        a_program_keeps_its_user_its_sandbox_and_both_loopbacks,
        quic_is_rejected_at_once,
        endings_are_passed_on_from_inside,
        after_any_kill_nothing_is_left,
        nft_does_where_iptables_is_missing,
    ],
    scopes: [
        without_pasta_tcp_and_names_pass,
        root_keeps_its_rights_in_a_namespace,
        a_cgroup_is_captured_and_nothing_else_is,
        a_cgroup_comes_after_a_namespace_and_is_one_runs_at_a_time,
        a_slice_of_the_users_systemd_is_captured,
        what_is_missing_is_named_and_the_next_way_is_taken,
        without_user_namespaces_the_proxy_is_used,
        the_screen_is_the_same_byte_for_byte,
        without_pasta_a_killed_holder_costs_nothing,
        a_go_program_needs_only_ssl_cert_file,
        another_user_runs_on_the_same_terminal,
    ],
    soak: [
        a_thousand_runs_in_a_namespace_resolve_names_and_leave_nothing_behind,
    ],
    whole: [
        a_language_server_of_its_own_user_is_counted_to_the_token,
        an_installed_gravimeter_needs_no_more_words,
        rules_that_vanish_are_told,
        the_redirected_user_cannot_run_gravimeter,
    ],
];

/// Whether a test takes minutes, and runs only if it is asked for.
fn is_soak(name: &str) -> bool {
    name.starts_with("soak::")
}

fn main() -> ExitCode {
    if role::play() {
        return ExitCode::SUCCESS;
    }
    let skipped = stage::obstacle().map(|reason| skip::decide("*", TESTS.len(), &reason));
    let is_skipped = matches!(skipped, Some(Ok(())));
    let refusal = skipped.and_then(Result::err);
    let trial = |(name, test): &(&str, fn())| {
        let (test, refusal) = (*test, refusal.clone());
        let run = move || match refusal {
            Some(refusal) => Err(Failed::from(refusal)),
            None => {
                test();
                Ok(())
            }
        };
        Trial::test(*name, run).with_ignored_flag(is_skipped || is_soak(name))
    };
    let trials = TESTS.iter().map(trial).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
