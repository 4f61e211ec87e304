//! The strings and numbers of a document: where they stand, and what is inside.

use memchr::{memchr, memchr2};

use super::number::Number;
use super::text::{Complete, Escape, Text};

/// A number, or the inside of a string.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scalar {
    pub(super) kind: ScalarKind,
    /// Offset of its first byte in the document.
    pub(super) start: usize,
    /// Offset of the byte behind it.
    pub(super) end: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ScalarKind {
    Number,
    String,
}

impl Scalar {
    /// Reads the scalar of a kind that begins there. None when there is none or a string goes on
    /// beyond the document; the text is for use in between.
    pub(super) fn read(
        kind: ScalarKind,
        document: &[u8],
        start: usize,
        text: &mut Text,
    ) -> Option<Self> {
        let bytes = document.get(start..)?;
        let length = match kind {
            ScalarKind::Number => {
                let (number, more) = Number::first(*bytes.first()?)?.run(bytes.get(1..)?);
                number.is_whole().then_some(1 + more)?
            }
            ScalarKind::String => {
                text.begin(false);
                read_string(bytes, text)?
            }
        };
        Some(Self {
            kind,
            start,
            end: start + length,
        })
    }

    pub(super) fn is_string(&self) -> bool {
        self.kind == ScalarKind::String
    }

    /// In bytes.
    pub(super) fn length(&self) -> usize {
        self.end - self.start
    }

    /// Its bytes.
    pub(super) fn of<'a>(&self, document: &'a [u8]) -> Option<&'a [u8]> {
        document.get(self.start..self.end)
    }
}

/// The scalars of a document that is complete, but no keys.
pub(super) fn scalars(document: &[u8]) -> impl Iterator<Item = Scalar> {
    let mut text = Text::default();
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let begins = |byte: &u8| *byte == b'"' || Number::first(*byte).is_some();
            let first = at + document.get(at..)?.iter().position(begins)?;
            let (kind, quotes) = if document.get(first) == Some(&b'"') {
                (ScalarKind::String, 1)
            } else {
                (ScalarKind::Number, 0)
            };
            let scalar = Scalar::read(kind, document, first + quotes, &mut text)?;
            at = scalar.end + quotes;
            let is_key =
                scalar.is_string() && document.get(at..)?.trim_ascii_start().first() == Some(&b':');
            if !is_key {
                return Some(scalar);
            }
        }
    })
}

/// The text of a string with this inside.
pub(super) fn decode<'a>(inside: &'a [u8], text: &'a mut Text) -> Complete<'a> {
    text.begin(true);
    if memchr(b'\\', inside).is_none() {
        return text.complete(inside);
    }
    read_string(inside, text);
    text.complete(b"")
}

/// Reads the inside of a string into a text, and returns its length; None when no quote ends it or
/// an escape is wrong.
fn read_string(bytes: &[u8], text: &mut Text) -> Option<usize> {
    let mut at = 0;
    loop {
        let rest = bytes.get(at..)?;
        let run = memchr2(b'"', b'\\', rest);
        text.push(rest.get(..run.unwrap_or(rest.len()))?);
        at += run?;
        if bytes.get(at) == Some(&b'"') {
            return Some(at);
        }
        let mut escape = Some(Escape::Start);
        while let Some(state) = escape {
            at += 1;
            escape = state.next(*bytes.get(at)?, text).ok()?;
        }
        at += 1;
    }
}
