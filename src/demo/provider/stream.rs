//! A plan as the bytes of an answer: SSE events, one JSON document, or a refusal.

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;
use serde_json::{Value, json};

use super::plan::{Plan, Refusal};
use crate::demo::usage::UsageMetadata;

/// One write of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) bytes: Bytes,
    /// What a reader knows of the usage after this piece.
    pub(super) known: UsageMetadata,
}

/// Who asks, as far as it shows in the answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape<'a> {
    pub(super) model: &'a str,
    /// Cloud Code puts the answer into `{"response": ..., "traceId": ...}`, the public API does
    /// not.
    pub(super) wrapped: bool,
    /// `Content-Encoding: gzip`, flushed after every event.
    pub(super) gzip: bool,
}

/// The server-sent events of a plan.
pub(super) fn sse(plan: &Plan, shape: Shape<'_>) -> Vec<Piece> {
    let end = if plan.crlf { "\r\n\r\n" } else { "\n\n" };
    let mut known = UsageMetadata::default();
    let pieces = events(plan, shape).into_iter().map(|(event, usage)| {
        known.merge(usage);
        Piece {
            bytes: [b"data: ", event.as_slice(), end.as_bytes()]
                .concat()
                .into(),
            known,
        }
    });
    let mut pieces: Vec<Piece> = match shape.gzip {
        true => gzip(pieces),
        false => pieces.collect(),
    };
    if let Some(hold) = plan.hold {
        pieces.truncate(hold);
    }
    pieces
}

/// The same answer as one JSON document.
pub(super) fn unary(plan: &Plan, shape: Shape<'_>) -> Piece {
    let candidate = candidate(vec![part(true, 0), part(false, 1)], true);
    let document = document(plan, shape, Some(candidate), Some(plan.usage));
    let plain = Piece {
        bytes: document.into(),
        known: plan.usage,
    };
    match shape.gzip {
        true => concat(gzip(std::iter::once(plain))),
        false => plain,
    }
}

/// Bytes as one gzip stream.
pub(super) fn gzip_whole(bytes: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    // Writing into a Vec does not fail.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default().into()
}

/// The body of a 429. Cloud Code sends it bare under `Content-Type: text/event-stream`.
pub(super) fn refusal(kind: Refusal, model: &str) -> Bytes {
    let detailed = |message: &str, reason: &str, delay: &str| {
        json!({"error": {"code": 429, "message": message, "status": "RESOURCE_EXHAUSTED", "details": [
            {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "cloudcode-pa.googleapis.com",
             "metadata": {"uiMessage": "true", "model": model, "quotaResetDelay": delay}},
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay},
        ]}})
    };
    let document = match kind {
        Refusal::Bare => {
            json!({"error": {"code": 429, "message": "Resource has been exhausted (e.g. check quota).",
                                          "status": "RESOURCE_EXHAUSTED"}})
        }
        Refusal::Quota => detailed(
            "Individual quota reached. Resets in 2h12m13s.",
            "QUOTA_EXHAUSTED",
            "7933.791609974s",
        ),
        Refusal::Rate => detailed(
            "Too many requests. Resets in 1s.",
            "RATE_LIMIT_EXCEEDED",
            "0.957525076s",
        ),
    };
    Bytes::from(document.to_string())
}

/// Each event with the usage that it reports.
fn events(plan: &Plan, shape: Shape<'_>) -> Vec<(Vec<u8>, UsageMetadata)> {
    let thinking = thinking_events(plan);
    let mut events = Vec::new();
    for _ in 0..plan.zeros {
        let empty = candidate(
            vec![Part {
                thought: false,
                text: String::new(),
            }],
            false,
        );
        events.push((
            document(plan, shape, Some(empty), Some(UsageMetadata::default())),
            UsageMetadata::default(),
        ));
    }
    for index in 0..plan.events {
        let last = index + 1 == plan.events;
        let usage = growing(plan, index, thinking);
        let reported = if last { !plan.late } else { !plan.sparse };
        let candidate = candidate(vec![part(index < thinking, index)], last);
        let usage = reported.then_some(usage);
        events.push((
            document(plan, shape, Some(candidate), usage),
            usage.unwrap_or_default(),
        ));
    }
    if plan.late {
        events.push((document(plan, shape, None, Some(plan.usage)), plan.usage));
    }
    events
}

/// How many of the events think: they come first, and one at least is left for the reply.
fn thinking_events(plan: &Plan) -> u32 {
    match (
        plan.usage.thoughts_token_count,
        plan.usage.candidates_token_count,
    ) {
        (0, _) => 0,
        (_, 0) => plan.events,
        _ => (plan.events / 3).max(1).min(plan.events - 1),
    }
}

/// The cumulative usage at an event; at the last one it is the plan's.
fn growing(plan: &Plan, index: u32, thinking: u32) -> UsageMetadata {
    let part = |whole: u64, done: u32, of: u32| {
        if of == 0 || done >= of {
            whole
        } else {
            whole * u64::from(done) / u64::from(of)
        }
    };
    let replied = (index + 1).saturating_sub(thinking);
    let candidates = if replied == 0 {
        0
    } else {
        part(
            plan.usage.candidates_token_count,
            replied,
            plan.events - thinking,
        )
    };
    UsageMetadata {
        thoughts_token_count: part(plan.usage.thoughts_token_count, index + 1, thinking),
        candidates_token_count: candidates,
        ..plan.usage
    }
    .with_total()
}

fn document(
    plan: &Plan,
    shape: Shape<'_>,
    candidate: Option<Candidate>,
    usage: Option<UsageMetadata>,
) -> Vec<u8> {
    let response = Response {
        candidates: candidate.into_iter().collect(),
        usage_metadata: usage,
        model_version: shape.model,
        response_id: format!("demo-{}", plan.trace_id),
    };
    let written = match shape.wrapped {
        true => serde_json::to_vec(&Wrapped {
            response,
            trace_id: &plan.trace_id,
            metadata: json!({}),
        }),
        false => serde_json::to_vec(&response),
    };
    // Strings and numbers only: serialisation has nothing to fail at.
    written.unwrap_or_default()
}

fn candidate(parts: Vec<Part>, finished: bool) -> Candidate {
    Candidate {
        content: Content {
            role: "model",
            parts,
        },
        finish_reason: finished.then_some("STOP"),
    }
}

/// A few words that differ from event to event, with letters of two and three bytes.
fn part(thought: bool, index: u32) -> Part {
    let kind = if thought { "Überlegung" } else { "Answer" };
    Part {
        thought,
        text: format!("{kind} {index} → gravité. "),
    }
}

/// The pieces as one gzip stream that can be decoded up to the end of each piece.
fn gzip(pieces: impl Iterator<Item = Piece>) -> Vec<Piece> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let mut out: Vec<Piece> = Vec::new();
    for piece in pieces {
        // Writing into a Vec does not fail.
        let _ = encoder
            .write_all(&piece.bytes)
            .and_then(|()| encoder.flush());
        out.push(Piece {
            bytes: std::mem::take(encoder.get_mut()).into(),
            known: piece.known,
        });
    }
    let known = out.last().map(|piece| piece.known).unwrap_or_default();
    out.push(Piece {
        bytes: encoder.finish().unwrap_or_default().into(),
        known,
    });
    out
}

fn concat(pieces: Vec<Piece>) -> Piece {
    let known = pieces.last().map(|piece| piece.known).unwrap_or_default();
    let bytes: Vec<u8> = pieces
        .iter()
        .flat_map(|piece| piece.bytes.iter().copied())
        .collect();
    Piece {
        bytes: bytes.into(),
        known,
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wrapped<'a> {
    response: Response<'a>,
    trace_id: &'a str,
    metadata: Value,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    candidates: Vec<Candidate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage_metadata: Option<UsageMetadata>,
    model_version: &'a str,
    response_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Candidate {
    content: Content,
    #[serde(skip_serializing_if = "Option::is_none")]
    finish_reason: Option<&'static str>,
}

#[derive(Serialize)]
struct Content {
    role: &'static str,
    parts: Vec<Part>,
}

#[derive(Serialize)]
struct Part {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    thought: bool,
    text: String,
}
