//! Where an HTTP/1 body ends, and which of its bytes are content (RFC 9112 sections 6 and 7).
//!
//! Bytes of the wire enter in any pieces; content leaves in the same pieces, without chunk sizes,
//! extensions and trailers. Holds a counter and never a byte. What another reader could understand
//! differently is an error.

use memchr::memchr;

use crate::record::ObserverFailure;

/// A body that is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// In chunks.
    Chunked(Chunk),
    /// This many bytes are still to come.
    Length(u64),
    /// Up to the end of the connection.
    UntilClose,
}

impl Body {
    /// The start of a chunked body.
    pub(super) const CHUNKED: Self = Self::Chunked(Chunk::Size(None));

    /// Takes the bytes of this body from the front of `input` and hands out its content. `content`
    /// returns how much of a piece it has read: behind less than all of it, the rest stays in
    /// `input`. True when the body is complete.
    pub(super) fn read(
        &mut self,
        input: &mut &[u8],
        content: impl FnMut(&[u8]) -> usize,
    ) -> Result<bool, ObserverFailure> {
        match self {
            Self::Chunked(chunk) => chunk.read(input, content),
            Self::Length(left) => {
                hand_out(input, left, content);
                Ok(*left == 0)
            }
            Self::UntilClose => {
                let mut endless = u64::MAX;
                hand_out(input, &mut endless, content);
                Ok(false)
            }
        }
    }
}

/// Where in the chunked coding the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chunk {
    /// In the digits of a size; None before the first one.
    Size(Option<u64>),
    /// Behind the digits, up to the end of the line.
    Extension(u64),
    /// At the LF of the size line.
    SizeLf(u64),
    /// In the content, with this many bytes to come.
    Content(u64),
    /// At the CR behind the content.
    ContentCr,
    /// At the LF behind the content.
    ContentLf,
    /// At the first byte of a trailer line, or at the CR of the last line.
    LineStart,
    /// In a trailer line.
    Trailer,
    /// At the LF of a trailer line.
    TrailerLf,
    /// At the last LF.
    LastLf,
    /// Behind the last LF.
    Done,
}

impl Chunk {
    fn read(
        &mut self,
        input: &mut &[u8],
        mut content: impl FnMut(&[u8]) -> usize,
    ) -> Result<bool, ObserverFailure> {
        while *self != Self::Done {
            if let Self::Content(left) = self
                && *left > 0
            {
                hand_out(input, left, &mut content);
                if *left > 0 {
                    return Ok(false);
                }
                *self = Self::ContentCr;
            }
            if let Some((next, rest)) = self.plain_line(input) {
                (*self, *input) = (next, rest);
                continue;
            }
            let Some((byte, rest)) = input.split_first() else {
                return Ok(false);
            };
            *input = rest;
            *self = self.after(*byte).ok_or(ObserverFailure::Http1Malformed)?;
        }
        Ok(true)
    }

    /// The place behind a whole line without extension, as nearly all are, and what follows. All
    /// else goes byte by byte.
    fn plain_line(self, input: &[u8]) -> Option<(Self, &[u8])> {
        match self {
            Self::Size(None) => {
                let length = memchr(b'\r', input)?;
                let rest = input.get(length..)?.strip_prefix(b"\r\n")?;
                let digits = input
                    .get(..length)
                    .filter(|line| line.iter().all(u8::is_ascii_hexdigit))?;
                let size = u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
                Some((
                    if size == 0 {
                        Self::LineStart
                    } else {
                        Self::Content(size)
                    },
                    rest,
                ))
            }
            Self::ContentCr => Some((Self::Size(None), input.strip_prefix(b"\r\n")?)),
            _ => None,
        }
    }

    /// The place behind `byte`, or None when it must not stand here. Lines end with CRLF and
    /// nothing else: a lone LF is where readers differ, and so where requests are smuggled.
    fn after(self, byte: u8) -> Option<Self> {
        match (self, byte) {
            (Self::Size(Some(size)), b'\r') => Some(Self::SizeLf(size)),
            (Self::Size(Some(size)), b';' | b' ' | b'\t') => Some(Self::Extension(size)),
            (Self::Size(size), digit) => {
                let digit = u64::from(char::from(digit).to_digit(16)?);
                size.unwrap_or(0)
                    .checked_mul(16)?
                    .checked_add(digit)
                    .map(|size| Self::Size(Some(size)))
            }
            (Self::Extension(size), b'\r') => Some(Self::SizeLf(size)),
            (Self::Extension(_), b'\n') => None,
            (Self::Extension(size), _) => Some(Self::Extension(size)),
            (Self::SizeLf(0), b'\n') | (Self::TrailerLf, b'\n') => Some(Self::LineStart),
            (Self::SizeLf(size), b'\n') => Some(Self::Content(size)),
            (Self::ContentCr, b'\r') => Some(Self::ContentLf),
            (Self::ContentLf, b'\n') => Some(Self::Size(None)),
            (Self::LineStart, b'\r') => Some(Self::LastLf),
            (Self::Trailer, b'\r') => Some(Self::TrailerLf),
            (Self::LineStart | Self::Trailer, b'\n') => None,
            (Self::LineStart | Self::Trailer, _) => Some(Self::Trailer),
            (Self::LastLf, b'\n') => Some(Self::Done),
            _ => None,
        }
    }
}

/// Hands out at most `left` bytes from the front of `input`, and takes off what was read of them.
fn hand_out(input: &mut &[u8], left: &mut u64, mut content: impl FnMut(&[u8]) -> usize) {
    let count = usize::try_from(*left)
        .unwrap_or(usize::MAX)
        .min(input.len());
    if let Some(piece @ [_, ..]) = input.get(..count) {
        let read = content(piece);
        *input = input.get(read..).unwrap_or_default();
        *left = left.saturating_sub(read as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(mut body: Body, mut wire: &[u8]) -> Result<(bool, String, usize), ObserverFailure> {
        let mut content = Vec::new();
        let done = body.read(&mut wire, |piece| {
            content.extend_from_slice(piece);
            piece.len()
        })?;
        Ok((done, String::from_utf8(content).unwrap(), wire.len()))
    }

    #[test]
    fn chunks_yield_their_content_and_end_at_the_exact_byte() {
        let table: [(&str, bool, &str, usize); 8] = [
            ("0\r\n\r\nGET", true, "", 3),
            ("5\r\nhello\r\n0\r\n\r\nNEXT", true, "hello", 4),
            (
                "5;ext=\"a;b\"\r\nhello\r\n00;x\r\nTrailer: 1\r\nOther: 2\r\n\r\nN",
                true,
                "hello",
                1,
            ),
            ("5 ;a\r\nhello\r\n0  \r\n\r\n", true, "hello", 0),
            (
                "0005\r\nhello\r\nA\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
                true,
                "hello01234567890123456789",
                0,
            ),
            ("5\r\nhel", false, "hel", 0),
            ("5\r\nhello\r\n0\r\n", false, "hello", 0),
            ("FFFFFFFFFFFFFFFF\r\nx", false, "x", 0),
        ];
        for (wire, done, content, left) in table {
            assert_eq!(
                read(Body::CHUNKED, wire.as_bytes()),
                Ok((done, content.to_owned(), left)),
                "{wire:?}"
            );
        }
    }

    #[test]
    fn chunks_that_could_be_read_in_two_ways_are_refused() {
        for wire in [
            "\r\n",
            ";x\r\n",
            " 5\r\nhello",
            "g\r\n",
            "-1\r\n",
            "0x5\r\nhello",
            "5\nhello\r\n",
            "5;ext\nhello",
            "5\rhello",
            "5\r\nhello0\r\n\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "5\r\nhello\rX",
            "10000000000000000\r\n",
            "0\r\n\n",
            "0\r\nTrailer: 1\n\r\n",
            "0\r\nTrailer: 1\rX",
            "0\r\n\rX",
        ] {
            assert_eq!(
                read(Body::CHUNKED, wire.as_bytes()),
                Err(ObserverFailure::Http1Malformed),
                "{wire:?}"
            );
        }
    }

    #[test]
    fn a_length_ends_at_the_exact_byte_and_a_closing_body_never_ends() {
        assert_eq!(
            read(Body::Length(5), b"helloGET"),
            Ok((true, "hello".into(), 3))
        );
        assert_eq!(
            read(Body::Length(6), b"hello"),
            Ok((false, "hello".into(), 0))
        );
        assert_eq!(
            read(Body::UntilClose, b"hello"),
            Ok((false, "hello".into(), 0))
        );
    }
}
