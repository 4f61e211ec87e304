//! Which rules are applied, in which order, and what becomes of a request that one cannot change.

use super::{Request, rule, rules_of};
use crate::record::RuleResult::{Applied, Denied, Failed, Signed, TooLarge, Unchanged};
use crate::rules::{Decision, Outcome, Plan};

const BODY: &str = r#"{"model":"a","max_tokens":10,"messages":[]}"#;

#[test]
fn the_first_rule_that_matches_ends_the_search_unless_it_goes_on() {
    let set = |name: &str, goes_on: bool| {
        rule(
            name,
            &format!(
                "match = {{ model = \"{name}*\" }}\ncontinue = {goes_on}\nset = {{ \"/{name}\" = 1 }}"
            ),
        )
    };
    let message = Request::message(r#"{"model":"ab"}"#);
    let changed = message.under(
        &[
            set("b", false),
            set("a", true),
            set("ab", false),
            rule("z", r#"set = { "/z" = 1 }"#),
        ]
        .concat(),
    );
    assert_eq!(changed.body(), Some(r#"{"model":"ab","a":1,"ab":1}"#));
    assert_eq!(changed.uses(), [("a", Applied), ("ab", Applied)]);
    let Decision::Changed { rules, .. } = &changed.outcome.decision else {
        panic!("changed")
    };
    assert_eq!(rules.joined(), "a+ab");
    assert_eq!(rules.asked_model, None);
}

#[test]
fn a_body_is_read_only_for_rules_that_are_reached() {
    let of_head = "match = { header = [\"x-b\"] }\nset_header = { \"x-a\" = \"1\" }";
    let of_body = rule("body", r#"set = { "/b" = 2 }"#);
    let message = Request::message(r#"{"model":"a"}"#).with("x-b", "");
    for (goes_on, is_read) in [(false, false), (true, true)] {
        let first = rule("head", &format!("{of_head}\ncontinue = {goes_on}"));
        let rules = rules_of(&(first + &of_body));
        let plan = message.plan(&rules);
        assert_eq!(matches!(plan, Plan::Body { .. }), is_read, "{plan:?}");
    }
}

#[test]
fn each_rule_has_a_limit_of_its_own() {
    let large = format!(r#"{{"x":"{}"}}"#, "x".repeat(1 << 20));
    let of = |name: &str, mebibytes: u8| {
        let keys = "continue = true\nset = { \"/x\" = 1 }";
        rule(name, &format!("max_body_mib = {mebibytes}\n{keys}"))
    };
    let changed = Request::message(&large).under(&(of("less", 1) + &of("more", 2)));
    assert_eq!(changed.uses(), [("less", TooLarge), ("more", Applied)]);
}

#[test]
fn a_rule_that_fails_leaves_nothing_behind() {
    let failing = r#"set_header = { "x-a" = "1" }
continue = true
patch = [{ op = "add", path = "/a", value = 1 }, { op = "test", path = "/model", value = "b" }]"#;
    let then = rule("then", r#"set = { "/b" = 2 }"#);
    let message = Request::message(r#"{"model":"a"}"#);
    let changed = message.under(&(rule("fails", failing) + &then));
    assert_eq!(changed.body(), Some(r#"{"model":"a","b":2}"#));
    assert!(!changed.headers.contains_key("x-a"));
    assert_eq!(changed.uses(), [("fails", Failed), ("then", Applied)]);
    let reason = changed.outcome.uses[0].reason.as_deref().expect("a reason");
    assert_eq!(reason, "/model: the patch tests for another value");

    let denied = message.under(&rule("fails", &format!("on_error = \"deny\"\n{failing}")));
    let (status, body) = denied.denial().expect("a refusal");
    assert_eq!(status, 403);
    assert!(
        body.contains("refused by the rule fails of Gravimeter"),
        "{body}"
    );
}

#[test]
fn conditions_are_about_what_the_agent_asked_for() {
    let rules = rule(
        "swap",
        "match = { model = \"a\" }\nmodel = \"b\"\ncontinue = true",
    ) + &rule(
        "of-a",
        "match = { model = \"a\" }\nset = { \"/x\" = 1 }\ncontinue = true",
    ) + &rule("of-b", "match = { model = \"b\" }\nset = { \"/y\" = 1 }");
    let changed = Request::message(BODY).under(&rules);
    assert_eq!(changed.uses(), [("swap", Applied), ("of-a", Applied)]);
    let Decision::Changed { rules, .. } = &changed.outcome.decision else {
        panic!("changed")
    };
    let asked = rules.asked_model.as_ref().map(|model| model.as_str());
    assert_eq!(asked, Some("a"));
}

fn reason(outcome: &Outcome) -> &str {
    outcome.uses[0].reason.as_deref().unwrap_or_default()
}

#[test]
fn a_body_that_is_too_large_or_unreadable_passes_or_is_refused() {
    let large = format!(r#"{{"model":"a","x":"{}"}}"#, "x".repeat(1 << 20));
    let keys = "max_body_mib = 1\nset = { \"/a\" = 1 }";
    let message = Request::message(&large);
    let changed = message.under(&rule("r", keys));
    assert!(changed.is_unchanged());
    assert_eq!(changed.uses(), [("r", TooLarge)]);
    let denied = message.under(&rule("r", &format!("{keys}\non_too_large = \"deny\"")));
    assert_eq!(denied.denial().map(|(status, _)| status), Some(413));

    // It unpacks to more than it may.
    let coded = zstd::encode_all(large.as_bytes(), 1).expect("memory");
    let rules = rules_of(&rule("r", keys));
    let message = Request::message("").with("content-encoding", "zstd");
    let Plan::Body { with, limit } = message.plan(&rules) else {
        panic!("the body is needed")
    };
    assert_eq!(limit, 1 << 20);
    let outcome = with.apply(&mut message.headers.clone(), &coded);
    assert_eq!(outcome.uses[0].result, TooLarge);
    assert!(reason(&outcome).contains("(max_body_mib)"));

    // It would be small enough, but there is no memory for what it unpacks to.
    let coded = zstd::encode_all(BODY.as_bytes(), 1).expect("memory");
    for (memory, result) in [(BODY.len() - 1, TooLarge), (BODY.len(), Applied)] {
        let Plan::Body { with, .. } = message.plan(&rules) else {
            panic!("the body is needed")
        };
        let outcome = with
            .within(memory)
            .apply(&mut message.headers.clone(), &coded);
        assert_eq!(outcome.uses[0].result, result);
        assert_eq!(
            reason(&outcome).contains("(rules.max_memory_mib)"),
            result == TooLarge
        );
    }

    for body in ["", "{", "no", "{}{}", "\u{feff}{}"] {
        let changed = Request::message(body).under(&rule("r", r#"set = { "/a" = 1 }"#));
        assert!(changed.is_unchanged(), "{body:?}");
        assert_eq!(changed.uses(), [("r", Failed)], "{body:?}");
    }
}

#[test]
fn only_rules_that_need_the_body_wait_for_it() {
    let head = rules_of(&rule(
        "r",
        "set_header = { \"x-a\" = \"1\" }\nmatch = { host = \"api.anthropic.com\" }",
    ));
    let message = Request::message(BODY);
    assert!(matches!(message.plan(&head), Plan::Head(_)));
    for keys in [
        "set_header = { \"x-a\" = \"1\" }\nmatch = { model = \"a\" }",
        "set = { \"/a\" = 1 }",
        "deny = \"no\"\nmatch = { subagent = true }",
    ] {
        let rules = rules_of(&rule("r", keys));
        assert!(matches!(message.plan(&rules), Plan::Body { .. }), "{keys}");
    }
    // The path names the model, and such a request has no other place for it.
    let by_path = Request::new(
        "generativelanguage.googleapis.com",
        "/v1beta/models/a:generateContent",
        "{}",
    );
    let rules = rules_of(&rule("r", "match = { model = \"a\" }\nmodel = \"b\""));
    let Plan::Head(plan) = by_path.plan(&rules) else {
        panic!("the head is enough")
    };
    let outcome = plan.apply(&mut by_path.headers.clone());
    let Decision::Changed {
        target: Some(target),
        body: None,
        rules,
    } = outcome.decision
    else {
        panic!("changed")
    };
    assert_eq!(target, "/v1beta/models/b:generateContent");
    assert_eq!(rules.asked_model.expect("a model").as_str(), "a");
    for other in ["/v1/models", "/v1/messages/batches", "/api/oauth/token"] {
        let rules = rules_of(&rule("r", "deny = \"no\""));
        assert!(matches!(
            Request::new("api.anthropic.com", other, "").plan(&rules),
            Plan::Pass
        ));
    }
}

#[test]
fn a_signed_request_is_refused_or_left_alone() {
    let signed = Request::message(BODY).with("authorization", "AWS4-HMAC-SHA256 Credential=x");
    for keys in ["set = { \"/a\" = 1 }", "set_header = { \"x-a\" = \"1\" }"] {
        let changed = signed.under(&rule("r", keys));
        assert!(changed.is_unchanged());
        assert_eq!(changed.uses(), [("r", Signed)]);
    }
    let denied = signed.under(&rule("r", "deny = \"no\""));
    assert_eq!(denied.uses(), [("r", Denied)]);
}

#[test]
fn header_fields_are_set_and_removed() {
    let message = Request::message(BODY)
        .with("x-old", "1")
        .with("x-both", "1");
    let changed = message.under(&rule(
        "r",
        "set_header = { \"x-both\" = \"2\", \"x-new\" = \"3\" }\nremove_header = [\"x-old\", \"x-none\"]",
    ));
    assert_eq!(changed.body(), None, "the body goes as it came");
    let value = |name| {
        changed
            .headers
            .get(name)
            .map(|value| value.to_str().expect("text"))
    };
    assert_eq!(
        (value("x-both"), value("x-new"), value("x-old")),
        (Some("2"), Some("3"), None)
    );
    let again = message.under(&rule("r", "set_header = { \"x-old\" = \"1\" }"));
    assert_eq!(again.uses(), [("r", Unchanged)]);
}

#[test]
fn a_websocket_cannot_be_changed_but_refused() {
    let socket = |keys: &str| {
        let rules = rules_of(&rule("r", keys));
        let request =
            Request::new("api.openai.com", "/v1/responses", "").with("upgrade", "websocket");
        let plan = rules.plan(&crate::rules::RequestHead {
            host: &crate::record::Host::parse(request.host).expect("a host"),
            method: &http::Method::GET,
            target: &request.target.parse().expect("a target"),
            headers: &request.headers,
            caller: &request.caller,
        });
        let Plan::Head(plan) = plan else {
            panic!("there is no body")
        };
        plan.apply(&mut request.headers.clone())
    };
    let passed = socket("append_system = \"x\"");
    assert!(matches!(passed.decision, Decision::Unchanged));
    assert_eq!(passed.uses[0].result, Failed);
    let refused = socket("append_system = \"x\"\non_error = \"deny\"");
    assert!(
        matches!(refused.decision, Decision::Denied(_)),
        "agents fall back to requests"
    );
    assert!(matches!(
        socket("deny = \"no\"").decision,
        Decision::Denied(_)
    ));
}

#[test]
fn limits_only_ever_go_down() {
    let limit = |body: &str, keys: &str| {
        let changed = Request::message(body).under(&rule("r", keys));
        changed.body().map(str::to_owned)
    };
    let output = |body| limit(body, "max_output_tokens = 3000");
    assert_eq!(output(r#"{"max_tokens":3000}"#), None);
    assert_eq!(output(r#"{"max_tokens":10}"#), None);
    assert_eq!(
        output(r#"{"max_tokens":3001}"#).as_deref(),
        Some(r#"{"max_tokens":3000}"#)
    );
    assert_eq!(output("{}").as_deref(), Some(r#"{"max_tokens":3000}"#));
    // A budget for thinking must stay below the limit.
    assert_eq!(
        output(r#"{"max_tokens":9000,"thinking":{"budget_tokens":8000}}"#).as_deref(),
        Some(r#"{"max_tokens":3000,"thinking":{"budget_tokens":2999}}"#)
    );
    let failed = Request::message(r#"{"max_tokens":9000,"thinking":{"budget_tokens":8000}}"#)
        .under(&rule("r", "max_output_tokens = 1000"));
    assert_eq!(failed.uses(), [("r", Failed)], "less is not accepted");
    let wrong =
        Request::message(r#"{"max_tokens":"many"}"#).under(&rule("r", "max_output_tokens = 1000"));
    assert_eq!(wrong.uses(), [("r", Failed)]);
    let thinking = |body| limit(body, "max_thinking_tokens = 2000");
    assert_eq!(thinking("{}"), None, "nothing is said of thinking");
    assert_eq!(
        thinking(r#"{"thinking":{"budget_tokens":2001}}"#).as_deref(),
        Some(r#"{"thinking":{"budget_tokens":2000}}"#)
    );
}

#[test]
fn a_model_that_thinks_unasked_is_given_a_budget() {
    let gemini = |target: &'static str, body: &str, keys: &str| {
        let request = Request::new("generativelanguage.googleapis.com", target, body);
        let changed = request.under(&rule("r", keys));
        assert!(changed.denial().is_none(), "{:?}", changed.uses());
        changed.body().map(str::to_owned)
    };
    const PRO: &str = "/v1beta/models/gemini-2.5-pro:generateContent";
    let thinking = |body: &str| gemini(PRO, body, "max_thinking_tokens = 500");
    assert_eq!(
        thinking("{}").as_deref(),
        Some(r#"{"generationConfig":{"thinkingConfig":{"thinkingBudget":500}}}"#)
    );
    assert_eq!(
        thinking(r#"{"generation_config":{"temperature":1}}"#).as_deref(),
        Some(
            r#"{"generation_config":{"temperature":1,"thinking_config":{"thinking_budget":500}}}"#
        )
    );
    // As much as it wants.
    assert_eq!(
        thinking(r#"{"generationConfig":{"thinkingConfig":{"thinkingBudget":-1}}}"#).as_deref(),
        Some(r#"{"generationConfig":{"thinkingConfig":{"thinkingBudget":500}}}"#)
    );
    for body in [
        r#"{"generationConfig":{"thinkingConfig":{"thinkingBudget":0}}}"#,
        // A word for it excludes a number.
        r#"{"generationConfig":{"thinkingConfig":{"thinkingLevel":"low"}}}"#,
        r#"{"generation_config":{"thinking_config":{"thinking_level":"low"}}}"#,
    ] {
        assert_eq!(thinking(body), None, "{body}");
    }
    let two = |target, keys| gemini(target, "{}", keys);
    let old = "/v1beta/models/gemini-2.0-flash:generateContent";
    assert_eq!(two(old, "max_thinking_tokens = 500"), None);
    // What counts is the model that a rule puts in.
    let other = "model = \"gemini-2.5-pro\"\nmax_thinking_tokens = 500";
    assert!(two(old, other).is_some_and(|body| body.contains("thinkingBudget")));
    let back = "model = \"gemini-2.0-flash\"\nmax_thinking_tokens = 500";
    assert_eq!(two(PRO, back), None);
    // Nothing is generated, so that there is nothing to limit.
    let count = "/v1beta/models/gemini-2.5-pro:countTokens";
    for keys in ["max_thinking_tokens = 500", "max_output_tokens = 500"] {
        assert_eq!(two(count, keys), None, "{keys}");
    }
    let wrapped = Request::new(
        "cloudcode-pa.googleapis.com",
        "/v1internal:generateContent",
        r#"{"model":"gemini-2.5-pro","request":{}}"#,
    );
    let changed = wrapped.under(&rule("r", "max_thinking_tokens = 500"));
    assert_eq!(
        changed.body(),
        Some(
            r#"{"model":"gemini-2.5-pro","request":{"generationConfig":{"thinkingConfig":{"thinkingBudget":500}}}}"#
        )
    );
}
