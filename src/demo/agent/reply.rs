//! Verifies that an answer is what the provider sent, and parses it.

use std::io::Read;

use flate2::read::GzDecoder;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use serde::Deserialize;

use super::call::Answer;
use crate::demo::digest::{HASH_HEADER, sha256};
use crate::demo::usage::UsageMetadata;

/// The parsed reply to a generation.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Reply {
    /// The last counts reported, field by field.
    pub(super) usage: UsageMetadata,
    /// The visible text.
    pub(super) text: String,
    /// Joins the call with its telemetry.
    pub(super) trace_id: String,
    /// The response's own id.
    pub(super) response_id: String,
    finished: bool,
}

/// Why an answer is not what the provider sent, or incomplete.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Corruption {
    #[error("an answer came without its hash")]
    Unhashed,
    #[error("an answer does not have the announced hash")]
    Hash,
    #[error("an answer cannot be decoded from gzip")]
    Coding,
    #[error("an event is not the JSON that the provider writes")]
    Event,
    #[error("an event carries the trace id of another call")]
    Trace,
    #[error("a stream ended without a finish reason")]
    Unfinished,
    #[error("the token counts do not sum up to their total")]
    Sum,
}

/// Checks that the body is the one that was announced.
pub(super) fn verify(answer: &Answer) -> Result<(), Corruption> {
    match answer.headers.get(HASH_HEADER) {
        // An answer stopped in the middle has no hash; its events are still read one by one.
        _ if answer.left => Ok(()),
        None => Err(Corruption::Unhashed),
        Some(announced) if announced.as_bytes() == sha256(&answer.body).as_bytes() => Ok(()),
        Some(_) => Err(Corruption::Hash),
    }
}

/// Reads a verified stream of Cloud Code events.
pub(super) fn read(answer: &Answer) -> Result<Reply, Corruption> {
    let text = decode(answer)?;
    let mut reply = Reply::default();
    for data in text.lines().filter_map(|line| line.strip_prefix("data: ")) {
        let event: Event = serde_json::from_str(data).map_err(|_| Corruption::Event)?;
        reply.read_event(event)?;
    }
    if trace(answer) != Some(&reply.trace_id) {
        return Err(Corruption::Trace);
    }
    if !answer.left && !reply.finished {
        return Err(Corruption::Unfinished);
    }
    if reply.usage != reply.usage.with_total() {
        return Err(Corruption::Sum);
    }
    Ok(reply)
}

/// The visible text of a stream that still goes on, as far as it can be read.
pub(super) fn so_far(headers: &HeaderMap, body: &[u8]) -> String {
    let mut text = Vec::new();
    // A stream that is cut anywhere is an error to the decoder; what came before is in `text`.
    let _ = match is_gzip(headers) {
        true => GzDecoder::new(body).read_to_end(&mut text),
        false => (&body[..]).read_to_end(&mut text),
    };
    let text = String::from_utf8_lossy(&text);
    let mut reply = Reply::default();
    for data in text.lines().filter_map(|line| line.strip_prefix("data: ")) {
        let Some(event) = serde_json::from_str(data).ok() else {
            break;
        };
        if reply.read_event(event).is_err() {
            break;
        }
    }
    reply.text
}

/// The trace id in the head.
pub(super) fn trace(answer: &Answer) -> Option<&str> {
    answer.headers.get(TRACE_HEADER)?.to_str().ok()
}

impl Reply {
    fn read_event(&mut self, event: Event) -> Result<(), Corruption> {
        if !self.trace_id.is_empty() && self.trace_id != event.trace_id {
            return Err(Corruption::Trace);
        }
        self.trace_id = event.trace_id;
        self.response_id = event.response.response_id;
        self.usage.merge(event.response.usage_metadata);
        for candidate in event.response.candidates {
            self.finished |= candidate.finish_reason.is_some();
            let visible = candidate
                .content
                .parts
                .into_iter()
                .filter(|part| !part.thought);
            self.text.extend(visible.map(|part| part.text));
        }
        Ok(())
    }
}

fn decode(answer: &Answer) -> Result<String, Corruption> {
    let mut text = String::new();
    let read = match is_gzip(&answer.headers) {
        true => GzDecoder::new(answer.body.as_slice()).read_to_string(&mut text),
        false => answer.body.as_slice().read_to_string(&mut text),
    };
    read.map(|_| text).map_err(|_| Corruption::Coding)
}

fn is_gzip(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_ENCODING)
        .is_some_and(|coding| coding.as_bytes() == b"gzip")
}

const TRACE_HEADER: &str = "x-cloudaicompanion-trace-id";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    response: Response,
    trace_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Response {
    #[serde(default)]
    candidates: Vec<Candidate>,
    #[serde(default)]
    usage_metadata: UsageMetadata,
    response_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate {
    content: Content,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Content {
    parts: Vec<Part>,
}

#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    thought: bool,
    text: String,
}
