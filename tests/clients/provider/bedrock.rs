//! Anthropic's events in the binary event stream of Amazon Bedrock.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::Answer;

/// The same answer with each event in a frame of its own.
pub(super) fn wrapped(answer: Answer) -> Answer {
    let frames = answer.pieces.iter().map(|piece| {
        let event = String::from_utf8_lossy(piece);
        let (_, data) = event.split_once("data: ").expect("an event");
        let payload = json!({"bytes": STANDARD.encode(data.trim_end()), "p": "abcd"});
        frame(&payload.to_string())
    });
    Answer {
        fields: vec![(
            "content-type".to_owned(),
            "application/vnd.amazon.eventstream".to_owned(),
        )],
        pieces: frames.collect(),
        ..answer
    }
}

/// Lengths, a checksum of them, header fields, the payload, and a checksum of all.
fn frame(payload: &str) -> Vec<u8> {
    let fields = [
        (":event-type", "chunk"),
        (":content-type", "application/json"),
        (":message-type", "event"),
    ];
    let fields: Vec<u8> = fields
        .iter()
        .flat_map(|(name, value)| field(name, value))
        .collect();
    let total = FRAME_BYTES + fields.len() + payload.len();
    let mut frame = Vec::with_capacity(total);
    frame.extend((total as u32).to_be_bytes());
    frame.extend((fields.len() as u32).to_be_bytes());
    frame.extend(crc32fast::hash(&frame).to_be_bytes());
    frame.extend(fields);
    frame.extend(payload.as_bytes());
    frame.extend(crc32fast::hash(&frame).to_be_bytes());
    frame
}

/// A field whose value is a string.
fn field(name: &str, value: &str) -> Vec<u8> {
    let mut field = vec![name.len() as u8];
    field.extend(name.as_bytes());
    field.push(STRING);
    field.extend((value.len() as u16).to_be_bytes());
    field.extend(value.as_bytes());
    field
}

/// Two lengths and two checksums.
const FRAME_BYTES: usize = 16;
/// The type of a field's value.
const STRING: u8 = 7;
