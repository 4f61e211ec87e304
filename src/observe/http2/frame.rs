//! HTTP/2 frames of one direction (RFC 9113 sections 3.4, 4 and 6).
//!
//! Bytes of the wire enter in any pieces; the start, the content and the end of each frame leave,
//! without padding and priority. Content is handed on as it comes, so that a frame of any size
//! costs a few bytes of memory.

use std::time::Instant;

use crate::record::ObserverFailure;

/// What an agent sends before its first frame.
pub(in crate::observe) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The frame types that matter to an observer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FrameKind {
    Continuation,
    Data,
    GoAway,
    Headers,
    /// PING, PRIORITY, WINDOW_UPDATE and every type that is not known.
    Other,
    PushPromise,
    ResetStream,
    Settings,
}

/// A frame without its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: FrameKind,
    /// The stream, or 0 for the connection.
    pub(super) stream: u32,
    /// When its first byte was read.
    pub(super) begun: Instant,
    /// GOAWAY: the highest stream that was or will be served.
    pub(super) last_stream: u32,
    flags: u8,
    length: u32,
}

/// A part of a frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FramePart<'a> {
    /// A frame begins.
    Start(Frame),
    /// A piece of its content, never empty.
    Content(Frame, &'a [u8]),
    /// The frame is complete.
    End(Frame),
}

/// Cuts one direction into frames.
#[derive(Debug)]
pub(super) struct Frames {
    /// The fixed-size bytes that are being collected: preface, frame header or prefix.
    scratch: [u8; PREFACE.len()],
    filled: usize,
    place: Place,
}

/// Where the next byte stands.
#[derive(Debug, Clone, Copy)]
enum Place {
    Preface,
    Header {
        begun: Option<Instant>,
    },
    /// Before the content: pad length, priority, promised stream, or what GOAWAY begins with.
    Prefix(Frame),
    Content {
        frame: Frame,
        left: u32,
        padding: u32,
    },
    Padding {
        frame: Frame,
        left: u32,
    },
}

impl Frames {
    /// The agent's direction, which begins with the preface.
    pub(super) fn of_agent() -> Self {
        Self {
            scratch: [0; PREFACE.len()],
            filled: 0,
            place: Place::Preface,
        }
    }

    /// The provider's direction.
    pub(super) fn of_provider() -> Self {
        Self {
            place: Place::Header { begun: None },
            ..Self::of_agent()
        }
    }

    /// Takes the next part from the front of `input`, or None when `input` is used up.
    pub(super) fn next<'a>(
        &mut self,
        input: &mut &'a [u8],
        at: Instant,
    ) -> Result<Option<FramePart<'a>>, ObserverFailure> {
        loop {
            match self.place {
                Place::Preface => {
                    let Some(preface) = self.collect(PREFACE.len(), input) else {
                        return Ok(None);
                    };
                    if preface != PREFACE {
                        return Err(ObserverFailure::Http2Malformed);
                    }
                    self.place = Place::Header { begun: None };
                }
                Place::Header { begun } => {
                    let begun = begun.unwrap_or(at);
                    if !input.is_empty() {
                        self.place = Place::Header { begun: Some(begun) };
                    }
                    let Some(header) = self.collect(HEADER_BYTES, input) else {
                        return Ok(None);
                    };
                    self.place = Place::Prefix(Frame::parse(header, begun)?);
                }
                Place::Prefix(frame) => {
                    let Some(prefix) = self.collect(frame.prefix_bytes(), input) else {
                        return Ok(None);
                    };
                    let (frame, left, padding) = frame.with_prefix(prefix)?;
                    self.place = Place::Content {
                        frame,
                        left,
                        padding,
                    };
                    return Ok(Some(FramePart::Start(frame)));
                }
                Place::Content {
                    frame,
                    left: 0,
                    padding,
                } => {
                    self.place = Place::Padding {
                        frame,
                        left: padding,
                    }
                }
                Place::Content {
                    frame,
                    left,
                    padding,
                } => {
                    let Some(piece) = take(input, left) else {
                        return Ok(None);
                    };
                    self.place = Place::Content {
                        frame,
                        left: left.saturating_sub(size(piece)),
                        padding,
                    };
                    return Ok(Some(FramePart::Content(frame, piece)));
                }
                Place::Padding { frame, left: 0 } => {
                    self.place = Place::Header { begun: None };
                    return Ok(Some(FramePart::End(frame)));
                }
                Place::Padding { frame, left } => {
                    let Some(piece) = take(input, left) else {
                        return Ok(None);
                    };
                    self.place = Place::Padding {
                        frame,
                        left: left.saturating_sub(size(piece)),
                    };
                }
            }
        }
    }

    /// The last bytes of the piece of content that was taken last, which come again.
    pub(super) fn give_back(&mut self, bytes: usize) {
        if let Place::Content { left, .. } = &mut self.place {
            *left = left.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        }
    }

    /// Fills the scratch up to `count` bytes, and returns them when they are complete.
    fn collect(&mut self, count: usize, input: &mut &[u8]) -> Option<&[u8]> {
        let wanted = self.scratch.get_mut(self.filled..count)?;
        let (piece, rest) = input.split_at(wanted.len().min(input.len()));
        *input = rest;
        wanted
            .iter_mut()
            .zip(piece)
            .for_each(|(slot, byte)| *slot = *byte);
        self.filled += piece.len();
        if self.filled < count {
            return None;
        }
        self.filled = 0;
        self.scratch.get(..count)
    }
}

impl Frame {
    /// Whether the message ends with this frame.
    pub(super) fn ends_stream(&self) -> bool {
        self.flags & END_STREAM != 0
    }

    /// Whether the header block ends with this frame.
    pub(super) fn ends_headers(&self) -> bool {
        self.flags & END_HEADERS != 0
    }

    /// Parses the nine bytes before each frame (section 4.1), and checks what its type says of
    /// length and stream.
    fn parse(header: &[u8], begun: Instant) -> Result<Self, ObserverFailure> {
        let &[l0, l1, l2, kind, flags, s0, s1, s2, s3] = header else {
            return Err(ObserverFailure::Http2Malformed);
        };
        let frame = Self {
            kind: FrameKind::of(kind),
            stream: u32::from_be_bytes([s0, s1, s2, s3]) & STREAM_MASK,
            begun,
            last_stream: 0,
            flags,
            length: u32::from_be_bytes([0, l0, l1, l2]),
        };
        let on_stream = frame.stream != 0;
        let is_valid = match frame.kind {
            FrameKind::Data
            | FrameKind::Headers
            | FrameKind::Continuation
            | FrameKind::PushPromise => on_stream,
            FrameKind::ResetStream => on_stream && frame.length == 4,
            FrameKind::Settings => !on_stream && frame.length.is_multiple_of(6),
            FrameKind::GoAway => !on_stream,
            FrameKind::Other => true,
        };
        if is_valid {
            Ok(frame)
        } else {
            Err(ObserverFailure::Http2Malformed)
        }
    }

    fn is_padded(&self) -> bool {
        self.flags & PADDED != 0
            && matches!(
                self.kind,
                FrameKind::Data | FrameKind::Headers | FrameKind::PushPromise
            )
    }

    fn prefix_bytes(&self) -> usize {
        let pad_length = usize::from(self.is_padded());
        match self.kind {
            FrameKind::Headers if self.flags & PRIORITY != 0 => pad_length + 5,
            FrameKind::PushPromise => pad_length + 4,
            FrameKind::GoAway => 8,
            _ => pad_length,
        }
    }

    /// The frame with what its prefix says, and how many bytes of content and of padding follow.
    fn with_prefix(mut self, prefix: &[u8]) -> Result<(Self, u32, u32), ObserverFailure> {
        let padding = match prefix {
            [padding, ..] if self.is_padded() => u32::from(*padding),
            _ => 0,
        };
        if let (FrameKind::GoAway, &[s0, s1, s2, s3, ..]) = (self.kind, prefix) {
            self.last_stream = u32::from_be_bytes([s0, s1, s2, s3]) & STREAM_MASK;
        }
        let content = self
            .length
            .checked_sub(size(prefix))
            .and_then(|rest| rest.checked_sub(padding));
        let content = content.ok_or(ObserverFailure::Http2Malformed)?;
        Ok((self, content, padding))
    }
}

impl FrameKind {
    fn of(byte: u8) -> Self {
        match byte {
            0x0 => Self::Data,
            0x1 => Self::Headers,
            0x3 => Self::ResetStream,
            0x4 => Self::Settings,
            0x5 => Self::PushPromise,
            0x7 => Self::GoAway,
            0x9 => Self::Continuation,
            _ => Self::Other,
        }
    }
}

/// Takes at most `limit` bytes from the front of `input`; None when it is empty.
fn take<'a>(input: &mut &'a [u8], limit: u32) -> Option<&'a [u8]> {
    let count = usize::try_from(limit)
        .unwrap_or(usize::MAX)
        .min(input.len());
    let (piece, rest) = input.split_at(count);
    *input = rest;
    (!piece.is_empty()).then_some(piece)
}

/// The size of a part of a frame, which has at most 2^24 bytes.
fn size(part: &[u8]) -> u32 {
    u32::try_from(part.len()).unwrap_or(u32::MAX)
}

const HEADER_BYTES: usize = 9;
/// The highest bit of a stream's number is reserved.
const STREAM_MASK: u32 = 0x7fff_ffff;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;
