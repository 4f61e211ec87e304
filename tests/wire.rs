//! Binary formats as providers write them, for tests and benchmarks: frames of a WebSocket and of an
//! AWS event stream.

use flate2::{Compress, FlushCompress};

/// The last frame of a message (RFC 6455, 5.2).
pub(crate) const FINAL: u8 = 0x80;
/// The first frame of a message that is deflated (RFC 7692, 6).
pub(crate) const COMPRESSED: u8 = 0x40;
pub(crate) const CONTINUATION: u8 = 0;
pub(crate) const TEXT: u8 = 1;
pub(crate) const PING: u8 = 9;

const MASKED: u8 = 0x80;

/// A frame of a WebSocket; agents mask what they send. `first` has the flags and the opcode.
pub(crate) fn web_socket_frame(first: u8, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let masked = if mask.is_some() { MASKED } else { 0 };
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..=125 => frame.push(masked | length as u8),
        length @ 126..=0xffff => {
            frame.push(masked | 126);
            frame.extend((length as u16).to_be_bytes());
        }
        length => {
            frame.push(masked | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    match mask {
        None => frame.extend(payload),
        Some(mask) => {
            frame.extend(mask);
            let pairs = payload.iter().zip(mask.iter().cycle());
            frame.extend(pairs.map(|(byte, mask)| byte ^ mask));
        }
    }
    frame
}

/// The payload of a deflated message, without the mark of its end, which RFC 7692 leaves off.
pub(crate) fn deflated(window: &mut Compress, text: &[u8]) -> Vec<u8> {
    // More than deflate can add to what it cannot compress.
    let mut message = Vec::with_capacity(text.len() * 2 + 4096);
    window
        .compress_vec(text, &mut message, FlushCompress::Sync)
        .expect("memory");
    let end = message.len() - 4;
    assert_eq!(message.split_off(end), [0, 0, 0xff, 0xff], "flushed");
    message
}

/// A frame of an AWS event stream, whose headers are texts: lengths and their checksum, headers,
/// payload, and a checksum of all of it.
pub(crate) fn event_stream_frame(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
    const STRING: u8 = 7;
    let mut encoded = Vec::new();
    for (name, value) in headers {
        encoded.push(name.len() as u8);
        encoded.extend(name.as_bytes());
        encoded.push(STRING);
        encoded.extend((value.len() as u16).to_be_bytes());
        encoded.extend(value.as_bytes());
    }
    let mut frame = Vec::new();
    frame.extend(((16 + encoded.len() + payload.len()) as u32).to_be_bytes());
    frame.extend((encoded.len() as u32).to_be_bytes());
    frame.extend(crc32fast::hash(&frame).to_be_bytes());
    frame.extend(encoded);
    frame.extend(payload);
    frame.extend(crc32fast::hash(&frame).to_be_bytes());
    frame
}

/// An event of such a stream, by its type.
pub(crate) fn event_stream_event(kind: &str, data: &str) -> Vec<u8> {
    let headers = [
        (":event-type", kind),
        (":content-type", "application/json"),
        (":message-type", "event"),
    ];
    event_stream_frame(&headers, data.as_bytes())
}
