//! The gzip file format (RFC 1952): members one after another, each a header, a deflate stream, a
//! checksum and a length.

use flate2::{Crc, Decompress};

use super::CodingError;
use super::codec::{INFLATE_BYTES, Step, inflate};
use crate::observe::memory::{Memory, Share};

/// Reads concatenated gzip members.
pub(super) struct Gzip {
    part: Part,
    /// Optional header fields that are still to come.
    flags: u8,
    /// None until there are data to inflate.
    stream: Option<Decompress>,
    share: Share,
    /// Checksum and length of the member so far.
    sum: Crc,
}

/// What the next byte belongs to.
enum Part {
    /// The fixed start of the header, so many bytes in.
    Fixed(usize),
    ExtraLength,
    /// The second byte of the length, after the given low one.
    ExtraLengthHigh(u8),
    /// This many more bytes.
    Extra(u16),
    /// File name or comment, up to a zero byte.
    Text,
    /// This many more bytes. A checksum of the header alone protects no figure.
    HeaderCrc(u8),
    Data,
    Trailer(usize, [u8; 8]),
}

impl Gzip {
    pub(super) fn new(memory: &Memory) -> Self {
        Self {
            part: Part::Fixed(0),
            flags: 0,
            stream: None,
            share: memory.share(),
            sum: Crc::new(),
        }
    }

    /// Whether the last byte read was the last one of a member.
    pub(super) fn is_complete(&self) -> bool {
        matches!(self.part, Part::Fixed(0))
    }

    /// Lets the window go between members.
    pub(super) fn rest(&mut self) {
        if self.is_complete() && self.stream.take().is_some() {
            self.share.release();
        }
    }

    pub(super) fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, CodingError> {
        let mut read = 0;
        for byte in input {
            if matches!(self.part, Part::Data) {
                break;
            }
            self.frame_byte(*byte)?;
            read += 1;
        }
        let is_before_data = self.stream.is_none() && input.is_empty();
        if read > 0 || is_before_data || !matches!(self.part, Part::Data) {
            return Ok(Step { read, written: 0 });
        }
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => {
                self.share
                    .cover(INFLATE_BYTES)
                    .map_err(|_| CodingError::Memory)?;
                self.stream.insert(Decompress::new(false))
            }
        };
        let (step, ended) = inflate(stream, input, output)?;
        self.sum
            .update(output.get(..step.written).unwrap_or_default());
        if ended {
            self.part = Part::Trailer(0, [0; 8]);
            // The end can be found without a byte of input or output, which is progress all the same.
            if step == Step::default() {
                return self.step(input, output);
            }
        }
        Ok(step)
    }

    /// One byte of a header or a trailer.
    fn frame_byte(&mut self, byte: u8) -> Result<(), CodingError> {
        self.part = match self.part {
            Part::Fixed(at) => self.fixed_byte(at, byte)?,
            Part::ExtraLength => Part::ExtraLengthHigh(byte),
            Part::ExtraLengthHigh(low) => match u16::from_le_bytes([low, byte]) {
                0 => self.next_field(),
                length => Part::Extra(length),
            },
            Part::Extra(1) | Part::HeaderCrc(1) => self.next_field(),
            Part::Extra(left) => Part::Extra(left - 1),
            Part::HeaderCrc(left) => Part::HeaderCrc(left - 1),
            Part::Text if byte == 0 => self.next_field(),
            Part::Text => Part::Text,
            Part::Data => Part::Data,
            Part::Trailer(at, bytes) => self.trailer_byte(at, bytes, byte)?,
        };
        Ok(())
    }

    fn fixed_byte(&mut self, at: usize, byte: u8) -> Result<Part, CodingError> {
        if FIXED.get(at).is_some_and(|expected| *expected != byte) {
            return Err(CodingError::Damaged);
        }
        if at == FLAGS_AT {
            self.flags = byte;
        }
        Ok(if at + 1 == FIXED_LEN {
            self.next_field()
        } else {
            Part::Fixed(at + 1)
        })
    }

    /// The optional fields stand in the order of [`FIELDS`], then come the data.
    fn next_field(&mut self) -> Part {
        let Some(flag) = FIELDS.into_iter().find(|flag| self.flags & flag != 0) else {
            return Part::Data;
        };
        self.flags &= !flag;
        match flag {
            EXTRA => Part::ExtraLength,
            HEADER_CRC => Part::HeaderCrc(2),
            _ => Part::Text,
        }
    }

    fn trailer_byte(
        &mut self,
        at: usize,
        mut bytes: [u8; 8],
        byte: u8,
    ) -> Result<Part, CodingError> {
        if let Some(slot) = bytes.get_mut(at) {
            *slot = byte;
        }
        if at + 1 < bytes.len() {
            return Ok(Part::Trailer(at + 1, bytes));
        }
        let expected = u64::from(self.sum.amount()) << 32 | u64::from(self.sum.sum());
        if u64::from_le_bytes(bytes) != expected {
            return Err(CodingError::Damaged);
        }
        if let Some(stream) = &mut self.stream {
            stream.reset(false);
        }
        self.sum.reset();
        Ok(Part::Fixed(0))
    }
}

/// Two magic bytes and the only method there is, deflate.
const FIXED: [u8; 3] = [0x1f, 0x8b, 8];
const FLAGS_AT: usize = 3;
const FIXED_LEN: usize = 10;

const HEADER_CRC: u8 = 1 << 1;
const EXTRA: u8 = 1 << 2;
const NAME: u8 = 1 << 3;
const COMMENT: u8 = 1 << 4;
const FIELDS: [u8; 4] = [EXTRA, NAME, COMMENT, HEADER_CRC];
