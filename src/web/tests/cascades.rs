//! Conversations and quotas over HTTP, and that the description of the interface is true of them.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::kit::Gravimeter;
use crate::export::tests::kit::{call, every_fact, id, named, quota, run};
use crate::ledger::{CallerKind, CascadeKind, SubagentKind};
use crate::record::{
    AgentName, Call, Correlation, CorrelationMethod, Fact, Label, Operation, Outcome, Provider,
    Quality, QuotaWindow, Record as _, RunOutcome, RunStarted, TokenKind,
};
use crate::web::openapi::OPENAPI;
use crate::web::path_of;

fn of_cascade(cascade: &str, number: u64) -> Call {
    let correlation = Correlation {
        cascade: Some(id(cascade)),
        method: CorrelationMethod::RequestId,
    };
    Call {
        number,
        correlation,
        ..call("m")
    }
}

fn running(gravimeter: &Gravimeter, cascade: &str) {
    let started_at = run(cascade, "m").started_at;
    gravimeter.facts.record(Fact::RunStarted(RunStarted {
        cascade: id(cascade),
        started_at,
    }));
}

fn ids(answer: &Value) -> Vec<&str> {
    let cascades = answer["cascades"].as_array().expect("a list");
    cascades
        .iter()
        .map(|cascade| cascade["id"].as_str().expect("an id"))
        .collect()
}

#[tokio::test]
async fn conversations_are_listed_by_page_and_state() {
    let gravimeter = Gravimeter::open().await;
    (1..=5).for_each(|n| gravimeter.took(of_cascade(&format!("c{n}"), n)));
    running(&gravimeter, "c2");
    let first = gravimeter.get("/v1/cascades?limit=3").await.json();
    let cursor = first["next"].as_str().expect("a cursor");
    let second = gravimeter
        .get(&format!("/v1/cascades?limit=3&cursor={cursor}"))
        .await
        .json();
    let mut all = [ids(&first), ids(&second)].concat();
    assert_eq!(
        (ids(&first).len(), all.len(), second.get("next")),
        (3, 5, None)
    );
    all.sort_unstable();
    assert_eq!(all, ["c1", "c2", "c3", "c4", "c5"]);
    assert_eq!(
        ids(&gravimeter.get("/v1/cascades?state=running").await.json()),
        ["c2"]
    );
    assert_eq!(
        ids(&gravimeter.get("/v1/cascades?state=idle").await.json()).len(),
        4
    );
}

#[tokio::test]
async fn a_conversation_is_told_with_its_calls() {
    let gravimeter = Gravimeter::open().await;
    let hostile = "a/../b?c#d%e\"<f>";
    gravimeter.took(of_cascade(hostile, 1));
    gravimeter.took(of_cascade("c", 2));
    let told = gravimeter.get(&path_of(&id(hostile))).await.json();
    assert_eq!(
        (told["id"].as_str(), told["calls"][0]["number"].as_u64()),
        (Some(hostile), Some(1))
    );
    assert_eq!(
        gravimeter.get("/v1/cascades/c").await.json()["usage"]["total_tokens"],
        120
    );
    let groups = gravimeter.get("/v1/usage?by=cascade").await.json();
    let keys: Vec<&String> = groups["cascades"]
        .as_object()
        .expect("groups")
        .keys()
        .collect();
    assert_eq!(keys, ["c", &format!("cascade/{hostile}")]);
    assert_eq!(groups["totals"]["total_tokens"], 240);
}

#[tokio::test]
async fn what_cannot_be_answered_is_an_error_in_json_that_repeats_nothing() {
    let gravimeter = Gravimeter::open().await;
    let long = format!("/v1/cascades/{}", "x".repeat(257));
    for (path, status, code) in [
        ("/v1/cascades/nope-canary", 404, "unknown_cascade"),
        ("/v1/cascades/a%20canary", 400, "invalid_id"),
        ("/v1/cascades/%FFcanary", 400, "invalid_id"),
        (long.as_str(), 400, "invalid_id"),
        ("/v1/cascades/c?canary=1", 400, "unknown_parameter"),
        ("/v1/cascades?canary=1", 400, "unknown_parameter"),
        ("/v1/cascades?state=canary", 400, "invalid_state"),
        ("/v1/cascades?limit=canary", 400, "invalid_limit"),
        ("/v1/cascades?cursor=canary", 400, "invalid_cursor"),
        ("/v1/cascades?limit=1&limit=1", 400, "repeated_parameter"),
        ("/v1/cascades/", 404, "not_found"),
        ("/v1/quotas?canary=1", 400, "unknown_parameter"),
    ] {
        let answer = gravimeter.get(path).await;
        assert_eq!(
            (answer.status, answer.error_code().as_str()),
            (status, code),
            "{path}"
        );
        assert!(
            !answer.text().contains("canary") && !answer.text().contains("xxx"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn the_page_shows_running_conversations_first_and_as_text() {
    let gravimeter = Gravimeter::open().await;
    assert!(
        !gravimeter
            .get("/")
            .await
            .text()
            .contains("Conversation</th>")
    );
    (0..15).for_each(|n| gravimeter.took(of_cascade(&format!("c{n}"), n)));
    let hostile = "<script>alert(1)</script>";
    running(&gravimeter, hostile);
    gravimeter
        .facts
        .record(Fact::RunEnded(Box::new(run("c7", "m"))));
    gravimeter
        .facts
        .record(Fact::ModelNamed(named("m", "Model M <High>")));
    let page = gravimeter.get("/").await;
    let text = page.text();
    let (conversations, calls) = text.split_once("<section id=\"calls\">").expect("calls");
    let links = |section: &str| section.matches("<a href=\"/conversations/").count();
    assert_eq!((links(conversations), links(calls)), (10, 12));
    assert_eq!(calls.matches("<a href=\"/calls/").count(), 12);
    let running = text
        .find("title=\"&lt;script&gt;alert(1)&lt;/script&gt;\">")
        .expect("the one that runs");
    let (_, others) = text[running..]
        .split_once("/conversations/c7\" title=\"c7\">m · ")
        .expect("then the others");
    assert!(others.contains("</a><small>Model M &lt;High&gt;</small>"));
    let run = "<td data-label=\"Last run\">10.0 s ok</td><td data-label=\"First chunk\">2.0 s</td>";
    assert!(text.contains(run), "{text}");
    assert_eq!(text.matches("<script").count(), 1);
}

#[tokio::test]
async fn the_description_is_true_of_what_is_answered() {
    let described: Value = serde_json::from_str(OPENAPI).expect("JSON");
    let gravimeter = Gravimeter::open().await;
    for fact in every_fact() {
        gravimeter.facts.record(fact);
    }
    gravimeter.took(of_cascade("c", 7));
    let mut by_subagent = of_cascade("c", 8);
    by_subagent.ids.subagent = Some(id("s"));
    by_subagent.ids.parent_subagent = Some(id("p"));
    by_subagent.ids.subagent_kind = Some(id("Explore"));
    gravimeter.took(by_subagent);
    running(&gravimeter, "c");
    gravimeter.facts.record(Fact::Quota(quota("m", 0.5)));
    for (path, schema) in [
        ("/v1/cascades", "CascadePage"),
        ("/v1/cascades/c", "CascadeDetails"),
        ("/v1/calls/1790000000000-7", "CallDetails"),
        ("/v1/quotas", "Quotas"),
        ("/v1/usage?by=cascade", "UsageReport"),
        ("/v1/usage?by=day", "UsageReport"),
        ("/v1/usage?by=hour", "UsageReport"),
        ("/v1/usage?by=model", "UsageReport"),
        ("/v1/usage?by=operation", "UsageReport"),
        ("/v1/usage?by=provider", "UsageReport"),
        ("/v1/usage?by=subagent", "UsageReport"),
        ("/v1/cascades/nope", "Error"),
    ] {
        let answer = gravimeter.get(path).await.json();
        conforms(
            &described,
            &json!({"$ref": format!("#/components/schemas/{schema}")}),
            &answer,
            path,
        );
    }
    fn texts<L: Label>() -> BTreeSet<&'static str> {
        L::ALL.iter().map(|label| label.as_str()).collect()
    }
    let named = |pointer: &str| -> BTreeSet<&str> {
        let found = described
            .pointer(&format!("/components/schemas/{pointer}"))
            .expect("a list");
        found
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(Value::as_str)
            .collect()
    };
    assert_eq!(
        named("ListedGroup/allOf/1/properties/kind/enum"),
        &(&texts::<CascadeKind>() | &texts::<SubagentKind>()) | &texts::<CallerKind>()
    );
    assert_eq!(named("Run/properties/agent/enum"), texts::<AgentName>());
    assert_eq!(named("Run/properties/outcome/enum"), texts::<RunOutcome>());
    assert_eq!(
        named("Quota/properties/window/enum"),
        texts::<QuotaWindow>()
    );
    assert_eq!(
        named("CascadeCall/properties/method/enum"),
        texts::<CorrelationMethod>()
    );
    assert_eq!(
        named("CascadeCall/properties/operation/enum"),
        texts::<Operation>()
    );
    assert_eq!(
        named("CascadeCall/properties/outcome/enum"),
        texts::<Outcome>()
    );
    assert_eq!(
        named("CascadeCall/properties/quality/enum"),
        texts::<Quality>()
    );
    assert_eq!(
        named("CascadeCall/properties/tokens/required"),
        TokenKind::public_names().collect()
    );
}

#[tokio::test]
#[should_panic(expected = "is not described")]
async fn a_field_that_is_not_described_would_be_found() {
    let described: Value = serde_json::from_str(OPENAPI).expect("JSON");
    conforms(
        &described,
        &json!({"$ref": "#/components/schemas/Health"}),
        &json!({"status": "ok", "mood": 1}),
        "$",
    );
}

#[tokio::test]
async fn quotas_and_names_are_told() {
    let gravimeter = Gravimeter::open().await;
    assert_eq!(
        gravimeter.get("/v1/quotas").await.json(),
        json!({"quotas": []})
    );
    gravimeter.took(call("m"));
    gravimeter.facts.record(Fact::Quota(quota("m", 0.25)));
    gravimeter
        .facts
        .record(Fact::ModelNamed(named("m", "Model M (High)")));
    let quotas = gravimeter.get("/v1/quotas").await.json();
    assert_eq!(quotas["quotas"][0]["remaining_ratio"], 0.25);
    assert_eq!(
        quotas["quotas"][0]["provider"],
        Provider::CloudCode.as_str()
    );
    assert_eq!(
        gravimeter.get("/v1/usage").await.json()["models"]["m"]["display_name"],
        "Model M (High)"
    );
    assert!(
        gravimeter
            .get("/")
            .await
            .text()
            .contains("</i>m<small>Model M (High) · gcp.gen_ai</small>")
    );
}

/// Whether a value has every field that its schema demands, none that it does not know, and only
/// words that it lists.
fn conforms(described: &Value, schema: &Value, value: &Value, at: &str) {
    let mut known = BTreeSet::new();
    check(described, schema, value, at, &mut known);
    let fields = value
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, _)| name);
    for name in fields.filter(|_| !known.contains("*")) {
        assert!(known.contains(name), "{at}: {name} is not described");
    }
}

fn check(described: &Value, schema: &Value, value: &Value, at: &str, known: &mut BTreeSet<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        return check(
            described,
            &described
                .pointer(&reference[1..])
                .expect("a schema")
                .clone(),
            value,
            at,
            known,
        );
    }
    for part in schema["allOf"].as_array().into_iter().flatten() {
        check(described, part, value, at, known);
    }
    for name in schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        assert!(value.get(name).is_some(), "{at}: {name} is missing");
    }
    if let Some(words) = schema["enum"].as_array() {
        assert!(words.contains(value), "{at}: {value}");
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        known.insert(name.clone());
        if let Some(inner) = value.get(name) {
            conforms(described, property, inner, &format!("{at}.{name}"));
        }
    }
    if let Some(additional) = schema.get("additionalProperties") {
        known.insert("*".to_owned());
        for (name, inner) in value.as_object().expect("an object") {
            conforms(described, additional, inner, &format!("{at}.{name}"));
        }
    }
    for (index, inner) in value.as_array().into_iter().flatten().enumerate() {
        conforms(
            described,
            &schema["items"],
            inner,
            &format!("{at}[{index}]"),
        );
    }
}
