//! Promise: every call is counted once, and `/metrics`, `/v1/usage`, the spans and the provider's
//! own books agree to the token, and in what they cost to the nano-dollar.

use std::collections::BTreeMap;
use std::sync::Arc;

use gravimeter::demo::agent::{AgentOptions, Outcome, Protocol, converse};
use gravimeter::demo::provider::ProviderOptions;
use gravimeter::demo::{Tally, Tokens};
use gravimeter::export::otlp::Endpoint;
use gravimeter::pricing::{Prices, read};
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::Value;

use crate::kit::binary::until;
use crate::kit::collector::{Collector, Reply, fraction, number};
use crate::whole::{Whole, sum};

/// Case 76: at least this many calls, with refusals, aborts, retries, checkpoints and both
/// protocols among them.
const CALLS: u64 = 10_000;

/// Spans that the collector does not want.
const REJECTED: i64 = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_calls_are_counted_to_the_token() {
    let script = ProviderOptions {
        seed: 76,
        max_events: 6,
        ..ProviderOptions::default()
    };
    // It says once that it does not want all of what it got.
    let collector = Collector::start(&[Reply::Take, Reply::Partial(REJECTED), Reply::Take]).await;
    let whole = Whole::with(script, |config| {
        config.otlp.endpoint = Endpoint::parse(&format!("http://{}", collector.addr));
        config.prices = Arc::new(Prices::new(read(&price_table()).expect("a table"), false));
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
        let part = converse(
            agent,
            whole.provider_tasks.tracker(),
            whole.provider_tasks.stopping(),
        )
        .await
        .expect("an agent");
        assert!(part.is_clean(), "{:?}", part.failures);
        outcome.tally += &part.tally;
        if exchanges(&outcome.tally) >= CALLS {
            break;
        }
    }
    let calls = exchanges(&outcome.tally);
    let truth = whole
        .provider
        .truth_when(|truth| exchanges(truth) >= calls)
        .await;
    assert_eq!(
        truth, outcome.tally,
        "the agent received what the provider sent"
    );

    // Gravimeter counts a call when its connection has seen the end of it, which may be a moment
    // after the agent has.
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
            assert_eq!(
                shown[format!("{kind}_tokens")].as_u64(),
                Some(sent),
                "/v1/usage: {model} {kind}"
            );
            assert_eq!(
                sum(&tokens, &[&label, &format!("kind=\"{kind}\"")]),
                sent,
                "/metrics: {model} {kind}"
            );
        }
        assert_eq!(
            sum(&ended, &[&label, "outcome=\"rate_limited\""]),
            books.refused,
            "{model}: refused"
        );
        assert_eq!(
            sum(&ended, &[&label, "outcome=\"aborted\""]),
            books.aborted,
            "{model}: aborted"
        );
        assert_eq!(
            sum(&ended, &[&label]),
            sum(&quality, &[&label]),
            "{model}: every call has a quality"
        );
    }
    assert_eq!(sum(&ended, &[]), calls, "every call ended once");
    for (by, field) in [("cascade", "cascades"), ("provider", "providers")] {
        let grouped: Value =
            serde_json::from_str(&whole.get(&format!("/v1/usage?by={by}")).await).expect("JSON");
        for count in [
            "calls",
            "total_tokens",
            "input_tokens",
            "cache_read_tokens",
            "output_tokens",
        ] {
            let groups = grouped[field].as_object().expect("groups").values();
            let sum: u64 = groups.filter_map(|group| group[count].as_u64()).sum();
            assert_eq!(
                Some(sum),
                usage["totals"][count].as_u64(),
                "by {by}: {count}"
            );
        }
    }
    check_ledger(&whole, &usage["totals"]).await;
    assert_eq!(
        sum(&whole.series("gravimeter_calls_in_flight").await, &[]),
        0
    );
    assert_eq!(
        sum(
            &whole.series("gravimeter_observer_failures_total").await,
            &[]
        ),
        0
    );
    check_costs(&whole, &truth, &usage).await;
    check_spans(&whole, &collector, calls, &usage["totals"]).await;
    whole.stop().await;
}

const NONE: Tokens = Tokens {
    input: 0,
    cache_read: 0,
    cache_write_5m: 0,
    cache_write_1h: 0,
    tool_input: 0,
    output: 0,
    thinking: 0,
};

/// What a million tokens of a model cost in thousandths of a dollar, so that one costs as many
/// nano-dollars. One model has no price at all.
const PRICES: [(&str, Tokens); 4] = [
    (
        "gemini-3.1-pro-low",
        Tokens {
            input: 2003,
            cache_read: 199,
            tool_input: 1009,
            output: 12_007,
            thinking: 13_001,
            ..NONE
        },
    ),
    (
        "gemini-3.8-flash-high",
        Tokens {
            input: 751,
            cache_read: 73,
            tool_input: 503,
            output: 3761,
            thinking: 4001,
            ..NONE
        },
    ),
    (
        "claude-opus-4-6-thinking",
        Tokens {
            input: 5003,
            cache_read: 499,
            tool_input: 2503,
            output: 25_013,
            thinking: 26_003,
            ..NONE
        },
    ),
    (
        "gemini-2.5-flash-lite",
        Tokens {
            input: 101,
            cache_read: 11,
            tool_input: 53,
            output: 401,
            thinking: 409,
            ..NONE
        },
    ),
];

fn price_table() -> String {
    let dollars = |thousandths: u64| format!("{}.{:03}", thousandths / 1000, thousandths % 1000);
    let block = |(model, prices): &(&str, Tokens)| {
        let Tokens {
            input,
            cache_read,
            tool_input,
            output,
            thinking,
            ..
        } = *prices;
        let kinds = [
            ("input", input),
            ("cache_read", cache_read),
            ("tool_input", tool_input),
            ("output", output),
            ("thinking", thinking),
        ];
        let prices: String = kinds
            .map(|(kind, price)| format!("{kind} = {}\n", dollars(price)))
            .concat();
        let source = "source = \"https://example.com\"\nas_of = 2026-11-24\n";
        format!("[[price]]\nmodels = [\"{model}\"]\n{prices}{source}")
    };
    PRICES.iter().map(block).collect()
}

/// What the provider would write on the bill, in nano-dollars.
fn bill(model: &str, tokens: &Tokens) -> u64 {
    let priced = PRICES.iter().find(|(name, _)| *name == model);
    priced.map_or(0, |(_, price)| {
        tokens.input * price.input
            + tokens.cache_read * price.cache_read
            + tokens.tool_input * price.tool_input
            + tokens.output * price.output
            + tokens.thinking * price.thinking
    })
}

fn nano_usd(usd: f64) -> u64 {
    (usd * 1e9).round() as u64
}

async fn check_costs(whole: &Whole, truth: &Tally, usage: &Value) {
    let costs = whole.series("gravimeter_cost_usd_total").await;
    let unpriced = whole.series("gravimeter_unpriced_calls_total").await;
    let cost_of = |label: &str| {
        costs
            .iter()
            .filter(|(labels, _)| labels.contains(label))
            .map(|(_, usd)| nano_usd(*usd))
            .sum::<u64>()
    };
    let mut bills = BTreeMap::new();
    for (model, books) in &truth.models {
        let (shown, label) = (&usage["models"][model], format!("model=\"{model}\""));
        let due = bill(model, &books.tokens);
        assert_eq!(cost_of(&label), due, "/metrics: {model}");
        let without = sum(&unpriced, &[&label]);
        assert_eq!(shown["unpriced_calls"].as_u64(), Some(without), "{model}");
        if PRICES.iter().any(|(name, _)| name == model) {
            assert_eq!(
                (shown["cost_usd"].as_f64().map(nano_usd), without),
                (Some(due), 0),
                "/v1/usage: {model}"
            );
        } else {
            assert!(shown["cost_usd"].is_null() && due == 0, "{model}: {shown}");
            assert!(
                without >= books.calls && books.calls > 0,
                "{model}: every call with tokens lacks a price"
            );
        }
        bills.insert(model, due);
    }
    assert_eq!(
        bills.values().filter(|due| **due > 0).count(),
        PRICES.len(),
        "every price was asked for"
    );
    let due: u64 = bills.values().sum();
    assert_eq!(
        usage["totals"]["cost_usd"].as_f64().map(nano_usd),
        Some(due)
    );
    for (by, field) in [("cascade", "cascades"), ("provider", "providers")] {
        let grouped: Value =
            serde_json::from_str(&whole.get(&format!("/v1/usage?by={by}")).await).expect("JSON");
        let groups = grouped[field].as_object().expect("groups").values();
        let sum: u64 = groups
            .filter_map(|group| group["cost_usd"].as_f64().map(nano_usd))
            .sum();
        assert_eq!(sum, due, "by {by}");
    }
}

/// The file says the same, in its rows, in its roll-ups, and in every grouping of an answer that is
/// made from it.
async fn check_ledger(whole: &Whole, totals: &Value) {
    // A scrape shows nothing that the file does not have.
    let dropped = sum(
        &whole
            .series("gravimeter_ledger_dropped_records_total")
            .await,
        &[],
    );
    assert_eq!(dropped, 0, "nothing was lost");
    for (by, field) in [
        ("day", "days"),
        ("hour", "hours"),
        ("operation", "operations"),
    ] {
        let grouped: Value =
            serde_json::from_str(&whole.get(&format!("/v1/usage?by={by}")).await).expect("JSON");
        assert_eq!(grouped["totals"], *totals, "by {by}");
        let groups = grouped[field].as_object().expect("groups").values();
        let sum: u64 = groups
            .filter_map(|group| group["total_tokens"].as_u64())
            .sum();
        assert_eq!(Some(sum), totals["total_tokens"].as_u64(), "by {by}");
    }
    let file = rusqlite::Connection::open(whole.state.path().join("ledger.db")).expect("a ledger");
    for (kind, columns) in [
        ("input", "input"),
        ("cache_read", "cache_read"),
        (
            "cache_write",
            "coalesce(cache_write_5m, 0) + coalesce(cache_write_1h, 0)",
        ),
        ("tool_input", "tool_input"),
        ("output", "output"),
        ("thinking", "thinking"),
    ] {
        for table in ["calls", "usage_slots", "cascade_slots"] {
            let sum = file.query_row(&format!("SELECT sum({columns}) FROM {table}"), [], |row| {
                row.get::<_, Option<i64>>(0)
            });
            let shown = totals[format!("{kind}_tokens")].as_u64();
            assert_eq!(
                sum.expect("a sum").unwrap_or(0) as u64,
                shown.expect("a count"),
                "{table}: {kind}"
            );
        }
    }
    let sum = |of: &str, table: &str| -> i64 {
        file.query_row(&format!("SELECT sum({of}) FROM {table}"), [], |row| {
            row.get(0)
        })
        .expect("a sum")
    };
    for table in ["usage_slots", "cascade_slots"] {
        assert_eq!(
            Some(sum("cost_nano_usd", table) as u64),
            totals["cost_usd"].as_f64().map(nano_usd),
            "{table}"
        );
        assert_eq!(
            Some(sum("unpriced_calls", table)),
            totals["unpriced_calls"].as_i64(),
            "{table}"
        );
        assert_eq!(
            sum("priced_calls", table),
            sum("cost_nano_usd IS NOT NULL", "calls"),
            "{table}"
        );
    }
    assert_eq!(
        sum("cost_nano_usd", "calls"),
        sum("cost_nano_usd", "usage_slots")
    );
    let rows: i64 = file
        .query_row("SELECT count(*) FROM calls", [], |row| row.get(0))
        .expect("a count");
    assert_eq!(Some(rows), totals["calls"].as_i64());
}

async fn check_spans(whole: &Whole, collector: &Collector, calls: u64, totals: &Value) {
    let of_calls = |spans: &[Span]| spans.iter().filter(|span| !is_setup(span)).count() as u64;
    let (exported, dropped, spans) = until(async || {
        let exported = sum(
            &whole.series("gravimeter_otlp_spans_exported_total").await,
            &[],
        );
        let dropped = whole.series("gravimeter_otlp_spans_dropped_total").await;
        let spans = collector.all();
        let is_told = exported + sum(&dropped, &[]) == spans.len() as u64;
        (is_told && of_calls(&spans) >= calls).then_some((exported, dropped, spans))
    })
    .await;
    assert_eq!(of_calls(&spans), calls, "every call has one span");
    assert_eq!(sum(&dropped, &["reason=\"rejected\""]), REJECTED as u64);
    assert_eq!(
        exported + sum(&dropped, &[]),
        spans.len() as u64,
        "every span was exported or lost for a reason"
    );
    for (attribute, kinds) in [
        (
            "gen_ai.usage.input_tokens",
            &["input", "cache_read", "cache_write", "tool_input"][..],
        ),
        ("gen_ai.usage.cache_read.input_tokens", &["cache_read"]),
        ("gen_ai.usage.output_tokens", &["output", "thinking"]),
        ("gen_ai.usage.reasoning.output_tokens", &["thinking"]),
    ] {
        let told: u64 = spans
            .iter()
            .filter_map(|span| number(span, attribute))
            .sum();
        let counted: u64 = kinds
            .iter()
            .filter_map(|kind| totals[format!("{kind}_tokens")].as_u64())
            .sum();
        assert!(told > 0, "{attribute} is told");
        assert_eq!(told, counted, "{attribute}");
    }
    let told: u64 = spans
        .iter()
        .filter_map(|span| fraction(span, "gravimeter.cost_usd"))
        .map(nano_usd)
        .sum();
    assert_eq!(
        Some(told),
        totals["cost_usd"].as_f64().map(nano_usd),
        "what the calls of all spans cost"
    );
}

fn is_setup(span: &Span) -> bool {
    span.name.starts_with("tcp ") || span.name.starts_with("tls ")
}

/// Every request that a model was named in, however it ended.
pub fn exchanges(tally: &Tally) -> u64 {
    tally
        .models
        .values()
        .map(|model| model.calls + model.refused + model.aborted + model.counted)
        .sum()
}
