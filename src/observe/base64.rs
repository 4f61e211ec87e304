//! Base64 (RFC 4648 section 4): text in any chunks in, the bytes that it stands for out.
//!
//! Constant memory: what is decoded is lent in pieces and never collected. Padding may be left out,
//! as some encoders do; white space may not stand anywhere.

use base64_simd::{Out, STANDARD_NO_PAD};

/// Decodes one text.
#[derive(Debug, Clone, Copy, Default)]
pub struct Base64 {
    /// The bits that make no byte yet, in the lowest places.
    bits: u32,
    /// How many characters of the current group of four have come.
    digits: u8,
    /// How many `=` have come.
    padding: u8,
}

/// The text is no Base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotBase64;

impl Base64 {
    /// Decodes the next characters and lends the bytes to `out`.
    ///
    /// # Errors
    /// [`NotBase64`] when a character is none of the alphabet, or follows the padding. What was lent
    /// before it may mean nothing.
    pub fn feed(&mut self, text: &[u8], out: &mut impl FnMut(&[u8])) -> Result<(), NotBase64> {
        for run in text.chunks(RUN) {
            let mut bytes = [0; RUN];
            let (mut length, rest) = self.whole_groups(run, &mut bytes);
            for digit in rest {
                if let (Some(byte), Some(free)) = (self.digit(*digit)?, bytes.get_mut(length)) {
                    *free = byte;
                    length += 1;
                }
            }
            out(bytes.get(..length).unwrap_or_default());
        }
        Ok(())
    }

    /// No more characters follow.
    ///
    /// # Errors
    /// [`NotBase64`] when the last group is not whole.
    pub fn finish(self) -> Result<(), NotBase64> {
        match (self.digits, self.padding) {
            (0 | 2 | 3, 0) | (2, 2) | (3, 1) => Ok(()),
            _ => Err(NotBase64),
        }
    }

    /// Decodes all groups of four characters that are whole, without padding and not the last one.
    /// Returns how many bytes they are and what is left, which is everything where a character is
    /// wrong.
    fn whole_groups<'a>(&self, run: &'a [u8], bytes: &mut [u8; RUN]) -> (usize, &'a [u8]) {
        let is_between_groups = self.digits == 0 && self.padding == 0;
        let groups = run.len().saturating_sub(1) / 4;
        let (whole, rest) = run.split_at(if is_between_groups { 4 * groups } else { 0 });
        match STANDARD_NO_PAD.decode(whole, Out::from_slice(bytes)) {
            Ok(decoded) => (decoded.len(), rest),
            Err(_) => (0, run),
        }
    }

    /// Takes a character. Returns the byte that it completes.
    fn digit(&mut self, digit: u8) -> Result<Option<u8>, NotBase64> {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' if self.digits >= 2 && self.digits + self.padding < 4 => {
                self.padding += 1;
                return Ok(None);
            }
            _ => return Err(NotBase64),
        };
        if self.padding > 0 {
            return Err(NotBase64);
        }
        self.bits = (self.bits << 6) | u32::from(value);
        // Of 6, 12, 18 and 24 bits the first makes no byte yet, the others one each.
        let spare = [6, 4, 2, 0].get(usize::from(self.digits)).copied();
        self.digits = (self.digits + 1) % 4;
        let (Some(spare), true) = (spare, self.digits != 1) else {
            return Ok(None);
        };
        let [.., byte] = (self.bits >> spare).to_be_bytes();
        self.bits &= (1 << spare) - 1;
        Ok(Some(byte))
    }
}

/// How many characters are decoded before their bytes are passed on: more than most events have,
/// since one that comes in one piece is read fastest.
const RUN: usize = 1024;

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::alphabet::STANDARD;
    use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
    use proptest::prelude::*;

    use super::*;

    fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Option<Vec<u8>> {
        let (mut base64, mut bytes) = (Base64::default(), Vec::new());
        for piece in pieces {
            base64
                .feed(piece, &mut |part: &[u8]| bytes.extend_from_slice(part))
                .ok()?;
        }
        base64.finish().ok()?;
        Some(bytes)
    }

    fn reference(text: &[u8]) -> Option<Vec<u8>> {
        let config = GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true);
        GeneralPurpose::new(&STANDARD, config).decode(text).ok()
    }

    #[test]
    fn the_vectors_of_the_specification_are_read() {
        for (text, bytes) in [
            ("", ""),
            ("Zg==", "f"),
            ("Zm8=", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYg==", "foob"),
            ("Zm9vYmE=", "fooba"),
            ("Zm9vYmFy", "foobar"),
            ("Zm8", "fo"),
        ] {
            assert_eq!(
                decode([text.as_bytes()]),
                Some(bytes.as_bytes().to_vec()),
                "{text}"
            );
        }
        for bad in [
            "Z", "Zg=", "Zg===", "=", "Z===", "Zm9v=", "Zg==Zg==", "Z g=", "Zm-_",
        ] {
            assert_eq!(decode([bad.as_bytes()]), None, "{bad}");
        }
    }

    proptest! {
        #![proptest_config(crate::seeds::usual())]

        #[test]
        fn any_chunking_gives_what_the_whole_text_says(text in "[A-Za-z0-9+/]{0,600}={0,2}", size in 1..9usize) {
            let whole = decode([text.as_bytes()]);
            prop_assert_eq!(&decode(text.as_bytes().chunks(size)), &whole);
            // A lone `=` of two is what the crate takes and the specification does not.
            if text.len() % 4 == 0 || !text.ends_with('=') {
                prop_assert_eq!(whole, reference(text.as_bytes()));
            }
        }
    }
}
