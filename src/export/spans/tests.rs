use std::time::{Duration, UNIX_EPOCH};

use super::*;
use crate::export::tests::kit::{call, id, rate_limited, run};
use crate::record::{
    AgentName, AppliedRules, Call, CascadeRun, ConnectionSetup, Correlation, CorrelationMethod,
    Cost, FiniteNumber, Handshake, Label as _, Modality, ModalitySplits, Model, Operation, Outcome,
    OutputType, Phase, ProviderTime, Quality, RateLimit, RateLimitReason, Reported,
    RequestSettings, RunOutcome, ServerTools, ServiceTier, Side, Speed, SplitSum, SubagentRun,
    TlsVersion, TokenKind, TokenUsage, TraceContext, TraceParent,
};

/// The place of a span whose parent is the agent's own.
fn place() -> TraceContext {
    let parent = TraceParent::parse(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
        .expect("a parent");
    TraceContext {
        trace: parent.trace,
        span: crate::record::SpanId::new(0xaaaa_bbbb_cccc_dddd).expect("an id"),
        parent: Some(parent.span),
        has_remote_parent: true,
        sampled: true,
    }
}

/// A span as lines: what it is, its attributes, its events.
fn shown(span: &SpanData) -> String {
    let since = |at: SystemTime| {
        at.duration_since(UNIX_EPOCH + Duration::from_secs(1_790_000_000))
            .expect("later")
    };
    let list = |attributes: &[KeyValue]| -> String {
        attributes
            .iter()
            .map(|it| format!("\n  {} = {}", it.key, text(&it.value)))
            .collect()
    };
    let events: String = span
        .events
        .iter()
        .map(|event| {
            format!(
                "\n  @{:?} {}{}",
                since(event.timestamp),
                event.name,
                list(&event.attributes).replace("\n", "\n  ")
            )
        })
        .collect();
    let error = match &span.status {
        Status::Error { description } => format!(" !{description}"),
        Status::Unset => String::new(),
        Status::Ok => panic!("no span is marked as good"),
    };
    let (start, end) = (since(span.start_time), since(span.end_time));
    format!(
        "{:?} {} {start:?}..{end:?}{error}{}{events}",
        span.span_kind,
        span.name,
        list(&span.attributes)
    )
}

fn text(value: &Value) -> String {
    match value {
        Value::Bool(is) => is.to_string(),
        Value::F64(number) => format!("{number:?}"),
        Value::I64(count) => count.to_string(),
        Value::String(text) => format!("{:?}", text.as_str()),
        Value::Array(Array::String(texts)) => {
            let texts: Vec<_> = texts.iter().map(StringValue::as_str).collect();
            format!("{texts:?}")
        }
        other => panic!("{other:?} is the value of no attribute"),
    }
}

fn chat(call: &Call) -> String {
    shown(&of_call(call, &place())[0])
}

#[test]
fn the_rules_that_changed_a_request() {
    let mut call = call("cheap");
    assert!(!chat(&call).contains("gravimeter.rules"));
    call.rules = AppliedRules::parse("tone+cheaper", Some(Model::from_wire("dear"))).map(Box::new);
    let shown = chat(&call);
    assert!(
        shown.contains("gravimeter.rules = [\"tone\", \"cheaper\"]"),
        "{shown}"
    );
    assert!(
        shown.contains("gravimeter.asked_model = \"dear\""),
        "{shown}"
    );
    assert!(
        shown.contains("gen_ai.request.model = \"cheap\""),
        "{shown}"
    );
}

#[test]
fn a_streamed_chat() {
    let mut call = call("gemini-3-pro");
    call.served_model = Some(Model::from_wire("gemini-3-pro-002"));
    call.finish_reason = Some(id("STOP"));
    call.ids.response = Some(id("r-1"));
    call.ids.subagent = Some(id("s-1"));
    call.settings.reasoning_level = Some(id("high"));
    call.correlation = Correlation {
        cascade: Some(id("c-1")),
        method: CorrelationMethod::RequestId,
    };
    let expected = r#"Client generate_content gemini-3-pro 0ns..1.5s
  gen_ai.operation.name = "generate_content"
  gen_ai.provider.name = "gcp.gen_ai"
  gen_ai.request.model = "gemini-3-pro"
  gen_ai.request.stream = true
  gen_ai.response.model = "gemini-3-pro-002"
  gen_ai.response.id = "r-1"
  gen_ai.response.finish_reasons = ["STOP"]
  gen_ai.response.time_to_first_chunk = 0.3
  gen_ai.conversation.id = "c-1"
  gen_ai.agent.id = "s-1"
  server.address = "daily-cloudcode-pa.googleapis.com"
  server.port = 443
  http.response.status_code = 200
  gravimeter.outcome = "ok"
  gravimeter.usage.quality = "exact"
  gen_ai.request.reasoning.level = "high"
  gen_ai.usage.input_tokens = 100
  gen_ai.usage.output_tokens = 20
  gen_ai.usage.cache_read.input_tokens = 30
  gen_ai.usage.reasoning.output_tokens = 5
  @300ms gravimeter.first_chunk"#;
    assert_eq!(chat(&call), expected);
}

#[test]
fn what_a_request_asks_for() {
    let number = |number| FiniteNumber::new(number);
    let mut call = call("m");
    call.settings = RequestSettings {
        choices: Some(2),
        frequency_penalty: number(0.5),
        max_tokens: Some(4096),
        output_type: Some(OutputType::Json),
        presence_penalty: number(-0.5),
        reasoning_level: Some(id("low")),
        seed: Some(-7),
        temperature: number(0.0),
        top_k: Some(40),
        top_p: number(0.9),
    };
    call.ids.previous_response = Some(id("resp_1"));
    call.is_compacted = true;
    let asked = |call: &Call| -> Vec<String> {
        let names = ["gen_ai.request.", "gen_ai.output.", "compacted"];
        let has_one = |line: &&str| names.iter().any(|name| line.contains(name));
        let shown = chat(call);
        let lines = shown.lines().filter(has_one);
        lines.map(|line| line.trim().to_owned()).collect()
    };
    let expected = [
        "gen_ai.request.model = \"m\"",
        "gen_ai.request.previous_response.id = \"resp_1\"",
        "gen_ai.request.stream = true",
        "gen_ai.conversation.compacted = true",
        "gen_ai.request.choice.count = 2",
        "gen_ai.request.frequency_penalty = 0.5",
        "gen_ai.request.max_tokens = 4096",
        "gen_ai.request.presence_penalty = -0.5",
        "gen_ai.request.reasoning.level = \"low\"",
        "gen_ai.request.seed = -7",
        "gen_ai.request.temperature = 0.0",
        "gen_ai.request.top_k = 40",
        "gen_ai.request.top_p = 0.9",
        "gen_ai.output.type = \"json\"",
    ];
    assert_eq!(asked(&call), expected);
    call.settings = RequestSettings {
        choices: Some(1),
        ..RequestSettings::default()
    };
    call.ids.previous_response = None;
    call.is_compacted = false;
    assert_eq!(asked(&call), [expected[0], expected[2]]);
}

#[test]
fn modalities_are_named_where_the_provider_reports_them() {
    let mut modalities = ModalitySplits::default();
    modalities[SplitSum::Input].add(Modality::Image, 60);
    modalities[SplitSum::Input].add(Modality::Text, 40);
    modalities[SplitSum::CacheRead].add(Modality::Document, 30);
    modalities[SplitSum::Output].add(Modality::Audio, 15);
    let shown = chat(&Call {
        modalities,
        ..call("m")
    });
    let of_modality: Vec<_> = shown
        .lines()
        .map(str::trim)
        .filter(|line| Modality::ALL.iter().any(|it| line.contains(it.as_str())))
        .collect();
    let expected = [
        "gravimeter.usage.document.cache_read.input_tokens = 30",
        "gen_ai.usage.image.input_tokens = 60",
        "gen_ai.usage.text.input_tokens = 40",
        "gen_ai.usage.audio.output_tokens = 15",
    ];
    assert_eq!(of_modality, expected);
}

#[test]
fn a_refused_chat() {
    let mut call = rate_limited("m");
    call.streamed = false;
    call.timing.time_to_first_chunk = None;
    call.rate_limit = Some(RateLimit {
        reason: RateLimitReason::QuotaExhausted,
        retry_after: Some(Duration::from_millis(2500)),
        resets_at: Some(UNIX_EPOCH + Duration::from_secs(1_790_003_600)),
    });
    let expected = r#"Client generate_content m 0ns..1.5s !rate_limited
  gen_ai.operation.name = "generate_content"
  gen_ai.provider.name = "gcp.gen_ai"
  gen_ai.request.model = "m"
  server.address = "daily-cloudcode-pa.googleapis.com"
  server.port = 443
  http.response.status_code = 429
  error.type = "rate_limited"
  gravimeter.outcome = "rate_limited"
  gravimeter.usage.quality = "unknown"
  @1.5s gravimeter.rate_limit
    gravimeter.rate_limit.reason = "quota_exhausted"
    gravimeter.rate_limit.retry_after = 2.5
    gravimeter.rate_limit.resets_at = "2026-09-21T14:33:20Z""#;
    let expected = expected.replace("2026-09-21T14:33:20Z", &resets());
    assert_eq!(chat(&call), expected);
}

fn resets() -> String {
    jiff::Timestamp::from_second(1_790_003_600)
        .expect("a time")
        .to_string()
}

#[test]
fn a_stream_that_was_cut_off_misses_its_reason() {
    let cut = Call {
        outcome: Outcome::Truncated,
        quality: Quality::Partial,
        ..call("m")
    };
    let shown = chat(&cut);
    assert!(
        shown.starts_with("Client generate_content m 0ns..1.5s !truncated"),
        "{shown}"
    );
    assert!(
        shown.contains(r#"gen_ai.response.finish_reasons = ["error"]"#),
        "{shown}"
    );
    let whole = chat(&Call {
        streamed: false,
        ..call("m")
    });
    assert!(
        !whole.contains("finish_reasons") && !whole.contains("time_to_first_chunk"),
        "{whole}"
    );
}

#[test]
fn an_operation_of_our_own_is_named_beside_the_convention_s() {
    let shown = |operation| {
        chat(&Call {
            operation,
            ..call("m")
        })
    };
    let hidden = shown(Operation::Checkpoint);
    assert!(
        hidden.starts_with("Client generate_content m ")
            && hidden.contains(r#"gravimeter.operation = "checkpoint""#),
        "{hidden}"
    );
    let counted = shown(Operation::CountTokens);
    assert!(
        counted.starts_with("Client count_tokens m ") && !counted.contains("gravimeter.operation"),
        "{counted}"
    );
    for operation in Operation::ALL {
        assert!(
            shown(*operation).contains("gen_ai.operation.name"),
            "{operation}"
        );
    }
}

#[test]
fn only_tokens_that_were_reported_are_told() {
    let usage = TokenUsage::default()
        .with(TokenKind::CacheWrite5m, 0)
        .with(TokenKind::Output, u64::MAX);
    let shown = chat(&Call { usage, ..call("m") });
    let told: Vec<_> = shown
        .lines()
        .filter_map(|line| line.trim().strip_prefix("gen_ai.usage."))
        .collect();
    let expected = [
        "input_tokens = 0",
        "output_tokens = 9223372036854775807",
        "cache_write.input_tokens = 0",
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_cost_is_told_in_dollars_where_it_is_known() {
    let shown = chat(&Call {
        cost: Some(Cost::from_nano_usd(12_300_000)),
        ..call("m")
    });
    assert!(
        shown.contains("\n  gravimeter.cost_usd = 0.0123"),
        "{shown}"
    );
    assert!(!chat(&call("m")).contains("cost"));
}

#[test]
fn what_the_provider_reports_beside_tokens_is_told() {
    let shown = chat(&Call {
        cost: Some(Cost::from_nano_usd(2_000_000)),
        reported: Reported {
            cost: Some(Cost::from_nano_usd(2_000_000)),
            nano_credits: Some(7),
            service_tier: Some(ServiceTier::Flex),
            speed: Some(Speed::Fast),
            inference_geo: Some(id("us")),
            server_tools: ServerTools {
                web_searches: Some(3),
                web_fetches: Some(9),
            },
            is_overage: true,
            time: ProviderTime {
                first_byte: Some(Duration::from_millis(620)),
                total: Some(Duration::from_millis(4_100)),
            },
        },
        ..call("m")
    });
    let (_, told) = shown.split_once("quality = \"exact\"\n").expect("more");
    let own = told.lines().map(str::trim);
    let own: Vec<_> = own.filter(|line| line.starts_with("gravimeter.")).collect();
    let expected = [
        "gravimeter.cost_usd = 0.002",
        "gravimeter.cost.source = \"provider\"",
        "gravimeter.cost.nano_credits = 7",
        "gravimeter.service_tier = \"flex\"",
        "gravimeter.speed = \"fast\"",
        "gravimeter.inference_geo = \"us\"",
        "gravimeter.server_tools.web_searches = 3",
        "gravimeter.overage = true",
        "gravimeter.provider.time_to_first_byte = 0.62",
        "gravimeter.provider.time = 4.1",
    ];
    assert_eq!(own, expected);
}

#[test]
fn a_new_connection_has_spans_of_its_own_before_the_call() {
    let started_at = UNIX_EPOCH + Duration::from_secs(1_790_000_000);
    let phase = |millis| Phase {
        started_at,
        duration: Duration::from_millis(millis),
    };
    let handshake = |side, resumed| Handshake {
        side,
        version: TlsVersion::Tls13,
        resumed,
        duration: Duration::ZERO,
    };
    let setup = ConnectionSetup {
        connect: phase(10),
        upstream: (phase(20), handshake(Side::Upstream, true)),
        agent: (phase(30), handshake(Side::Agent, false)),
    };
    let spans = of_call(
        &Call {
            setup: Some(Box::new(setup)),
            ..call("m")
        },
        &place(),
    );
    let server = "\n  server.address = \"daily-cloudcode-pa.googleapis.com\"\n  server.port = 443";
    let tls = "\n  tls.protocol.name = \"tls\"\n  tls.protocol.version = \"1.3\"\n  tls.resumed = ";
    let shown: Vec<_> = spans[1..].iter().map(shown).collect();
    let expected = [
        format!("Internal tcp connect 0ns..10ms{server}"),
        format!("Internal tls handshake upstream 0ns..20ms{server}{tls}true"),
        format!("Internal tls handshake agent 0ns..30ms{server}{tls}false"),
    ];
    assert_eq!(shown, expected);
    let [call, setup @ ..] = &spans[..] else {
        panic!("four spans")
    };
    let id_of = |span: &SpanData| span.span_context.span_id();
    let parent = SpanId::from_bytes(place().parent.expect("a parent").to_bytes());
    assert_eq!(
        (call.parent_span_id, call.parent_span_is_remote),
        (parent, true)
    );
    for span in setup {
        assert_eq!(
            (span.parent_span_id, span.parent_span_is_remote),
            (id_of(call), false)
        );
        assert_eq!(span.span_context.trace_id(), call.span_context.trace_id());
    }
    let ids: std::collections::HashSet<_> = spans.iter().map(id_of).collect();
    assert_eq!(ids.len(), 4, "each has an id of its own");
}

#[test]
fn a_run() {
    let expected = r#"Internal invoke_agent antigravity 0ns..10s
  gen_ai.operation.name = "invoke_agent"
  gen_ai.agent.name = "antigravity"
  gen_ai.conversation.id = "c-1"
  gen_ai.request.model = "m"
  gravimeter.run.model = "m"
  gravimeter.run.outcome = "ok"
  gravimeter.run.calls = 3
  gravimeter.run.tokens = 360
  gravimeter.run.cost_usd = 0.0123
  gravimeter.run.time_to_first_chunk = 2.0
  @2s gravimeter.first_chunk"#;
    let mut run = run("c-1", "m");
    run.cost = Some(Cost::from_nano_usd(12_300_000));
    assert_eq!(shown(&of_run(&run, &place())), expected);
    run.cost = None;
    assert!(!shown(&of_run(&run, &place())).contains("cost"));
    run.has_several_models = true;
    assert!(!shown(&of_run(&run, &place())).contains("gen_ai.request.model"));
    run.outcome = RunOutcome::Swallowed;
    run.time_to_first_chunk = None;
    let span = of_run(&run, &place());
    assert_eq!(
        (span.status, span.events.events.len()),
        (Status::error("swallowed"), 0)
    );
}

#[test]
fn a_subagent() {
    let mut ended = SubagentRun {
        subagent: id("s-1"),
        kind: Some(id("Explore")),
        run: CascadeRun {
            agent: AgentName::ClaudeCode,
            ..run("c-1", "m")
        },
    };
    let shown_first = shown(&of_subagent(&ended, &place()));
    assert!(
        shown_first.starts_with("Internal invoke_agent Explore 0ns..10s"),
        "{shown_first}"
    );
    for line in [
        r#"gen_ai.agent.name = "Explore""#,
        r#"gen_ai.agent.id = "s-1""#,
        r#"gen_ai.conversation.id = "c-1""#,
    ] {
        assert!(shown_first.contains(line), "{shown_first}");
    }
    ended.kind = None;
    let unnamed = shown(&of_subagent(&ended, &place()));
    assert!(
        unnamed.starts_with("Internal invoke_agent claude-code "),
        "{unnamed}"
    );
}
