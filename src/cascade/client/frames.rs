//! Parses the frames of a Connect stream as a state machine: bytes in, pieces of messages out,
//! nothing kept but the last frame.
//!
//! A frame is a flag byte, a length of four bytes (big endian) and that many bytes. Frames of any
//! length need constant memory. No I/O; the caller must notice a stream that stops in the middle.

use bytes::{Buf as _, Bytes};

use super::error::{Malformation, RpcError, of_end};
use crate::observe::coding::{DecodeLimit, Decoder};
use crate::observe::memory::Memory;

/// The parser of one stream.
pub(super) struct Frames {
    part: FramePart,
    /// The codings of compressed frames, as the head of the answer names them.
    codings: Vec<String>,
    /// Most bytes of one message.
    limit: u64,
}

/// What has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FrameEvent {
    /// A message; all of its pieces have been passed on.
    Message,
    /// The stream, normally.
    End,
}

enum FramePart {
    Head { bytes: [u8; HEAD], filled: usize },
    Payload(Payload),
}

struct Payload {
    left: usize,
    decoder: Decoder,
    /// Decompressed bytes so far.
    passed: u64,
    /// The content of the last frame; `None` in a message.
    last: Option<Vec<u8>>,
}

impl Frames {
    /// At the beginning of a stream.
    pub(super) fn new(codings: Vec<String>, limit: u64) -> Self {
        Self {
            part: FramePart::start(),
            codings,
            limit,
        }
    }

    /// Consumes `input` up to the next event and passes the bytes of a message to `out`. `None`:
    /// more input is needed, or if some is left, more calls, between which others can run.
    ///
    /// # Errors
    /// An unreadable frame, or the error that the last frame holds. The stream is over then.
    pub(super) fn feed(
        &mut self,
        input: &mut Bytes,
        out: &mut dyn FnMut(&[u8]),
    ) -> Result<Option<FrameEvent>, RpcError> {
        if let FramePart::Head { bytes, filled } = &mut self.part {
            let missing = bytes.get_mut(*filled..).unwrap_or_default();
            let take = missing.len().min(input.len());
            let (Some(missing), piece) = (missing.get_mut(..take), input.split_to(take)) else {
                return Ok(None);
            };
            missing.copy_from_slice(&piece);
            *filled += take;
            if *filled < HEAD {
                return Ok(None);
            }
            let payload = Payload::begin(*bytes, &self.codings)?;
            self.part = FramePart::Payload(payload);
        }
        let FramePart::Payload(payload) = &mut self.part else {
            return Ok(None);
        };
        payload.feed(input, self.limit, out)?;
        if payload.left > 0 {
            return Ok(None);
        }
        let event = payload.end()?;
        self.part = FramePart::start();
        Ok(Some(event))
    }
}

impl FramePart {
    fn start() -> Self {
        Self::Head {
            bytes: [0; HEAD],
            filled: 0,
        }
    }
}

impl Payload {
    fn begin(head: [u8; HEAD], codings: &[String]) -> Result<Self, RpcError> {
        let [flags, length @ ..] = head;
        let compressed = flags & COMPRESSED != 0;
        // A compressed frame of a stream without a named compression cannot be read.
        if flags & !(COMPRESSED | LAST) != 0 || (compressed && codings.is_empty()) {
            return Err(RpcError::Malformed(Malformation::Frame));
        }
        // One message of the agent's own server at a time: each has its own memory budget.
        let decoder = Decoder::new(if compressed { codings } else { &[] }, &Memory::default())?;
        let left = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        Ok(Self {
            left,
            decoder,
            passed: 0,
            last: (flags & LAST != 0).then(Vec::new),
        })
    }

    fn feed(
        &mut self,
        input: &mut Bytes,
        limit: u64,
        out: &mut dyn FnMut(&[u8]),
    ) -> Result<(), RpcError> {
        let piece = input
            .get(..self.left.min(input.len()))
            .filter(|piece| !piece.is_empty());
        let Some(piece) = piece else {
            return Ok(());
        };
        let Self { passed, last, .. } = self;
        let limit = if last.is_some() {
            MAX_LAST_FRAME
        } else {
            limit
        };
        let step = &mut DecodeLimit::default();
        let read = self.decoder.feed_some(piece, step, &mut |plain| {
            *passed += plain.len() as u64;
            match last {
                _ if *passed > limit => {}
                Some(words) => words.extend_from_slice(plain),
                None => out(plain),
            }
        })?;
        self.left -= read;
        input.advance(read);
        if *passed > limit {
            Err(RpcError::Malformed(Malformation::TooLarge))
        } else {
            Ok(())
        }
    }

    fn end(&self) -> Result<FrameEvent, RpcError> {
        if !self.decoder.is_complete() {
            return Err(RpcError::Malformed(Malformation::Coding));
        }
        match &self.last {
            None => Ok(FrameEvent::Message),
            Some(words) => of_end(words).map(|()| FrameEvent::End),
        }
    }
}

/// One message as an uncompressed frame; `None` when it is longer than a frame can declare.
pub(super) fn envelope(message: &[u8]) -> Option<Bytes> {
    let length = u32::try_from(message.len()).ok()?;
    Some(
        [&[0], length.to_be_bytes().as_slice(), message]
            .concat()
            .into(),
    )
}

const HEAD: usize = 5;
const COMPRESSED: u8 = 1;
const LAST: u8 = 2;

/// The last frame holds an error or nothing; its message may quote a request.
const MAX_LAST_FRAME: u64 = super::answer::MAX_ERROR as u64;

#[cfg(test)]
mod tests {
    use super::*;

    /// All messages of a stream that arrives in pieces of `size` bytes, and how it ended.
    fn read(stream: &[u8], size: usize) -> (Vec<Vec<u8>>, Result<Option<FrameEvent>, RpcError>) {
        let (mut frames, mut messages, mut message) =
            (Frames::new(vec!["gzip".into()], 8), Vec::new(), Vec::new());
        for piece in stream.chunks(size) {
            let mut input = Bytes::copy_from_slice(piece);
            loop {
                match frames.feed(&mut input, &mut |plain| message.extend_from_slice(plain)) {
                    Ok(None) if input.is_empty() => break,
                    Ok(None) => {}
                    Ok(Some(FrameEvent::Message)) => messages.push(std::mem::take(&mut message)),
                    end => return (messages, end),
                }
            }
        }
        (messages, Ok(None))
    }

    #[test]
    fn pieces_of_any_size_make_the_same_messages() {
        let messages = [b"12345678".as_slice(), b"", b"abc"];
        let frames = messages
            .iter()
            .map(|message| envelope(message).expect("a frame"));
        let stream = [
            frames.collect::<Vec<_>>().concat(),
            vec![LAST, 0, 0, 0, 2, b'{', b'}'],
        ]
        .concat();
        for size in 1..=stream.len() {
            let (found, end) = read(&stream, size);
            assert_eq!(
                (found, end),
                (
                    messages.map(<[u8]>::to_vec).to_vec(),
                    Ok(Some(FrameEvent::End))
                ),
                "{size}"
            );
        }
        for cut in 0..stream.len() {
            assert_eq!(read(&stream[..cut], 4).1, Ok(None), "{cut}");
        }
    }

    #[test]
    fn a_message_over_the_limit_is_refused_without_its_rest() {
        let stream = envelope(b"123456789").expect("a frame");
        for size in 1..=stream.len() {
            assert_eq!(
                read(&stream, size),
                (vec![], Err(RpcError::Malformed(Malformation::TooLarge))),
                "{size}"
            );
        }
    }
}
