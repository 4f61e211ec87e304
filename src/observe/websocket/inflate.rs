//! Decompression of messages by `permessage-deflate` (RFC 7692 section 7.2.2).

use flate2::{Decompress, FlushDecompress, Status};

use crate::observe::memory::{Memory, Share};
use crate::record::ObserverFailure;

/// Decompresses the messages of one direction.
pub(super) struct Inflater {
    /// `None` until the first message, and between messages where each has a window of its own.
    stream: Option<Decompress>,
    /// One window serves all messages.
    keeps_window: bool,
    share: Share,
}

impl Inflater {
    pub(super) fn new(keeps_window: bool, memory: &Memory) -> Self {
        Self {
            stream: None,
            keeps_window,
            share: memory.share(),
        }
    }

    /// Decompresses the next bytes of a message.
    pub(super) fn feed(
        &mut self,
        mut input: &[u8],
        mut output: impl FnMut(&[u8]),
    ) -> Result<(), ObserverFailure> {
        if self.stream.is_none() {
            self.share
                .cover(STREAM_BYTES)
                .map_err(|_| ObserverFailure::MemoryBudget)?;
        }
        let stream = self.stream.get_or_insert_with(|| Decompress::new(false));
        let mut buffer = [0; BUFFER_BYTES];
        loop {
            let (read, written) = (stream.total_in(), stream.total_out());
            let status = stream
                .decompress(input, &mut buffer, FlushDecompress::Sync)
                .map_err(|_| ObserverFailure::DecodeError)?;
            let read = usize::try_from(stream.total_in() - read).unwrap_or(usize::MAX);
            let written = usize::try_from(stream.total_out() - written).unwrap_or(usize::MAX);
            input = input.get(read..).unwrap_or_default();
            output(buffer.get(..written).unwrap_or_default());
            match status {
                // A final block ends the stream, and nothing may follow it.
                Status::StreamEnd if input.is_empty() => {
                    stream.reset(false);
                    return Ok(());
                }
                Status::StreamEnd => stream.reset(false),
                _ if written < BUFFER_BYTES && input.is_empty() => return Ok(()),
                _ if written == 0 && read == 0 => return Err(ObserverFailure::DecodeError),
                _ => {}
            }
        }
    }

    /// The message is complete: its sender has left out the last four bytes.
    pub(super) fn end_message(&mut self, output: impl FnMut(&[u8])) -> Result<(), ObserverFailure> {
        self.feed(&TAIL, output)?;
        if !self.keeps_window {
            self.stream = None;
            self.share.release();
        }
        Ok(())
    }
}

/// The end of an empty block without compression.
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// What it takes to inflate: a window of 32 KiB, and tables.
const STREAM_BYTES: usize = 48 << 10;

/// What is lent out at once.
const BUFFER_BYTES: usize = 4 << 10;
