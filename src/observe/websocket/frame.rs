//! The frames of one direction (RFC 6455 section 5): bytes in, the parts of data messages out.

use crate::record::ObserverFailure;

/// Reads frames.
#[derive(Debug, Default)]
pub(super) struct FrameReader {
    /// The header so far; at most 14 bytes.
    header: Vec<u8>,
    /// The frame whose payload is being read.
    frame: Option<Frame>,
    /// A data message has begun and its last frame has not come.
    in_message: bool,
    /// Unmasked payload that is lent out.
    unmasked: Vec<u8>,
}

/// A frame whose header has been read.
#[derive(Debug, Clone, Copy)]
struct Frame {
    kind: Kind,
    is_final: bool,
    mask: Option<[u8; 4]>,
    /// Bytes of the payload that are still to come, and how many have.
    left: u64,
    at: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Close,
    Data,
    /// A ping or a pong.
    Control,
}

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    /// A data message begins.
    Begin {
        /// Its payload is compressed.
        is_compressed: bool,
    },
    /// A piece of its payload.
    Payload(&'a [u8]),
    /// It is complete.
    End,
    /// This end closes the connection.
    Close,
}

impl FrameReader {
    /// The next part, and takes it off the bytes; `None` when they are used up.
    pub(super) fn next<'a>(
        &'a mut self,
        bytes: &mut &[u8],
    ) -> Result<Option<Part<'a>>, ObserverFailure> {
        loop {
            let Some(frame) = &mut self.frame else {
                let Some((&byte, rest)) = bytes.split_first() else {
                    return Ok(None);
                };
                *bytes = rest;
                self.header.push(byte);
                if let Some(begun) = self.begin()? {
                    return Ok(Some(begun));
                }
                continue;
            };
            if frame.left == 0 {
                let Frame { kind, is_final, .. } = *frame;
                self.frame = None;
                match kind {
                    Kind::Close => return Ok(Some(Part::Close)),
                    Kind::Data if is_final => {
                        self.in_message = false;
                        return Ok(Some(Part::End));
                    }
                    Kind::Control | Kind::Data => continue,
                }
            }
            if bytes.is_empty() {
                return Ok(None);
            }
            let length = usize::try_from(frame.left).unwrap_or(usize::MAX);
            let (piece, rest) = bytes.split_at(length.min(bytes.len()).min(MAX_PIECE));
            *bytes = rest;
            frame.left -= piece.len() as u64;
            let at = frame.at;
            frame.at = (at + piece.len()) % 4;
            if frame.kind != Kind::Data {
                continue;
            }
            self.unmasked.clear();
            self.unmasked.extend_from_slice(piece);
            if let Some(mask) = frame.mask {
                let mask = mask.iter().cycle().skip(at);
                self.unmasked
                    .iter_mut()
                    .zip(mask)
                    .for_each(|(byte, mask)| *byte ^= mask);
            }
            return Ok(Some(Part::Payload(&self.unmasked)));
        }
    }

    /// The last bytes of the piece of payload that was taken last, which come again.
    pub(super) fn give_back(&mut self, bytes: usize) {
        if let Some(frame) = &mut self.frame {
            frame.left += bytes as u64;
            frame.at = (frame.at + 4 - bytes % 4) % 4;
        }
    }

    /// Begins a frame when its header is complete. Returns the message that begins with it.
    fn begin(&mut self) -> Result<Option<Part<'static>>, ObserverFailure> {
        let [first, second, rest @ ..] = self.header.as_slice() else {
            return Ok(None);
        };
        let length_bytes = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask_bytes = if second & 0x80 == 0 { 0 } else { 4 };
        if rest.len() < length_bytes + mask_bytes {
            return Ok(None);
        }
        let (length, mask) = rest.split_at(length_bytes);
        let length = match length {
            [] => u64::from(second & 0x7f),
            bytes => bytes
                .iter()
                .fold(0, |length, byte| length << 8 | u64::from(*byte)),
        };
        let (is_final, is_compressed, opcode) =
            (first & 0x80 != 0, first & 0x40 != 0, first & 0x0f);
        let kind = match opcode {
            0..=2 => Kind::Data,
            8 => Kind::Close,
            9 | 10 => Kind::Control,
            _ => return Err(ObserverFailure::WebSocketMalformed),
        };
        let is_continuation = opcode == 0;
        let is_valid = match kind {
            Kind::Data => is_continuation == self.in_message && !(is_continuation && is_compressed),
            Kind::Close | Kind::Control => is_final && !is_compressed && length <= 125,
        };
        // The other two reserved bits belong to extensions that nobody agrees on.
        if !is_valid || first & 0x30 != 0 || length > i64::MAX.unsigned_abs() {
            return Err(ObserverFailure::WebSocketMalformed);
        }
        self.frame = Some(Frame {
            kind,
            is_final,
            mask: mask.try_into().ok(),
            left: length,
            at: 0,
        });
        self.header.clear();
        let begins = kind == Kind::Data && !is_continuation;
        self.in_message |= begins;
        Ok(begins.then_some(Part::Begin { is_compressed }))
    }
}

/// The most that is unmasked at once.
const MAX_PIECE: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    /// The payload of a masked frame, read in pieces of `size` of which `unread` bytes come again.
    fn read(frame: &[u8], size: usize, unread: usize) -> Vec<u8> {
        let mut reader = FrameReader::default();
        let (mut rest, mut payload) = (frame, Vec::new());
        let mut is_second_time = false;
        while !rest.is_empty() {
            let given = &rest[..size.min(rest.len())];
            let mut left = given;
            let part = reader.next(&mut left).unwrap();
            let mut taken = given.len() - left.len();
            if let Some(Part::Payload(piece)) = part {
                let back = match is_second_time {
                    true => 0,
                    false => unread.min(piece.len()),
                };
                payload.extend_from_slice(&piece[..piece.len() - back]);
                reader.give_back(back);
                taken -= back;
                is_second_time = !is_second_time;
            }
            rest = &rest[taken..];
        }
        assert_eq!(reader.next(&mut rest), Ok(Some(Part::End)));
        payload
    }

    #[test]
    fn the_mask_goes_on_where_it_was_whatever_comes_again() {
        let plain: Vec<u8> = (0..100).collect();
        let mask = [0x12, 0x34, 0x56, 0x78];
        let masked = plain.iter().zip(mask.iter().cycle());
        let masked = masked.map(|(byte, mask)| byte ^ mask).collect();
        let frame = [vec![0x82, 0x80 | 100], mask.to_vec(), masked].concat();
        for size in (1..12).chain([frame.len()]) {
            for unread in 0..=size {
                assert_eq!(read(&frame, size, unread), plain, "{unread} of {size}");
            }
        }
    }
}
