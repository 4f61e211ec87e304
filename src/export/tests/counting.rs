//! Facts become the right numbers.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::kit::{
    call, exposition, limited, metrics, promtool, rate_limited, run, samples, started, value,
};
use crate::export::formats::Format;
use crate::export::genai::{Usage, error_type, operation_name};
use crate::export::{Config, Metrics};
use crate::record::{
    AgentName, Call, CascadeRun, ContentChunks, Cost, Disposition, Fact, Label, Modality,
    ModalitySplits, Model, Models, Named, Operation, Outcome, Provider, ProviderTime, Quality,
    Record, RefuseReason, Reported, RunOutcome, Sink, SplitSum, TokenKind, TokenUsage,
};

fn took(metrics: &Metrics, call: Call) {
    metrics.receive(&Fact::Call(Box::new(call)));
}

#[test]
fn a_call_is_counted_by_kind_quality_and_outcome() {
    let metrics = metrics();
    took(&metrics, call("m"));
    took(&metrics, call("m"));
    took(&metrics, rate_limited("m"));
    let tokens = |kind: &str| {
        value(
            &metrics,
            "gravimeter_tokens_total",
            &["model=m", "provider=gcp.gen_ai", kind],
        )
    };
    assert_eq!(tokens("kind=input"), Some(140.0));
    assert_eq!(tokens("kind=cache_read"), Some(60.0));
    assert_eq!(tokens("kind=cache_write"), Some(0.0));
    assert_eq!(tokens("kind=thinking"), Some(10.0));
    assert_eq!(value(&metrics, "gravimeter_tokens_total", &[]), Some(240.0));
    let calls = |outcome: &str| {
        value(
            &metrics,
            "gravimeter_calls_total",
            &["operation=chat", outcome],
        )
    };
    assert_eq!(calls("outcome=ok"), Some(2.0));
    assert_eq!(calls("outcome=rate_limited"), Some(1.0));
    assert_eq!(calls("outcome=truncated"), Some(0.0));
    assert_eq!(
        value(
            &metrics,
            "gravimeter_rate_limits_total",
            &["reason=capacity"]
        ),
        Some(1.0)
    );
    assert_eq!(
        value(
            &metrics,
            "gravimeter_rate_limits_total",
            &["reason=unspecified"]
        ),
        Some(0.0)
    );
    assert_eq!(
        value(
            &metrics,
            "gravimeter_usage_reports_total",
            &["quality=exact"]
        ),
        Some(2.0)
    );
    assert_eq!(
        value(
            &metrics,
            "gravimeter_usage_reports_total",
            &["quality=unknown"]
        ),
        Some(1.0)
    );
}

#[test]
fn durations_fall_into_the_convention_s_buckets() {
    let metrics = metrics();
    took(&metrics, call("m"));
    let bucket = |name: &str, le: &str| value(&metrics, name, &[&format!("le={le}")]);
    assert_eq!(
        bucket("gravimeter_call_duration_seconds_bucket", "1.28"),
        Some(0.0)
    );
    assert_eq!(
        bucket("gravimeter_call_duration_seconds_bucket", "2.56"),
        Some(1.0)
    );
    assert_eq!(
        bucket("gravimeter_time_to_first_chunk_seconds_bucket", "0.32"),
        Some(1.0)
    );
    assert_eq!(
        value(
            &metrics,
            "gravimeter_time_per_output_token_seconds_sum",
            &[]
        ),
        Some(0.0625)
    );
}

#[test]
fn the_pace_of_generation_needs_exact_figures_and_two_tokens() {
    let metrics = metrics();
    took(
        &metrics,
        Call {
            quality: Quality::Partial,
            ..call("m")
        },
    );
    let one = TokenUsage::default().with(TokenKind::Output, 1);
    took(
        &metrics,
        Call {
            usage: one,
            ..call("m")
        },
    );
    assert_eq!(
        value(
            &metrics,
            "gravimeter_time_per_output_token_seconds_count",
            &[]
        ),
        None
    );
}

#[test]
fn in_flight_rises_falls_and_never_goes_below_zero() {
    let metrics = metrics();
    let in_flight = || {
        value(
            &metrics,
            "gravimeter_calls_in_flight",
            &["provider=gcp.gen_ai"],
        )
    };
    assert_eq!(in_flight(), Some(0.0));
    metrics.receive(&Fact::CallStarted(started(Provider::CloudCode)));
    assert_eq!(in_flight(), Some(1.0));
    took(&metrics, call("m"));
    took(&metrics, call("m"));
    assert_eq!(in_flight(), Some(0.0));
    metrics.receive(&Fact::ConnectionClosed(Disposition::Intercepted));
    assert_eq!(
        value(
            &metrics,
            "gravimeter_connections_active",
            &["disposition=intercepted"]
        ),
        Some(0.0)
    );
}

#[test]
fn refusals_count_as_connections_and_by_reason() {
    let metrics = metrics();
    metrics.receive(&Fact::ConnectionRefused(RefuseReason::Loop));
    assert_eq!(
        value(
            &metrics,
            "gravimeter_connections_total",
            &["disposition=refused"]
        ),
        Some(1.0)
    );
    assert_eq!(
        value(
            &metrics,
            "gravimeter_connections_refused_total",
            &["reason=loop"]
        ),
        Some(1.0)
    );
    assert_eq!(
        value(&metrics, "gravimeter_connections_refused_total", &[]),
        Some(1.0)
    );
}

#[test]
fn states_that_nobody_reported_are_absent() {
    let metrics = metrics();
    for name in [
        "gravimeter_agent_up",
        "gravimeter_ca_expiry_timestamp_seconds",
        "gravimeter_redirect_active",
    ] {
        assert_eq!(value(&metrics, name, &[]), None, "{name}");
    }
    metrics.receive(&Fact::AgentUp(false));
    assert_eq!(value(&metrics, "gravimeter_agent_up", &[]), Some(0.0));
}

#[test]
fn a_counter_never_wraps() {
    let metrics = metrics();
    let usage = TokenUsage::default()
        .with(TokenKind::Input, u64::MAX)
        .with(TokenKind::CacheRead, u64::MAX);
    took(&metrics, Call { usage, ..call("m") });
    took(&metrics, Call { usage, ..call("m") });
    assert_eq!(
        value(&metrics, "gravimeter_tokens_total", &["kind=input"]),
        Some(u64::MAX as f64)
    );
    assert_eq!(
        value(
            &metrics,
            "gen_ai_client_inference_usage_input_tokens_total",
            &[]
        ),
        Some(u64::MAX as f64)
    );
}

#[test]
fn fifty_thousand_models_stay_bounded_and_exact() {
    let metrics = limited(200);
    for n in 0..50_000 {
        let model = format!("m{n}");
        let chunks = ContentChunks {
            provider: Provider::CloudCode,
            operation: Operation::Chat,
            model: Model::from_wire(&model),
            gap: Duration::from_millis(5),
            count: 3,
        };
        metrics.receive(&Fact::ContentChunks(chunks));
        took(&metrics, call(&model));
    }
    let exposition = exposition(&metrics, Format::Text);
    let series = samples(&exposition).len();
    // 201 names, of one provider and one operation: 20 counters and 4 histograms of 17 series, as
    // much again for GenAI, with two more histograms of 17.
    assert!(series < 201 * 164 + 300, "{series} series");
    assert!(exposition.len() < 5 << 20, "{} bytes", exposition.len());
    assert_eq!(
        value(&metrics, "gravimeter_calls_total", &[]),
        Some(50_000.0)
    );
    assert_eq!(
        value(&metrics, "gravimeter_calls_total", &["model=other"]),
        Some(49_800.0)
    );
    assert_eq!(
        value(&metrics, "gravimeter_tokens_total", &[]),
        Some(50_000.0 * 120.0)
    );
    assert_eq!(
        value(
            &metrics,
            "gravimeter_label_overflow_total",
            &["label=model"]
        ),
        Some(49_800.0)
    );
    assert_eq!(
        value(
            &metrics,
            "gravimeter_time_between_chunks_seconds_count",
            &[]
        ),
        Some(150_000.0)
    );
}

/// Whoever has no key can name any model: 200 such names once took the label of the one that was
/// really used.
#[test]
fn names_that_were_only_refused_take_no_label() {
    let metrics = limited(2);
    let refused = |model: &str| Call {
        outcome: Outcome::ClientError,
        status: Some(401),
        usage: TokenUsage::default(),
        quality: Quality::Unknown,
        ..call(model)
    };
    for n in 0..1000 {
        took(&metrics, refused(&format!("junk{n}")));
    }
    took(&metrics, refused("honest"));
    let calls = |labels: &[&str]| value(&metrics, "gravimeter_calls_total", labels);
    assert_eq!(
        (calls(&["model=other"]), calls(&[])),
        (Some(1001.0), Some(1001.0))
    );
    assert_eq!(
        value(
            &metrics,
            "gravimeter_label_overflow_total",
            &["label=model"]
        ),
        Some(0.0),
        "there is room"
    );

    took(&metrics, call("honest"));
    took(&metrics, refused("honest"));
    assert_eq!(calls(&["model=honest"]), Some(2.0));
    assert_eq!(
        calls(&["model=other"]),
        Some(1001.0),
        "what was counted before stays where it is"
    );
    // An answer that was cut off names a model as well.
    took(
        &metrics,
        Call {
            outcome: Outcome::Truncated,
            quality: Quality::Partial,
            ..call("cut")
        },
    );
    assert_eq!(calls(&["model=cut"]), Some(1.0));
    took(&metrics, call("one too many"));
    assert_eq!(
        (calls(&["model=other"]), calls(&[])),
        (Some(1002.0), Some(1005.0))
    );
    assert_eq!(
        value(
            &metrics,
            "gravimeter_label_overflow_total",
            &["label=model"]
        ),
        Some(1.0)
    );
    assert_eq!(
        value(&metrics, "gravimeter_tokens_total", &[]),
        Some(3.0 * 120.0)
    );
}

/// The name is decided before any view looks: one that looks late, as the ledger's file does, must
/// not say another.
#[test]
fn the_name_of_a_call_is_decided_once() {
    struct Kept(Mutex<Vec<Fact>>);
    impl Record for Kept {
        fn record(&self, fact: Fact) {
            self.0.lock().expect("no panic").push(fact);
        }
    }
    let (models, kept) = (Arc::new(Models::new(2)), Arc::new(Kept(Mutex::default())));
    let named = Named::new(Arc::clone(&models), kept.clone());
    let refused = Call {
        outcome: Outcome::RateLimited,
        usage: TokenUsage::default(),
        ..call("m")
    };
    for call in [refused, call("m")] {
        named.record(Fact::Call(Box::new(call)));
    }
    let names: Vec<_> = kept
        .0
        .lock()
        .expect("no panic")
        .iter()
        .map(|fact| name_of(&models, fact))
        .collect();
    assert_eq!(names, [Models::other(), Model::from_wire("m")]);
}

fn name_of(models: &Models, fact: &Fact) -> Model {
    let Fact::Call(call) = fact else {
        panic!("{fact:?}")
    };
    models.name(call)
}

#[test]
fn hostile_models_forge_nothing() {
    let metrics = metrics();
    let hostile = [
        "a\"} 1\nfake_total 7",
        "x{y=\"z\"}",
        "b\\",
        "\u{202e}\0\u{feff}",
        &"l".repeat(10_000),
        "c # {} 1",
    ];
    for model in hostile {
        took(&metrics, call(model));
    }
    for format in [Format::Text, Format::OpenMetrics] {
        let samples = samples(&exposition(&metrics, format));
        assert!(samples.keys().all(|(name, _)| name != "fake_total"));
        let models = samples.keys().filter_map(|(_, labels)| labels.get("model"));
        assert!(
            models
                .clone()
                .all(|model| model.len() <= Model::MAX_BYTES && model.is_ascii())
        );
    }
    assert_eq!(value(&metrics, "gravimeter_calls_total", &[]), Some(6.0));
    if let Some((clean, said)) = promtool(&exposition(&metrics, Format::Text)) {
        assert!(clean && said.is_empty(), "{said}");
    }
}

#[test]
fn genai_totals_hold_their_parts() {
    let usage = TokenUsage::default()
        .with(TokenKind::Input, 1)
        .with(TokenKind::CacheRead, 2)
        .with(TokenKind::CacheWrite5m, 4)
        .with(TokenKind::ToolInput, 8)
        .with(TokenKind::Output, 16)
        .with(TokenKind::Thinking, 32);
    let expected = Usage {
        input_tokens: 15,
        output_tokens: 48,
        cache_read_input_tokens: 2,
        cache_write_input_tokens: 4,
        reasoning_output_tokens: 32,
    };
    assert_eq!(Usage::from(&usage.counts()), expected);
    assert_eq!(
        expected.input_tokens + expected.output_tokens,
        usage.total()
    );
}

#[test]
fn genai_calls_what_google_generates_by_the_name_of_its_method() {
    let chat =
        |provider, model: &str| operation_name(Operation::Chat, provider, &Model::from_wire(model));
    for (provider, model, name) in [
        (Provider::CloudCode, "claude-opus-4-6", "generate_content"),
        (Provider::Gemini, "gemini-3-pro", "generate_content"),
        (Provider::VertexAi, "gemini-3-pro", "generate_content"),
        (Provider::VertexAi, "claude-opus-4-8@20260101", "chat"),
        (Provider::VertexAi, "google/gemini-3-pro", "chat"),
        (Provider::Anthropic, "claude-opus-4-8", "chat"),
        (Provider::OpenAi, "gpt-5.6-sol", "chat"),
    ] {
        assert_eq!(chat(provider, model), Some(name), "{provider} {model}");
    }
}

#[test]
fn genai_knows_runs_and_the_time_between_chunks() {
    let metrics = metrics();
    metrics.receive(&Fact::ContentChunks(ContentChunks {
        provider: Provider::Anthropic,
        operation: Operation::Chat,
        model: Model::from_wire("m"),
        gap: Duration::from_millis(500),
        count: 3,
    }));
    metrics.receive(&Fact::RunEnded(Box::new(CascadeRun {
        agent: AgentName::ClaudeCode,
        outcome: RunOutcome::Canceled,
        tool_calls: Some(5),
        ..run("c", "m")
    })));
    // How many tools it has called is not known: that is not none.
    metrics.receive(&Fact::RunEnded(Box::new(run("c", "m"))));
    let exposition = exposition(&metrics, Format::Text);
    let is_there = |line: &str| exposition.lines().any(|shown| shown == line);
    for line in [
        r#"gen_ai_client_inference_time_per_output_chunk_seconds_sum{gen_ai_operation_name="chat",gen_ai_provider_name="anthropic",gen_ai_request_model="other"} 0.5"#,
        r#"gen_ai_client_inference_time_per_output_chunk_seconds_count{gen_ai_operation_name="chat",gen_ai_provider_name="anthropic",gen_ai_request_model="other"} 3"#,
        r#"gen_ai_invoke_agent_duration_seconds_sum{gen_ai_agent_name="claude-code",error_type="canceled"} 10.0"#,
        r#"gen_ai_invoke_agent_inference_calls_sum{gen_ai_agent_name="claude-code",error_type="canceled"} 3.0"#,
        r#"gen_ai_invoke_agent_tool_calls_sum{gen_ai_agent_name="claude-code",error_type="canceled"} 5.0"#,
    ] {
        assert!(is_there(line), "{line}\n{exposition}");
    }
    let of_antigravity = r#"tool_calls_count{gen_ai_agent_name="antigravity""#;
    assert!(!exposition.contains(of_antigravity), "{exposition}");
}

#[test]
fn genai_leaves_out_what_is_no_inference() {
    let named = |operation| operation_name(operation, Provider::OpenAi, &Model::from_wire("m"));
    let unnamed = Operation::ALL
        .iter()
        .copied()
        .filter(|of| named(*of).is_none());
    assert_eq!(unnamed.collect::<Vec<_>>(), [Operation::CountTokens]);
    assert_eq!(error_type(Outcome::Ok), None);
    assert_eq!(error_type(Outcome::Truncated), Some("truncated"));
    let metrics = metrics();
    took(
        &metrics,
        Call {
            operation: Operation::CountTokens,
            ..call("m")
        },
    );
    assert_eq!(
        value(
            &metrics,
            "gen_ai_client_inference_duration_seconds_count",
            &[]
        ),
        None
    );
}

#[test]
fn genai_labels_follow_the_convention() {
    let metrics = metrics();
    took(&metrics, call("m"));
    took(
        &metrics,
        Call {
            streamed: false,
            ..call("m")
        },
    );
    took(&metrics, rate_limited("m"));
    let count = "gen_ai_client_inference_duration_seconds_count";
    let common = [
        "gen_ai_operation_name=generate_content",
        "gen_ai_provider_name=gcp.gen_ai",
        "gen_ai_request_model=m",
    ];
    assert_eq!(value(&metrics, count, &common), Some(3.0));
    assert_eq!(
        value(&metrics, count, &["error_type=rate_limited"]),
        Some(1.0)
    );
    assert_eq!(
        value(
            &metrics,
            "gen_ai_client_inference_time_to_first_chunk_seconds_count",
            &common
        ),
        Some(2.0)
    );
    let input = "gen_ai_client_inference_usage_input_tokens_total";
    assert_eq!(
        value(&metrics, input, &["gen_ai_token_modality=unknown"]),
        Some(200.0)
    );
    let tokens = |name: &str, of: &str, labels: &[&str]| {
        let name = format!("gen_ai_client_inference_operation_{name}_tokens_{of}");
        value(&metrics, &name, labels)
    };
    assert_eq!(tokens("input", "sum", &common), Some(200.0));
    assert_eq!(tokens("output", "sum", &common), Some(40.0));
    // The refused call has no usage, for which the convention wants a 0.
    assert_eq!(tokens("output", "count", &common), Some(3.0));
    let refused = ["error_type=rate_limited"];
    assert_eq!(tokens("input", "count", &refused), Some(1.0));
    assert_eq!(tokens("input", "sum", &refused), Some(0.0));
}

#[test]
fn genai_can_be_left_out() {
    let config = Config {
        genai: false,
        ..Config::default()
    };
    let metrics = Metrics::new(config, Arc::default());
    took(&metrics, call("m"));
    assert!(!exposition(&metrics, Format::Text).contains("gen_ai_client"));
}

#[test]
fn cache_writes_are_labelled_by_lifetime_where_that_is_asked_for() {
    let usage = TokenUsage::default()
        .with(TokenKind::CacheWrite5m, 40)
        .with(TokenKind::CacheWrite1h, 2);
    let counted = |cache_write_lifetimes| {
        let config = Config {
            cache_write_lifetimes,
            ..Config::default()
        };
        let metrics = Metrics::new(config, Arc::default());
        took(&metrics, Call { usage, ..call("m") });
        let tokens = |labels: &[&str]| value(&metrics, "gravimeter_tokens_total", labels);
        let kinds = ["cache_write", "cache_write_5m", "cache_write_1h"];
        let counts = kinds.map(|kind| tokens(&[&format!("kind={kind}")]));
        assert_eq!(tokens(&[]), Some(42.0), "the sum stays");
        let genai = "gen_ai_client_inference_usage_cache_write_input_tokens_total";
        assert_eq!(value(&metrics, genai, &[]), Some(42.0));
        counts
    };
    assert_eq!(counted(false), [Some(42.0), None, None]);
    assert_eq!(counted(true), [None, Some(40.0), Some(2.0)]);
}

#[test]
fn costs_are_summed_exactly_and_calls_without_a_price_are_told() {
    let metrics = metrics();
    let priced = Call {
        cost: Some(Cost::from_nano_usd(100_000_001)),
        ..call("m")
    };
    for _ in 0..1000 {
        took(&metrics, priced.clone());
    }
    took(&metrics, call("m"));
    took(&metrics, rate_limited("m"));
    took(&metrics, rate_limited("refused"));
    let shown = |model| {
        let labels = ["provider=gcp.gen_ai", &format!("model={model}")];
        [
            "gravimeter_cost_usd_total",
            "gravimeter_unpriced_calls_total",
        ]
        .map(|name| value(&metrics, name, &labels))
    };
    assert_eq!(
        shown("m"),
        [Some(100.000001), Some(1.0)],
        "a float that was added to would have drifted"
    );
    assert_eq!(
        shown("refused"),
        [None, None],
        "a model that never answered has no label"
    );
    assert_eq!(
        shown("other"),
        [Some(0.0), Some(0.0)],
        "nothing is there to be paid"
    );
    took(
        &metrics,
        Call {
            cost: Some(Cost::from_nano_usd(u64::MAX)),
            ..call("m")
        },
    );
    assert_eq!(
        shown("m")[0],
        Some(18_446_744_073.709_553),
        "it does not fall"
    );
}

#[test]
fn a_cost_says_whose_word_it_is() {
    let metrics = metrics();
    let listed = Call {
        cost: Some(Cost::from_nano_usd(1_000_000_000)),
        ..call("m")
    };
    let reported = Call {
        reported: Reported {
            cost: listed.cost,
            ..Reported::default()
        },
        ..listed.clone()
    };
    for call in [&listed, &listed, &reported] {
        took(&metrics, call.clone());
    }
    let cost = |source| value(&metrics, "gravimeter_cost_usd_total", &["model=m", source]);
    assert_eq!(
        [cost("source=list"), cost("source=provider")],
        [Some(2.0), Some(1.0)]
    );
}

#[test]
fn another_model_is_counted_with_the_one_that_was_asked_for() {
    let metrics = metrics();
    let served = |served_model, is_substituted| Call {
        served_model: Some(Model::from_wire(served_model)),
        is_substituted,
        ..call("m")
    };
    took(&metrics, served("m-2026", false));
    took(&metrics, served("n", true));
    took(&metrics, served("n", true));
    let name = "gravimeter_model_substitutions_total";
    let labels = ["model=m", "served_model=n", "provider=gcp.gen_ai"];
    assert_eq!(value(&metrics, name, &labels), Some(2.0));
    assert_eq!(
        value(&metrics, name, &["served_model=m-2026"]),
        None,
        "another name is no other model"
    );
}

#[test]
fn names_of_other_models_are_bounded() {
    let metrics = Metrics::new(Config::default(), Arc::new(Models::new(2)));
    for number in 0..9 {
        let served = Call {
            served_model: Some(Model::from_wire(&format!("n{number}"))),
            is_substituted: true,
            ..call("m")
        };
        took(&metrics, served);
    }
    let name = "gravimeter_model_substitutions_total";
    let of = |served| value(&metrics, name, &[served]);
    assert_eq!(of("served_model=n0"), Some(1.0));
    assert_eq!(of("served_model=other"), Some(8.0));
}

#[test]
fn the_providers_own_time_is_told_apart_by_its_end() {
    let metrics = metrics();
    let time = ProviderTime {
        first_byte: Some(Duration::from_millis(250)),
        total: Some(Duration::from_secs(2)),
    };
    let timed = Call {
        reported: Reported {
            time,
            ..Reported::default()
        },
        ..call("m")
    };
    took(&metrics, timed);
    took(&metrics, call("m"));
    let of = |name: &str, until| {
        value(
            &metrics,
            &format!("gravimeter_provider_time_seconds_{name}"),
            &["model=m", until],
        )
    };
    assert_eq!(
        [of("sum", "until=first_byte"), of("sum", "until=end")],
        [Some(0.25), Some(2.0)]
    );
    assert_eq!(of("count", "until=end"), Some(1.0));
}

#[test]
fn credits_are_summed_exactly_where_a_provider_reports_them() {
    let metrics = metrics();
    let credits = || value(&metrics, "gravimeter_ai_credits_total", &["model=m"]);
    took(&metrics, call("m"));
    assert_eq!(credits(), None, "none were reported, which is not zero");
    for nano_credits in [Some(1_500_000_000), None, Some(1)] {
        let charged = Call {
            reported: Reported {
                nano_credits,
                ..Reported::default()
            },
            ..call("m")
        };
        took(&metrics, charged);
    }
    assert_eq!(credits(), Some(1.500_000_001));
}

#[test]
fn genai_counts_tokens_by_what_they_stand_for() {
    let metrics = metrics();
    let mut modalities = ModalitySplits::default();
    modalities[SplitSum::Input].add(Modality::Image, 60);
    modalities[SplitSum::Input].add(Modality::Text, 25);
    modalities[SplitSum::CacheRead].add(Modality::Image, 30);
    modalities[SplitSum::Output].add(Modality::Audio, 20);
    took(
        &metrics,
        Call {
            modalities,
            ..call("m")
        },
    );
    let table: [(&str, &[(&str, f64)]); 4] = [
        (
            "input_tokens",
            &[("image", 60.0), ("text", 25.0), ("unknown", 15.0)],
        ),
        ("output_tokens", &[("audio", 20.0), ("unknown", 0.0)]),
        (
            "cache_read_input_tokens",
            &[("image", 30.0), ("unknown", 0.0)],
        ),
        ("reasoning_output_tokens", &[("unknown", 5.0)]),
    ];
    for (name, expected) in table {
        let metric = format!("gen_ai_client_inference_usage_{name}_total");
        for (modality, tokens) in expected {
            let label = format!("gen_ai_token_modality={modality}");
            assert_eq!(
                value(&metrics, &metric, &[&label]),
                Some(*tokens),
                "{name} {label}"
            );
        }
        let sum = expected.iter().map(|(_, tokens)| tokens).sum();
        assert_eq!(
            value(&metrics, &metric, &[]),
            Some(sum),
            "{name}: nothing else"
        );
    }
}
