//! Whatever passes, the real observers end in calls that are right or in a counted failure: never
//! in silence or a panic.

use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime};

use gravimeter::dialect::Observers;
use gravimeter::observe::memory::Memory;
use gravimeter::observe::{Alpn, Connection, Direction, End, OpenObserver as _};
use gravimeter::record::{
    Call, ConnectionCaller, Fact, Host, ObserverFailure, Quality, Record, TokenKind,
};

use crate::kit::HOST;
use crate::transparency::corpus;

#[derive(Default)]
struct Facts(Mutex<Vec<Fact>>);

impl Record for Facts {
    fn record(&self, fact: Fact) {
        self.0.lock().expect("no panic").push(fact);
    }
}

/// What the observers state of a connection.
#[derive(Debug, Default)]
struct Stated {
    started: usize,
    calls: Vec<Call>,
    failures: Vec<ObserverFailure>,
}

fn observe(sent: &[u8], received: &[u8], piece: usize, end: End) -> Stated {
    let facts = Arc::new(Facts::default());
    let host = Host::parse(HOST).expect("a host");
    let alpn = if sent.starts_with(b"PRI ") {
        Alpn::H2
    } else {
        Alpn::Http1
    };
    let at = Instant::now();
    let connection = Connection {
        host,
        alpn,
        opened: at,
        opened_at: SystemTime::now(),
        port: 443,
        setup: None,
        caller: ConnectionCaller::default(),
        changes: None,
    };
    let mut observer = Observers {
        record: Arc::clone(&facts) as Arc<dyn Record>,
        memory: Memory::default(),
    }
    .open(connection);
    sent.chunks(piece)
        .for_each(|piece| observer.bytes(Direction::ToProvider, piece, at));
    received
        .chunks(piece)
        .for_each(|piece| observer.bytes(Direction::ToAgent, piece, at));
    if end == End::Closed {
        observer.half_closed(Direction::ToProvider, at);
        observer.half_closed(Direction::ToAgent, at);
    }
    observer.end(end, at);
    drop(observer);
    let mut stated = Stated::default();
    for fact in facts.0.lock().expect("no panic").drain(..) {
        match fact {
            Fact::CallStarted(_) => stated.started += 1,
            Fact::Call(call) => stated.calls.push(*call),
            Fact::ObserverFailed(failure) => stated.failures.push(failure),
            _ => {}
        }
    }
    stated
}

/// How many calls a recording of the corpus holds, and what is counted beside them.
fn expected(name: &str) -> (usize, Option<ObserverFailure>) {
    use ObserverFailure::{Http1Malformed, Limit, MalformedJson, UnknownProtocol};
    match name {
        // The body is no JSON, the rest is in order.
        "chunked both ways with extensions and trailers" => (1, Some(MalformedJson)),
        "interim responses" | "server-sent events, until close" => (1, None),
        // The head is in order, so a call has begun when its body turns out not to be.
        "chunk sizes out of bounds" => (1, Some(Http1Malformed)),
        // No request for a model, or no request at all.
        "HEAD and pipelining" | "WebSocket" | "HTTP/0.9 and nothing" => (0, None),
        "gRPC-like HTTP/2 with odd but legal frames" => (0, None),
        "CL and TE" | "TE.TE" | "two lengths" | "signed length" => (0, Some(Http1Malformed)),
        "obs-fold, bare CR, bare LF, NUL" | "absolute form, no host, lower case" => {
            (0, Some(Http1Malformed))
        }
        "200 to CONNECT, response folding" => (0, Some(Http1Malformed)),
        // Nobody had asked.
        "response with CL and TE" | "response with two lengths" | "bad chunk" => {
            (0, Some(UnknownProtocol))
        }
        "204 with body" | "interim flood" => (0, Some(UnknownProtocol)),
        "a header of 64 KiB" => (0, Some(Limit)),
        other => panic!("say what the observers make of {other:?}"),
    }
}

#[test]
fn every_recording_ends_in_calls_or_in_a_counted_failure() {
    for (name, sent, received) in corpus() {
        let (calls, failure) = expected(name);
        for piece in [1, 7, usize::MAX] {
            for end in [
                End::AgentGone,
                End::Closed,
                End::ProviderGone,
                End::Shutdown,
            ] {
                let stated = observe(&sent, &received, piece, end);
                assert_eq!(
                    (stated.started, stated.calls.len()),
                    (calls, calls),
                    "{name} {piece} {end:?}: {stated:?}"
                );
                assert_eq!(
                    stated.failures,
                    Vec::from_iter(failure),
                    "{name} {piece} {end:?}"
                );
                let figures = stated.calls.iter().any(|call| !call.usage.is_unreported());
                assert!(
                    !figures,
                    "{name} {piece} {end:?}: no figure was on the wire"
                );
                assert!(
                    stated
                        .calls
                        .iter()
                        .all(|call| call.quality == Quality::Unknown),
                    "{name} {piece} {end:?}"
                );
            }
        }
    }
}

#[test]
fn the_answer_to_a_request_of_two_meanings_is_never_counted() {
    let body =
        r#"{"candidates":[{"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":999}}"#;
    let fields = format!(
        "Content-Type: application/json\r\nContent-Length: {}\r\n",
        body.len()
    );
    let answer = format!("HTTP/1.1 200 OK\r\n{fields}\r\n{body}");
    let plain = b"POST /v1internal:generateContent HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}";
    let counted = |stated: &Stated| {
        stated
            .calls
            .iter()
            .filter(|call| call.usage[TokenKind::Input] == Some(999))
            .count()
    };
    assert_eq!(
        counted(&observe(plain, answer.as_bytes(), 1, End::Closed)),
        1,
        "what is in order is counted"
    );

    let broken = |name: &str| matches!(expected(name).1, Some(ObserverFailure::Http1Malformed));
    let mut tried = 0;
    for (name, sent, _) in corpus().into_iter().filter(|(name, ..)| broken(name)) {
        for piece in [1, usize::MAX] {
            // What was smuggled may be asked for in order behind it.
            let sent = [&sent[..], plain].concat();
            let stated = observe(&sent, answer.repeat(2).as_bytes(), piece, End::Closed);
            assert_eq!(counted(&stated), 0, "{name} {piece}: {stated:?}");
            assert_eq!(stated.started, stated.calls.len(), "{name} {piece}");
            assert!(!stated.failures.is_empty(), "{name} {piece}");
        }
        tried += 1;
    }
    assert!(tried >= 8, "{tried} recordings");
}

#[test]
fn noise_ends_in_a_counted_failure() {
    // A fixed sequence of no meaning (xorshift), so that a failure comes back.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut noise = |length: usize| -> Vec<u8> {
        let mut byte = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        };
        (0..length).map(|_| byte()).collect()
    };
    let post =
        b"POST /v1internal:streamGenerateContent HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    for _ in 0..200 {
        let (garbage, answer) = (noise(300), noise(300));
        let sent = [&post[..], b"zz", &garbage].concat();
        for piece in [1, usize::MAX] {
            let stated = observe(&sent, &answer, piece, End::Closed);
            assert_eq!((stated.started, stated.calls.len()), (1, 1));
            assert!(
                !stated.failures.is_empty() && stated.calls[0].quality == Quality::Unknown,
                "{stated:?}"
            );
        }
    }
}
