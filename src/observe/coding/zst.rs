//! The coding `zstd` (RFC 8878): frames one after another, each with a window that counts as it is
//! filled.

use std::mem;

use zstd::zstd_safe::zstd_sys::ZSTD_ErrorCode;
use zstd::zstd_safe::{DCtx, DParameter, ErrorCode, InBuffer, OutBuffer, is_error_kind};

use super::CodingError;
use super::codec::Step;
use crate::observe::memory::{Memory, Share};

/// Decodes concatenated frames, each with a window of at most 8 MiB (RFC 9659).
pub(super) struct Zstd {
    /// None before the first byte, and where nothing is under way at the end of what came.
    context: Option<DCtx<'static>>,
    share: Share,
    /// What came out of the frame that is being read, in bytes.
    written: usize,
    between_frames: bool,
}

impl Zstd {
    const WINDOW_LOG_MAX: u32 = 23;

    pub(super) fn new(memory: &Memory) -> Self {
        Self {
            context: None,
            share: memory.share(),
            written: 0,
            between_frames: true,
        }
    }

    pub(super) fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, CodingError> {
        // Between frames an empty input would count as the beginning of the next one.
        if input.is_empty() && self.between_frames {
            return Ok(Step::default());
        }
        let context = match &mut self.context {
            Some(context) => context,
            None => {
                self.share
                    .cover(STATE_BYTES)
                    .map_err(|_| CodingError::Memory)?;
                self.context.insert(Self::open()?)
            }
        };
        let (mut from, mut to) = (InBuffer::around(input), OutBuffer::around(output));
        let left = context
            .decompress_stream(&mut to, &mut from)
            .map_err(reason)?;
        let step = Step {
            read: from.pos(),
            written: to.pos(),
        };
        self.written = self.written.saturating_add(step.written);
        // The window is allocated at once, but takes room only as it is filled.
        let filled = STATE_BYTES
            .saturating_add(self.written)
            .min(context.sizeof());
        self.share.cover(filled).map_err(|_| CodingError::Memory)?;
        self.between_frames = left == 0;
        if self.between_frames {
            self.written = 0;
        }
        Ok(step)
    }

    /// Lets the window go when no frame is under way.
    pub(super) fn rest(&mut self) {
        if self.between_frames && mem::take(&mut self.context).is_some() {
            self.share.release();
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.between_frames
    }

    fn open() -> Result<DCtx<'static>, CodingError> {
        // Fails only when there is no memory.
        let mut context = DCtx::try_create().ok_or(CodingError::Memory)?;
        context
            .set_parameter(DParameter::WindowLogMax(Self::WINDOW_LOG_MAX))
            .map_err(reason)?;
        Ok(context)
    }
}

fn reason(error: ErrorCode) -> CodingError {
    let too_large = ZSTD_ErrorCode::ZSTD_error_frameParameter_windowTooLarge;
    let no_memory = ZSTD_ErrorCode::ZSTD_error_memory_allocation;
    let is_memory = [too_large, no_memory]
        .into_iter()
        .any(|kind| is_error_kind(error, kind));
    if is_memory {
        CodingError::Memory
    } else {
        CodingError::Damaged
    }
}

/// What a frame takes beside its window: tables and literals (160 KiB), and two blocks of at most
/// 128 KiB.
const STATE_BYTES: usize = 416 << 10;
