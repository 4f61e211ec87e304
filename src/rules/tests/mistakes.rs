//! What is wrong with rules is named with its line, its key and what to write instead.

use super::{rule, rules_of, try_read};
use crate::record::{HostPattern, Model};
use crate::rules::{foreign_hosts, unknown_models};

/// The flaws of a text, each in a line.
fn flaws(text: &str) -> Vec<String> {
    let flaws = try_read(text).expect_err(text);
    flaws.iter().map(ToString::to_string).collect()
}

#[test]
fn every_flaw_of_a_file_is_found_in_one_pass() {
    let text = r#"
[[rule]]
name = "a b"
colour = "red"
match = { model = [], provider = "opnai", hosts = "x" }
set = { temperature = 0 }
patch = [{ op = "replace", path = "/a" }]
set_header = { Authorization = "x" }

[[rule]]
name = "empty"

[other]
"#;
    let found = flaws(text);
    let expected = [
        "rules.toml:3: name: a name has up to 64 letters",
        "rules.toml:4: colour: there is no such key: write name, match",
        "rules.toml:5: match.hosts: there is no such condition",
        "rules.toml:5: match.model: an empty list matches nothing",
        "rules.toml:5: match.provider: there is no \"opnai\": write one of anthropic",
        "rules.toml:6: set: \"temperature\" is not a JSON pointer",
        "rules.toml:7: patch: an operation of this kind needs `value`",
        "rules.toml:8: set_header: \"Authorization\" cannot be set or removed",
        "rules.toml:10: the rule does nothing: write one of deny",
        "rules.toml:13: other: there is nothing of that name: a file of rules is made of [[rule]] blocks with a name, what they match and what they do; give a configuration as --config FILE",
    ];
    let mut sorted = found.clone();
    sorted.sort_by_key(|flaw| {
        expected
            .iter()
            .position(|expected| flaw.starts_with(expected))
    });
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (flaw, expected) in sorted.iter().zip(expected) {
        assert!(flaw.starts_with(expected), "{flaw}\n{expected}");
    }
}

#[test]
fn single_flaws_say_what_to_write_instead() {
    for (keys, expected) in [
        ("deny = \"\"", "deny: write a text in quotes"),
        ("continue = 1", "continue: write true or false"),
        ("include_usage = false", "include_usage: false does nothing"),
        (
            "max_output_tokens = 0",
            "max_output_tokens: an answer needs at least one token",
        ),
        (
            "max_output_tokens = -1",
            "max_output_tokens: write a number of tokens",
        ),
        (
            "max_body_mib = 257",
            "max_body_mib: write a number of MiB from 1 to 256",
        ),
        ("on_error = \"stop\"", "on_error: write \"pass\""),
        ("model = \"gpt-*\"", "model: write the name of one model"),
        ("remove = \"\"", "remove: \"\" is not a JSON pointer"),
        ("patch = []", "patch: write a list of operations"),
        (
            "patch = [{ op = \"swap\", path = \"/a\" }]",
            "patch: there is no operation \"swap\"",
        ),
        (
            "patch = [{ op = \"remove\", path = \"/a\", value = 1 }]",
            "patch: `remove` has no `value`",
        ),
        (
            "set_header = { \"content-length\" = \"1\" }",
            "set_header: \"content-length\" cannot be set",
        ),
        (
            "remove_header = \"x-api-key\"",
            "remove_header: \"x-api-key\" cannot be set or removed",
        ),
        ("match = 1", "match: this is not a table"),
        ("match = { host = \"*\" }", "match.host: \"*\" is no host"),
        ("match = { subagent = 1 }", "match.subagent: write true"),
    ] {
        let text = rule("r", keys);
        let found = flaws(&text);
        let is_there = found
            .iter()
            .any(|flaw| flaw.contains(&format!(": {expected}")));
        assert!(is_there, "{keys}: {found:?}");
    }
    assert!(flaws("[[rule]]\nset = { \"/a\" = 1 }")[0].contains("name: is missing"));
    assert!(flaws("[[rule]\n")[0].contains("this is not TOML"));
    assert!(flaws("rule = 1")[0].contains("rule: this is not a list of rules"));
}

#[test]
fn rules_that_contradict_each_other_are_refused() {
    let wide = "match = { provider = \"openai\" }\ncontinue = true";
    let narrow = "match = { provider = \"openai\", model = \"gpt-*\" }";
    for (first, then, expected) in [
        (
            "set = { \"/a\" = 1 }",
            "set = { \"/b\" = 1 }",
            "it cannot match: a (rules.toml:1)",
        ),
        (
            &format!("{wide}\nmodel = \"b\""),
            &format!("{narrow}\nmodel = \"c\""),
            "it changes the model, which a (rules.toml:1) has changed already",
        ),
        (
            &format!("{wide}\nset = {{ \"/a\" = {{ x = 1 }} }}"),
            &format!("{narrow}\nremove = \"/a/x\""),
            "it changes /a/x, which a",
        ),
        (
            &format!("{wide}\nset_header = {{ \"x-a\" = \"1\" }}"),
            &format!("{narrow}\nremove_header = \"x-a\""),
            "it changes the header field x-a, which a",
        ),
    ] {
        let found = flaws(&(rule("a", first) + &rule("b", then)));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].contains(&format!("rule b: {expected}")),
            "{found:?}"
        );
    }
    for (first, then) in [
        // The narrow one comes first.
        (
            format!("{narrow}\nmodel = \"c\""),
            format!("{wide}\nmodel = \"b\""),
        ),
        // They change the same to the same.
        (
            format!("{wide}\nmodel = \"b\""),
            format!("{narrow}\nmodel = \"b\""),
        ),
        // One is only counted.
        (
            "dry_run = true\nmodel = \"b\"".to_owned(),
            format!("{narrow}\nmodel = \"c\""),
        ),
        // Both add.
        (
            format!("{wide}\nappend_system = \"x\""),
            format!("{narrow}\nappend_system = \"y\""),
        ),
    ] {
        rules_of(&(rule("a", &first) + &rule("b", &then)));
    }
    let twice =
        flaws(&(rule("a", narrow) + "model = \"b\"\n" + &rule("a", wide) + "model = \"b\"\n"));
    assert!(
        twice[0].contains("there is another rule of this name, a (rules.toml:1)"),
        "{twice:?}"
    );
}

#[test]
fn a_rule_that_contradicts_itself_is_refused() {
    for (keys, expected) in [
        (
            "deny = \"no\"\nmodel = \"b\"",
            "it refuses requests and changes them",
        ),
        (
            "dry_run = true\nmatch = { header = \"x-a\" }\nmodel = \"b\"",
            "a dry run sees no header fields",
        ),
        (
            "match = { host = \"api.openai.com\", provider = \"anthropic\" }\nmodel = \"b\"",
            "it cannot match: none of the hosts",
        ),
        (
            "set = { \"/a\" = 1 }\nremove = \"/a\"",
            "it changes /a twice",
        ),
    ] {
        let found = flaws(&rule("r", keys));
        assert!(
            found.iter().any(|flaw| flaw.contains(expected)),
            "{keys}: {found:?}"
        );
    }
}

#[test]
fn models_without_a_price_and_hosts_that_nobody_intercepts_are_named() {
    let rules = rules_of(
        &(rule(
            "a",
            "match = { host = \"a.example.com\" }\nmodel = \"known\"",
        ) + &rule(
            "b",
            "match = { host = [\"b.example.com\", \"c.example.com\"] }\nmodel = \"misspelt\"",
        )),
    );
    let unknown = unknown_models(&rules, |model: &Model| model.as_str() == "known");
    assert_eq!(unknown.len(), 1);
    let text = unknown[0].to_string();
    assert!(
        text.starts_with("rules.toml:5: model: rule b: no price is known for misspelt"),
        "{text}"
    );
    let patterns = |texts: &[&str]| -> Vec<_> {
        texts
            .iter()
            .map(|text| HostPattern::parse(text).expect("a pattern"))
            .collect()
    };
    assert!(foreign_hosts(&rules, &patterns(&["*.example.com"])).is_empty());
    let foreign = foreign_hosts(&rules, &patterns(&["a.example.com", "b.example.com"]));
    assert_eq!(foreign.len(), 1);
    assert!(
        foreign[0]
            .to_string()
            .contains("c.example.com is not intercepted")
    );
}
