//! The Huffman code of HPACK (RFC 7541 section 5.2 and appendix B).
//!
//! Coded bytes enter; octets leave one by one, so that a caller that only counts them keeps none.

/// Decodes a string. None when it holds the end symbol, or ends with anything but less than eight
/// bits of its beginning.
pub(super) fn decode(input: &[u8], mut octet: impl FnMut(u8)) -> Option<()> {
    let (mut code, mut length) = (0_u32, 0_usize);
    for byte in input {
        for shift in (0..8).rev() {
            code = (code << 1) | u32::from((byte >> shift) & 1);
            length += 1;
            let row = CODE.rows.get(length)?;
            let Some(offset) = code
                .checked_sub(row.first)
                .filter(|offset| *offset < row.count)
            else {
                continue;
            };
            let symbol = CODE
                .symbols
                .get(usize::from(row.index) + usize::try_from(offset).ok()?)?;
            octet(u8::try_from(*symbol).ok()?);
            (code, length) = (0, 0);
        }
    }
    (length < 8 && code + 1 == 1 << length).then_some(())
}

/// The code, turned around for decoding.
struct Code {
    /// One for each length in bits.
    rows: [Row; MAX_BITS + 1],
    /// The symbols in the order of their codes.
    symbols: [u16; SYMBOLS],
}

/// The codes of one length.
#[derive(Clone, Copy)]
struct Row {
    first: u32,
    count: u32,
    /// Where their symbols begin.
    index: u16,
}

impl Code {
    #[expect(
        clippy::indexing_slicing,
        reason = "runs at compile time, where a bad index is a compile error"
    )]
    const fn canonical() -> Self {
        let mut code = Self {
            rows: [Row {
                first: 0,
                count: 0,
                index: 0,
            }; MAX_BITS + 1],
            symbols: [0; SYMBOLS],
        };
        let (mut bits, mut next, mut index) = (1, 0_u32, 0_u16);
        while bits <= MAX_BITS {
            next <<= 1;
            code.rows[bits] = Row {
                first: next,
                count: 0,
                index,
            };
            let mut symbol = 0_u16;
            while (symbol as usize) < SYMBOLS {
                if LENGTHS[symbol as usize] as usize == bits {
                    code.symbols[index as usize] = symbol;
                    code.rows[bits].count += 1;
                    index += 1;
                    next += 1;
                }
                symbol += 1;
            }
            bits += 1;
        }
        code
    }
}

static CODE: Code = Code::canonical();
const MAX_BITS: usize = 30;
/// All octets, and the end symbol.
const SYMBOLS: usize = 257;

/// The length in bits of the code of each symbol (RFC 7541 appendix B).
#[rustfmt::skip]
const LENGTHS: [u8; SYMBOLS] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn text(coded: &[u8]) -> Option<String> {
        let mut octets = Vec::new();
        decode(coded, |octet| octets.push(octet))?;
        String::from_utf8(octets).ok()
    }

    #[test]
    fn the_examples_of_the_specification_are_decoded() {
        let example = [
            0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff,
        ];
        assert_eq!(text(&example).as_deref(), Some("www.example.com"));
        assert_eq!(
            text(&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf]).as_deref(),
            Some("no-cache")
        );
        assert_eq!(text(&[]).as_deref(), Some(""));
    }

    #[test]
    fn padding_is_the_beginning_of_the_end_symbol_and_shorter_than_a_byte() {
        assert_eq!(text(&[0b0001_1111]).as_deref(), Some("a"));
        assert_eq!(text(&[0b0001_1110]), None);
        assert_eq!(text(&[0b0001_1111, 0xff]), None);
        assert_eq!(text(&[0xff]), None);
        assert_eq!(text(&[0xff, 0xff, 0xff, 0xff]), None);
    }
}
