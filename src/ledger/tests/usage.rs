use jiff::Timestamp;
use serde_json::json;

use super::kit::{START, call, ledger, named, now, report, take};
use crate::ledger::{By, NotKept, UsageQuery};
use crate::record::{Call, Cost, Fact, Model, Outcome, Provider, Quality, Quota, QuotaWindow, TokenUsage};

#[test]
fn the_json_has_the_shape_of_the_contract() {
    let cut_off = Call {
        outcome: Outcome::Truncated,
        quality: Quality::Partial,
        usage: TokenUsage { input: Some(100), ..TokenUsage::default() },
        ..call("m", Provider::CloudCode)
    };
    let ledger =
        ledger(9, vec![Call { cost: Some(Cost::from_nano_usd(1)), ..call("m", Provider::CloudCode) }, cut_off]);
    let usage = json!({
        "calls": 2, "input_tokens": 101, "cache_read_tokens": 2, "cache_write_tokens": 4, "tool_input_tokens": 8,
        "output_tokens": 16, "thinking_tokens": 32, "total_tokens": 163, "cost_usd": 0.000000001, "unpriced_calls": 1,
        "usage_quality": {"exact": 1, "partial": 1, "unknown": 0},
        "outcomes": {"ok": 1, "truncated": 1},
    });
    let mut group = usage.clone();
    group["provider"] = json!("gcp.gen_ai");
    let expected = json!({
        "since": "1970-01-01T00:00:00Z", "until": "2026-11-23T20:44:00Z", "totals": usage, "models": {"m": group},
    });
    assert_eq!(serde_json::to_value(report(&ledger, By::Model)).expect("JSON"), expected);
    let by_provider = serde_json::to_value(report(&ledger, By::Provider)).expect("JSON");
    assert_eq!(by_provider["providers"], json!({"gcp.gen_ai": usage}));
    assert!(by_provider.get("models").is_none());
}

#[test]
fn two_providers_of_one_model_stay_apart() {
    let calls = vec![
        call("m", Provider::Gemini),
        call("m", Provider::VertexAi),
        call("n", Provider::Gemini),
        call("m@gcp.gemini", Provider::Gemini),
    ];
    let report = report(&ledger(9, calls), By::Model);
    let keys: Vec<String> = report.models.expect("models").into_keys().collect();
    assert_eq!(keys, ["m@gcp.gemini", "m@gcp.gemini@gcp.gemini", "m@gcp.vertex_ai", "n"]);
    assert_eq!(report.totals.calls, 4);
}

#[test]
fn models_are_bounded_and_totals_exact() {
    let calls = (0..1000).map(|n| call(&format!("m{n}"), Provider::Gemini)).collect();
    let report = report(&ledger(10, calls), By::Model);
    let models = report.models.expect("models");
    assert_eq!(models.len(), 11);
    assert_eq!(models["other"].usage.calls, 990);
    assert_eq!(models.values().map(|group| group.usage.total_tokens).sum::<u64>(), report.totals.total_tokens);
    assert_eq!(report.totals.total_tokens, 63_000);
}

#[test]
fn sums_saturate() {
    let usage = TokenUsage { output: Some(u64::MAX), ..TokenUsage::default() };
    let huge = |model| Call { usage, ..call(model, Provider::Gemini) };
    let report = report(&ledger(9, vec![huge("a"), huge("a"), huge("b")]), By::Model);
    assert_eq!((report.totals.output_tokens, report.totals.total_tokens), (u64::MAX, u64::MAX));
}

#[test]
fn a_part_of_the_time_is_not_answered() {
    let ledger = ledger(9, vec![]);
    let ask = |since: Option<&str>, until: Option<&str>| {
        let time = |text: &str| text.parse::<Timestamp>().expect("a time");
        let query = UsageQuery { by: By::Model, since: since.map(time), until: until.map(time) };
        ledger.query(&query, now()).map(|report| report.since)
    };
    assert_eq!(ask(None, None), Ok(START));
    assert_eq!(ask(Some("1969-12-31T00:00:00Z"), Some("2030-01-01T00:00:00Z")), Ok(START));
    assert_eq!(ask(Some("1970-01-01T00:00:01Z"), None), Err(NotKept::Since { started: START }));
    assert_eq!(ask(None, Some("2026-11-23T20:43:59Z")), Err(NotKept::Until));
}

#[test]
fn names_for_people_stand_beside_models_of_that_provider() {
    let ledger =
        ledger(1, vec![call("m", Provider::CloudCode), call("m", Provider::Gemini), call("n", Provider::Gemini)]);
    take(&ledger, [named("m", "Old"), named("m", "Model M (High)"), named("other", "No"), named("n", "No")]);
    let models = report(&ledger, By::Model).models.expect("models");
    let names = models.iter().map(|(key, group)| (key.as_str(), group.display_name.as_ref().map(|name| name.as_str())));
    let expected = [("m@gcp.gen_ai", Some("Model M (High)")), ("m@gcp.gemini", None), ("other", None)];
    assert_eq!(names.collect::<std::collections::HashMap<_, _>>(), expected.into());
}

#[test]
fn quotas_are_the_last_readings_of_models_with_a_name() {
    let ledger = ledger(2, vec![]);
    let quota = |model: &str, remaining: f64, resets_at| {
        let model = Model::from_wire(model);
        Fact::Quota(Quota { provider: Provider::CloudCode, model, window: QuotaWindow::Weekly, remaining, resets_at })
    };
    let soon = Some(super::kit::at(60));
    let facts = [
        quota("m", 0.9, soon),
        quota("m", 0.5, soon),
        quota("m", f64::NAN, None),
        quota("3p", 1.5, None),
        quota("one too many", 0.1, None),
        named("m", "Model M"),
    ];
    take(&ledger, facts);
    let expected = json!([
        {"provider": "gcp.gen_ai", "model": "3p", "window": "weekly", "remaining_ratio": 1.0, "read_at": "2026-11-23T20:44:00Z"},
        {"provider": "gcp.gen_ai", "model": "m", "display_name": "Model M", "window": "weekly", "remaining_ratio": 0.5,
         "resets_at": "1970-01-01T00:01:00Z", "read_at": "2026-11-23T20:44:00Z"},
    ]);
    assert_eq!(serde_json::to_value(ledger.quotas()).expect("JSON"), expected);
}
