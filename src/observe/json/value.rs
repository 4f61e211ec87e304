//! What the reader of JSON hands out: values, and how far a document has been read.

/// A value at a listed path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// An array begins.
    Array,
    /// `true` or `false`.
    Bool(bool),
    /// The array or object ends.
    End,
    /// The key of a member that a `*` stands for; its value follows under the same tag.
    Key(&'a str),
    /// `null`.
    Null,
    /// A number as it stands in the document.
    Number(&'a str),
    /// An object begins.
    Object,
    /// A string.
    String {
        /// Its decoded text: at most [`super::MAX_TEXT_BYTES`], up to the first byte that is not UTF-8.
        text: &'a str,
        /// Whether it goes on beyond `text`.
        cut: bool,
    },
}

/// How far a document has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It is whole; only white space may follow.
    Complete,
    /// More bytes are needed.
    Incomplete,
    /// It is not JSON, or nested deeper than [`super::MAX_DEPTH`]. Final.
    Malformed,
}
