//! Promise: what is skipped is told, and where every test is meant to run, nothing is skipped that
//! may not be.
//!
//! The tests of this binary run a second time, in an environment that lacks something.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use rustix::process::geteuid;

use crate::skip::{SKIPS_FILE, may_skip};

/// A test that needs a program, and may not be skipped where every test is meant to run.
const NEEDS_PROMTOOL: &str = "dashboards::rules::promtool_accepts_the_rules_and_their_tests";
/// A test that may be skipped for who has no privileges.
const NEEDS_ROOT: &str = "deploy::sandbox::the_service_works_with_what_its_unit_leaves_it";

/// An environment to run one test in.
struct Environment {
    folder: tempfile::TempDir,
}

impl Environment {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    fn skips(&self) -> PathBuf {
        self.folder.path().join("skips")
    }

    /// The command of a program that will run this binary's test of that name.
    fn of(program: PathBuf, before: &[&str], test: &str) -> Command {
        let mut command = Command::new(program);
        command
            .args(before)
            .args(["--exact", test])
            .env_remove(SKIPS_FILE)
            .env_remove("CI");
        command
    }

    /// Runs a test that finds no program of the system.
    fn without_programs(&self, test: &str) -> Command {
        let mut command = Self::of(own(), &[], test);
        command.env("PATH", self.folder.path());
        command
    }

    /// Runs a test as somebody who may not make namespaces: an ordinary user, or root without
    /// capabilities.
    fn without_privileges(test: &str) -> Command {
        if !geteuid().is_root() {
            return Self::of(own(), &[], test);
        }
        let own = own();
        let no_capabilities = [
            "--bounding-set=-all",
            "--inh-caps=-all",
            "--",
            own.to_str().expect("a UTF-8 path"),
        ];
        Self::of("setpriv".into(), &no_capabilities, test)
    }
}

fn own() -> PathBuf {
    std::env::current_exe().expect("the path of this binary")
}

fn run(command: &mut Command) -> Output {
    command.output().expect("the test binary")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&*output.stdout, &*output.stderr].concat()).into_owned()
}

#[test]
fn a_missing_program_fails_the_test_where_every_test_is_meant_to_run() {
    let environment = Environment::new();
    let skips = environment.skips();
    for (variable, value) in [(SKIPS_FILE, skips.as_os_str()), ("CI", "true".as_ref())] {
        let output = run(environment
            .without_programs(NEEDS_PROMTOOL)
            .env(variable, value));
        let said = said(&output);
        assert!(
            !output.status.success() && said.contains("1 failed"),
            "{variable}: {said}"
        );
        assert!(
            said.contains(&format!(
                "it {NEEDS_PROMTOOL} must not be skipped in this run"
            )),
            "{variable}: {said}"
        );
        assert!(
            said.contains("promtool is not installed"),
            "{variable}: {said}"
        );
    }
    assert!(!skips.exists(), "what fails is not skipped");
}

#[test]
fn a_missing_program_is_told_to_whoever_runs_the_tests_by_hand() {
    let output = run(&mut Environment::new().without_programs(NEEDS_PROMTOOL));
    assert!(output.status.success(), "{}", said(&output));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        told.starts_with(&format!(
            "SKIPPED it {NEEDS_PROMTOOL}, 1: promtool is not installed"
        )),
        "{told}"
    );
}

#[test]
fn a_skip_that_is_allowed_is_told_and_reported() {
    let environment = Environment::new();
    let output =
        run(Environment::without_privileges(NEEDS_ROOT).env(SKIPS_FILE, environment.skips()));
    assert!(output.status.success(), "{}", said(&output));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        told.starts_with(&format!("SKIPPED it {NEEDS_ROOT}, 1: ")),
        "{told}"
    );
    let reported = fs::read_to_string(environment.skips()).expect("a report");
    let fields: Vec<_> = reported
        .strip_suffix('\n')
        .expect("a whole line")
        .split('\t')
        .collect();
    assert_eq!(
        fields[..2],
        ["1", &format!("it {NEEDS_ROOT}")],
        "{reported}"
    );
    assert!(
        fields.len() == 3 && !fields[2].is_empty(),
        "with its reason: {reported}"
    );
}

#[test]
fn only_what_is_listed_may_be_skipped_and_only_where_it_is_listed_for() {
    assert!(may_skip("netns rules::drift_is_stated", false));
    assert!(
        !may_skip("netns rules::drift_is_stated", true),
        "root runs them"
    );
    assert!(may_skip("netns *", false), "all of them at once");
    assert!(may_skip("bench peers", false));
    assert!(!may_skip("bench peers", true));
    assert!(
        may_skip("bench peers::squid", true),
        "a proxy that the system may not have"
    );
    assert!(!may_skip("bench peers::Gravimeter", false));
    assert!(
        !may_skip(&format!("it {NEEDS_ROOT}_too"), false),
        "a longer name is another one"
    );
    assert!(!may_skip(
        "lib capture::listener::tests::an_ipv6_listener_leaves_ipv4_alone",
        false
    ));
}
