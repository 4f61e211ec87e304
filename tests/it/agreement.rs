//! Promise: every call is counted once, and `/metrics`, `/v1/usage`, the spans and the provider's own books agree to the token.

use gravimeter::demo::Tally;
use gravimeter::demo::agent::{AgentOptions, Outcome, Protocol, converse};
use gravimeter::demo::provider::ProviderOptions;
use gravimeter::export::otlp::Endpoint;
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::Value;

use crate::kit::binary::until;
use crate::kit::collector::{Collector, Reply, number};
use crate::whole::{Whole, sum};

/// Case 76: at least this many calls, with refusals, aborts, retries, checkpoints and both protocols among them.
const CALLS: u64 = 10_000;

/// Spans that the collector does not want.
const REJECTED: i64 = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_calls_are_counted_to_the_token() {
    let script = ProviderOptions { seed: 76, max_events: 6, ..ProviderOptions::default() };
    // It says once that it does not want all of what it got.
    let collector = Collector::start(&[Reply::Take, Reply::Partial(REJECTED), Reply::Take]).await;
    let whole = Whole::with(script, |config| {
        config.otlp.endpoint = Endpoint::parse(&format!("http://{}", collector.addr));
    })
    .await;
    let mut outcome = Outcome::default();
    for seed in 0.. {
        let agent = AgentOptions {
            protocol: Protocol::Mixed,
            conversations: 8,
            rounds: Some(40),
            pause_ms: 0,
            backoff_ms: 1,
            upload_bytes: 4096,
            abort_percent: 3,
            seed,
            ..whole.agent()
        };
        let part =
            converse(agent, whole.provider_tasks.tracker(), whole.provider_tasks.stopping()).await.expect("an agent");
        assert!(part.is_clean(), "{:?}", part.failures);
        outcome.tally += &part.tally;
        if exchanges(&outcome.tally) >= CALLS {
            break;
        }
    }
    let calls = exchanges(&outcome.tally);
    let truth = whole.provider.truth_when(|truth| exchanges(truth) >= calls).await;
    assert_eq!(truth, outcome.tally, "the agent received what the provider sent");

    // The house counts a call when its connection has seen the end of it, which may be a moment after the agent has.
    let usage = loop {
        let usage: Value = serde_json::from_str(&whole.get("/v1/usage").await).expect("JSON");
        if usage["totals"]["calls"].as_u64() >= Some(calls) {
            break usage;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(usage["totals"]["calls"].as_u64(), Some(calls));
    let tokens = whole.series("gravimeter_tokens_total").await;
    let ended = whole.series("gravimeter_calls_total").await;
    let quality = whole.series("gravimeter_usage_reports_total").await;
    for (model, books) in &truth.models {
        let shown = &usage["models"][model];
        let label = format!("model=\"{model}\"");
        let parts = [
            ("input", books.tokens.input),
            ("cache_read", books.tokens.cache_read),
            ("tool_input", books.tokens.tool_input),
            ("output", books.tokens.output),
            ("thinking", books.tokens.thinking),
        ];
        for (kind, sent) in parts {
            assert_eq!(shown[format!("{kind}_tokens")].as_u64(), Some(sent), "/v1/usage: {model} {kind}");
            assert_eq!(sum(&tokens, &[&label, &format!("kind=\"{kind}\"")]), sent, "/metrics: {model} {kind}");
        }
        assert_eq!(sum(&ended, &[&label, "outcome=\"rate_limited\""]), books.refused, "{model}: refused");
        assert_eq!(sum(&ended, &[&label, "outcome=\"aborted\""]), books.aborted, "{model}: aborted");
        assert_eq!(sum(&ended, &[&label]), sum(&quality, &[&label]), "{model}: every call has a quality");
    }
    assert_eq!(sum(&ended, &[]), calls, "every call ended once");
    for (by, field) in [("cascade", "cascades"), ("provider", "providers")] {
        let grouped: Value = serde_json::from_str(&whole.get(&format!("/v1/usage?by={by}")).await).expect("JSON");
        for count in ["calls", "total_tokens", "input_tokens", "cache_read_tokens", "output_tokens"] {
            let groups = grouped[field].as_object().expect("groups").values();
            let sum: u64 = groups.filter_map(|group| group[count].as_u64()).sum();
            assert_eq!(Some(sum), usage["totals"][count].as_u64(), "by {by}: {count}");
        }
    }
    assert_eq!(sum(&whole.series("gravimeter_calls_in_flight").await, &[]), 0);
    assert_eq!(sum(&whole.series("gravimeter_observer_failures_total").await, &[]), 0);
    check_spans(&whole, &collector, calls, &usage["totals"]).await;
    whole.stop().await;
}

async fn check_spans(whole: &Whole, collector: &Collector, calls: u64, totals: &Value) {
    let of_calls = |spans: &[Span]| spans.iter().filter(|span| !is_setup(span)).count() as u64;
    let (exported, dropped, spans) = until(async || {
        let exported = sum(&whole.series("gravimeter_otlp_spans_exported_total").await, &[]);
        let dropped = whole.series("gravimeter_otlp_spans_dropped_total").await;
        let spans = collector.all();
        let is_told = exported + sum(&dropped, &[]) == spans.len() as u64;
        (is_told && of_calls(&spans) >= calls).then_some((exported, dropped, spans))
    })
    .await;
    assert_eq!(of_calls(&spans), calls, "every call has one span");
    assert_eq!(sum(&dropped, &["reason=\"rejected\""]), REJECTED as u64);
    assert_eq!(exported + sum(&dropped, &[]), spans.len() as u64, "every span was exported or lost for a reason");
    for (attribute, kinds) in [
        ("gen_ai.usage.input_tokens", &["input", "cache_read", "cache_write", "tool_input"][..]),
        ("gen_ai.usage.cache_read.input_tokens", &["cache_read"]),
        ("gen_ai.usage.output_tokens", &["output", "thinking"]),
        ("gen_ai.usage.reasoning.output_tokens", &["thinking"]),
    ] {
        let told: u64 = spans.iter().filter_map(|span| number(span, attribute)).sum();
        let counted: u64 = kinds.iter().filter_map(|kind| totals[format!("{kind}_tokens")].as_u64()).sum();
        assert!(told > 0, "{attribute} is told");
        assert_eq!(told, counted, "{attribute}");
    }
}

fn is_setup(span: &Span) -> bool {
    span.name.starts_with("tcp ") || span.name.starts_with("tls ")
}

/// Every request that a model was named in, however it ended.
pub fn exchanges(tally: &Tally) -> u64 {
    tally.models.values().map(|model| model.calls + model.refused + model.aborted + model.counted).sum()
}
