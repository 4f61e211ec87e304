use std::time::{Duration, UNIX_EPOCH};

use serde_json::json;

use super::*;
use crate::record::{CallIds, Correlation, Host, Operation, Outcome, Quality, Timing, TokenUsage};

const START: Timestamp = Timestamp::UNIX_EPOCH;

fn now() -> Timestamp {
    "2026-11-23T20:44:00Z".parse().expect("a time")
}

fn call(model: &str, provider: Provider) -> Call {
    Call {
        number: 0,
        provider,
        host: Host::parse("api.example.com").expect("a host"),
        operation: Operation::Chat,
        model: Model::from_wire(model),
        served_model: None,
        outcome: Outcome::Ok,
        status: Some(200),
        streamed: true,
        finish_reason: None,
        rate_limit: None,
        usage: TokenUsage {
            input: Some(1),
            cache_read: Some(2),
            cache_write: Some(4),
            tool_input: Some(8),
            output: Some(16),
            thinking: Some(32),
        },
        quality: Quality::Exact,
        timing: Timing {
            started_at: UNIX_EPOCH,
            duration: Duration::from_secs(1),
            time_to_first_chunk: None,
            content_duration: None,
        },
        ids: CallIds::default(),
        correlation: Correlation::default(),
    }
}

fn ledger(limit: usize, calls: Vec<Call>) -> Ledger {
    let ledger = Ledger::new(START, Arc::new(Models::new(limit)));
    for call in calls {
        ledger.take(&Fact::Call(Box::new(call)));
    }
    ledger
}

fn report(ledger: &Ledger, by: By) -> UsageReport {
    ledger.query(&UsageQuery { by, ..UsageQuery::default() }, now()).expect("a report")
}

#[test]
fn the_json_has_the_shape_of_the_contract() {
    let cut_off = Call {
        outcome: Outcome::Truncated,
        quality: Quality::Partial,
        usage: TokenUsage { input: Some(100), ..TokenUsage::default() },
        ..call("m", Provider::CloudCode)
    };
    let ledger = ledger(9, vec![call("m", Provider::CloudCode), cut_off]);
    let usage = json!({
        "calls": 2, "input_tokens": 101, "cache_read_tokens": 2, "cache_write_tokens": 4, "tool_input_tokens": 8,
        "output_tokens": 16, "thinking_tokens": 32, "total_tokens": 163,
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
        let time = |text: &str| text.parse().expect("a time");
        let query = UsageQuery { by: By::Model, since: since.map(time), until: until.map(time) };
        ledger.query(&query, now()).map(|report| report.since)
    };
    assert_eq!(ask(None, None), Ok(START));
    assert_eq!(ask(Some("1969-12-31T00:00:00Z"), Some("2030-01-01T00:00:00Z")), Ok(START));
    assert_eq!(ask(Some("1970-01-01T00:00:01Z"), None), Err(NotKept::Since { started: START }));
    assert_eq!(ask(None, Some("2026-11-23T20:43:59Z")), Err(NotKept::Until));
}
