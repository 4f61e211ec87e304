//! The coding `br` (RFC 7932), with every buffer of the decoder taken out of the budget of memory.

use std::mem::size_of;

use brotli_decompressor::{
    Allocator, BrotliDecoderErrorCode, BrotliDecompressStream, BrotliResult, BrotliState,
    SliceWrapper, SliceWrapperMut,
};

use super::CodingError;
use super::codec::Step;
use crate::observe::memory::{Memory, Share};

/// Decodes one `br` stream. Large windows (beyond 16 MiB) are refused.
pub(super) struct Brotli {
    stream: Stream,
    meter: Meter,
}

enum Stream {
    /// No byte has come yet.
    Before,
    Open(Box<State>),
    Ended,
}

type State = BrotliState<Meter, Meter, Meter>;

impl Brotli {
    pub(super) fn new(memory: &Memory) -> Self {
        Self {
            stream: Stream::Before,
            meter: Meter(memory.clone()),
        }
    }

    pub(super) fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, CodingError> {
        if matches!(self.stream, Stream::Before) && !input.is_empty() {
            let meter = || self.meter.clone();
            self.stream = Stream::Open(Box::new(State::new_strict(meter(), meter(), meter())));
        }
        let Stream::Open(state) = &mut self.stream else {
            return Ok(Step::default());
        };
        let (mut left_in, mut left_out, mut total) = (input.len(), output.len(), 0);
        let mut step = Step::default();
        let Step { read, written } = &mut step;
        let result = BrotliDecompressStream(
            &mut left_in,
            read,
            input,
            &mut left_out,
            written,
            output,
            &mut total,
            state,
        );
        match result {
            BrotliResult::ResultFailure if is_out_of_memory(state.error_code) => {
                return Err(CodingError::Memory);
            }
            BrotliResult::ResultFailure => return Err(CodingError::Damaged),
            BrotliResult::ResultSuccess => self.stream = Stream::Ended,
            BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => {}
        }
        Ok(step)
    }

    pub(super) fn is_complete(&self) -> bool {
        matches!(self.stream, Stream::Ended)
    }
}

fn is_out_of_memory(error: BrotliDecoderErrorCode) -> bool {
    use BrotliDecoderErrorCode as Code;
    matches!(
        error,
        Code::BROTLI_DECODER_ERROR_ALLOC_BLOCK_TYPE_TREES
            | Code::BROTLI_DECODER_ERROR_ALLOC_CONTEXT_MAP
            | Code::BROTLI_DECODER_ERROR_ALLOC_CONTEXT_MODES
            | Code::BROTLI_DECODER_ERROR_ALLOC_RING_BUFFER_1
            | Code::BROTLI_DECODER_ERROR_ALLOC_RING_BUFFER_2
            | Code::BROTLI_DECODER_ERROR_ALLOC_TREE_GROUPS
    )
}

/// Allocates what the budget has room for; the decoder takes an empty buffer for a failure, and
/// gives up.
#[derive(Clone)]
struct Meter(Memory);

/// A buffer of the decoder and its share of the budget.
struct Buffer<T> {
    items: Box<[T]>,
    /// None of an empty buffer.
    _share: Option<Share>,
}

impl<T: Clone + Default> Allocator<T> for Meter {
    type AllocatedMemory = Buffer<T>;

    fn alloc_cell(&mut self, length: usize) -> Buffer<T> {
        let mut share = self.0.share();
        let bytes = length.saturating_mul(size_of::<T>());
        if bytes > MAX_BUFFER_BYTES || share.cover(bytes).is_err() {
            return Buffer::default();
        }
        Buffer {
            items: vec![T::default(); length].into(),
            _share: Some(share),
        }
    }

    fn free_cell(&mut self, _: Buffer<T>) {}
}

impl<T> Default for Buffer<T> {
    fn default() -> Self {
        Self {
            items: Box::default(),
            _share: None,
        }
    }
}

impl<T> SliceWrapper<T> for Buffer<T> {
    fn slice(&self) -> &[T] {
        &self.items
    }
}

impl<T> SliceWrapperMut<T> for Buffer<T> {
    fn slice_mut(&mut self) -> &mut [T] {
        &mut self.items
    }
}

/// The window grows with what is in it, by doubling, and servers announce windows of 256 KiB to 4
/// MiB (18 in Apache, 22 in Node.js and in most libraries). One that has to grow beyond 4 MiB is
/// refused; the rest is the slack behind it.
const MAX_BUFFER_BYTES: usize = (4 << 20) + (64 << 10);
