//! Which requests and calls a rule matches.

use super::{Request, rule, rules_of};
use crate::record::{
    AppliedRules, Call, Caller, Host, Id, Model, ProgramName, RepositoryName, RuleName, SessionId,
    sample_call,
};

const BODY: &str = r#"{"model":"claude-opus-4-6","max_tokens":10}"#;

fn matches(request: &Request, condition: &str) -> bool {
    let keys = format!("match = {{ {condition} }}\nset = {{ \"/x\" = 1 }}");
    !request.under(&rule("r", &keys)).outcome.uses.is_empty()
}

#[test]
fn every_condition_can_match_and_fail() {
    let mut request = Request::message(BODY)
        .with("x-claude-code-agent-id", "a1")
        .with("x-claude-code-agent-type", "Explore");
    request.caller = Caller {
        session: SessionId::parse("s-1"),
        program: ProgramName::new("claude"),
        repository: RepositoryName::new("example.com/owner/name"),
        branch: None,
    };
    for (yes, no) in [
        (
            r#"host = "api.anthropic.com""#,
            r#"host = "api.openai.com""#,
        ),
        (r#"host = ["*.anthropic.com"]"#, r#"host = "*.example.com""#),
        (
            r#"provider = "anthropic""#,
            r#"provider = ["openai", "x_ai"]"#,
        ),
        (r#"operation = "chat""#, r#"operation = "embeddings""#),
        (r#"model = "claude-opus-*""#, r#"model = "claude-sonnet-*""#),
        (r#"program = "clau*""#, r#"program = "codex""#),
        (r#"repository = "example.com/*""#, r#"repository = "name""#),
        (r#"session = "s-1""#, r#"session = "s-2""#),
        ("subagent = true", "subagent = false"),
        (r#"subagent = "Exp*""#, r#"subagent = ["Plan"]"#),
        (
            r#"header = "x-claude-code-agent-id""#,
            r#"header = ["x-claude-code-agent-id", "x-other"]"#,
        ),
        (
            r#"host = "api.anthropic.com", model = "*", subagent = true"#,
            r#"host = "api.anthropic.com", model = "*", subagent = false"#,
        ),
    ] {
        assert!(matches(&request, yes), "{yes}");
        assert!(!matches(&request, no), "{no}");
    }
    assert!(matches(&Request::message(BODY), "subagent = false"));
    assert!(
        !matches(&Request::message(BODY), r#"program = "*""#),
        "it is not known"
    );
}

#[test]
fn a_host_may_match_where_a_rule_that_is_no_dry_run_can() {
    let may =
        |rules: &str, host: &str| rules_of(rules).may_match(&Host::parse(host).expect("a host"));
    let of = |condition: &str| rule("r", &format!("match = {{ {condition} }}\ndeny = \"no\""));
    assert!(may(&rule("r", "deny = \"no\""), "any.example.com"));
    assert!(may(&of(r#"provider = "anthropic""#), "api.anthropic.com"));
    assert!(may(&of(r#"provider = "anthropic""#), "gateway.example.com"));
    assert!(!may(&of(r#"provider = "anthropic""#), "api.openai.com"));
    assert!(!may(&of(r#"host = "a.example.com""#), "b.example.com"));
    let dry = rule("r", "deny = \"no\"\ndry_run = true");
    assert!(!may(&dry, "any.example.com"));
    assert!(!may("", "any.example.com"));
}

/// The names of the dry runs that a call counts for.
fn used(rules: &str, call: &Call) -> String {
    let rules = rules_of(rules);
    let names: Vec<String> = rules.would_use(call).map(ToString::to_string).collect();
    names.join(" ")
}

#[test]
fn dry_runs_are_judged_by_the_call_as_if_they_were_none() {
    let mut call = sample_call();
    call.model = Model::from_wire("m-1");
    call.ids.subagent = Id::from_wire("a");
    let dry =
        |name: &str, keys: &str| rule(name, &format!("dry_run = true\ndeny = \"no\"\n{keys}"));
    assert_eq!(
        used(
            &dry("a", "match = { model = \"m-*\", subagent = true }"),
            &call
        ),
        "a"
    );
    assert_eq!(used(&dry("a", "match = { model = \"n-*\" }"), &call), "");
    assert_eq!(used(&dry("a", "match = { subagent = false }"), &call), "");
    let both = dry("a", "match = { model = \"m-1\" }\ncontinue = true") + &dry("b", "");
    assert_eq!(used(&both, &call), "a b");
    let first = dry("a", "match = { model = \"m-1\" }") + &dry("b", "");
    assert_eq!(used(&first, &call), "a", "the search ends with it");
    let live = rule("live", "match = { model = \"m-1\" }\nset = { \"/a\" = 1 }") + &dry("b", "");
    assert_eq!(used(&live, &call), "", "a live one ends the search as well");

    // A call that was changed is judged by what the agent asked for.
    call.rules = Some(Box::new(AppliedRules {
        names: vec![RuleName::parse("x").expect("a name")],
        asked_model: Some(Model::from_wire("n-1")),
    }));
    assert_eq!(used(&dry("a", "match = { model = \"n-*\" }"), &call), "a");
}
