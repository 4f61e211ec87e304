//! Decides whether a test may be skipped on this machine, and reports every skip. All test binaries
//! share this file.
//!
//! A test that lacks something calls [`skip`] and returns; no other code reports or decides on
//! skips (`tests/it/structure.rs`). Under plain `cargo test` a line on standard error says what was
//! skipped and why, although the test passes. `scripts/test.sh` names a file in [`SKIPS_FILE`],
//! adds up what the tests write there, and prints it at its end. In such a run, and wherever `CI`
//! is set, a test fails instead when [`MAY_SKIP`] does not list it.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The variable with the file that skips are added to: `count<TAB>test<TAB>reason`, one line each.
pub(crate) const SKIPS_FILE: &str = "TEST_SKIPS";

/// The tests that may be skipped where all of them are meant to run: name, condition, reason. A `*`
/// ends a prefix of names.
pub(crate) const MAY_SKIP: &[(&str, Condition, &str)] = &[
    (
        "netns *",
        Condition::NoPrivileges,
        "they change rules, users and mounts in namespaces",
    ),
    (
        "clients *",
        Condition::NoPrivileges,
        "they change rules, users and mounts in namespaces",
    ),
    (
        "it cli::serve::a_port_for_root_is_not_taken_for_another_gravimeter",
        Condition::NoPrivileges,
        "becomes another user in a network namespace",
    ),
    (
        "it deploy::containers::the_sidecar_runs_with_what_its_pod_gives_it",
        Condition::NoPrivileges,
        "becomes another user",
    ),
    (
        "it deploy::package::the_package_is_sound_and_leaves_no_trace",
        Condition::NoPrivileges,
        "installs a package",
    ),
    (
        "it deploy::sandbox::the_service_works_with_what_its_unit_leaves_it",
        Condition::NoPrivileges,
        "becomes another user",
    ),
    (
        "it deploy::systemd::users_and_folders_are_made",
        Condition::NoPrivileges,
        "gives folders to other users",
    ),
    (
        "bench peers",
        Condition::NoPrivileges,
        "redirects connections in a network namespace",
    ),
    (
        "bench peers::mitmproxy",
        Condition::None,
        "the benchmark compares with it; not every Debian release has it",
    ),
    ("bench peers::sslsplit", Condition::None, "the same"),
    ("bench peers::squid", Condition::None, "the same"),
    (
        "it native_histograms::prometheus_3_begins_a_counter_at_zero_and_sees_no_jump_over_a_kill",
        Condition::None,
        "no stable release of Debian has a Prometheus 3",
    ),
    (
        "it native_histograms::prometheus_3_shows_the_same_and_keeps_the_classic_ones_where_it_is_told_to",
        Condition::None,
        "the same",
    ),
];

/// Where an entry of [`MAY_SKIP`] counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Everywhere.
    None,
    /// For an ordinary user, and for a root that may not make namespaces (see [`privileges`]).
    NoPrivileges,
}

/// Skips the current test, or the rest of it: reports the reason, after which the caller returns.
///
/// # Panics
/// When the test must not be skipped in this run.
#[track_caller]
pub(crate) fn skip(reason: &str) {
    // The test harness gives the thread of a test its name.
    let test = std::thread::current()
        .name()
        .unwrap_or("a thread without a name")
        .to_owned();
    if let Err(refusal) = decide(&test, 1, reason) {
        panic!("{refusal}");
    }
}

/// Skips a test by its name within this binary, or `count` tests by a name with `*`. For callers
/// without the standard harness.
///
/// # Errors
/// Why these tests must not be skipped in this run.
pub(crate) fn decide(test: &str, count: usize, reason: &str) -> Result<(), String> {
    let test = format!("{} {test}", binary());
    let reason = reason.lines().collect::<Vec<_>>().join(" ");
    let file = std::env::var_os(SKIPS_FILE);
    let is_strict = file.is_some() || std::env::var_os("CI").is_some();
    if is_strict && !may_skip(&test, privileges().is_ok()) {
        return Err(format!(
            "{test} must not be skipped in this run (tests/skip.rs lists what may): {reason}"
        ));
    }
    // Not `eprintln!`, which the harness hides for a test that passes.
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}, {count}: {reason}");
    if let Some(file) = file {
        // One write, so that lines of tests that run at the same time do not mix.
        let line = format!("{count}\t{test}\t{reason}\n");
        let opened = OpenOptions::new().append(true).create(true).open(&file);
        let written = opened.and_then(|mut file| file.write_all(line.as_bytes()));
        written.map_err(|error| {
            format!(
                "{test}: cannot report a skip in {}: {error}",
                Path::new(&file).display()
            )
        })?;
    }
    Ok(())
}

/// Whether [`MAY_SKIP`] lists a test, named with its binary, for somebody with or without
/// privileges.
pub(crate) fn may_skip(test: &str, is_privileged: bool) -> bool {
    MAY_SKIP.iter().any(|(name, condition, _)| {
        let is_named = name
            .strip_suffix('*')
            .map_or(test == *name, |prefix| test.starts_with(prefix));
        is_named && (*condition == Condition::None || !is_privileged)
    })
}

/// The name of this binary in [`MAY_SKIP`].
fn binary() -> &'static str {
    match env!("CARGO_CRATE_NAME") {
        "gravimeter" => "lib",
        binary => binary,
    }
}

/// Whether this process is root with the right to make network and mount namespaces; skips the test
/// where it is not.
#[track_caller]
pub(crate) fn is_privileged() -> bool {
    privileges().inspect_err(|reason| skip(reason)).is_ok()
}

/// # Errors
/// Why this process is not root with the right to make network and mount namespaces.
pub(crate) fn privileges() -> Result<(), &'static str> {
    static PRIVILEGES: OnceLock<Result<(), String>> = OnceLock::new();
    let privileges = PRIVILEGES.get_or_init(|| {
        if !rustix::process::geteuid().is_root() {
            return Err("only root can do this".to_owned());
        }
        let output = Command::new("unshare")
            .args(["--net", "--mount", "true"])
            .output();
        let output = output.map_err(|error| format!("unshare of util-linux: {error}"))?;
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        output
            .status
            .success()
            .then_some(())
            .ok_or(format!("this root may not make namespaces: {said}"))
    });
    privileges.as_ref().map(|&()| ()).map_err(String::as_str)
}

/// Whether the machine has the IPv6 loopback address; skips the test where it does not. Linux
/// without IPv6 has no such file.
#[track_caller]
pub(crate) fn has_ipv6() -> bool {
    let addresses = std::fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    let has_loopback = addresses
        .lines()
        .any(|line| line.starts_with("00000000000000000000000000000001 "));
    if !has_loopback {
        skip("this machine has no IPv6: ::1 is on none of its interfaces");
    }
    has_loopback
}

/// Whether a program is in one of the folders of `PATH`; skips the test where it is not.
#[track_caller]
pub(crate) fn has_program(program: &str, package: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    if !is_there {
        skip(&format!(
            "{program} is not installed: scripts/test.sh or apt-get install {package} does it"
        ));
    }
    is_there
}

/// What the variable names, or what `scripts/test.sh` installs in a place below `target/tools`;
/// skips the test where it is not there.
#[track_caller]
pub(crate) fn tool(name: &str, place: &str, variable: Option<&str>) -> Option<PathBuf> {
    if let Some(named) = variable.and_then(std::env::var_os) {
        return Some(named.into());
    }
    let installed = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("target/tools")
        .join(place);
    if installed.exists() {
        return Some(installed);
    }
    let or_set = variable
        .map(|variable| format!(", or set {variable}"))
        .unwrap_or_default();
    skip(&format!(
        "{name} is not installed: scripts/test.sh does it{or_set}"
    ));
    None
}
