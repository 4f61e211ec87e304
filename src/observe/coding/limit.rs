//! How much is decompressed before the reader of a connection pauses, and how a decoder pauses.

/// How many more bytes may be decompressed until the reader of a connection returns to the relay,
/// which measures its time and lets other connections run. A few bytes on the wire can unpack to
/// hundreds of kilobytes, a zstd block to 128 KiB, which are then read in several steps.
#[derive(Debug)]
pub(crate) struct DecodeLimit {
    left: usize,
}

impl DecodeLimit {
    /// Whether the reader pauses now.
    pub(crate) fn is_reached(&self) -> bool {
        self.left == 0
    }

    /// As if so much had been decompressed.
    #[cfg(test)]
    pub(crate) fn reach(&mut self) {
        self.left = 0;
    }
}

impl Default for DecodeLimit {
    /// The limit of one step.
    fn default() -> Self {
        Self { left: MAX_STEP }
    }
}

/// Most bytes that are decompressed in one step. As many are at most shown to an observer at once
/// where nothing is compressed, and the slowest ones take some 0.3 ms to read.
pub(super) const MAX_STEP: usize = 4 << 10;

/// Where a decoder writes to.
#[derive(Debug)]
pub(crate) struct Room<'a> {
    bytes: &'a mut [u8],
    filled: usize,
}

impl<'a> Room<'a> {
    pub(crate) fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, filled: 0 }
    }

    /// The part that is not written to yet.
    pub(crate) fn free(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.filled..).unwrap_or_default()
    }

    /// So many bytes more were written.
    pub(crate) fn fill(&mut self, bytes: usize) {
        self.filled += bytes;
    }

    /// How many bytes were written.
    pub(crate) fn filled(&self) -> usize {
        self.filled
    }

    pub(crate) fn is_full(&self) -> bool {
        self.filled >= self.bytes.len()
    }

    fn written(&self) -> &[u8] {
        self.bytes.get(..self.filled).unwrap_or_default()
    }
}

/// Runs a decoder step by step.
///
/// A decoder reads its input ahead, so that it may have more to give out when there is none left.
/// One byte is then reported as unread all the same: whoever has the bytes keeps it, comes again
/// with it, and cannot take a body for complete of which something is still to be decoded.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    /// The first byte that comes is the one that was kept.
    is_first_decoded: bool,
}

impl Steps {
    /// Decodes bytes from the front of `bytes` until the limit is reached, and passes the decoded
    /// ones to `out`. Returns how many are read. `decode` takes them off its input; it stops early
    /// only where the room is full.
    ///
    /// # Errors
    /// That of `decode`. What was decoded before it is passed on.
    pub(crate) fn next<E>(
        &mut self,
        bytes: &[u8],
        limit: &mut DecodeLimit,
        decode: impl FnOnce(&mut &[u8], &mut Room<'_>) -> Result<(), E>,
        out: &mut dyn FnMut(&[u8]),
    ) -> Result<usize, E> {
        if limit.is_reached() {
            return Ok(0);
        }
        let mut scratch = [0; MAX_STEP];
        let mut room = Room::new(scratch.get_mut(..limit.left).unwrap_or_default());
        let mut rest = bytes
            .get(usize::from(self.is_first_decoded)..)
            .unwrap_or_default();
        let decoded = decode(&mut rest, &mut room);
        limit.left -= room.filled();
        if let written @ [_, ..] = room.written() {
            out(written);
        }
        decoded?;
        self.is_first_decoded = room.is_full() && rest.is_empty();
        let read = bytes.len() - rest.len();
        Ok(read.saturating_sub(usize::from(self.is_first_decoded)))
    }
}
