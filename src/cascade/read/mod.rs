//! JSON of the language server in, in any chunks; what it says of conversations and models out.
//!
//! Replies grow with their conversation (44 MB have been seen), so nothing is buffered: a reader
//! holds the values at its listed paths and skips everything else where it stands, prompts and
//! completions above all. What is not known (values of enums, members, types that are not expected)
//! is passed over; only what breaks the meaning of the rest is an error. No I/O, no clock.

mod agent_state;
mod entries;
mod models;
pub(in crate::cascade) mod names;
mod replies;
mod summaries;
mod table;
#[cfg(test)]
mod tests;
mod trajectory;
mod values;

pub use agent_state::AgentState;
pub use models::{MAX_MODELS, ModelConfig, UserStatus};
pub use replies::{Generations, Steps};
pub use summaries::{MAX_SUMMARIES, Summaries, Summary};

use crate::observe::json::{PathReader, Paths, Status, Value};

/// Reads one JSON document that holds a message of the kind `M`.
pub struct Reader<M: Message> {
    reader: PathReader<M::Field>,
    message: M,
    failure: Option<Malformed>,
}

/// A kind of message of the language server: which paths are read, and what their values mean
/// together.
pub trait Message: Sized {
    /// What a path of the table leads to.
    type Field: Copy + 'static;
    /// What the message says.
    type Content;

    /// The paths that are read.
    fn paths() -> &'static Paths<Self::Field>;

    /// Takes the value at a listed path.
    ///
    /// # Errors
    /// [`Malformed`] when the message cannot be understood any more.
    fn read_value(&mut self, field: Self::Field, value: Value<'_>) -> Result<(), Malformed>;

    /// The document is whole.
    ///
    /// # Errors
    /// [`Malformed`] when its parts do not fit each other.
    fn finish(self) -> Result<Self::Content, Malformed>;
}

/// Why a message cannot be used. Nothing of its text is in here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It ends too early.
    #[error("the JSON document is cut off")]
    CutOff,
    /// A list of indices does not fit the list of entries that it is for, or is no list of indices.
    #[error("a list of indices does not fit its entries")]
    Indices,
    /// It is no JSON document, or one that is nested too deeply.
    #[error("not a JSON document")]
    NotJson,
    /// It holds more entries than any real message.
    #[error("more entries than any real message has")]
    TooMany,
}

impl<M: Message> Reader<M> {
    /// A reader before the first byte of a document.
    #[must_use]
    pub fn new(message: M) -> Self {
        Self {
            reader: PathReader::new(M::paths()),
            message,
            failure: None,
        }
    }

    /// Reads the next bytes of the document. What is wrong with them is told at the end.
    pub fn feed(&mut self, bytes: &[u8]) {
        let Self {
            reader,
            message,
            failure,
        } = self;
        if failure.is_none() {
            reader.feed(bytes, &mut |field, value| {
                if failure.is_none() {
                    *failure = message.read_value(field, value).err();
                }
            });
        }
    }

    /// No more bytes follow: what the document says.
    ///
    /// # Errors
    /// [`Malformed`] when it is not whole, no JSON, or cannot be what the language server meant.
    pub fn finish(mut self) -> Result<M::Content, Malformed> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        if self.reader.status() == Status::Malformed {
            return Err(Malformed::NotJson);
        }
        // The end may stand in the middle of a number or literal, which only then turns out to be
        // none.
        match self.reader.finish(&mut |_, _| {}) {
            Status::Complete => self.message.finish(),
            Status::Incomplete | Status::Malformed => Err(Malformed::CutOff),
        }
    }
}
