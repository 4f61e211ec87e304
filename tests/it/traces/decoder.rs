//! OpenTelemetry's own Python classes read what the exporter has sent, and see the spans that were
//! meant.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gravimeter::export::otlp::{Compression, Config};
use gravimeter::export::spans::{of_call, of_run};
use gravimeter::record::{
    Call, CascadeRun, Fact, Model, Outcome, RateLimit, RateLimitReason, RunOutcome, TokenKind,
    TokenUsage, TraceContext,
};
use opentelemetry::trace::{Event, SpanId, SpanKind, Status};
use opentelemetry::{Array, KeyValue, Value as Meant};
use opentelemetry_sdk::trace::SpanData;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::facts::{call, first_call, place, run, start};
use super::{PROTOCOLS, Way, config, fate};
use crate::kit::collector::{Collector, Reply};
use crate::skip;

const SCRIPT: &str = include_str!("decode.py");

/// Reads exponential histograms.
pub const METRICS: &str = include_str!("decode_metrics.py");

/// What a script makes of these bodies by those classes, in JSON, or what is wrong with one.
pub fn decoded<T: DeserializeOwned>(
    script: &str,
    classes: &Path,
    bodies: &[Vec<u8>],
) -> Result<Vec<T>, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let mut python = Command::new("python3");
    python.args(["-I", "-c"]).arg(format!(
        "import sys\nsys.path.insert(0, {:?})\n{script}",
        classes.display().to_string()
    ));
    for (number, body) in bodies.iter().enumerate() {
        let path = folder.path().join(number.to_string());
        std::fs::write(&path, body).expect("a writable folder");
        python.arg(path);
    }
    let output = python.output().expect("Python");
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(serde_json::from_slice(&output.stdout).expect("JSON"))
}

/// A span as it was meant, in the same words.
fn meant(span: &SpanData) -> Value {
    let parent = Some(span.parent_span_id).filter(|id| *id != SpanId::INVALID);
    let kind = match span.span_kind {
        SpanKind::Client => "SPAN_KIND_CLIENT",
        SpanKind::Internal => "SPAN_KIND_INTERNAL",
        ref other => panic!("{other:?}"),
    };
    let status = match &span.status {
        Status::Error { description } => ["STATUS_CODE_ERROR", description],
        Status::Unset => ["STATUS_CODE_UNSET", ""],
        Status::Ok => panic!("no span is marked as good"),
    };
    let event = |event: &Event| json!({"name": event.name, "at": nanos(event.timestamp), "attributes": attributes(&event.attributes)});
    json!({
        "trace": span.span_context.trace_id().to_string(),
        "id": span.span_context.span_id().to_string(),
        "parent": parent.map(|id| id.to_string()).unwrap_or_default(),
        // Sampled, and "it is known whether the parent is remote": W3C Trace Context and OTLP's
        // `SpanFlags`.
        "flags": if span.parent_span_is_remote { 0x301 } else { 0x101 },
        "name": span.name,
        "kind": kind,
        "start": nanos(span.start_time),
        "end": nanos(span.end_time),
        "attributes": attributes(&span.attributes),
        "events": span.events.iter().map(event).collect::<Vec<_>>(),
        "status": status,
    })
}

fn nanos(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH)
        .expect("after 1970")
        .as_nanos()
        .try_into()
        .expect("before 2554")
}

fn attributes(attributes: &[KeyValue]) -> Map<String, Value> {
    let plain = |value: &Meant| match value {
        Meant::Bool(is) => json!(is),
        Meant::F64(number) => json!(number),
        Meant::I64(number) => json!(number),
        Meant::String(text) => json!(text.as_str()),
        Meant::Array(Array::String(texts)) => {
            json!(texts.iter().map(|text| text.as_str()).collect::<Vec<_>>())
        }
        other => panic!("{other:?} is the value of no attribute"),
    };
    attributes
        .iter()
        .map(|it| (it.key.to_string(), plain(&it.value)))
        .collect()
}

/// Calls and runs with everything that a span may have, its largest numbers and its odd letters.
fn facts() -> (Vec<Call>, Vec<CascadeRun>) {
    let usage = TokenUsage::default()
        .with(TokenKind::Input, i64::MAX as u64 - 3000)
        .with(TokenKind::CacheRead, 1000)
        .with(TokenKind::CacheWrite5m, 2000)
        .with(TokenKind::Output, 0)
        .with(TokenKind::Thinking, 7);
    let limit = RateLimit {
        reason: RateLimitReason::RateLimitExceeded,
        retry_after: Some(Duration::from_millis(1250)),
        resets_at: Some(start() + Duration::from_secs(3600)),
    };
    let remote = TraceContext {
        has_remote_parent: true,
        ..place(0x33, Some(0x77))
    };
    let calls = vec![
        first_call(1, Some(place(0x11, Some(0x99)))),
        Call {
            usage,
            model: Model::from_wire("gémini-3"),
            ..call(2, Some(remote))
        },
        Call {
            outcome: Outcome::RateLimited,
            rate_limit: Some(limit),
            usage: TokenUsage::default(),
            ..call(3, Some(place(0x22, Some(0x99))))
        },
    ];
    let runs = vec![
        run(place(0x99, None)),
        CascadeRun {
            outcome: RunOutcome::Error,
            ..run(place(0xaa, None))
        },
    ];
    (calls, runs)
}

#[tokio::test]
async fn another_decoder_sees_the_spans_that_were_meant() {
    let Some(classes) = skip::tool("opentelemetry-proto", "otlp", Some("OTLP_CLASSES")) else {
        return;
    };
    let (calls, runs) = facts();
    let of_calls = calls
        .iter()
        .flat_map(|call| of_call(call, &call.trace.expect("a place")));
    let of_runs = runs
        .iter()
        .map(|run| of_run(run, &run.trace.expect("a place")));
    let expected: Vec<Value> = of_calls.chain(of_runs).map(|span| meant(&span)).collect();
    assert_eq!(expected.len(), 8);
    for protocol in PROTOCOLS {
        for compression in [Compression::None, Compression::Gzip] {
            let collector = Collector::start(&[Reply::Take]).await;
            let way = Way::started(&Config {
                compression,
                batch: 3,
                ..config(collector.addr, protocol)
            });
            way.state(calls.iter().map(|call| Fact::Call(Box::new(call.clone()))));
            way.state(runs.iter().map(|run| Fact::RunEnded(Box::new(run.clone()))));
            assert_eq!(
                way.end().await,
                fate(8, &[]),
                "{protocol:?} {compression:?}"
            );
            let seen: Vec<Vec<Value>> =
                decoded(SCRIPT, &classes, &collector.messages()).expect("what it can read");
            assert_eq!(
                seen.iter().map(Vec::len).collect::<Vec<_>>(),
                [3, 3, 2],
                "{protocol:?} {compression:?}"
            );
            for (seen, expected) in seen.concat().iter().zip(&expected) {
                assert_eq!(seen, expected, "{protocol:?} {compression:?}");
            }
        }
    }
    let broken = decoded::<Vec<Value>>(SCRIPT, &classes, &[b"\x0a\x05no".to_vec()]);
    let broken = broken.expect_err("no body");
    assert!(broken.contains("DecodeError"), "{broken}");
}
