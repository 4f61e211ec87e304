//! Where the reader stands in a document.

use super::number::Number;
use super::paths::NodeId;
use super::text::Escape;
use super::value::Value;

#[derive(Debug, Clone, Copy)]
pub(super) struct Level {
    /// The container's own place, when a path leads to it or through it.
    pub(super) node: Option<NodeId>,
    pub(super) array: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum State {
    /// Before a value; `close` where the array may end instead.
    Value {
        close: bool,
    },
    /// Before a key; `close` where the object may end instead.
    Key {
        close: bool,
    },
    Colon,
    /// After a value.
    After,
    /// Inside a key or a value.
    String {
        key: bool,
        escape: Option<Escape>,
    },
    Number(Number),
    /// Inside a literal, so many bytes in.
    Literal(Literal, usize),
    Malformed,
}

impl State {
    pub(super) const START: Self = Self::Value { close: false };
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Literal {
    False,
    Null,
    True,
}

impl Literal {
    pub(super) fn parts(self) -> (&'static [u8], Value<'static>) {
        match self {
            Self::False => (b"false", Value::Bool(false)),
            Self::Null => (b"null", Value::Null),
            Self::True => (b"true", Value::Bool(true)),
        }
    }
}
