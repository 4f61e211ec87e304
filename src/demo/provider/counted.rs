//! Answers that count themselves in the tally: streams of events, documents and refusals.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use hyper::body::{Body, Frame, SizeHint};
use serde_json::{Value, json};

use super::SharedTally;
use super::answer::Script;
use crate::demo::digest::{HASH_HEADER, sha256};
use crate::demo::pieces::Pieces;
use crate::demo::{ModelTally, Tokens};

/// A stream of events, each with what a reader knows of the tokens after it. The first one waits.
pub(super) fn events(
    script: &Script,
    model: &str,
    pieces: Vec<(Bytes, Tokens)>,
    first_chunk: Duration,
) -> Response<CountedBody> {
    let known = pieces.iter().map(|(_, known)| *known).collect();
    let whole: Vec<u8> = pieces
        .iter()
        .flat_map(|(bytes, _)| bytes.iter().copied())
        .collect();
    let pause = Duration::from_millis(script.options.pause_ms);
    let body = Pieces::chunked(pieces.into_iter().map(|(bytes, _)| bytes), pause);
    let entry = Entry {
        tally: script.tally.clone(),
        model: model.to_owned(),
        known,
        last: Tokens::default(),
    };
    let mut response = Response::new(CountedBody {
        body: body.after(first_chunk),
        entry: Some(entry),
    });
    set(&mut response, header::CONTENT_TYPE, EVENT_STREAM);
    set(&mut response, HASH_HEADER, &sha256(&whole));
    response
}

/// A response body that counts its call: complete when its last piece leaves, aborted when it is
/// dropped before.
pub(super) struct CountedBody {
    pub(super) body: Pieces,
    pub(super) entry: Option<Entry>,
}

pub(super) struct Entry {
    pub(super) tally: SharedTally,
    pub(super) model: String,
    /// The usage known after each piece that is still to come.
    pub(super) known: VecDeque<Tokens>,
    pub(super) last: Tokens,
}

impl Body for CountedBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let (Poll::Ready(Some(_)), Some(entry)) = (&polled, self.entry.as_mut()) {
            entry.last = entry.known.pop_front().unwrap_or(entry.last);
        }
        // Booked before the last byte leaves, so that nobody who has read it can find it missing.
        if self.body.is_end_stream()
            && let Some(entry) = self.entry.take()
        {
            entry.update(|model| model.calls += 1);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for CountedBody {
    fn drop(&mut self) {
        if let Some(entry) = self.entry.take() {
            entry.update(|model| model.aborted += 1);
        }
    }
}

impl Entry {
    fn update(&self, end: impl FnOnce(&mut ModelTally)) {
        self.tally.update(|tally| {
            let model = tally.model(&self.model);
            model.tokens += self.last;
            end(model);
        });
    }
}

pub(super) fn invalid(message: &str) -> Response<CountedBody> {
    plain(
        StatusCode::BAD_REQUEST,
        json!({"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}}),
    )
}

pub(super) fn plain(status: StatusCode, document: Value) -> Response<CountedBody> {
    complete_response(status, document.to_string().into(), JSON)
}

pub(super) fn complete_response(
    status: StatusCode,
    bytes: Bytes,
    content_type: &str,
) -> Response<CountedBody> {
    let hash = sha256(&bytes);
    let mut response = Response::new(CountedBody {
        body: Pieces::complete(bytes),
        entry: None,
    });
    *response.status_mut() = status;
    set(&mut response, header::CONTENT_TYPE, content_type);
    set(&mut response, HASH_HEADER, &hash);
    response
}

pub(super) fn set(response: &mut Response<CountedBody>, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

pub(super) const EVENT_STREAM: &str = "text/event-stream";
pub(super) const JSON: &str = "application/json; charset=UTF-8";
