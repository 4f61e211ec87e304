//! Entry point for fuzzers: any bytes, as a stream of Connect frames.

use bytes::Bytes;

use super::frames::{FrameEvent, Frames};

/// Parses the bytes, once as a whole and once in pieces of the size given by the first byte. Panics
/// when the messages differ, or when a message exceeds its limit.
pub fn fuzz_frames(bytes: &[u8]) {
    let Some((size, stream)) = bytes.split_first() else {
        return;
    };
    let size = usize::from(*size).max(1);
    assert_eq!(
        messages(stream, stream.len().max(1)),
        messages(stream, size),
        "in pieces of {size}"
    );
}

/// The messages, and how the stream ended.
fn messages(stream: &[u8], size: usize) -> (Vec<Vec<u8>>, Ending) {
    let (mut frames, mut whole, mut message) = (
        Frames::new(vec!["gzip".into()], LIMIT),
        Vec::new(),
        Vec::new(),
    );
    for piece in stream.chunks(size) {
        let mut input = Bytes::copy_from_slice(piece);
        loop {
            match frames.feed(&mut input, &mut |plain| message.extend_from_slice(plain)) {
                Ok(None) if input.is_empty() => break,
                Ok(None) => {}
                Ok(Some(FrameEvent::End)) => return (whole, Ending::InOrder),
                Ok(Some(FrameEvent::Message)) => whole.push(std::mem::take(&mut message)),
                Err(_) => return (whole, Ending::Failed),
            }
            assert!(
                message.len() as u64 <= LIMIT,
                "a message of {} bytes",
                message.len()
            );
        }
    }
    (whole, Ending::Open)
}

#[derive(Debug, PartialEq, Eq)]
enum Ending {
    Failed,
    InOrder,
    Open,
}

/// Short, so that a small input passes it.
const LIMIT: u64 = 4096;
