//! Bodies that are decoded in several steps: nothing of a call is lost, and none of it is late.

use super::*;
use crate::observe::coding::tests::{brotli, gzip, zlib, zstd};

/// Most bytes that are read of an answer in one step, as decompressed.
const STEP: usize = 4 << 10;

fn text() -> String {
    (0..30_000)
        .map(|number| format!("{number} words, "))
        .collect()
}

/// An answer with a long text and its usage at the end.
fn answer() -> String {
    let text = text();
    format!(
        r#"{{"response":{{"candidates":[{{"content":{{"parts":[{{"text":"{text}"}}]}},"finishReason":"STOP"}}],"usageMetadata":{{"promptTokenCount":16,"candidatesTokenCount":7,"totalTokenCount":23}}}}}}"#
    )
}

fn http1(coding: &str, body: &[u8], is_chunked: bool) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: {coding}\r\n"
    );
    if !is_chunked {
        let length = format!("Content-Length: {}\r\n\r\n", body.len());
        return [head.as_bytes(), length.as_bytes(), body].concat();
    }
    let mut bytes = [head.as_bytes(), b"Transfer-Encoding: chunked\r\n\r\n"].concat();
    for chunk in body.chunks(700) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

#[test]
fn a_large_answer_is_read_in_steps_and_recorded_with_its_last_byte() {
    let plain = answer();
    let plain = plain.as_bytes();
    let bodies = [
        ("gzip", gzip(plain)),
        ("deflate", zlib(plain)),
        ("br", brotli(plain)),
        ("zstd", zstd(plain)),
        ("gzip, gzip", gzip(&gzip(plain))),
        ("gzip, zstd", zstd(&gzip(plain))),
    ];
    for (coding, body) in bodies {
        for (is_chunked, size) in [(false, 4 << 10), (false, 64), (true, 4 << 10), (true, 1)] {
            let facts = Arc::new(Facts::default());
            let (mut observer, at) = observer_of(&facts);
            let request =
                b"POST /v1internal:generateContent HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}";
            observer.bytes(Direction::ToProvider, request, at);
            let wire = http1(coding, &body, is_chunked);
            let (mut rest, mut steps) = (wire.as_slice(), 0);
            while !rest.is_empty() {
                assert!(!observer.is_between_exchanges(), "{coding}: not yet");
                let piece = &rest[..size.min(rest.len())];
                rest = &rest[observer.read(Direction::ToAgent, piece, at)..];
                steps += 1;
            }
            assert!(observer.is_between_exchanges(), "{coding}: and no later");
            assert!(steps > plain.len() / STEP, "{coding}: {steps} steps");
            let (call, others) = call_and_others(&facts);
            let tokens = (call.usage[TokenKind::Input], call.usage[TokenKind::Output]);
            assert_eq!(tokens, (Some(16), Some(7)), "{coding} by {size}");
            assert_eq!(
                (call.outcome, call.quality),
                (Outcome::Ok, Quality::Exact),
                "{coding}"
            );
            let is_failure = |fact: &&Fact| matches!(fact, Fact::ObserverFailed(_));
            assert_eq!(others.iter().filter(is_failure).count(), 0, "{coding}");
        }
    }
}

#[test]
fn a_request_is_read_in_steps_too() {
    let text = text();
    let plain = format!(r#"{{"contents":"{text}","model":"gemini-3-flash"}}"#);
    let body = zstd(plain.as_bytes());
    let facts = Arc::new(Facts::default());
    let (mut observer, at) = observer_of(&facts);
    let head = format!(
        "POST /v1internal:generateContent HTTP/1.1\r\nHost: x\r\nContent-Encoding: zstd\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let wire = [head.as_bytes(), &body].concat();
    let (mut rest, mut steps) = (wire.as_slice(), 0);
    while !rest.is_empty() {
        rest = &rest[observer.read(Direction::ToProvider, rest, at)..];
        steps += 1;
    }
    assert!(steps > plain.len() / STEP, "{steps} steps");
    observer.end(End::Closed, at);
    assert_eq!(call_and_others(&facts).0.model.as_str(), "gemini-3-flash");
}
