//! Decompression of messages by `permessage-deflate` (RFC 7692 section 7.2.2).

use flate2::{Decompress, FlushDecompress, Status};

use crate::observe::coding::{DecodeLimit, Room, Steps};
use crate::observe::memory::{Memory, Share};
use crate::record::ObserverFailure;

/// Decompresses the messages of one direction.
pub(super) struct Inflater {
    /// `None` until the first message, and between messages where each has a window of its own.
    stream: Option<Decompress>,
    /// One window serves all messages.
    keeps_window: bool,
    share: Share,
    steps: Steps,
}

impl Inflater {
    pub(super) fn new(keeps_window: bool, memory: &Memory) -> Self {
        Self {
            stream: None,
            keeps_window,
            share: memory.share(),
            steps: Steps::default(),
        }
    }

    /// Decompresses the next bytes of a message, until the limit is reached. Returns how many are
    /// read; those that are left must come again.
    pub(super) fn feed(
        &mut self,
        input: &[u8],
        limit: &mut DecodeLimit,
        output: &mut dyn FnMut(&[u8]),
    ) -> Result<usize, ObserverFailure> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => {
                self.share
                    .cover(STREAM_BYTES)
                    .map_err(|_| ObserverFailure::MemoryBudget)?;
                self.stream.insert(Decompress::new(false))
            }
        };
        let decode = |input: &mut &[u8], room: &mut Room<'_>| inflate(stream, input, room);
        self.steps.next(input, limit, decode, output)
    }

    /// The message is complete: its sender has left out the last four bytes. All of it but the last
    /// few symbols has come out before, so that this needs no limit.
    pub(super) fn end_message(
        &mut self,
        output: &mut dyn FnMut(&[u8]),
    ) -> Result<(), ObserverFailure> {
        let mut tail = TAIL.as_slice();
        while !tail.is_empty() {
            let read = self.feed(tail, &mut DecodeLimit::default(), output)?;
            tail = tail.get(read..).unwrap_or_default();
        }
        if !self.keeps_window {
            self.stream = None;
            self.share.release();
        }
        Ok(())
    }
}

/// Takes compressed bytes from the front of `input` and writes plain ones to the room, until either
/// is used up.
fn inflate(
    stream: &mut Decompress,
    input: &mut &[u8],
    room: &mut Room<'_>,
) -> Result<(), ObserverFailure> {
    while !room.is_full() {
        let (read, written) = (stream.total_in(), stream.total_out());
        let status = stream
            .decompress(input, room.free(), FlushDecompress::Sync)
            .map_err(|_| ObserverFailure::DecodeError)?;
        let read = usize::try_from(stream.total_in() - read).unwrap_or(usize::MAX);
        let written = usize::try_from(stream.total_out() - written).unwrap_or(usize::MAX);
        let is_empty = input.is_empty();
        *input = input.get(read..).unwrap_or_default();
        room.fill(written);
        match status {
            // A final block ends the stream, and another one may follow it.
            Status::StreamEnd => stream.reset(false),
            // Output may be kept back although there is room for it: only a step that does nothing
            // shows that there is none.
            _ if read > 0 || written > 0 => {}
            _ if is_empty => break,
            _ => return Err(ObserverFailure::DecodeError),
        }
    }
    Ok(())
}

/// The end of an empty block without compression.
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// What it takes to inflate: a window of 32 KiB, and tables.
const STREAM_BYTES: usize = 48 << 10;
