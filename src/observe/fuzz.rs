//! Entries for fuzzers: any bytes, as a connection of either protocol, as server-sent events, as an
//! event stream of AWS, as a WebSocket, as JSON.
//!
//! They must be survived without a panic, and where they are cut must make no difference. Each
//! entry panics when a promise of its reader is broken.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use super::coding::DecodeLimit;
use super::eventstream::{EventStreamMessages, EventStreamReader, Headers};
use super::exchange::{Exchange, ExchangeEnd, Listed, OpenExchange, RequestHead, ResponseHead};
use super::framing::Framing;
use super::json::{MAX_DEPTH, MAX_TEXT_BYTES, PathReader, Paths, Status, Value};
use super::memory::Memory;
use super::sse::{SseEvents, SseScanner};
use super::websocket::{Messages, WebSocket};
use super::{Alpn, Direction, End, Observer};
use crate::record::{Fact, Record};

/// Replays the bytes as a connection: a control byte before each piece says its direction (lowest
/// bit) and its length. Panics when an exchange that was opened did not end exactly once.
pub fn fuzz_framing(alpn: Alpn, mut bytes: &[u8]) {
    let balance = Balance::default();
    let mut framing = Framing::new(
        alpn,
        Box::new(balance.clone()),
        Arc::new(balance.clone()),
        Memory::default(),
    );
    let at = Instant::now();
    while let Some((control, rest)) = bytes.split_first() {
        let direction = if control & 1 == 0 {
            Direction::ToProvider
        } else {
            Direction::ToAgent
        };
        let (piece, after) = rest.split_at(usize::from(control >> 1).min(rest.len()));
        framing.bytes(direction, piece, at);
        bytes = after;
    }
    framing.end(End::Closed, at);
    let (opened, ended) = (
        balance.opened.load(Ordering::Relaxed),
        balance.ended.load(Ordering::Relaxed),
    );
    assert_eq!(opened, ended, "exchanges opened and ended");
}

/// Reads the bytes as a stream of events, in pieces and at once: the same events either way.
pub fn fuzz_sse(bytes: &[u8]) {
    let Some((size, stream)) = piece_size(bytes) else {
        return;
    };
    let read = |size: usize| {
        let (mut scanner, mut events) = (SseScanner::default(), Events::default());
        stream
            .chunks(size)
            .for_each(|piece| scanner.feed(piece, &mut events));
        (events.whole, events.data, scanner.is_mid_event())
    };
    let (whole, pieces) = (read(stream.len().max(1)), read(size));
    assert_eq!(whole, pieces, "in pieces of {size}");
    assert!(
        whole.0.iter().map(|(data, _)| data.len()).sum::<usize>() <= stream.len(),
        "no data but the stream's"
    );
}

/// Reads the bytes as an event stream of AWS, in pieces and at once: the same messages either way,
/// and no payload but the stream's.
pub fn fuzz_event_stream(bytes: &[u8]) {
    let Some((size, stream)) = piece_size(bytes) else {
        return;
    };
    let read = |size: usize| {
        let (mut reader, mut messages) = (EventStreamReader::default(), Payloads::default());
        let read = stream
            .chunks(size)
            .try_for_each(|piece| reader.feed(piece, &mut messages));
        (read, messages.complete)
    };
    let (whole, pieces) = (read(stream.len().max(1)), read(size));
    assert_eq!(whole, pieces, "in pieces of {size}");
    assert!(whole.1.len() <= stream.len(), "no payload but the stream's");
}

/// Reads the bytes as what follows an upgrade to WebSocket, compressed or not, in pieces and at
/// once: the same messages either way.
pub fn fuzz_web_socket(bytes: &[u8]) {
    let Some((size, stream)) = piece_size(bytes) else {
        return;
    };
    for extensions in [
        "",
        "permessage-deflate",
        "permessage-deflate; server_no_context_takeover",
    ] {
        let read = |size: usize| {
            let mut socket = WebSocket::new(extensions, &Memory::default());
            let mut messages = Payloads::default();
            let read = stream
                .chunks(size)
                .try_for_each(|piece| socket.read_all(Direction::ToAgent, piece, &mut messages));
            (read, messages.complete)
        };
        let (whole, pieces) = (read(stream.len().max(1)), read(size));
        // How much of damaged data is decompressed depends on how much is there at once, but never
        // which messages are complete.
        assert_eq!(whole, pieces, "{extensions} in pieces of {size}");
    }
}

/// Reads the bytes as a JSON document, in pieces and at once: the same values either way, and
/// whatever serde_json takes for a document is one. Reads their lines as the documents of a stream,
/// too: the same values as of each alone.
pub fn fuzz_json(bytes: &[u8]) {
    let Some((size, document)) = piece_size(bytes) else {
        return;
    };
    let read = |reader: &mut PathReader<u8>, document: &[u8], size: usize| {
        let mut values = Vec::new();
        let mut on = |tag: u8, value: Value<'_>| {
            if let Value::String { text, .. } = value {
                assert!(
                    text.len() <= MAX_TEXT_BYTES,
                    "a text of {} bytes",
                    text.len()
                );
            }
            values.push((tag, format!("{value:?}")));
        };
        for piece in document.chunks(size) {
            reader.feed(piece, &mut on);
        }
        let status = reader.finish(&mut on);
        (values, status)
    };
    let alone = |document: &[u8], size: usize| read(&mut PathReader::new(&PATHS), document, size);
    let (whole, pieces) = (
        alone(document, document.len().max(1)),
        alone(document, size),
    );
    assert_eq!(whole, pieces, "in pieces of {size}");
    let mut of_stream = PathReader::new(&PATHS);
    for line in document.split(|byte| *byte == b'\n') {
        of_stream.reset();
        let length = line.len().max(1);
        assert_eq!(
            read(&mut of_stream, line, length),
            alone(line, length),
            "as one of a stream"
        );
    }
    let nesting = document
        .iter()
        .filter(|byte| matches!(byte, b'[' | b'{'))
        .count();
    if nesting <= MAX_DEPTH && serde_json::from_slice::<serde::de::IgnoredAny>(document).is_ok() {
        assert_eq!(whole.1, Status::Complete, "serde_json takes it");
    }
}

/// The first byte says how long the pieces are.
fn piece_size(bytes: &[u8]) -> Option<(usize, &[u8])> {
    bytes
        .split_first()
        .map(|(size, rest)| (usize::from(*size).max(1), rest))
}

/// The payloads of complete messages, one after another.
#[derive(Default)]
struct Payloads {
    current: Vec<u8>,
    complete: Vec<u8>,
}

impl EventStreamMessages for Payloads {
    fn begin(&mut self, _: &Headers) {
        self.current.clear();
    }

    fn payload(&mut self, fragment: &[u8]) {
        self.current.extend_from_slice(fragment);
    }

    fn end(&mut self) {
        self.complete.append(&mut self.current);
    }
}

impl Messages for Payloads {
    fn fragment(&mut self, _: Direction, payload: &[u8]) {
        self.current.extend_from_slice(payload);
    }

    fn end_message(&mut self, _: Direction) {
        self.complete.append(&mut self.current);
    }

    fn close(&mut self, _: Direction) {}
}

/// Paths of every kind.
static PATHS: LazyLock<Paths<u8>> = LazyLock::new(|| {
    let paths = [
        "",
        "a",
        "a.b",
        "a[].b",
        "[]",
        "[].error.code",
        "response.candidates[].content.parts[].text",
    ];
    Paths::new(
        paths
            .into_iter()
            .chain([
                "models.*",
                "models.*.displayName",
                "usageMetadata.promptTokenCount",
            ])
            .zip(0..),
    )
});

/// The events of a stream, each with its data and its name.
#[derive(Default)]
struct Events {
    data: Vec<u8>,
    whole: Vec<(Vec<u8>, Option<String>)>,
}

impl SseEvents for Events {
    fn data(&mut self, fragment: &[u8]) {
        self.data.extend_from_slice(fragment);
    }

    fn dispatch(&mut self, name: Option<&str>) {
        self.whole
            .push((std::mem::take(&mut self.data), name.map(str::to_owned)));
    }
}

/// Counts exchanges.
#[derive(Clone, Default)]
struct Balance {
    opened: Arc<AtomicUsize>,
    ended: Arc<AtomicUsize>,
}

impl OpenExchange for Balance {
    fn open(&mut self, _: &RequestHead, _: Instant) -> Option<Box<dyn Exchange>> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        Some(Box::new(self.clone()))
    }

    fn listed(&self) -> Listed {
        Listed::default()
    }
}

impl Exchange for Balance {
    fn read_request(&mut self, bytes: &[u8], _: Instant, _: &mut DecodeLimit) -> usize {
        bytes.len()
    }

    fn response_head(&mut self, _: &ResponseHead, _: Instant) {}

    fn read_response(&mut self, bytes: &[u8], _: Instant, _: &mut DecodeLimit) -> usize {
        bytes.len()
    }

    fn end(self: Box<Self>, _: ExchangeEnd, _: Instant) {
        self.ended.fetch_add(1, Ordering::Relaxed);
    }
}

impl Record for Balance {
    fn record(&self, _: Fact) {}
}
