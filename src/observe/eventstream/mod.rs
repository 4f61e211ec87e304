//! Event streams of AWS (`application/vnd.amazon.eventstream`): bytes in, messages out in fragments.
//!
//! A message is, with all numbers big-endian:
//!
//! ```text
//! u32 length of all | u32 length of headers | u32 CRC-32 of these 8 bytes
//! headers | payload | u32 CRC-32 of everything before
//! ```
//!
//! Constant memory whatever the peer sends: payloads are lent as they come and never collected, so a
//! message may be as long as the format allows; of the headers only three short ones are kept. Where
//! the chunks are cut makes no difference to the messages seen, only to the fragments of their
//! payloads.
//!
//! Source: the specification of the event stream encoding in smithy-lang/smithy
//! (`docs/source-2.0/aws/amazon-eventstream.rst`).

mod headers;
#[cfg(test)]
mod tests;

use crc32fast::Hasher;

use crate::record::ObserverFailure;

pub use headers::Headers;

/// Takes the messages of a stream.
pub trait EventStreamMessages {
    /// The headers of the next message are complete. Its checksum has not been seen yet.
    fn begin(&mut self, headers: &Headers);

    /// A fragment of the payload of the message that has begun. Its checksum has not been seen yet.
    fn payload(&mut self, fragment: &[u8]);

    /// The message that has begun is complete, and its checksum is right: only now it counts.
    fn end(&mut self);
}

/// A checksum is wrong, or the lengths are impossible: no later message can be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

impl From<Malformed> for ObserverFailure {
    fn from(Malformed: Malformed) -> Self {
        Self::EventStreamMalformed
    }
}

/// Finds the messages of one stream.
#[derive(Debug)]
pub struct EventStreamReader {
    state: State,
    /// Of the current message, as far as it has been read.
    checksum: Hasher,
    headers: Headers,
}

impl Default for EventStreamReader {
    fn default() -> Self {
        Self {
            state: State::Prelude(Fixed::EMPTY),
            checksum: Hasher::new(),
            headers: Headers::default(),
        }
    }
}

impl EventStreamReader {
    /// Reads the next bytes of the stream.
    ///
    /// # Errors
    /// [`Malformed`] is final: it comes again with every later call, and no message any more. The
    /// message that had begun does not count.
    pub fn feed(
        &mut self,
        mut bytes: &[u8],
        messages: &mut impl EventStreamMessages,
    ) -> Result<(), Malformed> {
        while !bytes.is_empty() && !matches!(self.state, State::Malformed) {
            match self.read(bytes, messages) {
                Ok(rest) => bytes = rest,
                Err(Malformed) => self.state = State::Malformed,
            }
        }
        match self.state {
            State::Malformed => Err(Malformed),
            _ => Ok(()),
        }
    }

    /// Whether the stream, if it ends here, ends between two messages.
    #[must_use]
    pub fn is_between_messages(&self) -> bool {
        matches!(self.state, State::Prelude(Fixed { length: 0, .. }))
    }

    /// Reads to the end of the bytes or of a part of a message, and returns what follows.
    fn read<'a>(
        &mut self,
        bytes: &'a [u8],
        messages: &mut impl EventStreamMessages,
    ) -> Result<&'a [u8], Malformed> {
        match &mut self.state {
            State::Prelude(prelude) => {
                let rest = prelude.fill(bytes);
                if let Some(prelude) = prelude.whole() {
                    self.begin(prelude, messages)?;
                }
                Ok(rest)
            }
            State::Headers { left, payload } => {
                let (part, rest) = split(bytes, left);
                let (is_end, payload) = (*left == 0, *payload);
                self.checksum.update(part);
                self.headers.feed(part)?;
                if is_end {
                    self.end_headers(payload, messages)?;
                }
                Ok(rest)
            }
            State::Payload { left } => {
                let (part, rest) = split(bytes, left);
                if *left == 0 {
                    self.state = State::Checksum(Fixed::EMPTY);
                }
                self.checksum.update(part);
                messages.payload(part);
                Ok(rest)
            }
            State::Checksum(checksum) => {
                let rest = checksum.fill(bytes);
                if let Some(checksum) = checksum.whole() {
                    if std::mem::take(&mut self.checksum).finalize() != u32::from_be_bytes(checksum)
                    {
                        return Err(Malformed);
                    }
                    self.state = State::Prelude(Fixed::EMPTY);
                    messages.end();
                }
                Ok(rest)
            }
            State::Malformed => Err(Malformed),
        }
    }

    /// The lengths of the next message are known.
    fn begin(
        &mut self,
        prelude: [u8; PRELUDE_BYTES],
        messages: &mut impl EventStreamMessages,
    ) -> Result<(), Malformed> {
        let [a, b, c, d, e, f, g, h, checksum @ ..] = prelude;
        let (all, headers) = (
            u32::from_be_bytes([a, b, c, d]),
            u32::from_be_bytes([e, f, g, h]),
        );
        let is_intact = crc32fast::hash(&[a, b, c, d, e, f, g, h]) == u32::from_be_bytes(checksum);
        let payload = all
            .checked_sub(OVERHEAD_BYTES)
            .and_then(|rest| rest.checked_sub(headers))
            .filter(|payload| {
                is_intact && headers <= MAX_HEADERS_BYTES && *payload <= MAX_PAYLOAD_BYTES
            })
            .ok_or(Malformed)?;
        self.checksum.update(&prelude);
        self.headers.clear();
        if headers == 0 {
            return self.end_headers(payload, messages);
        }
        self.state = State::Headers {
            left: headers,
            payload,
        };
        Ok(())
    }

    fn end_headers(
        &mut self,
        payload: u32,
        messages: &mut impl EventStreamMessages,
    ) -> Result<(), Malformed> {
        if !self.headers.is_whole() {
            return Err(Malformed);
        }
        messages.begin(&self.headers);
        self.state = if payload == 0 {
            State::Checksum(Fixed::EMPTY)
        } else {
            State::Payload { left: payload }
        };
        Ok(())
    }
}

/// Longest headers of a message that are read, in bytes, as the SDKs of AWS have it.
pub const MAX_HEADERS_BYTES: u32 = 128 << 10;

/// Longest payload of a message that is read, in bytes, as the SDKs of AWS have it.
pub const MAX_PAYLOAD_BYTES: u32 = 24 << 20;

const PRELUDE_BYTES: usize = 12;

/// The prelude and the checksum at the end.
const OVERHEAD_BYTES: u32 = 16;

#[derive(Debug)]
enum State {
    /// Before the lengths of a message are known.
    Prelude(Fixed<PRELUDE_BYTES>),
    /// So many bytes of headers are left, and so many of payload follow them.
    Headers {
        left: u32,
        payload: u32,
    },
    /// So many bytes of payload are left.
    Payload {
        left: u32,
    },
    Checksum(Fixed<4>),
    Malformed,
}

/// A part of known length that is needed as a whole.
#[derive(Debug)]
struct Fixed<const N: usize> {
    bytes: [u8; N],
    length: usize,
}

impl<const N: usize> Fixed<N> {
    const EMPTY: Self = Self {
        bytes: [0; N],
        length: 0,
    };

    /// Takes what is missing, and returns what follows it.
    fn fill<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let room = self.bytes.get_mut(self.length..).unwrap_or_default();
        let (part, rest) = bytes.split_at(room.len().min(bytes.len()));
        room.iter_mut()
            .zip(part)
            .for_each(|(place, byte)| *place = *byte);
        self.length += part.len();
        rest
    }

    fn whole(&self) -> Option<[u8; N]> {
        (self.length == N).then_some(self.bytes)
    }
}

/// Splits off as many bytes as are left of a part, and counts them.
fn split<'a>(bytes: &'a [u8], left: &mut u32) -> (&'a [u8], &'a [u8]) {
    let length = usize::try_from(*left)
        .unwrap_or(usize::MAX)
        .min(bytes.len());
    *left = left.saturating_sub(u32::try_from(length).unwrap_or(u32::MAX));
    bytes.split_at(length)
}
