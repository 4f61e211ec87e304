//! What it costs to observe one event with content, in the form of each dialect, from the bytes of
//! the connection to the figures of `/metrics`: compared with the same text from Gemini.
//!
//! Each event arrives alone, as models send them. A round is a whole call of many events, so that
//! what a call costs besides them hardly shows.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use criterion::{Criterion, Throughput};
use flate2::{Compress, Compression};
use gravimeter::dialect::Observers;
use gravimeter::export::{self, Metrics};
use gravimeter::ledger::Ledger;
use gravimeter::observe::memory::Memory;
use gravimeter::observe::{Alpn, Connection, Direction, OpenObserver as _};
use gravimeter::record::{ConnectionCaller, FanOut, Host, Models, Record, Sink};
use serde_json::{Value, json};

use crate::wire::{COMPRESSED, FINAL, TEXT, deflated, event_stream_event, web_socket_frame};

/// Events of a call. A call costs some 5 µs besides them.
const EVENTS: usize = 512;

/// A call in the form of a dialect.
struct Stream {
    name: &'static str,
    host: &'static str,
    /// What passes before the first event.
    opening: Vec<(Direction, Vec<u8>)>,
    events: Vec<Vec<u8>>,
    end: &'static [u8],
}

pub(crate) fn dialects(criterion: &mut Criterion) {
    let models = Arc::new(Models::default());
    let metrics = Arc::new(Metrics::new(export::Config::default(), Arc::clone(&models)));
    let ledger = Arc::new(Ledger::new(jiff::Timestamp::now(), models));
    let sinks: Vec<Arc<dyn Sink>> = vec![metrics, ledger];
    let observers = Observers {
        record: Arc::new(FanOut(sinks)) as Arc<dyn Record>,
        memory: Memory::default(),
    };
    let mut group = criterion.benchmark_group("dialects");
    group.throughput(Throughput::Elements(EVENTS as u64));
    let mut fastest = Vec::new();
    for stream in streams() {
        let mut least = Duration::MAX;
        group.bench_function(stream.name, |bencher| {
            bencher.iter_custom(|rounds| {
                let mut all = Duration::ZERO;
                for _ in 0..rounds {
                    let round = stream.pass(&observers);
                    least = least.min(round);
                    all += round;
                }
                all
            });
        });
        fastest.push((stream.name, least));
    }
    group.finish();
    // The fastest round of each is what other work on the machine has disturbed least.
    let (_, gemini) = fastest[0];
    for (name, least) in fastest {
        // A filter leaves some out.
        if least < Duration::MAX && gemini < Duration::MAX {
            let event = least.as_nanos() / EVENTS as u128;
            let ratio = least.as_secs_f64() / gemini.as_secs_f64();
            println!("{name:<28} {event:>6} ns/event at the fastest, {ratio:.2} of Gemini's");
        }
    }
}

impl Stream {
    /// Shows a call to a new observer. How long its events took.
    fn pass(&self, observers: &Observers) -> Duration {
        let mut observer = observers.open(Connection {
            host: Host::parse(self.host).expect("a host"),
            alpn: Alpn::Http1,
            opened: Instant::now(),
            opened_at: SystemTime::now(),
            port: 443,
            setup: None,
            caller: ConnectionCaller::default(),
            changes: None,
        });
        for (direction, bytes) in &self.opening {
            observer.bytes(*direction, bytes, Instant::now());
        }
        let start = Instant::now();
        for event in &self.events {
            observer.bytes(Direction::ToAgent, black_box(event), Instant::now());
        }
        let took = start.elapsed();
        observer.bytes(Direction::ToAgent, self.end, Instant::now());
        took
    }
}

/// Gemini's first.
fn streams() -> Vec<Stream> {
    let google = "generativelanguage.googleapis.com";
    vec![
        events(
            "Gemini",
            google,
            "/v1beta/models/bench:streamGenerateContent?alt=sse",
            |text| format!("data: {}\r\n\r\n", gemini(text)),
        ),
        events(
            "Cloud Code",
            "daily-cloudcode-pa.googleapis.com",
            "/v1internal:streamGenerateContent?alt=sse",
            |text| {
                let answer = gemini(text);
                format!(
                    "data: {}\r\n\r\n",
                    json!({ "response": answer, "traceId": "8a37738c23d62245", "metadata": {} })
                )
            },
        ),
        stream(
            "Gemini, JSON array",
            google,
            "/v1beta/models/bench:streamGenerateContent",
            "application/json",
            "[{}",
            |text| format!(",\r\n{}", gemini(text)).into_bytes(),
        ),
        events("Interactions", google, "/v1beta/interactions", |text| {
            let delta = json!({ "type": "text", "text": text });
            let data = json!({ "event_type": "step.delta", "index": 0, "event_id": "e-1", "delta": delta });
            format!("event: step.delta\ndata: {data}\n\n")
        }),
        events("Anthropic", "api.anthropic.com", "/v1/messages", |text| {
            format!("event: content_block_delta\ndata: {}\n\n", anthropic(text))
        }),
        events(
            "Chat Completions",
            "api.openai.com",
            "/v1/chat/completions",
            |text| format!("data: {}\n\n", chat(text)),
        ),
        events(
            "Chat, usage in every chunk",
            "api.x.ai",
            "/v1/chat/completions",
            |text| {
                let mut chunk = chat(text);
                chunk["usage"] = json!({ "prompt_tokens": 1200, "completion_tokens": 34, "total_tokens": 1234,
                "prompt_tokens_details": { "cached_tokens": 800 } });
                format!("data: {chunk}\n\n")
            },
        ),
        events("Responses", "api.openai.com", "/v1/responses", |text| {
            format!(
                "event: response.output_text.delta\ndata: {}\n\n",
                responses(text)
            )
        }),
        web_socket("Responses, WebSocket", false),
        web_socket("Responses, deflated", true),
        bedrock("Bedrock, Converse", "converse-stream", |text| {
            let data =
                json!({ "contentBlockIndex": 0, "delta": { "text": text }, "p": "abcdefghijklm" });
            event_stream_event("contentBlockDelta", &data.to_string())
        }),
        bedrock("Bedrock, invoke", "invoke-with-response-stream", |text| {
            let bytes = STANDARD.encode(anthropic(text).to_string());
            event_stream_event(
                "chunk",
                &json!({ "bytes": bytes, "p": "abcdefghijklm" }).to_string(),
            )
        }),
        stream(
            "Ollama",
            "gpu.internal",
            "/api/chat",
            "application/x-ndjson",
            "",
            |text| {
                let message = json!({ "role": "assistant", "content": text });
                let line = json!({ "model": "bench", "created_at": "2026-01-01T00:00:00.000000Z", "message": message, "done": false });
                format!("{line}\n").into_bytes()
            },
        ),
    ]
}

fn gemini(text: &str) -> Value {
    json!({ "candidates": [{ "content": { "parts": [{ "text": text }], "role": "model" }, "index": 0 }],
        "usageMetadata": { "promptTokenCount": 1200, "candidatesTokenCount": 34, "totalTokenCount": 1234 },
        "modelVersion": "bench", "responseId": "r-1" })
}

fn anthropic(text: &str) -> Value {
    json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": text } })
}

fn chat(text: &str) -> Value {
    json!({ "id": "chatcmpl-9", "object": "chat.completion.chunk", "created": 1_767_225_600, "model": "bench",
        "choices": [{ "index": 0, "delta": { "content": text }, "finish_reason": null }], "usage": null, "obfuscation": "aB3" })
}

fn responses(text: &str) -> Value {
    json!({ "type": "response.output_text.delta", "sequence_number": 3, "item_id": "msg_1", "output_index": 0,
        "content_index": 0, "delta": text, "logprobs": [], "obfuscation": "aB3" })
}

/// The texts of a call's events, of changing lengths as tokens have them.
fn texts() -> impl Iterator<Item = String> {
    const WORDS: [&str; 7] = [
        " and",
        " some words",
        " of an",
        " answer,",
        " which\\nhas lines",
        " x",
        " übrigens",
    ];
    (0..EVENTS).map(|number| WORDS[number % WORDS.len()].repeat(1 + number % 3))
}

/// A chunk of HTTP/1.1.
fn chunk(bytes: &[u8]) -> Vec<u8> {
    [format!("{:X}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

fn events(
    name: &'static str,
    host: &'static str,
    path: &str,
    event: impl Fn(&str) -> String,
) -> Stream {
    stream(name, host, path, "text/event-stream", "", |text| {
        event(text).into_bytes()
    })
}

fn bedrock(name: &'static str, method: &str, frame: impl Fn(&str) -> Vec<u8>) -> Stream {
    let host = "bedrock-runtime.us-east-1.amazonaws.com";
    let path = format!("/model/bench/{method}");
    stream(
        name,
        host,
        &path,
        "application/vnd.amazon.eventstream",
        "",
        frame,
    )
}

/// A body of parts, each in a chunk of its own, behind what stands `before` them.
fn stream(
    name: &'static str,
    host: &'static str,
    path: &str,
    media_type: &str,
    before: &str,
    part: impl Fn(&str) -> Vec<u8>,
) -> Stream {
    let body = r#"{"model":"bench","stream":true,"messages":[{"role":"user","content":"why?"}]}"#;
    let length = body.len();
    let request =
        format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n{body}");
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {media_type}\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    let mut opening = vec![
        (Direction::ToProvider, request.into_bytes()),
        (Direction::ToAgent, head.into_bytes()),
    ];
    if !before.is_empty() {
        opening.push((Direction::ToAgent, chunk(before.as_bytes())));
    }
    Stream {
        name,
        host,
        opening,
        events: texts().map(|text| chunk(&part(&text))).collect(),
        end: b"0\r\n\r\n",
    }
}

fn web_socket(name: &'static str, is_deflated: bool) -> Stream {
    let host = "chatgpt.com";
    let extension = if is_deflated {
        "Sec-WebSocket-Extensions: permessage-deflate\r\n"
    } else {
        ""
    };
    let upgrade = format!(
        "GET /backend-api/codex/responses HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{extension}\r\n"
    );
    let agreed = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{extension}\r\n"
    );
    let create = json!({ "type": "response.create", "model": "bench", "input": [] }).to_string();
    let question = web_socket_frame(FINAL | TEXT, create.as_bytes(), Some([1, 2, 3, 4]));
    let mut window = is_deflated.then(|| Compress::new(Compression::default(), false));
    let frame = |text: String| {
        let data = responses(&text).to_string();
        match &mut window {
            None => web_socket_frame(FINAL | TEXT, data.as_bytes(), None),
            Some(window) => {
                let payload = deflated(window, data.as_bytes());
                web_socket_frame(FINAL | COMPRESSED | TEXT, &payload, None)
            }
        }
    };
    Stream {
        name,
        host,
        opening: vec![
            (Direction::ToProvider, upgrade.into_bytes()),
            (Direction::ToAgent, agreed.into_bytes()),
            (Direction::ToProvider, question),
        ],
        events: texts().map(frame).collect(),
        end: b"",
    }
}
