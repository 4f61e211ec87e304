//! The codings of one body, one inside of the other: coded bytes in, plain bytes out, never more at a
//! time than there is room for.

use super::codec::{Codec, Step};
use super::limit::{MAX_STEP, Room};
use super::{Budget, CodingError};
use crate::observe::memory::{Memory, Share};

/// One coding of a body.
pub(super) struct Layer {
    codec: Codec,
    /// What the coding around this one has given out, and this one has not read. The outermost one
    /// reads the body itself.
    waiting: Waiting,
}

/// Bytes between two layers.
struct Waiting {
    /// Empty while nothing waits.
    buffer: Box<[u8]>,
    from: usize,
    to: usize,
    /// Why nothing follows those that wait.
    failed: Option<CodingError>,
    share: Share,
}

impl Layer {
    pub(super) fn new(coding: &str, memory: &Memory) -> Result<Self, CodingError> {
        Ok(Self {
            codec: Codec::new(coding, memory)?,
            waiting: Waiting::new(memory.share()),
        })
    }

    pub(super) fn is_complete(&self) -> bool {
        self.codec.is_complete()
    }

    /// Gives memory back where nothing is in progress: more data may follow, and often none do.
    pub(super) fn rest(&mut self) {
        self.codec.rest();
        self.waiting.release();
    }
}

/// Takes coded bytes from the front of `input` and writes plain ones to the room, until either is
/// used up; `layers` are in the order outermost first. If the room is full, there may be more to
/// come, even when `input` is empty. What is written counts also before an error.
pub(super) fn unpack(
    layers: &mut [Layer],
    budget: &mut Budget,
    input: &mut &[u8],
    room: &mut Room<'_>,
) -> Result<(), CodingError> {
    let Some((Layer { codec, waiting }, outer)) = layers.split_last_mut() else {
        return Ok(());
    };
    while !room.is_full() {
        let source = if outer.is_empty() {
            *input
        } else {
            waiting.bytes()
        };
        let is_empty = source.is_empty();
        let step = codec.step(source, room.free())?;
        if outer.is_empty() {
            let all = *input;
            *input = all.get(step.read..).unwrap_or_default();
        } else {
            waiting.from += step.read;
        }
        budget.spend(step.written)?;
        room.fill(step.written);
        // A codec may keep output back although there is room for it: only a step that does nothing
        // shows that there is none.
        match (step == Step::default(), is_empty) {
            (false, _) => {}
            (true, false) => return Err(CodingError::Damaged),
            (true, true) if outer.is_empty() => break,
            (true, true) => {
                if !waiting.refill(outer, budget, input)? {
                    break;
                }
            }
        }
    }
    Ok(())
}

impl Waiting {
    fn new(share: Share) -> Self {
        Self {
            buffer: Box::default(),
            from: 0,
            to: 0,
            failed: None,
            share,
        }
    }

    fn bytes(&self) -> &[u8] {
        self.buffer.get(self.from..self.to).unwrap_or_default()
    }

    /// Takes what the outer layers give out. False when there is nothing.
    fn refill(
        &mut self,
        outer: &mut [Layer],
        budget: &mut Budget,
        input: &mut &[u8],
    ) -> Result<bool, CodingError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if self.buffer.is_empty() {
            self.share
                .cover(MAX_STEP)
                .map_err(|_| CodingError::Memory)?;
            self.buffer = vec![0; MAX_STEP].into();
        }
        let mut room = Room::new(&mut self.buffer);
        let unpacked = unpack(outer, budget, input, &mut room);
        (self.from, self.to) = (0, room.filled());
        match unpacked {
            Err(error) if self.to == 0 => Err(error),
            unpacked => {
                self.failed = unpacked.err();
                Ok(self.to > 0)
            }
        }
    }

    fn release(&mut self) {
        self.buffer = Box::default();
        (self.from, self.to) = (0, 0);
        self.share.release();
    }
}
