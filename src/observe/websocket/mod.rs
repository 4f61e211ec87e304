//! WebSocket messages of one connection (RFC 6455), with `permessage-deflate` (RFC 7692).
//!
//! Bytes that follow the upgrade enter, the payload of data messages leaves in fragments, unmasked
//! and decompressed; nothing is collected, so that a message may be as long as it likes. Where
//! chunks are cut makes no difference to the messages, only to their fragments.

mod frame;
mod inflate;
#[cfg(test)]
mod tests;

use super::Direction;
use super::coding::DecodeLimit;
use super::memory::Memory;
use crate::record::ObserverFailure;
use frame::{FrameReader, Part};
use inflate::Inflater;

/// Takes the messages of a connection.
pub(crate) trait Messages {
    /// A fragment of the payload of the current data message in a direction.
    fn fragment(&mut self, direction: Direction, payload: &[u8]);

    /// The current data message in a direction is complete.
    fn end_message(&mut self, direction: Direction);

    /// An end has begun to close the connection.
    fn close(&mut self, direction: Direction);
}

/// Reads both directions.
pub(crate) struct WebSocket {
    agent: Side,
    provider: Side,
}

/// One direction.
struct Side {
    frames: FrameReader,
    payload: Payload,
}

/// What is made of the payload of frames.
struct Payload {
    /// Decompresses, where that was agreed on.
    inflater: Option<Inflater>,
    /// The current data message is compressed.
    is_compressed: bool,
}

impl WebSocket {
    /// Reads from the first byte after the upgrade. `extensions` is the value of the response's
    /// field `sec-websocket-extensions`; windows come out of `memory`.
    pub(crate) fn new(extensions: &str, memory: &Memory) -> Self {
        let deflate = Deflate::agreed(extensions);
        let side = |keeps_window: bool| Side {
            frames: FrameReader::default(),
            payload: Payload {
                inflater: deflate
                    .is_agreed
                    .then(|| Inflater::new(keeps_window, memory)),
                is_compressed: false,
            },
        };
        Self {
            agent: side(deflate.agent_keeps_window),
            provider: side(deflate.provider_keeps_window),
        }
    }

    /// Reads the next bytes of a direction, until the limit is reached. Returns how many are read;
    /// those that are left must come again. After an error nothing more of the connection can be
    /// read.
    ///
    /// # Errors
    /// [`ObserverFailure::WebSocketMalformed`] for what is no frame,
    /// [`ObserverFailure::DecodeError`] for what does not decompress, and
    /// [`ObserverFailure::MemoryBudget`].
    pub(crate) fn read(
        &mut self,
        direction: Direction,
        bytes: &[u8],
        limit: &mut DecodeLimit,
        messages: &mut impl Messages,
    ) -> Result<usize, ObserverFailure> {
        let side = match direction {
            Direction::ToProvider => &mut self.agent,
            Direction::ToAgent => &mut self.provider,
        };
        let Side { frames, payload } = side;
        let mut rest = bytes;
        // The end of a message is found behind its last byte: it does not wait for a byte more.
        while rest.is_empty() || !limit.is_reached() {
            let before = rest;
            let Some(part) = frames.next(&mut rest)? else {
                break;
            };
            let unread = payload.take(part, direction, limit, messages)?;
            frames.give_back(unread);
            let taken = before.len() - rest.len();
            rest = before.get(taken - unread..).unwrap_or_default();
        }
        Ok(bytes.len() - rest.len())
    }

    /// Reads all of the bytes of a direction, however long that takes.
    ///
    /// # Errors
    /// As [`WebSocket::read`].
    pub(crate) fn read_all(
        &mut self,
        direction: Direction,
        mut bytes: &[u8],
        messages: &mut impl Messages,
    ) -> Result<(), ObserverFailure> {
        while !bytes.is_empty() {
            let read = self.read(direction, bytes, &mut DecodeLimit::default(), messages)?;
            bytes = bytes.get(read..).unwrap_or_default();
        }
        Ok(())
    }
}

impl Payload {
    /// Returns how many bytes at the end of the part are left unread.
    fn take(
        &mut self,
        part: Part<'_>,
        direction: Direction,
        limit: &mut DecodeLimit,
        messages: &mut impl Messages,
    ) -> Result<usize, ObserverFailure> {
        match part {
            Part::Begin { is_compressed } => {
                if is_compressed && self.inflater.is_none() {
                    return Err(ObserverFailure::WebSocketMalformed);
                }
                self.is_compressed = is_compressed;
            }
            Part::Payload(payload) => match &mut self.inflater {
                Some(inflater) if self.is_compressed => {
                    let mut output = |plain: &[u8]| messages.fragment(direction, plain);
                    let read = inflater.feed(payload, limit, &mut output)?;
                    return Ok(payload.len() - read);
                }
                _ => messages.fragment(direction, payload),
            },
            Part::End => {
                if let Some(inflater) = self.inflater.as_mut().filter(|_| self.is_compressed) {
                    inflater.end_message(&mut |plain| messages.fragment(direction, plain))?;
                }
                messages.end_message(direction);
            }
            Part::Close => messages.close(direction),
        }
        Ok(0)
    }
}

/// What was agreed on about compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Deflate {
    is_agreed: bool,
    agent_keeps_window: bool,
    provider_keeps_window: bool,
}

impl Deflate {
    /// A response names at most one extension that compresses. The sizes of windows need not be
    /// known: the largest one reads what a smaller one has written.
    fn agreed(extensions: &str) -> Self {
        let mut parameters = extensions.split(';').map(str::trim);
        let is_agreed = parameters.next() == Some("permessage-deflate");
        let parameters: Vec<&str> = parameters.collect();
        Self {
            is_agreed,
            agent_keeps_window: !parameters.contains(&"client_no_context_takeover"),
            provider_keeps_window: !parameters.contains(&"server_no_context_takeover"),
        }
    }
}
