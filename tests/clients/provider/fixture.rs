//! Answers that are exchanges of `tests/fixtures`, byte for byte but for their framing.

use std::path::Path;

use serde_json::Value;

use super::{Answer, Asked, Call, Tokens};

/// The answer of an exchange (`openai/chat_stream`), which its `call.json` says is one call. Of
/// several names each attempt of the client gets the next one.
pub(super) fn answer(names: &str, asked: &Asked) -> Answer {
    let mut names = names.split(' ');
    let name = names
        .nth(asked.attempt)
        .expect("an exchange for each attempt");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let file = |file: &str| std::fs::read(folder.join(name).join(file)).expect("a fixture");
    let response = file("response.http");
    let (head, body) = split(&response, b"\r\n\r\n");
    let head = std::str::from_utf8(head).expect("a head");
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1));
    let fields: Vec<_> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let is_chunked = fields.iter().any(|(name, _)| name == "transfer-encoding");
    let pieces = match is_chunked {
        true => chunks(body),
        false => vec![body.to_vec()],
    };
    let call: Value = serde_json::from_slice(&file("call.json")).expect("call.json");
    let calls = call["calls"].as_array().expect("calls");
    assert_eq!(calls.len(), 1, "{name} is one call");
    let member = |name: &str| calls[0][name].as_str().expect("a text").to_owned();
    Answer {
        status: status
            .and_then(|status| status.parse().ok())
            .expect("a status"),
        call: Some(Call {
            operation: member("operation"),
            outcome: member("outcome"),
            quality: member("quality"),
            is_stream: calls[0]["streamed"] == true,
            ..Call::answered(
                asked.model(),
                tokens(&calls[0]["usage"]),
                text(&pieces.concat()),
            )
        }),
        fields: fields
            .into_iter()
            .filter(|(name, _)| !FRAMING.contains(&name.as_str()))
            .collect(),
        pieces,
    }
}

fn tokens(usage: &Value) -> Tokens {
    let kind = |name: &str| usage[name].as_u64().unwrap_or(0);
    Tokens {
        input: kind("input"),
        cache_read: kind("cache_read"),
        cache_write: kind("cache_write") + kind("cache_write_5m") + kind("cache_write_1h"),
        tool_input: kind("tool_input"),
        output: kind("output"),
        thinking: kind("thinking"),
    }
}

/// The chunks of a body (RFC 9112, 7.1), without their lengths.
fn chunks(mut body: &[u8]) -> Vec<Vec<u8>> {
    let mut chunks = Vec::new();
    loop {
        let (length, rest) = split(body, b"\r\n");
        let length = std::str::from_utf8(length).expect("a length");
        match usize::from_str_radix(length, 16).expect("a length") {
            0 => return chunks,
            length => chunks.push(rest[..length].to_vec()),
        }
        body = &rest[chunks.last().map_or(0, Vec::len) + 2..];
    }
}

/// The text of an answer in any of the four forms, as a client puts it together.
fn text(body: &[u8]) -> String {
    let body = std::str::from_utf8(body).expect("text");
    let documents: Vec<Value> = match serde_json::from_str(body) {
        Ok(document) => vec![document],
        Err(_) => body
            .lines()
            .filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok())
            .collect(),
    };
    documents.iter().map(text_of_document).collect()
}

fn text_of_document(document: &Value) -> String {
    let places = [
        "/delta/text",
        "/content/0/text",
        "/choices/0/delta/content",
        "/choices/0/message/content",
        "/candidates/0/content/parts/0/text",
        "/output/0/content/0/text",
    ];
    let found = places.iter().filter_map(|place| document.pointer(place));
    let delta = (document["type"] == "response.output_text.delta").then_some(&document["delta"]);
    found.chain(delta).filter_map(Value::as_str).collect()
}

/// What stands before and behind the first `mark`.
fn split<'a>(bytes: &'a [u8], mark: &[u8]) -> (&'a [u8], &'a [u8]) {
    let mut places = bytes.windows(mark.len());
    let place = places.position(|window| window == mark).expect("a mark");
    (&bytes[..place], &bytes[place + mark.len()..])
}

/// Fields that frame a message, which the server writes as the connection wants them.
const FRAMING: [&str; 4] = [
    "connection",
    "content-length",
    "keep-alive",
    "transfer-encoding",
];
