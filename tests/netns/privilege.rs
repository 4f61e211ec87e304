//! A privileged test that cannot run counts as skipped, never as passed, and fails where it must
//! not be skipped.

use crate::skip::SKIPS_FILE;
use crate::stage::{OPERATOR, SELF, as_user, on_stage, root, text};

/// This very binary, run by somebody who cannot set a stage.
pub(crate) fn without_privileges_nothing_counts_as_passed() {
    on_stage(
        "privilege::without_privileges_nothing_counts_as_passed",
        || {
            let tests = crate::TESTS.len();
            let report = "/var/lib/ann/skips";
            for strict in [false, true] {
                let mut command = as_user(OPERATOR);
                if strict {
                    command.env(SKIPS_FILE, report);
                }
                let output = command.arg(SELF).output().expect("the tests run");
                assert!(output.status.success(), "{}", text(&output));
                assert!(
                    text(&output).contains(&format!("0 passed; 0 failed; {tests} ignored")),
                    "{}",
                    text(&output)
                );
                let words = String::from_utf8_lossy(&output.stderr).into_owned();
                let told: Vec<_> = words
                    .lines()
                    .filter(|line| line.starts_with("SKIPPED netns *"))
                    .collect();
                let [line] = told[..] else {
                    panic!("one line: {words}")
                };
                assert!(line.contains("unshare"), "the reason: {line}");
            }
            let report = std::fs::read_to_string(report).expect("a report");
            assert!(
                report.starts_with(&format!("{tests}\tnetns *\t")) && report.lines().count() == 1,
                "{report}"
            );

            // A root that may make namespaces but lacks the tools for a stage must not skip them.
            root("mkdir /usr/local/few && ln -s $(type -P unshare) $(type -P true) /usr/local/few");
            let output = as_user("root")
                .args(["env", "PATH=/usr/local/few", SELF])
                .env(SKIPS_FILE, "/usr/local/few/skips")
                .output();
            let output = output.expect("the tests run");
            assert!(!output.status.success(), "{}", text(&output));
            let soaks = crate::TESTS.iter().filter(|(name, _)| crate::is_soak(name));
            let soaks = soaks.count();
            let failed = tests - soaks;
            assert!(
                text(&output).contains(&format!("0 passed; {failed} failed; {soaks} ignored")),
                "{}",
                text(&output)
            );
            assert!(!text(&output).contains("SKIPPED"), "{}", text(&output));
        },
    );
}
