//! The text of the key, string or number being read: decoded, bounded, and only when it is wanted.

use super::MAX_TEXT_BYTES;

/// The first [`MAX_TEXT_BYTES`] of a text.
#[derive(Default)]
pub(super) struct Text {
    /// Takes no room before the first wanted text: of many bodies, no byte ever comes.
    bytes: Vec<u8>,
    /// Bytes were left out at the end.
    cut: bool,
    wanted: bool,
    /// The first half of a surrogate pair, whose second half should follow.
    high: Option<u16>,
}

impl Text {
    /// Begins another text; one that is not wanted stays empty.
    pub(super) fn begin(&mut self, wanted: bool) {
        self.bytes.clear();
        (self.cut, self.wanted, self.high) = (false, wanted, None);
    }

    pub(super) fn push(&mut self, more: &[u8]) {
        if !self.wanted || more.is_empty() {
            return;
        }
        self.end();
        let free = MAX_TEXT_BYTES.saturating_sub(self.bytes.len());
        let fits = more.get(..free).unwrap_or(more);
        self.bytes.extend_from_slice(fits);
        self.cut |= fits.len() < more.len();
    }

    /// The text with its last run. A text that is a single run, as nearly all are, is borrowed from
    /// the input.
    pub(super) fn complete<'a>(&'a mut self, run: &'a [u8]) -> Complete<'a> {
        let is_single = self.bytes.is_empty() && self.high.is_none();
        if is_single && !self.wanted {
            return Complete {
                bytes: b"",
                cut: false,
            };
        }
        if is_single && run.len() <= MAX_TEXT_BYTES {
            return Complete {
                bytes: run,
                cut: false,
            };
        }
        self.push(run);
        self.end();
        Complete {
            bytes: &self.bytes,
            cut: self.cut,
        }
    }

    /// Nothing follows that could complete a surrogate pair. A lone half becomes U+FFFD.
    fn end(&mut self) {
        if self.high.take().is_some() {
            self.push_char(char::REPLACEMENT_CHARACTER);
        }
    }

    /// The bytes that stay until the next text.
    #[cfg(test)]
    pub(super) fn kept(&self) -> &[u8] {
        &self.bytes
    }

    fn push_char(&mut self, char: char) {
        self.push(char.encode_utf8(&mut [0; 4]).as_bytes());
    }

    /// One `\u` escape.
    fn push_utf16(&mut self, unit: u16) {
        let high = self.high.take();
        if let (Some(high), 0xdc00..=0xdfff) = (high, unit) {
            let code = 0x1_0000 + ((u32::from(high) - 0xd800) << 10) + (u32::from(unit) - 0xdc00);
            return self.push_char(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        if high.is_some() {
            self.push_char(char::REPLACEMENT_CHARACTER);
        }
        match unit {
            0xd800..=0xdbff => self.high = Some(unit),
            _ => self.push_char(char::from_u32(unit.into()).unwrap_or(char::REPLACEMENT_CHARACTER)),
        }
    }
}

/// A text that has ended.
pub(super) struct Complete<'a> {
    bytes: &'a [u8],
    cut: bool,
}

impl<'a> Complete<'a> {
    /// The text up to the first byte that is not UTF-8, and whether it should go on.
    pub(super) fn as_str(&self) -> (&'a str, bool) {
        let valid = std::str::from_utf8(self.bytes).unwrap_or_else(|_| {
            self.bytes
                .utf8_chunks()
                .next()
                .map_or("", |chunk| chunk.valid())
        });
        (valid, self.cut || valid.len() < self.bytes.len())
    }

    /// All of the text's bytes, if they were kept.
    pub(super) fn all_bytes(&self) -> Option<&'a [u8]> {
        (!self.cut).then_some(self.bytes)
    }
}

/// How far an escape has been read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Escape {
    /// After the backslash.
    Start,
    /// After `\u` and so many hexadecimal digits.
    Unit { digits: u8, unit: u16 },
}

/// The byte continues no escape.
#[derive(Debug, Clone, Copy)]
pub(super) struct InvalidEscape;

impl Escape {
    /// Reads one more byte; when it ends the escape, what the escape stands for goes to the text.
    pub(super) fn next(self, byte: u8, text: &mut Text) -> Result<Option<Self>, InvalidEscape> {
        match self {
            Self::Start => {
                let plain = match byte {
                    b'"' | b'\\' | b'/' => byte,
                    b'b' => 0x08,
                    b'f' => 0x0c,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'u' => return Ok(Some(Self::Unit { digits: 0, unit: 0 })),
                    _ => return Err(InvalidEscape),
                };
                text.push(&[plain]);
                Ok(None)
            }
            Self::Unit { digits, unit } => {
                let digit = char::from(byte)
                    .to_digit(16)
                    .and_then(|digit| u16::try_from(digit).ok())
                    .ok_or(InvalidEscape)?;
                let unit = unit << 4 | digit;
                if digits < 3 {
                    return Ok(Some(Self::Unit {
                        digits: digits + 1,
                        unit,
                    }));
                }
                text.push_utf16(unit);
                Ok(None)
            }
        }
    }
}
