//! A privileged test that cannot run says so loudly and counts as skipped, never as passed.

use crate::stage::{OPERATOR, SELF, as_user, on_stage, text};

/// This very binary, run by somebody who cannot set a stage.
pub(crate) fn without_privileges_nothing_counts_as_passed() {
    on_stage("privilege::without_privileges_nothing_counts_as_passed", || {
        let tests = crate::TESTS.len();
        let output = as_user(OPERATOR).arg(SELF).output().expect("the tests run");
        assert!(output.status.success(), "{}", text(&output));
        assert!(text(&output).contains(&format!("0 passed; 0 failed; {tests} ignored")), "{}", text(&output));
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        let loud: Vec<_> = words.lines().filter(|line| line.starts_with("SKIPPED (privileged)")).collect();
        let [line] = loud[..] else { panic!("one line: {words}") };
        assert!(line.contains("unshare"), "the reason: {line}");

        let output = as_user(OPERATOR).env("REQUIRE_PRIVILEGED_TESTS", "1").arg(SELF).output().expect("the tests run");
        assert!(!output.status.success(), "{}", text(&output));
        assert!(text(&output).contains(&format!("0 passed; {tests} failed; 0 ignored")), "{}", text(&output));
        assert!(!text(&output).contains("SKIPPED"), "{}", text(&output));
    });
}
