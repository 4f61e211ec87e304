//! One content coding as a step function: some bytes in, some bytes out, nothing kept but the
//! coding's own window.
//!
//! A window is there from the first byte that needs it to the end of the data, and has a share of
//! the budget of memory.

use flate2::{Decompress, FlushDecompress, Status};

use super::CodingError;
use super::brotli::Brotli;
use super::gzip::Gzip;
use super::zst::Zstd;
use crate::observe::memory::{Memory, Share};

/// The decoder of one coding.
pub(super) enum Codec {
    Brotli(Brotli),
    Deflate(Deflate),
    Gzip(Gzip),
    Zstd(Zstd),
}

/// What one step consumed and produced. Neither means: the data have ended, or more input is
/// needed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) read: usize,
    pub(super) written: usize,
}

impl Codec {
    pub(super) fn new(name: &str, memory: &Memory) -> Result<Self, CodingError> {
        match name {
            "br" => Ok(Self::Brotli(Brotli::new(memory))),
            "deflate" => Ok(Self::Deflate(Deflate::new(memory))),
            "gzip" | "x-gzip" => Ok(Self::Gzip(Gzip::new(memory))),
            "zstd" => Ok(Self::Zstd(Zstd::new(memory))),
            _ => Err(CodingError::Unsupported),
        }
    }

    pub(super) fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, CodingError> {
        match self {
            Self::Brotli(brotli) => brotli.step(input, output),
            Self::Deflate(deflate) => deflate.step(input, output),
            Self::Gzip(gzip) => gzip.step(input, output),
            Self::Zstd(zstd) => zstd.step(input, output),
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        match self {
            Self::Brotli(brotli) => brotli.is_complete(),
            Self::Deflate(deflate) => matches!(deflate.stream, Stream::Ended),
            Self::Gzip(gzip) => gzip.is_complete(),
            Self::Zstd(zstd) => zstd.is_complete(),
        }
    }

    /// Lets the window go where nothing is under way: more data may follow, and often none do.
    pub(super) fn rest(&mut self) {
        match self {
            // What follows their end is damage.
            Self::Brotli(_) | Self::Deflate(_) => {}
            Self::Gzip(gzip) => gzip.rest(),
            Self::Zstd(zstd) => zstd.rest(),
        }
    }
}

/// One step of a deflate stream, and whether it was the last one.
pub(super) fn inflate(
    stream: &mut Decompress,
    input: &[u8],
    output: &mut [u8],
) -> Result<(Step, bool), CodingError> {
    let (read, written) = (stream.total_in(), stream.total_out());
    let status = stream
        .decompress(input, output, FlushDecompress::None)
        .map_err(|_| CodingError::Damaged)?;
    let passed = |after: u64, before: u64| usize::try_from(after - before).unwrap_or(usize::MAX);
    let step = Step {
        read: passed(stream.total_in(), read),
        written: passed(stream.total_out(), written),
    };
    Ok((step, status == Status::StreamEnd))
}

/// `deflate` is a zlib stream (RFC 9110 section 8.4.1.2), but some servers send it raw: the first
/// two bytes tell.
pub(super) struct Deflate {
    stream: Stream,
    share: Share,
}

enum Stream {
    /// The first byte, once it has come.
    Unknown(Option<u8>),
    Known(Decompress),
    Ended,
}

impl Deflate {
    fn new(memory: &Memory) -> Self {
        Self {
            stream: Stream::Unknown(None),
            share: memory.share(),
        }
    }

    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, CodingError> {
        match (&mut self.stream, input) {
            (Stream::Ended, _) | (Stream::Unknown(_), []) => Ok(Step::default()),
            (Stream::Known(stream), _) => {
                let (step, last) = inflate(stream, input, output)?;
                if last {
                    self.stream = Stream::Ended;
                    self.share.release();
                }
                Ok(step)
            }
            (Stream::Unknown(first @ None), [byte, ..]) => {
                *first = Some(*byte);
                Ok(Step {
                    read: 1,
                    written: 0,
                })
            }
            (Stream::Unknown(Some(first)), [second, ..]) => {
                let first = *first;
                self.share
                    .cover(INFLATE_BYTES)
                    .map_err(|_| CodingError::Memory)?;
                let mut stream = Decompress::new(is_zlib_header(first, *second));
                // One byte holds no whole symbol, so nothing comes out of it yet.
                inflate(&mut stream, &[first], output)?;
                self.stream = Stream::Known(stream);
                self.step(input, output)
            }
        }
    }
}

/// RFC 1950 section 2.2: method 8, and the two bytes divisible by 31.
fn is_zlib_header(first: u8, second: u8) -> bool {
    first & 0x0f == 8 && u16::from_be_bytes([first, second]).is_multiple_of(31)
}

/// What it takes to inflate: a window of 32 KiB, and tables.
pub(super) const INFLATE_BYTES: usize = 48 << 10;
