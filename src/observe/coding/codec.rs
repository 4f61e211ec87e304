//! One content coding as a step function: some bytes in, some bytes out, nothing kept but the coding's own window.

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use flate2::{Decompress, FlushDecompress, Status};
use zstd::stream::raw::{DParameter, Operation as _};

use super::CodingError;
use super::gzip::Gzip;

/// The decoder of one coding.
pub(super) enum Codec {
    Brotli(Box<Brotli>),
    Deflate(Deflate),
    Gzip(Gzip),
    Zstd(Zstd),
}

/// What one step consumed and produced. Neither means: the data have ended, or more input is needed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) read: usize,
    pub(super) written: usize,
}

impl Codec {
    pub(super) fn new(name: &str) -> Result<Self, CodingError> {
        match name {
            "br" => Ok(Self::Brotli(Box::new(Brotli::new()))),
            "deflate" => Ok(Self::Deflate(Deflate::Unknown(None))),
            "gzip" | "x-gzip" => Ok(Self::Gzip(Gzip::new())),
            "zstd" => Zstd::new().map(Self::Zstd),
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
            Self::Brotli(brotli) => brotli.ended,
            Self::Deflate(deflate) => matches!(deflate, Deflate::Known { ended: true, .. }),
            Self::Gzip(gzip) => gzip.is_complete(),
            Self::Zstd(zstd) => zstd.between_frames,
        }
    }
}

/// One step of a deflate stream, and whether it was the last one.
pub(super) fn inflate(stream: &mut Decompress, input: &[u8], output: &mut [u8]) -> Result<(Step, bool), CodingError> {
    let (read, written) = (stream.total_in(), stream.total_out());
    let status = stream.decompress(input, output, FlushDecompress::None).map_err(|_| CodingError::Damaged)?;
    let passed = |after: u64, before: u64| usize::try_from(after - before).unwrap_or(usize::MAX);
    let step = Step { read: passed(stream.total_in(), read), written: passed(stream.total_out(), written) };
    Ok((step, status == Status::StreamEnd))
}

/// `deflate` is a zlib stream (RFC 9110 section 8.4.1.2), but some servers send it raw: the first two bytes tell.
pub(super) enum Deflate {
    Known { stream: Decompress, ended: bool },
    Unknown(Option<u8>),
}

impl Deflate {
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, CodingError> {
        match (&mut *self, input) {
            (Self::Known { ended: true, .. }, _) | (Self::Unknown(_), []) => Ok(Step::default()),
            (Self::Known { stream, ended }, _) => {
                let (step, last) = inflate(stream, input, output)?;
                *ended = last;
                Ok(step)
            }
            (Self::Unknown(first @ None), [byte, ..]) => {
                *first = Some(*byte);
                Ok(Step { read: 1, written: 0 })
            }
            (Self::Unknown(Some(first)), [second, ..]) => {
                let first = *first;
                let mut stream = Decompress::new(is_zlib_header(first, *second));
                // One byte holds no whole symbol, so nothing comes out of it yet.
                inflate(&mut stream, &[first], output)?;
                *self = Self::Known { stream, ended: false };
                self.step(input, output)
            }
        }
    }
}

/// RFC 1950 section 2.2: method 8, and the two bytes divisible by 31.
fn is_zlib_header(first: u8, second: u8) -> bool {
    first & 0x0f == 8 && u16::from_be_bytes([first, second]).is_multiple_of(31)
}

/// The window of a `br` body is at most 16 MiB (RFC 7932 section 9.1; large windows are refused).
pub(super) struct Brotli {
    state: BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>,
    ended: bool,
}

impl Brotli {
    fn new() -> Self {
        let alloc = StandardAlloc::default;
        Self { state: BrotliState::new_strict(alloc(), alloc(), alloc()), ended: false }
    }

    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, CodingError> {
        if self.ended {
            return Ok(Step::default());
        }
        let (mut left_in, mut left_out, mut total) = (input.len(), output.len(), 0);
        let mut step = Step::default();
        let Step { read, written } = &mut step;
        let state = &mut self.state;
        let result =
            BrotliDecompressStream(&mut left_in, read, input, &mut left_out, written, output, &mut total, state);
        match result {
            BrotliResult::ResultFailure => return Err(CodingError::Damaged),
            BrotliResult::ResultSuccess => self.ended = true,
            BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => {}
        }
        Ok(step)
    }
}

/// Concatenated frames, each with a window of at most 8 MiB (RFC 9659).
pub(super) struct Zstd {
    stream: zstd::stream::raw::Decoder<'static>,
    between_frames: bool,
}

impl Zstd {
    const WINDOW_LOG_MAX: u32 = 23;

    fn new() -> Result<Self, CodingError> {
        // Both fail only for want of memory, or when the linked library is not the one that was compiled.
        let mut stream = zstd::stream::raw::Decoder::new().map_err(|_| CodingError::Unsupported)?;
        let window = DParameter::WindowLogMax(Self::WINDOW_LOG_MAX);
        stream.set_parameter(window).map_err(|_| CodingError::Unsupported)?;
        Ok(Self { stream, between_frames: true })
    }

    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, CodingError> {
        // Between frames an empty input would count as the beginning of the next one.
        if input.is_empty() && self.between_frames {
            return Ok(Step::default());
        }
        let status = self.stream.run_on_buffers(input, output).map_err(|_| CodingError::Damaged)?;
        self.between_frames = status.remaining == 0;
        Ok(Step { read: status.bytes_read, written: status.bytes_written })
    }
}
