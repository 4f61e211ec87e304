//! Exchanges that no dialect reads: those that look like calls of a model are recorded as unread, so
//! that no spending goes unnoticed.
//!
//! Nothing else is taken from them: whether the answer is a stream of events or reports tokens,
//! whether a WebSocket was opened, whether a gRPC method generates. A refused request has spent
//! nothing and is not recorded.

use std::sync::{Arc, LazyLock};
use std::time::Instant;

use crate::observe::coding::{DecodeLimit, Decoder};
use crate::observe::exchange::{Exchange, ExchangeEnd, RequestHead, ResponseHead};
use crate::observe::json::{PathReader, Paths, Status, Value};
use crate::observe::memory::Share;
use crate::observe::sse::{SseEvents, SseScanner};
use crate::record::{Fact, Host, PathShape, Provider, Record, UnreadCall, UnreadReason};

use super::verdict::is_success;

/// Watches an exchange that no dialect reads.
pub(super) struct Unread {
    record: Arc<dyn Record>,
    /// Its share of the memory budget.
    share: Share,
    /// The record, until it has been made.
    call: Option<UnreadCall>,
    asked: Asked,
    answer: Option<Answer>,
}

/// What kind of request it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// For a generating method of a gRPC service.
    Grpc,
    /// With a body, for anything.
    Post,
    /// For another protocol on the same connection or stream.
    Upgrade,
}

/// The body of an answer, as far as it is looked at.
struct Answer {
    decoder: Decoder,
    document: PathReader<()>,
    events: SseScanner,
}

impl Unread {
    /// Watches the exchange if it may be a call. `provider`: who answers, if the host is a known
    /// one. `share`: the memory for it, if there is any left.
    pub(super) fn open(
        provider: Option<Provider>,
        host: &Host,
        head: &RequestHead,
        record: Arc<dyn Record>,
        share: impl FnOnce() -> Option<Share>,
    ) -> Option<Self> {
        let (asked, reason) = match head.method.as_str() {
            "POST" if PROGRESS.contains(&head.path.as_str()) => return None,
            "POST" if is_grpc(head) => (Asked::Grpc, UnreadReason::Grpc),
            "POST" => (Asked::Post, UnreadReason::Usage),
            // Extended CONNECT opens a WebSocket over HTTP/2 (RFC 8441); that of a proxy has no
            // path.
            "GET" | "CONNECT" if head.path.starts_with('/') => {
                (Asked::Upgrade, UnreadReason::WebSocket)
            }
            _ => return None,
        };
        if asked == Asked::Grpc && !is_generating(&head.path) {
            return None;
        }
        let call = UnreadCall {
            provider,
            host: host.clone(),
            path: PathShape::of(&head.path),
            reason,
        };
        Some(Self {
            record,
            share: share()?,
            call: Some(call),
            asked,
            answer: None,
        })
    }

    /// Records the call, once.
    fn state(&mut self, reason: UnreadReason) {
        self.answer = None;
        if let Some(call) = self.call.take() {
            self.record
                .record(Fact::CallUnread(UnreadCall { reason, ..call }));
        }
    }
}

impl Exchange for Unread {
    fn read_request(&mut self, bytes: &[u8], _: Instant, _: &mut DecodeLimit) -> usize {
        bytes.len()
    }

    fn response_head(&mut self, head: &ResponseHead, _: Instant) {
        if !is_success(head.status) {
            return;
        }
        match (
            self.asked,
            Decoder::new(&head.fields.content_encoding, self.share.memory()),
        ) {
            (Asked::Upgrade, _) => {}
            (Asked::Grpc, _) => self.state(UnreadReason::Grpc),
            (Asked::Post, _)
                if head
                    .fields
                    .content_type
                    .as_deref()
                    .is_some_and(|kind| EVENT_STREAMS.contains(&kind)) =>
            {
                self.state(UnreadReason::EventStream);
            }
            (Asked::Post, Err(_)) => self.state(UnreadReason::Coding),
            (Asked::Post, Ok(decoder)) => {
                let (document, events) = (PathReader::new(&USAGE), SseScanner::default());
                self.answer = Some(Answer {
                    decoder,
                    document,
                    events,
                });
            }
        }
    }

    fn read_response(&mut self, bytes: &[u8], _: Instant, limit: &mut DecodeLimit) -> usize {
        let Some(Answer {
            decoder,
            document,
            events,
        }) = &mut self.answer
        else {
            return bytes.len();
        };
        let (mut reports_tokens, mut data) = (false, Data(false));
        let read = decoder.feed_some(bytes, limit, &mut |plain| {
            document.feed(plain, &mut |(), value| {
                reports_tokens |= matches!(value, Value::Key(key) if key.to_ascii_lowercase().contains("token"));
            });
            // A body that is not JSON may be events, whatever its type says.
            if document.status() == Status::Malformed {
                events.feed(plain, &mut data);
            }
        });
        match (reports_tokens, data, read) {
            (true, ..) => self.state(UnreadReason::Usage),
            (_, Data(true), _) => self.state(UnreadReason::EventStream),
            (_, _, Err(_)) => self.answer = None,
            (_, _, Ok(read)) => return read,
        }
        bytes.len()
    }

    fn end(mut self: Box<Self>, end: ExchangeEnd, _: Instant) {
        if self.asked == Asked::Upgrade && end == ExchangeEnd::Upgraded {
            self.state(UnreadReason::WebSocket);
        }
    }
}

/// Whether there were data in an event.
struct Data(bool);

impl SseEvents for Data {
    fn data(&mut self, _: &[u8]) {
        self.0 = true;
    }

    fn dispatch(&mut self, _: Option<&str>) {}
}

fn is_grpc(head: &RequestHead) -> bool {
    head.fields
        .content_type
        .as_deref()
        .is_some_and(|kind| kind.starts_with("application/grpc"))
}

/// Whether the method of `/{package}.{Service}/{Method}` generates something.
fn is_generating(path: &str) -> bool {
    let method = path.rsplit('/').next().unwrap_or_default();
    GENERATING.iter().any(|verb| method.contains(verb))
}

/// What the generating methods of the known services have in their names: `GenerativeService` and
/// `PredictionService` of Google (`StreamGenerateContent`, `BidiGenerateContent`,
/// `BatchEmbedContents`, `ServerStreamingPredict`, `CreateInteraction`).
const GENERATING: [&str; 4] = ["Embed", "Generate", "Interaction", "Predict"];

/// The types of answers that are a stream of events: server-sent ones, those of AWS, and a document
/// on each line as Ollama sends it.
const EVENT_STREAMS: [&str; 3] = [
    "application/vnd.amazon.eventstream",
    "application/x-ndjson",
    "text/event-stream",
];

/// Where Ollama answers with a line for each step of a copy of a model, which generates nothing
/// (ollama/ollama `docs/api.md`).
const PROGRESS: [&str; 3] = ["/api/create", "/api/pull", "/api/push"];

/// The members of the objects in which providers report tokens.
static USAGE: LazyLock<Paths<()>> = LazyLock::new(|| {
    let places = [
        "",
        "[].",
        "interaction.",
        "message.",
        "response.",
        "[].response.",
    ];
    let objects = ["usage", "usageMetadata", "usage_metadata"];
    Paths::new(
        places
            .iter()
            .flat_map(|place| objects.map(|object| (format!("{place}{object}.*"), ()))),
    )
});

#[cfg(test)]
mod tests;
