//! What is known of one direction of a connection between two pieces of bytes.

use super::block::Block;
use super::frame::{Frame, FrameKind, Frames};
use super::hpack::Hpack;
use crate::observe::exchange::Listed;
use crate::observe::memory::{Memory, Share};
use crate::record::ObserverFailure;

/// One direction.
pub(super) struct Side {
    pub(super) frames: Frames,
    pub(super) hpack: Hpack,
    /// Whether its first frame has come, which must be SETTINGS.
    greeted: bool,
    /// The header block that is being collected: nothing else may come before it is complete.
    open_block: Option<OpenBlock>,
    /// The SETTINGS entry that is being collected.
    setting: Vec<u8>,
}

/// A header block that is not complete.
struct OpenBlock {
    /// HEADERS or PUSH_PROMISE.
    first: Frame,
    bytes: Vec<u8>,
    share: Share,
}

impl Side {
    pub(super) fn new(frames: Frames, memory: &Memory, listed: Listed) -> Self {
        Self {
            frames,
            hpack: Hpack::new(memory, listed),
            greeted: false,
            open_block: None,
            setting: Vec::new(),
        }
    }

    /// Begins a frame, which may only stand in some places (RFC 9113 sections 3.4 and 6.10). `share`
    /// is the memory for a header block.
    pub(super) fn start(&mut self, frame: Frame, share: Share) -> Result<(), ObserverFailure> {
        let is_expected = match &self.open_block {
            _ if !self.greeted => frame.kind == FrameKind::Settings,
            Some(block) => {
                frame.kind == FrameKind::Continuation && frame.stream == block.first.stream
            }
            None => frame.kind != FrameKind::Continuation,
        };
        if !is_expected {
            return Err(ObserverFailure::Http2Malformed);
        }
        self.greeted = true;
        if matches!(frame.kind, FrameKind::Headers | FrameKind::PushPromise) {
            self.open_block = Some(OpenBlock {
                first: frame,
                bytes: Vec::new(),
                share,
            });
        }
        Ok(())
    }

    /// Whether a header block has begun and is not complete.
    pub(super) fn is_in_block(&self) -> bool {
        self.open_block.is_some()
    }

    /// Decodes the open header block, which is complete, and returns it with its first frame.
    pub(super) fn take_block(&mut self) -> Result<Option<(Frame, Block)>, ObserverFailure> {
        let Some(OpenBlock { first, bytes, .. }) = self.open_block.take() else {
            return Ok(None);
        };
        let block = Block::decode(&mut self.hpack, &bytes)?;
        Ok(Some((first, block)))
    }

    /// Takes a piece of the open header block.
    pub(super) fn fragment(&mut self, piece: &[u8]) -> Result<(), ObserverFailure> {
        let Some(block) = &mut self.open_block else {
            return Ok(());
        };
        if block.bytes.len() + piece.len() > MAX_BLOCK_BYTES {
            return Err(ObserverFailure::Limit);
        }
        block.share.cover(block.bytes.len() + piece.len())?;
        block.bytes.extend_from_slice(piece);
        Ok(())
    }

    /// Takes a byte of a SETTINGS frame. Returns the entry that it completes: identifier and value.
    pub(super) fn setting(&mut self, byte: u8) -> Option<(u16, u32)> {
        self.setting.push(byte);
        let &[i0, i1, v0, v1, v2, v3] = self.setting.as_slice() else {
            return None;
        };
        self.setting.clear();
        Some((
            u16::from_be_bytes([i0, i1]),
            u32::from_be_bytes([v0, v1, v2, v3]),
        ))
    }
}

/// Servers refuse header lists beyond 8 to 64 KiB; an endless row of CONTINUATION is a known attack
/// (CVE-2024-27316 and others).
const MAX_BLOCK_BYTES: usize = 64 * 1024;
