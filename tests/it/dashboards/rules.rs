//! promtool reads the rules and runs their tests; each alert has both kinds of test and a page that
//! says what to do.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use super::expression::selectors;
use super::{documented, root};
use crate::skip;

#[test]
fn promtool_accepts_the_rules_and_their_tests() {
    if !skip::has_program("promtool", "prometheus") {
        return;
    }
    promtool(&[
        "check",
        "rules",
        "--lint=all",
        "--lint-fatal",
        "rules.yml",
        "alerts.yml",
    ]);
    promtool(&["check", "config", "prometheus.yml"]);
    promtool(&["test", "rules", "tests/rules.yml", "tests/alerts.yml"]);
}

fn promtool(arguments: &[&str]) {
    let run = Command::new("promtool")
        .args(arguments)
        .current_dir(root().join("deploy/prometheus"))
        .output();
    let output = run.expect("promtool");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "promtool {}: {said}",
        arguments.join(" ")
    );
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The values of `key: value` in the lines of a file, in order.
fn values<'a>(text: &'a str, key: &str) -> Vec<&'a str> {
    let key = format!("{key}: ");
    text.lines()
        .filter_map(|line| line.trim_start_matches(['-', ' ']).strip_prefix(&*key))
        .map(str::trim)
        .collect()
}

#[test]
fn each_alert_is_tested_both_ways() {
    let alerts = read("deploy/prometheus/alerts.yml");
    let tests = read("deploy/prometheus/tests/alerts.yml");
    let mut seen: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for test in tests.split("alertname: ").skip(1) {
        let alert = test.lines().next().expect("a name").trim();
        let (firing, quiet) = seen.entry(alert).or_default();
        *if test.contains("exp_alerts: []") {
            quiet
        } else {
            firing
        } += 1;
    }
    for alert in values(&alerts, "alert") {
        let (firing, quiet) = seen.get(alert).copied().unwrap_or_default();
        assert!(
            firing > 0 && quiet > 0,
            "{alert} has {firing} tests in which it fires and {quiet} in which it does not"
        );
    }
}

#[test]
fn each_recording_rule_is_tested() {
    let tests = read("deploy/prometheus/tests/rules.yml");
    for rule in values(&read("deploy/prometheus/rules.yml"), "record") {
        assert!(
            tests.contains(&format!("expr: round({rule} * 1000)")),
            "{rule}"
        );
    }
}

#[test]
fn each_alert_says_what_it_means_and_what_to_do() {
    let alerts = read("deploy/prometheus/alerts.yml");
    let index = read("docs/runbooks/README.md");
    let names = values(&alerts, "alert");
    assert!(names.len() >= 10);
    for (name, alert) in names.iter().zip(alerts.split("- alert: ").skip(1)) {
        let one = |key| {
            *values(alert, key)
                .first()
                .unwrap_or_else(|| panic!("{name} has no {key}"))
        };
        assert!(name.starts_with("Gravimeter"), "{name}");
        assert!(["critical", "warning"].contains(&one("severity")), "{name}");
        let summary = one("summary");
        assert!(
            summary.ends_with('.') && !summary.contains("{{"),
            "{name}: a static sentence"
        );
        assert!(
            one("description").contains("{{"),
            "{name}: what it is about"
        );
        let url = one("runbook_url");
        assert_eq!(url, format!("docs/runbooks/{name}.md"));
        let page = read(url);
        for part in [
            &*format!("# {name}\n"),
            "## What it means\n",
            "## How to see it\n",
            "## What to do\n",
        ] {
            assert!(page.contains(part), "{url}: {part}");
        }
        assert!(
            index.contains(&format!("[{name}]({name}.md) | {summary} |")),
            "the index has {name}"
        );
    }
    let pages = fs::read_dir(root().join("docs/runbooks"))
        .expect("a folder")
        .count();
    assert_eq!(
        pages,
        names.len() + 1,
        "a page for each alert, and the index"
    );
}

/// What pages tell people to ask Prometheus is there.
#[test]
fn pages_ask_for_what_is_documented() {
    let documented = documented();
    for entry in fs::read_dir(root().join("docs/runbooks")).expect("a folder") {
        let path = entry.expect("an entry").path();
        let page = fs::read_to_string(&path).expect("a page");
        for code in page
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|code| code.contains("gravimeter_"))
        {
            for selector in selectors(code)
                .unwrap_or_else(|error| panic!("{}: {code}: {error}", path.display()))
            {
                let family = selector.family();
                assert!(documented.contains(family), "{}: {family}", path.display());
            }
        }
    }
}
